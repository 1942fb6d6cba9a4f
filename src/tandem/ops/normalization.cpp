#include <cmath>
#include <memory>

#include "tandem/graph/builder.h"
#include "tandem/graph/registry.h"
#include "tandem/ops/lowering_rules.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/support.h"

namespace tandem {
namespace {

class BatchNormalization final : public Operator {
 public:
  std::string_view name() const override { return "BatchNormalization"; }
  std::string_view description() const override {
    return "y = (x - mean) / sqrt(variance + epsilon) * scale + bias per channel of x [N,C,...], "
           "with the inputs x, scale, bias, mean, variance of shape [C].";
  }
  std::vector<AttributeSpec> attributes() const override {
    return {real_attribute("epsilon", "added to the variance", 1e-5)};
  }
  std::size_t min_inputs() const override { return 5; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    require_reals(node);
    const TensorType& x = node.input(0);
    if (x.shape.size() < 2) throw Error("x is ", x.to_string(), ", not [N,C,...]");
    for (std::size_t i = 1; i < 5; ++i) {
      if (node.input(i).shape != std::vector<Dim>{x.shape[1]}) {
        throw Error(kRoles[i], " is ", node.input(i).to_string(), ", not [", x.shape[1].to_string(),
                    "] as the channels of ", x.to_string(), " want");
      }
    }
    return {x};
  }

  std::vector<Form> forms(const NodeView&) const override { return {{"affine"}}; }

  // Trained networks have constants here, and then this is one multiplication and one addition.
  std::vector<ValueId> body(Builder& builder, const NodeView& node, const Form&,
                            std::span<const ValueId> inputs) const override {
    const std::size_t rank = node.input(0).shape.size();
    ValueId factor = kNone, summand = kNone;
    if (node.constant(1) && node.constant(2) && node.constant(3) && node.constant(4)) {
      std::tie(factor, summand) = constants(builder, node, rank);
    } else {
      std::tie(factor, summand) = computed(builder, node, rank, inputs);
    }
    return {builder.add("Add", {builder.add("Mul", {inputs[0], factor}), summand})};
  }

  std::optional<std::vector<CodedValue>> lower(LoweringSite& site) const override {
    return lower_batch_normalization(site);
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view c, std::string_view attributes) {
      return sample_text(
          "symbol N in [1,8]",
          concat("%x : ", x, ", %s : ", c, ", %b : ", c, ", %m : ", c, ", %v : ", c),
          concat("%y : ", x, " = BatchNormalization(%x, %s, %b, %m, %v) ", attributes));
    };
    const std::string constants =
        "symbol N in [1,8]\nconstant @s : f32[2] = [1,-0.5]\nconstant @b : f32[2] = [0,3]\n"
        "constant @m : f32[2] = [0.25,-1]\nconstant @v : f32[2] = [1.5,0.01]";
    return {{sample_text(constants, "%x : f32[N,2,3,3]",
                         "%s = constant @s\n  %b = constant @b\n  %m = constant @m\n"
                         "  %v = constant @v\n"
                         "  %y : f32[N,2,3,3] = BatchNormalization(%x, %s, %b, %m, %v)"),
             ""},
            {text("f32[N,3]", "f32[3]", "{epsilon = 9.0}"), ""},
            {text("f64[2,3,4]", "f64[3]", "{epsilon = 9.0}"), ""},
            {text("f32[N,3,2,2]", "f32[2]", ""), "scale is f32[2], not [3]"},
            {text("f32[3]", "f32[3]", ""), "not [N,C,...]"}};
  }

 private:
  static constexpr std::array<std::string_view, 5> kRoles = {"x", "scale", "bias", "mean",
                                                             "variance"};

  // [C] to [C,1,...,1], which broadcasts over x.
  static Shape channel_shape(std::int64_t channels, std::size_t rank) {
    Shape shape(rank - 1, 1);
    shape[0] = channels;
    return shape;
  }

  static std::pair<ValueId, ValueId> constants(Builder& builder, const NodeView& node,
                                               std::size_t rank) {
    const auto scale = node.constant(1)->to_reals(), bias = node.constant(2)->to_reals(),
               mean = node.constant(3)->to_reals(), variance = node.constant(4)->to_reals();
    std::vector<double> factors, summands;
    for (std::size_t c = 0; c < scale.size(); ++c) {
      factors.push_back(scale[c] / std::sqrt(variance[c] + node.real("epsilon")));
      summands.push_back(bias[c] - mean[c] * factors[c]);
    }
    const Shape shape = channel_shape(static_cast<std::int64_t>(scale.size()), rank);
    const Format format = node.input(0).format;
    return {builder.constant(Tensor::from_reals(format, shape, factors), "factor"),
            builder.constant(Tensor::from_reals(format, shape, summands), "summand")};
  }

  static std::pair<ValueId, ValueId> computed(Builder& builder, const NodeView& node,
                                              std::size_t rank, std::span<const ValueId> inputs) {
    const ValueId epsilon =
        builder.constant(Tensor::scalar(node.real("epsilon"), node.input(0).format), "epsilon");
    const ValueId deviation = builder.add("Sqrt", {builder.add("Add", {inputs[4], epsilon})});
    const ValueId factor = builder.add("Div", {inputs[1], deviation});
    const ValueId summand =
        builder.add("Sub", {inputs[2], builder.add("Mul", {inputs[3], factor})});
    std::vector<std::string> shape(rank - 1, "1");
    shape[0] = "d0";
    return {builder.add("Reshape", {factor}, {{"shape", shape}}),
            builder.add("Reshape", {summand}, {{"shape", shape}})};
  }
};

}  // namespace

void register_normalization_operators() { operators().add(std::make_unique<BatchNormalization>()); }

}  // namespace tandem
