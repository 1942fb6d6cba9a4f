// Normalization by statistics of the sample itself.
#include <memory>

#include "tandem/graph/registry.h"
#include "tandem/ops/body.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/lowering_rules.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/support.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

AttributeSpec epsilon_attribute() {
  return real_attribute("epsilon", "added to the variance", 1e-5);
}

// Statistics of narrow formats are computed in f32.
Format wide_format(const Format& format) { return format.bits() < 32 ? Format() : format; }

void require_broadcast(const NodeView& node, std::size_t input, std::string_view what) {
  if (!node.has_input(input) || broadcasts_to(node.input(input).shape, node.input(0).shape)) return;
  throw Error(what, " ", node.input(input).to_string(), " does not broadcast to ",
              node.input(0).to_string());
}

std::vector<Dim> per_channel(std::size_t rank, const Dim& channels) {
  std::vector<Dim> shape(rank - 1, 1);
  shape[0] = channels;
  return shape;
}

// "Layer Normalization" (Ba et al., 2016).
class LayerNormalization final : public Operator {
 public:
  std::string_view name() const override { return "LayerNormalization"; }
  std::string_view description() const override {
    return "y = (x - mean) / sqrt(variance + epsilon) * scale + bias with mean and variance over "
           "the axes from `axis` on; scale and the optional bias broadcast to x. With `statistics` "
           "mean and 1 / sqrt(variance + epsilon) follow, reduced axes with extent 1, in f32 at "
           "least.";
  }
  std::vector<AttributeSpec> attributes() const override {
    return {integer_attribute("axis", "first axis of what is normalized", -1), epsilon_attribute(),
            flag_attribute("statistics", "return the statistics too", false)};
  }
  std::size_t min_inputs() const override { return 2; }
  std::size_t max_inputs() const override { return 3; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const Format format = require_reals(node);
    const TensorType& x = node.input(0);
    const std::size_t axis = normalized_axis(node.integer("axis"), x.shape.size());
    require_broadcast(node, 1, "scale");
    require_broadcast(node, 2, "the bias");
    if (!flag(node, "statistics")) return {x};
    TensorType statistics{x.shape, wide_format(format)};
    for (std::size_t d = axis; d < x.shape.size(); ++d) statistics.shape[d] = 1;
    return {x, statistics, statistics};
  }

  std::vector<Form> forms(const NodeView&) const override { return {{"two_passes"}}; }

  std::vector<ValueId> body(Builder& builder, const NodeView& node, const Form&,
                            std::span<const ValueId> inputs) const override {
    Body body(builder);
    const std::size_t rank = body.rank(inputs[0]);
    const Integers axes = axes_from(normalized_axis(node.integer("axis"), rank), rank);
    const Format format = body.format(inputs[0]);
    const ValueId x = body.cast(inputs[0], wide_format(format));
    const ValueId mean = body.mean(x, axes);
    const ValueId centred = body.sub(x, mean);
    const ValueId variance = body.mean(body.mul(centred, centred), axes);
    const ValueId deviation = body.call("Sqrt", body.plus(variance, node.real("epsilon")));
    const ValueId inverse = body.call("Reciprocal", deviation);
    ValueId y = body.cast(body.mul(centred, inverse), format);
    y = body.mul(y, inputs[1]);
    if (node.has_input(2)) y = body.add(y, inputs[2]);
    if (!flag(node, "statistics")) return {y};
    return {y, mean, inverse};
  }

  std::optional<std::vector<CodedValue>> lower(LoweringSite& site) const override {
    if (flag(site.node, "statistics")) {
      throw Error("its statistics have no integer form; remove the outputs that return them");
    }
    const std::size_t rank = site.node.input(0).shape.size();
    return lower_layer_normalization(site, normalized_axis(site.node.integer("axis"), rank), true);
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view s, std::string_view attributes) {
      return sample_text("symbol N in [1,4]", concat("%x : ", x, ", %s : ", s, ", %b : ", s),
                         concat("%y : ", x, " = LayerNormalization(%x, %s, %b) ", attributes));
    };
    return {{text("f32[N,3,8]", "f32[8]", ""), ""},
            {text("f16[2,3,4]", "f16[3,4]", "{axis = 1}"), ""},
            {text("f64[N,5]", "f64[5]", "{epsilon = 0.1}"), ""},
            {sample_text("", "%x : f32[2,3,4], %s : f32[3,4]",
                         "%y : f32[2,3,4], %m : f32[2,1,1], %d : f32[2,1,1] = "
                         "LayerNormalization(%x, %s) {axis = -2, statistics = 1}",
                         "%y, %m, %d"),
             ""},
            {text("f32[2,8]", "f32[7]", ""), "does not broadcast"},
            {text("f32[2,8]", "f32[8]", "{axis = 2}"), "axis 2 is outside"},
            {text("int8[2,8]", "f32[8]", ""), "put a Dequantize before it"}};
  }
};

// "Root Mean Square Layer Normalization" (Zhang and Sennrich, 2019).
class RmsNormalization final : public Operator {
 public:
  std::string_view name() const override { return "RMSNormalization"; }
  std::string_view description() const override {
    return "y = x / sqrt(mean of x^2 + epsilon) * scale with the mean over the axes from `axis` "
           "on; scale broadcasts to x.";
  }
  std::vector<AttributeSpec> attributes() const override {
    return {integer_attribute("axis", "first axis of what is normalized", -1), epsilon_attribute()};
  }
  std::size_t min_inputs() const override { return 2; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    require_reals(node);
    normalized_axis(node.integer("axis"), node.input(0).shape.size());
    require_broadcast(node, 1, "scale");
    return {node.input(0)};
  }

  std::vector<Form> forms(const NodeView&) const override { return {{"mean_of_squares"}}; }

  std::vector<ValueId> body(Builder& builder, const NodeView& node, const Form&,
                            std::span<const ValueId> inputs) const override {
    Body body(builder);
    const std::size_t rank = body.rank(inputs[0]);
    const Integers axes = axes_from(normalized_axis(node.integer("axis"), rank), rank);
    const Format format = body.format(inputs[0]);
    const ValueId x = body.cast(inputs[0], wide_format(format));
    const ValueId power = body.plus(body.mean(body.mul(x, x), axes), node.real("epsilon"));
    const ValueId normalized = body.div(x, body.call("Sqrt", power));
    return {body.mul(body.cast(normalized, format), inputs[1])};
  }

  std::optional<std::vector<CodedValue>> lower(LoweringSite& site) const override {
    const std::size_t rank = site.node.input(0).shape.size();
    return lower_layer_normalization(site, normalized_axis(site.node.integer("axis"), rank), false);
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view s, std::string_view attributes) {
      return sample_text("symbol N in [1,4]", concat("%x : ", x, ", %s : ", s),
                         concat("%y : ", x, " = RMSNormalization(%x, %s) ", attributes));
    };
    return {{text("f32[N,3,8]", "f32[8]", ""), ""},
            {text("f16[2,3,4]", "f16[3,1]", "{axis = 1}"), ""},
            {text("f64[N,5]", "f64[]", "{epsilon = 0.1}"), ""},
            {text("f32[2,8]", "f32[7]", ""), "does not broadcast"},
            {text("int8[2,8]", "f32[8]", ""), "put a Dequantize before it"}};
  }
};

// "Group Normalization" (Wu and He, 2018).
class GroupNormalization final : public Operator {
 public:
  std::string_view name() const override { return "GroupNormalization"; }
  std::string_view description() const override {
    return "y = (x - mean) / sqrt(variance + epsilon) * scale + bias for x [N,C,...], with mean "
           "and "
           "variance over each of num_groups groups of channels of a sample, scale and bias [C]; "
           "num_groups = C is instance normalization.";
  }
  std::vector<AttributeSpec> attributes() const override {
    return {integer_attribute("num_groups", "groups of channels"), epsilon_attribute()};
  }
  std::size_t min_inputs() const override { return 3; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    require_reals(node);
    const TensorType& x = node.input(0);
    if (x.shape.size() < 3) throw Error("x is ", x.to_string(), ", not [N,C,...]");
    const std::int64_t groups = node.integer("num_groups"), channels = x.shape[1].constant();
    if (groups < 1 || channels % groups != 0)
      throw Error("num_groups ", groups, " does not divide the ", channels, " channels");
    for (std::size_t i = 1; i <= 2; ++i) {
      if (node.input(i).shape != std::vector<Dim>{x.shape[1]}) {
        throw Error(i == 1 ? "scale" : "the bias", " is ", node.input(i).to_string(), ", not [",
                    channels, "] as the channels of ", x.to_string(), " want");
      }
    }
    return {x};
  }

  std::vector<Form> forms(const NodeView&) const override { return {{"two_passes"}}; }

  std::vector<ValueId> body(Builder& builder, const NodeView& node, const Form&,
                            std::span<const ValueId> inputs) const override {
    Body body(builder);
    const std::vector<Dim> shape = body.type(inputs[0]).shape;
    const Format format = body.format(inputs[0]);
    Dim each = Dim(shape[1].constant() / node.integer("num_groups"));
    for (std::size_t d = 2; d < shape.size(); ++d) each = each * shape[d];
    const ValueId x = body.reshape(body.cast(inputs[0], wide_format(format)),
                                   {shape[0], node.integer("num_groups"), each});
    const ValueId centred = body.sub(x, body.mean(x, {2}));
    const ValueId variance = body.mean(body.mul(centred, centred), {2});
    const ValueId deviation = body.call("Sqrt", body.plus(variance, node.real("epsilon")));
    const ValueId y = body.cast(body.reshape(body.div(centred, deviation), shape), format);
    const std::vector<Dim> channels = per_channel(shape.size(), shape[1]);
    return {body.add(body.mul(y, body.reshape(inputs[1], channels)),
                     body.reshape(inputs[2], channels))};
  }

  std::optional<std::vector<CodedValue>> lower(LoweringSite& site) const override {
    return lower_group_normalization(site);
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view s, std::string_view attributes) {
      return sample_text("symbol N in [1,4]", concat("%x : ", x, ", %s : ", s, ", %b : ", s),
                         concat("%y : ", x, " = GroupNormalization(%x, %s, %b) ", attributes));
    };
    return {{text("f32[N,4,3,2]", "f32[4]", "{num_groups = 2}"), ""},
            {text("f16[2,3,5]", "f16[3]", "{num_groups = 3}"), ""},
            {text("f64[2,4,3,2,2]", "f64[4]", "{num_groups = 1, epsilon = 0.1}"), ""},
            {text("f32[2,4,3]", "f32[4]", "{num_groups = 3}"), "does not divide"},
            {text("f32[2,4,3]", "f32[2]", "{num_groups = 2}"), "scale is f32[2]"}};
  }
};

// "ImageNet Classification with Deep Convolutional Neural Networks" (Krizhevsky et al., 2012).
class Lrn final : public Operator {
 public:
  std::string_view name() const override { return "LRN"; }
  std::string_view description() const override {
    return "y = x / (bias + alpha / size * sum of x^2 over the `size` channels around)^beta for x "
           "[N,C,...]: local response normalization.";
  }
  std::vector<AttributeSpec> attributes() const override {
    return {integer_attribute("size", "channels summed, (size - 1) / 2 of them before"),
            real_attribute("alpha", "factor of the mean square", 1e-4),
            real_attribute("beta", "exponent", 0.75),
            real_attribute("bias", "added to the mean square", 1)};
  }

  std::vector<TensorType> infer(const NodeView& node) const override {
    require_reals(node);
    const TensorType& x = node.input(0);
    if (x.shape.size() < 3) throw Error("x is ", x.to_string(), ", not [N,C,...]");
    const std::int64_t size = node.integer("size");
    if (size < 1 || size > 1 << 20) throw Error("size is ", size, "; it must be at least 1");
    return {x};
  }

  std::vector<Form> forms(const NodeView&) const override { return {{"pooled_squares"}}; }

  std::vector<ValueId> body(Builder& builder, const NodeView& node, const Form&,
                            std::span<const ValueId> inputs) const override {
    Body body(builder);
    const ValueId x = inputs[0];
    const std::vector<Dim> shape = body.type(x).shape;
    Dim rest = 1;
    for (std::size_t d = 2; d < shape.size(); ++d) rest = rest * shape[d];
    const std::int64_t size = node.integer("size"), before = (size - 1) / 2;
    const ValueId squares = body.reshape(body.mul(x, x), {shape[0], Dim(1), shape[1], rest});
    const ValueId means = builder.add("AveragePool", {squares},
                                      {{"kernel", Integers{size, 1}},
                                       {"pads", Integers{before, 0, size - 1 - before, 0}},
                                       {"count_include_pad", std::int64_t{1}}});
    const ValueId base =
        body.plus(body.times(body.reshape(means, shape), node.real("alpha")), node.real("bias"));
    return {body.div(x, builder.add("Pow", {base, body.scalar(node.real("beta"), base)}))};
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view attributes) {
      return sample_text("symbol N in [1,4]", concat("%x : ", x),
                         concat("%y : ", x, " = LRN(%x) ", attributes));
    };
    return {{text("f32[2,5,3,3]", "{size = 3, alpha = 0.5}"), ""},
            {text("f64[1,4,6]", "{size = 4, beta = 0.5, bias = 2.0}"), ""},
            {text("f32[2,5,3]", "{size = 0}"), "at least 1"},
            {text("f32[2,5]", "{size = 3}"), "not [N,C,...]"}};
  }
};

}  // namespace

void register_layer_normalization_operators() {
  operators().add(std::make_unique<LayerNormalization>());
  operators().add(std::make_unique<RmsNormalization>());
  operators().add(std::make_unique<GroupNormalization>());
  operators().add(std::make_unique<Lrn>());
}

}  // namespace tandem
