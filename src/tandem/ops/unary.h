#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tandem/ops/lowering_rules.h"
#include "tandem/ops/plain_integers.h"
#include "tandem/ops/support.h"

namespace tandem {

// Operations that one element of an element-wise operator takes.
struct ElementCost {
  OperationKind kind;
  std::int64_t count = 1;
};

// The parts of a real function of one variable that most share. A function derives from it, adds
// kName, kDescription and kCosts, reads its attributes in its constructor, and gives
//   template <typename T> T operator()(T x) const.
struct RealFunction {
  explicit RealFunction(const NodeView&) {}
  static std::vector<AttributeSpec> attributes() { return {}; }
  // Attribute text of samples beyond the one without attributes.
  static std::vector<std::string> sample_attributes() { return {}; }
  // Over coded integers any function is a table; those with a cheaper form hide this one.
  static Lowered lower(LoweringSite& site) { return lower_by_table(site); }
};

// A function that has a meaning on plain integers too: std::int64_t integer(std::int64_t) const.
template <typename F>
concept IntegerFunction = requires(const F& function, std::int64_t x) {
  function.integer(x);
};

// y[i] = F(x[i]).
template <typename F>
class UnaryOperator final : public Operator {
 public:
  std::string_view name() const override { return F::kName; }
  std::string_view description() const override { return F::kDescription; }
  Traits traits() const override {
    return {.domain = Domain::kReal, .elementwise = true, .in_place = true};
  }
  std::vector<AttributeSpec> attributes() const override { return F::attributes(); }

  std::vector<TensorType> infer(const NodeView& node) const override {
    IntegerFunction<F> ? require_numbers(node) : require_reals(node);
    const F function(node);  // checks the attributes
    return {node.input(0)};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    const F function(node);
    if constexpr (IntegerFunction<F>) {
      if (!inputs[0].format().is_float())
        return {map_integers(inputs[0], [&](std::int64_t x) { return function.integer(x); })};
    }
    return compute_reals(inputs[0].format(), inputs,
                         [&]<typename T>(std::span<const Tensor> reals) {
                           Tensor y(reals[0].format(), reals[0].shape());
                           const std::span<const T> from = reals[0].data<T>();
                           const std::span<T> to = y.mutable_data<T>();
                           for (std::size_t i = 0; i < from.size(); ++i) to[i] = function(from[i]);
                           return std::vector<Tensor>{std::move(y)};
                         });
  }

  Work work(const NodeView& node) const override {
    std::vector<OperationCount> counts;
    for (const ElementCost& cost : F::kCosts)
      counts.push_back(operations(node, cost.kind, cost.count * input_elements(node, 0)));
    return work_of(node, std::move(counts));
  }

  std::optional<std::vector<CodedValue>> lower(LoweringSite& site) const override {
    if (!site.node.input(0).format.is_float()) return std::nullopt;
    return F::lower(site);
  }

  std::vector<SampleCase> samples() const override {
    const std::string call = concat(" = ", F::kName, "(%x)");
    std::vector<SampleCase> cases = {
        {sample_text("", "%x : f32[2,3]", "%y : f32[2,3]" + call), ""},
        {sample_text("symbol N in [1,8]", "%x : f16[N,2,1]", "%y : f16[N,2,1]" + call), ""},
        {sample_text("", "%x : f64[]", "%y : f64[]" + call), ""},
        {sample_text("", "%x : fixed<8,3>[2]", "%y : fixed<8,3>[2]" + call),
         "put a Dequantize before it"}};
    if (IntegerFunction<F>)
      cases.push_back({sample_text("", "%x : int8[2,3]", "%y : int8[2,3]" + call), ""});
    for (const std::string& text : F::sample_attributes())
      cases.push_back({sample_text("", "%x : f32[5]", "%y : f32[5]" + call + " " + text), ""});
    return cases;
  }
};

}  // namespace tandem
