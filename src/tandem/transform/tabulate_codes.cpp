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
// Of all tables that differ along an axis together, so that they stay smaller than networks are.
constexpr std::int64_t kMostEntries = std::int64_t{1} << 24;

// Bipolar codes are no interval of integers.
bool is_short_code(const Format& format) {
  return format.is_integer() && format.bits() <= kMostBits && format != Format::parse("bipolar");
}

// Nodes between one value of codes and another.
struct Function {
  ValueId argument = kNone;
  std::vector<NodeId> nodes;        // ascending
  std::optional<std::size_t> axis;  // along which constants differ
  std::int64_t extent = 1;          // of that axis
};

class TabulateCodes {
 public:
  TabulateCodes(const Module& module, const CodeEvaluator& evaluate)
      : rewriter_(module), graph_(module.main()), evaluate_(evaluate) {}

  Module run() {
    for (const Node& node : graph_.nodes) {
      const auto function = function_of(node);
      if (function && !is_plain(*function) && is_affordable(*function)) {
        write(node, *function);
      } else {
        rewriter_.copy(node);
      }
    }
    return rewriter_.finish();
  }

 private:
  // A table already, clamps, which a Rescale before them takes in, or a Rescale by channel that
  // rounds down, which runs as it is: tables of all channels would take more memory, and time.
  bool is_plain(const Function& function) const {
    const auto op = [&](NodeId id) { return graph_.nodes[id].op->name(); };
    if (function.nodes.size() == 1 && op(function.nodes[0]) == "Table") return true;
    if (function.axis && is_rescale_by_channel(function)) return true;
    return std::ranges::all_of(function.nodes, [&](NodeId id) { return op(id) == "Clamp"; });
  }
  bool is_rescale_by_channel(const Function& function) const {
    const Node& first = graph_.nodes[function.nodes[0]];
    if (first.op->name() != "Rescale" || first.inputs[0] != function.argument ||
        *function.axis + 1 != graph_.values[function.argument].type.shape.size())
      return false;
    const NodeView rescale = view(first);
    return rescale.string("rounding") == "floor" && rescale.string("overflow") == "saturate" &&
           is_short_code(graph_.values[first.outputs[0]].type.format) &&
           std::all_of(function.nodes.begin() + 1, function.nodes.end(),
                       [&](NodeId id) { return graph_.nodes[id].op->name() == "Clamp"; });
  }
  bool is_affordable(const Function& function) {
    if (!function.axis) return true;
    const IntegerRange range = graph_.values[function.argument].type.format.integer_range();
    const std::int64_t entries = function.extent * (range.max - range.min + 1);
    if (entries > entries_left_) return false;
    entries_left_ -= entries;
    return true;
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
    Function function;
    if (!open_operands(node, shape, open, function)) return std::nullopt;
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
        if (is_new && !open_operands(producer(id), shape, open, function)) return std::nullopt;
      } else {
        arguments.insert(id);
      }
    }
    if (arguments.size() != 1 || !is_short_code(graph_.values[*arguments.begin()].type.format))
      return std::nullopt;
    function.argument = *arguments.begin();
    function.nodes.assign(nodes.begin(), nodes.end());
    return function;
  }
  const Node& producer(ValueId value) const { return graph_.nodes[graph_.values[value].producer]; }

  // Appends the operands that are computed; false where a constant differs between elements, but
  // along the one axis.
  bool open_operands(const Node& node, const std::vector<Dim>& shape, std::vector<ValueId>& open,
                     Function& function) const {
    for (const ValueId input : node.inputs) {
      const Tensor* constant = constant_of(rewriter_.old(), graph_, input);
      if (constant == nullptr)
        open.push_back(input);
      else if (!differs_along_axis(element_shape(node, *constant), shape, function))
        return false;
    }
    return true;
  }
  // Of a constant, without the axis that is the node's own.
  static Shape element_shape(const Node& node, const Tensor& constant) {
    Shape shape = constant.shape();
    if (has_rows(node)) shape.pop_back();
    return shape;
  }
  static bool differs_along_axis(const Shape& constant, const std::vector<Dim>& shape,
                                 Function& function) {
    if (element_count(constant) == 1) return true;
    if (constant.size() > shape.size()) return false;
    const std::size_t skipped = shape.size() - constant.size();
    for (std::size_t d = 0; d < constant.size(); ++d) {
      if (constant[d] == 1) continue;
      const std::size_t axis = skipped + d;
      if ((function.axis && function.axis != axis) || shape[axis] != Dim(constant[d])) return false;
      function.axis = axis;
      function.extent = constant[d];
    }
    return true;
  }
  // Whether its constant has an axis of its own.
  static bool has_rows(const Node& node) {
    return node.op->name() == "Table" || node.op->name() == "Threshold";
  }

  // The function of every code, for each index of its axis: [extent, codes].
  Tensor table(const Node& node, const Function& function) const {
    const Format format = graph_.values[function.argument].type.format;
    const IntegerRange range = format.integer_range();
    const std::int64_t count = range.max - range.min + 1;
    const Shape shape{function.extent, count};
    std::vector<std::int64_t> codes(static_cast<std::size_t>(element_count(shape)));
    for (std::size_t i = 0; i < codes.size(); ++i)
      codes[i] = range.min + static_cast<std::int64_t>(i) % count;
    Module module;
    Builder builder(module, Builder::add_graph(module, "main"));
    std::vector<ValueId> values(graph_.values.size(), kNone);
    values[function.argument] = builder.input("codes", {{shape[0], shape[1]}, format});
    for (const NodeId id : function.nodes) {
      const Node& part = graph_.nodes[id];
      std::vector<ValueId> inputs;
      for (const ValueId input : part.inputs) {
        if (const Tensor* constant = constant_of(rewriter_.old(), graph_, input)) {
          Shape beside{element_count(element_shape(part, *constant)), 1};
          if (has_rows(part)) beside.push_back(constant->shape().back());
          values[input] = builder.constant(constant->reshaped(beside));
        }
        inputs.push_back(values[input]);
      }
      values[part.outputs[0]] = builder.add(part.op->name(), inputs, part.attributes);
    }
    builder.output(values[node.outputs[0]]);
    return evaluate_(module, std::vector{Tensor::from_integers(format, shape, codes)})[0];
  }

  void write(const Node& node, const Function& function) {
    const Value& result = graph_.values[node.outputs[0]];
    Shape shape(result.type.shape.size(), 1);
    if (function.axis) shape[*function.axis] = function.extent;
    const Tensor flat = table(node, function);
    shape.push_back(flat.shape().back());
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
  const CodeEvaluator& evaluate_;
  std::set<ValueId> tabulated_;
  std::int64_t entries_left_ = kMostEntries;
};

}  // namespace

void tabulate_codes(Module& module, const CodeEvaluator& evaluate) {
  module = TabulateCodes(module, evaluate).run();
  remove_unused(module);
}

void tabulate_codes(Module& module) {
  tabulate_codes(module, [](const Module& function, std::span<const Tensor> inputs) {
    return evaluate(function, function.main(), inputs);
  });
}

}  // namespace tandem
