#include "tandem/transform/floor_rescales.h"

#include <algorithm>
#include <optional>
#include <set>
#include <vector>

#include "tandem/graph/operator.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/coded.h"
#include "tandem/transform/rewriter.h"

namespace tandem {
namespace {

constexpr int kMostBits = 8;

// code = min(max(rounded + zero, low), high) of what a Rescale rounds.
struct Codes {
  std::int64_t zero = 0, low = 0, high = 0;

  void clamp(IntegerRange range) {
    low = std::clamp(low, range.min, range.max);
    high = std::clamp(high, range.min, range.max);
  }
};

struct Line {
  std::int64_t multiplier = 0, addend = 0, shift = 0;
};

// round((x * multiplier + addend) / 2^shift) + zero as floor((x * multiplier + result) / 2^shift),
// for codes from low to high of all x in a range; nullopt where none is found. Both never fall, so
// it is enough to look at both sides of every step.
class Floor {
 public:
  Floor(const Line& line, Rounding rounding, const Codes& codes, IntegerRange x)
      : line_(line), rounding_(rounding), codes_(codes), x_(x) {}

  std::optional<std::int64_t> addend() const {
    if (line_.multiplier <= 0 || line_.shift == 0) return std::nullopt;
    const Int128 half = Int128{1} << (line_.shift - 1);
    const Int128 plain = line_.addend + (Int128{codes_.zero} << line_.shift);
    for (const Int128 extra : {half, half - 1, Int128{0}, 2 * half - 1}) {
      const Int128 candidate = plain + extra;
      if (candidate > INT64_MAX / 4 || candidate < INT64_MIN / 4) continue;
      if (agrees(static_cast<std::int64_t>(candidate))) return static_cast<std::int64_t>(candidate);
    }
    return std::nullopt;
  }

 private:
  std::int64_t code(std::int64_t x) const {
    const Int128 rounded = round_shift(Int128{x} * line_.multiplier + line_.addend,
                                       static_cast<int>(line_.shift), rounding_);
    return static_cast<std::int64_t>(
        std::clamp<Int128>(rounded + codes_.zero, codes_.low, codes_.high));
  }
  bool agrees(std::int64_t addend) const {
    for (std::int64_t step = codes_.low + 1; step <= codes_.high; ++step) {
      // The least x whose new code is at least `step`.
      const Int128 first = round_divide((Int128{step} << line_.shift) - addend, line_.multiplier,
                                        Rounding::kCeiling);
      if (first > x_.min && code(at(first - 1)) >= step) return false;
      if (first <= x_.max && code(at(first)) < step) return false;
    }
    return true;
  }
  std::int64_t at(Int128 x) const {
    return static_cast<std::int64_t>(std::clamp<Int128>(x, x_.min, x_.max));
  }

  Line line_;
  Rounding rounding_;
  Codes codes_;
  IntegerRange x_;
};

class FloorRescales {
 public:
  explicit FloorRescales(const Module& module)
      : rewriter_(module), graph_(module.main()), readers_(consumers(graph_)) {
    ends_.insert(graph_.outputs.begin(), graph_.outputs.end());
    for (const StateUpdate& update : graph_.updates) ends_.insert(update.value);
  }

  Module run() {
    std::set<NodeId> replaced;
    for (NodeId id = 0; id < graph_.nodes.size(); ++id) {
      if (replaced.contains(id)) continue;
      const auto chain =
          graph_.nodes[id].op->name() == "Rescale" ? floored(id) : std::vector<NodeId>();
      replaced.insert(chain.begin(), chain.end());
      if (chain.empty()) rewriter_.copy(graph_.nodes[id]);
    }
    return rewriter_.finish();
  }

 private:
  NodeView view(NodeId id) const { return {rewriter_.old(), graph_, graph_.nodes[id]}; }

  // Takes in a node behind the Rescale; false where it is no part of the codes.
  bool take(NodeId id, Codes& codes) const {
    const NodeView node = view(id);
    const std::string_view op = node.node.op->name();
    if (op == "Clamp") {
      codes.clamp({node.integer("min"), node.integer("max")});
      return true;
    }
    if (op != "IntAdd") return false;
    const Tensor* constant = node.constant(node.constant(0) == nullptr ? 1 : 0);
    if (constant == nullptr || constant->size() != 1) return false;
    const std::int64_t addend = constant->to_integers()[0];
    codes.zero += addend;
    codes.low += addend;
    codes.high += addend;
    return true;
  }

  // The nodes that one new Rescale stands for; none where the old one stays.
  std::vector<NodeId> floored(NodeId rescale) {
    const NodeView head = view(rescale);
    const Overflow overflow = parse_overflow(head.string("overflow"));
    if (overflow != Overflow::kSaturate) return {};
    const IntegerRange range = head.format("format").integer_range();
    Codes codes{0, range.min, range.max}, kept;
    std::vector<NodeId> chain{rescale};
    std::size_t length = 0;
    while (true) {
      const ValueId value = graph_.nodes[chain.back()].outputs[0];
      if (graph_.values[value].type.format.bits() <= kMostBits) {
        length = chain.size();
        kept = codes;
      }
      if (ends_.contains(value) || readers_[value].size() != 1) break;
      const NodeId next = readers_[value].front();
      if (!take(next, codes)) break;
      chain.push_back(next);
    }
    chain.resize(length);
    const bool is_done = length == 1 && head.string("rounding") == "floor";
    if (length == 0 || is_done || !write(head, chain.back(), kept)) return {};
    return chain;
  }

  bool write(const NodeView& head, NodeId last, const Codes& codes) {
    const Shape shape =
        broadcast_shapes(broadcast_shapes(head.constant(1)->shape(), head.constant(2)->shape()),
                         head.constant(3)->shape());
    const auto multipliers = operand(head, 1, shape), addends = operand(head, 2, shape),
               shifts = operand(head, 3, shape);
    const Rounding rounding = parse_rounding(head.string("rounding"));
    std::vector<std::int64_t> floors;
    for (std::size_t i = 0; i < multipliers.size(); ++i) {
      const auto addend = Floor({multipliers[i], addends[i], shifts[i]}, rounding, codes,
                                head.input(0).format.integer_range())
                              .addend();
      if (!addend) return false;
      floors.push_back(*addend);
    }
    const ValueId result = graph_.nodes[last].outputs[0];
    const Format format = graph_.values[result].type.format;
    Builder& builder = rewriter_.builder();
    builder.set_scope(head.node.scope);
    const ValueId addend = integer_constant(builder, shape, floors, "addend");
    ValueId made =
        builder.add("Rescale",
                    {rewriter_.at(head.node.inputs[0]), rewriter_.at(head.node.inputs[1]), addend,
                     rewriter_.at(head.node.inputs[3])},
                    {{"format", format},
                     {"rounding", std::string("floor")},
                     {"overflow", std::string("saturate")}},
                    graph_.nodes[last].name);
    const IntegerRange full = format.integer_range();
    if (codes.low > full.min || codes.high < full.max)
      made = builder.add("Clamp", {made},
                         {{"format", format}, {"min", codes.low}, {"max", codes.high}});
    rewriter_.set(result, made);
    return true;
  }

  // The integers of a constant, broadcast.
  static std::vector<std::int64_t> operand(const NodeView& node, std::size_t index,
                                           const Shape& shape) {
    const auto integers = node.constant(index)->to_integers();
    std::vector<std::int64_t> result;
    for (const std::int64_t offset : broadcast_offsets(node.constant(index)->shape(), shape))
      result.push_back(integers[static_cast<std::size_t>(offset)]);
    return result;
  }

  Rewriter rewriter_;
  const Graph& graph_;
  std::vector<std::vector<NodeId>> readers_;
  std::set<ValueId> ends_;
};

}  // namespace

void floor_rescales(Module& module) {
  module = FloorRescales(module).run();
  remove_unused(module);
}

}  // namespace tandem
