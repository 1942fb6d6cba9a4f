#include <memory>

#include "tandem/graph/builder.h"
#include "tandem/graph/registry.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/exponentials.h"
#include "tandem/ops/lowering_rules.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/support.h"

namespace tandem {
namespace {

// Softmax and its logarithm, over the largest element so that no exponential overflows.
class SoftmaxOperator : public Operator {
 public:
  explicit SoftmaxOperator(bool logarithm) : logarithm_(logarithm) {}
  std::string_view name() const override { return logarithm_ ? "LogSoftmax" : "Softmax"; }
  std::string_view description() const override {
    return logarithm_ ? "The logarithm of Softmax, in the shape of x."
                      : "y = e^x / sum of e^x along an axis, in the shape of x.";
  }
  std::vector<AttributeSpec> attributes() const override {
    std::vector<AttributeSpec> specs{
        integer_attribute("axis", "axis along which the results add up to 1", -1)};
    if (!logarithm_)
      specs.push_back(
          choice_attribute("exponential", "how integers compute e^x", exponential_names()));
    return specs;
  }

  std::vector<TensorType> infer(const NodeView& node) const override {
    require_reals(node);
    normalized_axis(node.integer("axis"), node.input(0).shape.size());
    return {node.input(0)};
  }

  std::vector<Form> forms(const NodeView&) const override { return {{"shifted"}}; }

  std::vector<ValueId> body(Builder& builder, const NodeView& node, const Form&,
                            std::span<const ValueId> inputs) const override {
    const Attributes axes = {{"axes", std::vector<std::int64_t>{node.integer("axis")}}};
    const ValueId shifted =
        builder.add("Sub", {inputs[0], builder.add("ReduceMax", {inputs[0]}, axes)});
    const ValueId exponentials = builder.add("Exp", {shifted});
    const ValueId sum = builder.add("ReduceSum", {exponentials}, axes);
    if (logarithm_) return {builder.add("Sub", {shifted, builder.add("Log", {sum})})};
    return {builder.add("Div", {exponentials, sum})};
  }

  std::optional<std::vector<CodedValue>> lower(LoweringSite& site) const override {
    if (logarithm_) return std::nullopt;
    return lower_softmax(
        site, normalized_axis(site.node.integer("axis"), site.node.input(0).shape.size()));
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [&](std::string_view x, std::string_view attributes) {
      return sample_text("symbol N in [1,8]", concat("%x : ", x),
                         concat("%y : ", x, " = ", name(), "(%x) ", attributes));
    };
    return {{text("f32[N,10]", ""), ""},
            {text("f32[2,3,4]", "{axis = 1}"), ""},
            {text("f16[N,3]", "{axis = 0}"), ""},
            {text("f64[5]", ""), ""},
            {text("f32[2,3]", "{axis = 2}"), "axis 2 is outside"},
            {text("int8[2,3]", ""), "put a Dequantize before it"}};
  }

 private:
  bool logarithm_;
};

}  // namespace

void register_softmax_operators() {
  operators().add(std::make_unique<SoftmaxOperator>(false));
  operators().add(std::make_unique<SoftmaxOperator>(true));
}

}  // namespace tandem
