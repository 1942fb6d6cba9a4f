#include "tandem/graph/equality.h"

#include <set>
#include <utility>
#include <vector>

#include "tandem/base/error.h"
#include "tandem/graph/operator.h"

namespace tandem {
namespace {

using Pair = std::pair<ValueId, ValueId>;

// The same numbers for broadcasting: no leading ones, and a scalar where there is one element.
Tensor without_leading_ones(const Tensor& tensor) {
  Shape shape = tensor.shape();
  if (tensor.size() == 1) shape.clear();
  while (!shape.empty() && shape.front() == 1) shape.erase(shape.begin());
  return tensor.reshaped(shape);
}

bool has_one_number(const Tensor& tensor) {
  for (std::int64_t i = 1; i < tensor.size(); ++i)
    if (tensor.real(i) != tensor.real(0)) return false;
  return tensor.size() > 0;
}

// Scales or zero points of quantizers. One zero point may stand there once for each channel, as
// files have it that keep lists of one length.
bool are_alike(const Tensor& a, const Tensor& b, bool are_zero_points) {
  if (without_leading_ones(a) == without_leading_ones(b)) return true;
  return are_zero_points && a.format() == b.format() && has_one_number(a) && has_one_number(b) &&
         a.real(0) == b.real(0);
}

// Walks both graphs from their outputs, pair by pair of values.
class Comparison {
 public:
  Comparison(const Module& a, const Module& b) : a_(a), b_(b), left_(a.main()), right_(b.main()) {}

  std::optional<std::string> run() {
    if (left_.inputs.size() != right_.inputs.size() ||
        left_.outputs.size() != right_.outputs.size()) {
      return concat(left_.inputs.size(), " inputs and ", left_.outputs.size(), " outputs against ",
                    right_.inputs.size(), " and ", right_.outputs.size());
    }
    for (std::size_t i = 0; i < left_.inputs.size(); ++i) {
      const Pair pair{left_.inputs[i], right_.inputs[i]};
      seen_.insert(pair);
      if (auto text = compare_surface(pair)) return text;
    }
    for (std::size_t i = 0; i < left_.outputs.size(); ++i) {
      const Pair pair{left_.outputs[i], right_.outputs[i]};
      pending_.push_back(pair);
      if (auto text = compare_surface(pair)) return text;
    }
    while (!pending_.empty()) {
      const Pair pair = pending_.back();
      pending_.pop_back();
      if (!seen_.insert(pair).second) continue;
      if (auto text = compare_values(pair)) return text;
    }
    return std::nullopt;
  }

 private:
  std::string names(Pair pair) const {
    return concat("'", left_.values[pair.first].name, "' against '",
                  right_.values[pair.second].name, "': ");
  }

  // Types and codings of inputs and outputs.
  std::optional<std::string> compare_surface(Pair pair) const {
    const Value &left = left_.values[pair.first], &right = right_.values[pair.second];
    if (left.type != right.type)
      return concat(names(pair), left.type.to_string(), " against ", right.type.to_string());
    const auto at = left_.codings.find(pair.first);
    const auto bt = right_.codings.find(pair.second);
    const bool coded = at != left_.codings.end();
    if (coded != (bt != right_.codings.end())) return names(pair) + "only one has a coding";
    if (!coded) return std::nullopt;
    const auto same = [&](ConstantId x, ConstantId y) {
      return a_.constants[x].tensor == b_.constants[y].tensor;
    };
    if (!same(at->second.scale, bt->second.scale) || !same(at->second.offset, bt->second.offset))
      return names(pair) + "the codings differ";
    return std::nullopt;
  }

  std::optional<std::string> compare_values(Pair pair) {
    const Value &left = left_.values[pair.first], &right = right_.values[pair.second];
    const Tensor* constant = constant_of(a_, left_, pair.first);
    const Tensor* other = constant_of(b_, right_, pair.second);
    if (constant != nullptr || other != nullptr) {
      if (constant == nullptr || other == nullptr) return names(pair) + "only one is constant";
      if (*constant == *other) return std::nullopt;
      return concat(names(pair), "constants differ, ", type_of(*constant).to_string(), " against ",
                    type_of(*other).to_string());
    }
    if (left.state != kNone || right.state != kNone) {
      const bool same = left.state != kNone && right.state != kNone &&
                        a_.states[left.state].name == b_.states[right.state].name;
      return same ? std::nullopt : std::optional(names(pair) + "they read different states");
    }
    if (left.producer == kNone || right.producer == kNone)
      return names(pair) + "an input stands against another value";
    return compare_nodes(pair, left_.nodes[left.producer], right_.nodes[right.producer]);
  }

  std::optional<std::string> compare_nodes(Pair pair, const Node& left, const Node& right) {
    if (left.op != right.op)
      return concat(names(pair), left.op->name(), " against ", right.op->name());
    if (left.attributes != right.attributes) {
      for (const auto& [name, value] : left.attributes) {
        const Attribute& other = right.attributes.at(name);
        if (value != other) {
          return concat(names(pair), "attribute ", name, " is ", to_string(value), " against ",
                        to_string(other));
        }
      }
    }
    if (!left.bodies.empty() || !right.bodies.empty())
      return names(pair) + "nodes with bodies are not compared";
    if (left.inputs.size() != right.inputs.size()) {
      return concat(names(pair), left.op->name(), " has ", left.inputs.size(), " inputs against ",
                    right.inputs.size());
    }
    if (position(left, pair.first) != position(right, pair.second))
      return names(pair) + "they are different outputs of their nodes";
    for (std::size_t i = 0; i < left.inputs.size(); ++i) {
      if ((left.inputs[i] == kNone) != (right.inputs[i] == kNone))
        return concat(names(pair), "input ", i, " is absent in one");
      if (left.inputs[i] == kNone) continue;
      const Tensor* a = constant_of(a_, left_, left.inputs[i]);
      const Tensor* b = constant_of(b_, right_, right.inputs[i]);
      const bool is_parameter = i > 0 && left.op->traits().domain == Domain::kBorder;
      const bool alike = is_parameter && a != nullptr && b != nullptr && are_alike(*a, *b, i == 2);
      if (!alike) pending_.emplace_back(left.inputs[i], right.inputs[i]);
    }
    return std::nullopt;
  }

  static std::size_t position(const Node& node, ValueId value) {
    std::size_t index = 0;
    while (index < node.outputs.size() && node.outputs[index] != value) ++index;
    return index;
  }

  const Module &a_, &b_;
  const Graph &left_, &right_;
  std::set<Pair> seen_;
  std::vector<Pair> pending_;
};

}  // namespace

std::optional<std::string> difference(const Module& a, const Module& b) {
  return Comparison(a, b).run();
}

}  // namespace tandem
