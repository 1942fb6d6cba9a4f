#include "tandem/compress/sites.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <optional>
#include <string_view>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/graph/operator.h"

namespace tandem {
namespace {

// What a node does with one of its inputs.
enum class Appetite {
  kNothing,  // no real number: an index, a constant, an absent input
  kReal,     // takes sums as they are
  kCodes,    // needs codes
  kPasses,   // its result is coded where this input is
};

template <std::size_t N>
bool is_one_of(std::string_view name, const std::array<std::string_view, N>& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

constexpr std::array<std::string_view, 3> kProducts = {"Conv", "Gemm", "MatMul"};
constexpr std::array<std::string_view, 4> kSums = {"Add", "Sub", "Mul", "Div"};
constexpr std::array<std::string_view, 4> kAverages = {"AveragePool", "GlobalAveragePool",
                                                       "ReduceMean", "ReduceSum"};
constexpr std::array<std::string_view, 3> kNormalizations = {
    "LayerNormalization", "RMSNormalization", "GroupNormalization"};
constexpr std::array<std::string_view, 3> kMaxima = {"MaxPool", "GlobalMaxPool", "ReduceMax"};
// These stay deferred behind a sum, or are lowered from sums.
constexpr std::array<std::string_view, 4> kDeferred = {"Relu", "Clip", "BatchNormalization", "Neg"};

class SiteFinder {
 public:
  SiteFinder(const Module& module, const SiteRules& rules)
      : module_(module),
        graph_(module.main()),
        rules_(rules),
        readers_(consumers(graph_)),
        coded_(graph_.values.size(), kNone),
        demanded_(graph_.values.size()),
        normalized_(graph_.values.size()),
        multiplied_(graph_.values.size()),
        paired_(graph_.values.size()) {}

  QuantizationSites run() {
    check();
    find_weights();
    if (rules_.real_activations) return weights_alone();
    code_inputs();
    find_demand();
    find_streams();
    sites_.reads_codes.resize(graph_.nodes.size());
    for (const ValueId input : graph_.inputs) take_codes(input, graph_.values[input].name);
    for (NodeId node = 0; node < graph_.nodes.size(); ++node) visit(node);
    number_groups();
    if (sites_.weights.empty() && sites_.activations.empty())
      throw Error("the network has nothing to quantize: no product, sum or function of reals");
    return std::move(sites_);
  }

 private:
  QuantizationSites weights_alone() {
    for (const Node& node : graph_.nodes)
      sites_.reads_codes.emplace_back(node.inputs.size(), false);
    sites_.group_of.assign(graph_.values.size(), kNone);
    if (sites_.weights.empty()) throw Error("the network has no weights to quantize");
    return std::move(sites_);
  }

  void check() const {
    std::vector<std::string> inputs, layers;
    for (const ValueId input : graph_.inputs) inputs.push_back(graph_.values[input].name);
    for (const Node& node : graph_.nodes) {
      layers.push_back(node.name);
      const auto& op = node.op->name();
      if (op == "Quantize" || op == "Dequantize") {
        throw Error("the network is already quantized (", op, " '", node.name,
                    "'); compress takes real networks");
      }
    }
    for (const auto& [name, codes] : rules_.inputs) {
      if (std::find(inputs.begin(), inputs.end(), name) == inputs.end())
        throw Error("the network has no input '", name, "'", suggestion(name, inputs));
    }
    for (const std::string& name : rules_.real_layers) {
      if (std::find(layers.begin(), layers.end(), name) == layers.end())
        throw Error("the network has no layer '", name, "'", suggestion(name, layers));
    }
  }

  bool is_constant(ValueId value) const { return constant_of(module_, graph_, value) != nullptr; }
  bool is_real(ValueId value) const { return graph_.values[value].type.format.is_float(); }

  Appetite appetite(const Node& node, std::size_t index) const {
    const ValueId input = node.inputs[index];
    if (input == kNone || !is_real(input)) return Appetite::kNothing;
    if (rules_.real_layers.contains(node.name)) return Appetite::kReal;
    const std::string_view op = node.op->name();
    if (op == "Concat") return Appetite::kCodes;
    if (is_constant(input)) return Appetite::kNothing;
    const Traits traits = node.op->traits();
    if (is_one_of(op, kMaxima)) return Appetite::kPasses;
    if (traits.domain == Domain::kMovement && !traits.elementwise)
      return index == 0 ? Appetite::kPasses : Appetite::kNothing;
    if (op == "Identity") return Appetite::kPasses;
    if (is_one_of(op, kProducts)) return index < 2 ? Appetite::kCodes : Appetite::kReal;
    if (is_one_of(op, kAverages)) return Appetite::kCodes;
    if (is_one_of(op, kNormalizations)) return index == 0 ? Appetite::kCodes : Appetite::kReal;
    if (is_one_of(op, kDeferred)) return Appetite::kReal;
    if (is_one_of(op, kSums))
      return is_constant(node.inputs[1 - index]) ? Appetite::kReal : Appetite::kCodes;
    if (traits.domain == Domain::kReal && traits.elementwise) return Appetite::kCodes;
    return Appetite::kReal;
  }

  // A coded input whose codes serve products as they are: one scale, and the real zero is a code.
  static bool is_plain(const InputCoding& codes) {
    if (codes.scale.size() != 1 || codes.offset.size() != 1) return false;
    const double zero = -codes.offset.real(0) / codes.scale.real(0);
    const IntegerRange range = codes.format.integer_range();
    return zero == std::nearbyint(zero) && zero >= static_cast<double>(range.min) &&
           zero <= static_cast<double>(range.max);
  }

  void code_inputs() {
    for (const ValueId input : graph_.inputs) {
      const auto codes = rules_.inputs.find(graph_.values[input].name);
      if (codes == rules_.inputs.end()) continue;
      if (!is_real(input))
        throw Error("input '", codes->first, "' of the network takes no real numbers");
      if (!codes->second.format.is_integer())
        throw Error("the codes of input '", codes->first, "' are no integers");
      sites_.inputs[input] = codes->second;
      if (is_plain(codes->second)) coded_[input] = new_group();
    }
  }

  // Whether codes of a value are asked for, by its readers or through those that pass them on.
  void find_demand() {
    sites_.coded_outputs = rules_.coded_outputs;
    if (rules_.coded_outputs)
      for (const ValueId output : graph_.outputs) demanded_[output] = is_real(output);
    for (NodeId id = graph_.nodes.size(); id-- > 0;) {
      const Node& node = graph_.nodes[id];
      for (std::size_t i = 0; i < node.inputs.size(); ++i)
        if (reads_codes(node, i)) demanded_[node.inputs[i]] = true;
    }
  }

  // Which values reach a normalization through sums and movement alone; which are read, perhaps
  // moved, by what is dear in wide codes: products and tables; and which by products of two
  // computed values.
  void find_streams() {
    for (NodeId id = graph_.nodes.size(); id-- > 0;) {
      const Node& node = graph_.nodes[id];
      const std::string_view op = node.op->name();
      const bool normalizes = is_one_of(op, kNormalizations), averages = is_one_of(op, kAverages);
      const bool adds = op == "Add" || op == "Sub";
      for (std::size_t i = 0; i < node.inputs.size(); ++i) {
        const Appetite wants = appetite(node, i);
        if (wants == Appetite::kNothing) continue;
        const bool passes = wants == Appetite::kPasses || op == "Concat" || op == "Relu";
        const auto any = [&](const std::vector<bool>& of) {
          return std::any_of(node.outputs.begin(), node.outputs.end(),
                             [&](ValueId v) { return v != kNone && of[v]; });
        };
        const ValueId input = node.inputs[i];
        if (normalizes || ((passes || adds || averages) && any(normalized_)))
          normalized_[input] = true;
        const bool scales = scales_codes(node, i);
        const bool pairs = is_one_of(op, kProducts) && i < 2 && !is_constant(node.inputs[1 - i]);
        if (pairs || ((passes || scales) && any(paired_))) paired_[input] = true;
        const bool narrow =
            wants == Appetite::kCodes && !(normalizes || adds || averages || passes);
        if (narrow || ((passes || scales) && any(multiplied_))) multiplied_[input] = true;
      }
    }
  }

  bool reads_codes(const Node& node, std::size_t index) const {
    const Appetite wants = appetite(node, index);
    if (wants == Appetite::kPasses) {
      return std::any_of(node.outputs.begin(), node.outputs.end(),
                         [&](ValueId v) { return v != kNone && demanded_[v]; });
    }
    return wants == Appetite::kCodes;
  }

  void find_weights() {
    for (NodeId id = 0; id < graph_.nodes.size(); ++id) {
      const Node& node = graph_.nodes[id];
      if (!is_one_of(node.op->name(), kProducts) || rules_.real_layers.contains(node.name))
        continue;
      const Tensor* weights = constant_of(module_, graph_, node.inputs[1]);
      if (weights == nullptr) continue;
      const NodeView view{module_, graph_, node};
      std::int64_t axis = 0;
      if (node.op->name() == "MatMul") axis = weights->rank() - 1;
      if (node.op->name() == "Gemm") axis = view.integer("transB") != 0 ? 0 : 1;
      const std::int64_t channels = weights->shape()[static_cast<std::size_t>(axis)];
      sites_.weights.push_back({node.name, id, axis, weights->size(), channels});
    }
  }

  std::size_t new_group() {
    parents_.push_back(parents_.size());
    return parents_.size() - 1;
  }
  std::size_t root(std::size_t group) const {
    while (parents_[group] != group) group = parents_[group];
    return group;
  }
  void join(std::size_t a, std::size_t b) {
    // The root is the oldest, so that groups are numbered in the order of the graph.
    a = root(a);
    b = root(b);
    parents_[std::max(a, b)] = std::min(a, b);
  }

  // Inputs, and rows of constant tables, must arrive as codes, whether or not their readers ask for
  // them.
  bool must_be_coded(ValueId value) const {
    const NodeId producer = graph_.values[value].producer;
    if (producer == kNone) return !sites_.inputs.contains(value) && !readers_[value].empty();
    const Node& node = graph_.nodes[producer];
    return node.op->name() == "Gather" && is_constant(node.inputs[0]) &&
           !rules_.real_layers.contains(node.name);
  }

  void take_codes(ValueId value, const std::string& layer) {
    const bool wanted = demanded_[value] || must_be_coded(value);
    if (!is_real(value) || !wanted || coded_[value] != kNone) return;
    coded_[value] = new_group();
    const bool residual = normalized_[value] && !multiplied_[value];
    sites_.activations.push_back({graph_.values[value].name, layer, value, coded_[value], residual,
                                  residual || paired_[value]});
    if (!must_be_coded(value)) has_both_.insert(value);
  }

  void visit(NodeId id) {
    const Node& node = graph_.nodes[id];
    auto& reads = sites_.reads_codes[id];
    std::size_t passed = kNone;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId input = node.inputs[i];
      const bool has_codes = input != kNone && coded_[input] != kNone;
      const bool has_choice = has_codes && has_both_.contains(input);
      reads.push_back(has_codes && (!has_choice || reads_codes(node, i) || scales_codes(node, i)));
      if (reads[i] && passes_codes(node, i)) passed = coded_[input];
    }
    join_operands(node);
    for (const ValueId output : node.outputs) {
      if (output == kNone) continue;
      if (is_real(output)) coded_[output] = passed;
      take_codes(output, node.name);
    }
  }

  // Codes times a positive number, for products or what moves them there, are codes still: the
  // number joins their scale. (The scaled queries of an attention.)
  bool scales_codes(const Node& node, std::size_t index) const {
    const std::string_view op = node.op->name();
    if ((op != "Mul" && op != "Div") || (op == "Div" && index != 0)) return false;
    const Tensor* factor = constant_of(module_, graph_, node.inputs[1 - index]);
    if (factor == nullptr || factor->size() != 1 || !(factor->real(0) > 0)) return false;
    const auto& read = readers_[node.outputs[0]];
    return std::all_of(read.begin(), read.end(), [&](NodeId reader) {
      const Node& next = graph_.nodes[reader];
      const bool moves = next.op->traits().domain == Domain::kMovement && next.inputs.size() == 1;
      return moves || is_one_of(next.op->name(), kProducts);
    });
  }

  bool passes_codes(const Node& node, std::size_t index) const {
    if (rules_.real_layers.contains(node.name)) return false;
    if (scales_codes(node, index)) return true;
    // Codes below zero become the code of zero: still the same coding.
    if (node.op->name() == "Relu" || node.op->name() == "Concat") return true;
    return appetite(node, index) == Appetite::kPasses;
  }

  void join_operands(const Node& node) {
    const bool sum = node.op->name() == "Add" || node.op->name() == "Sub";
    if (node.op->name() != "Concat" && !(sum && rules_.shared_sums)) return;
    std::size_t first = kNone;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId input = node.inputs[i];
      if (input == kNone || coded_[input] == kNone || !reads_codes(node, i)) continue;
      if (first != kNone) join(first, coded_[input]);
      first = coded_[input];
    }
  }

  void number_groups() {
    std::map<std::size_t, std::size_t> numbers;
    for (ActivationSite& site : sites_.activations) {
      const std::size_t group = root(site.group);
      numbers.try_emplace(group, numbers.size());
      site.group = numbers[group];
    }
    sites_.groups = numbers.size();
    sites_.group_of.assign(graph_.values.size(), kNone);
    for (ValueId value = 0; value < coded_.size(); ++value) {
      const auto number =
          coded_[value] == kNone ? numbers.end() : numbers.find(root(coded_[value]));
      if (number != numbers.end()) sites_.group_of[value] = number->second;
    }
  }

  const Module& module_;
  const Graph& graph_;
  const SiteRules& rules_;
  std::vector<std::vector<NodeId>> readers_;
  std::vector<std::size_t> coded_;  // by value: the group of its codes, or kNone
  std::vector<bool> demanded_;
  std::vector<bool> normalized_, multiplied_, paired_;  // by value: what find_streams() says
  std::set<ValueId> has_both_;                          // sites whose sum can be read too
  std::vector<std::size_t> parents_;                    // of groups (union-find)
  QuantizationSites sites_;
};

}  // namespace

QuantizationSites find_sites(const Module& network, const SiteRules& rules) {
  return SiteFinder(network, rules).run();
}

}  // namespace tandem
