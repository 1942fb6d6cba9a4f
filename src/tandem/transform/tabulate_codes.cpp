#include "tandem/transform/tabulate_codes.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <set>
#include <vector>

#include "tandem/graph/evaluate.h"
#include "tandem/graph/operator.h"
#include "tandem/transform/rewriter.h"

namespace tandem {
namespace {

constexpr int kMostBits = 8;
constexpr std::size_t kMostNodes = 64;  // of one function

// Bipolar codes are no interval of integers.
bool is_short_code(const Format& format) {
  return format.is_integer() && format.bits() <= kMostBits && format != Format::parse("bipolar");
}

// Nodes between one value of codes and another.
struct Function {
  ValueId argument = kNone;
  std::vector<NodeId> nodes;  // ascending
};

class TabulateCodes {
 public:
  explicit TabulateCodes(const Module& module) : rewriter_(module), graph_(module.main()) {}

  Module run() {
    for (const Node& node : graph_.nodes) {
      const auto function = function_of(node);
      if (function && !is_plain(*function)) {
        write(node, *function);
      } else {
        rewriter_.copy(node);
      }
    }
    return rewriter_.finish();
  }

 private:
  // A table already, or clamps, which a Rescale before them takes in.
  bool is_plain(const Function& function) const {
    const auto op = [&](NodeId id) { return graph_.nodes[id].op->name(); };
    if (function.nodes.size() == 1 && op(function.nodes[0]) == "Table") return true;
    return std::ranges::all_of(function.nodes, [&](NodeId id) { return op(id) == "Clamp"; });
  }
  NodeView view(const Node& node) const { return {rewriter_.old(), graph_, node}; }

  static bool computes_elements(const Node& node) {
    const Traits traits = node.op->traits();
    return traits.domain == Domain::kInteger && traits.elementwise;
  }

  // How a node's result depends on a single value of codes; nullopt where it depends on several.
  std::optional<Function> function_of(const Node& node) const {
    if (!computes_elements(node) || !is_short_code(graph_.values[node.outputs[0]].type.format))
      return std::nullopt;
    const auto& shape = graph_.values[node.outputs[0]].type.shape;
    std::set<NodeId> nodes{graph_.values[node.outputs[0]].producer};
    std::set<ValueId> arguments;
    std::vector<ValueId> open;
    if (!open_operands(node, open)) return std::nullopt;
    while (!open.empty()) {
      const ValueId id = open.back();
      open.pop_back();
      const Value& value = graph_.values[id];
      if (value.type.shape != shape || nodes.size() > kMostNodes) return std::nullopt;
      const bool goes_on = value.producer != kNone && computes_elements(producer(id)) &&
                           (!is_short_code(value.type.format) ||
                            producer(id).op->name() == "Table" || tabulated_.contains(id));
      if (goes_on) {
        const bool is_new = nodes.insert(value.producer).second;
        if (is_new && !open_operands(producer(id), open)) return std::nullopt;
      } else {
        arguments.insert(id);
      }
    }
    if (arguments.size() != 1 || !is_short_code(graph_.values[*arguments.begin()].type.format))
      return std::nullopt;
    return Function{*arguments.begin(), {nodes.begin(), nodes.end()}};
  }
  const Node& producer(ValueId value) const { return graph_.nodes[graph_.values[value].producer]; }

  // Appends the operands that are computed; false where a constant differs between elements.
  bool open_operands(const Node& node, std::vector<ValueId>& open) const {
    for (const ValueId input : node.inputs) {
      const Tensor* constant = constant_of(rewriter_.old(), graph_, input);
      if (constant == nullptr) {
        open.push_back(input);
      } else if (constant->size() != (has_rows(node) ? constant->shape().back() : 1)) {
        return false;
      }
    }
    return true;
  }
  // Whether its constant has an axis of its own.
  static bool has_rows(const Node& node) {
    return node.op->name() == "Table" || node.op->name() == "Threshold";
  }

  // The function of every code, as its own definition computes it.
  Tensor table(const Node& node, const Function& function) const {
    const Format format = graph_.values[function.argument].type.format;
    const IntegerRange range = format.integer_range();
    std::vector<std::int64_t> codes(static_cast<std::size_t>(range.max - range.min + 1));
    std::iota(codes.begin(), codes.end(), range.min);
    const auto count = static_cast<std::int64_t>(codes.size());
    Module module;
    Builder builder(module, Builder::add_graph(module, "main"));
    std::vector<ValueId> values(graph_.values.size(), kNone);
    values[function.argument] = builder.input("codes", {{count}, format});
    for (const NodeId id : function.nodes) {
      const Node& part = graph_.nodes[id];
      std::vector<ValueId> inputs;
      for (const ValueId input : part.inputs) {
        if (const Tensor* constant = constant_of(rewriter_.old(), graph_, input)) {
          const Shape shape = has_rows(part) ? Shape{1, constant->size()} : Shape{1};
          values[input] = builder.constant(constant->reshaped(shape));
        }
        inputs.push_back(values[input]);
      }
      values[part.outputs[0]] = builder.add(part.op->name(), inputs, part.attributes);
    }
    builder.output(values[node.outputs[0]]);
    const auto results =
        evaluate(module, module.main(), std::vector{Tensor::from_integers(format, {count}, codes)});
    return results[0];
  }

  void write(const Node& node, const Function& function) {
    const Value& result = graph_.values[node.outputs[0]];
    Shape shape(result.type.shape.size(), 1);
    const Tensor flat = table(node, function);
    shape.push_back(flat.size());
    Builder& builder = rewriter_.builder();
    builder.set_scope(node.scope);
    const ValueId constant = builder.constant(flat.reshaped(shape), "table");
    const ValueId made = builder.add("Table", {rewriter_.at(function.argument), constant},
                                     {{"format", result.type.format}}, node.name);
    rewriter_.set(node.outputs[0], made);
    tabulated_.insert(node.outputs[0]);
  }

  Rewriter rewriter_;
  const Graph& graph_;
  std::set<ValueId> tabulated_;
};

}  // namespace

void tabulate_codes(Module& module) {
  module = TabulateCodes(module).run();
  remove_unused(module);
}

}  // namespace tandem
