#include <memory>

#include "tandem/graph/registry.h"
#include "tandem/kernels/convolution.h"
#include "tandem/ops/lowering_rules.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/support.h"
#include "tandem/ops/window.h"

namespace tandem {
namespace {

Shape spatial_extents(const std::vector<Dim>& shape) {
  Shape extents;
  for (std::size_t d = 2; d < shape.size(); ++d) extents.push_back(shape[d].constant());
  return extents;
}

class Conv final : public Operator {
 public:
  std::string_view name() const override { return "Conv"; }
  std::string_view description() const override {
    return "Convolution of x [N,C,spatial...] with w [O,C/group,kernel...] and the optional bias "
           "[O] to [N,O,spatial...], over one or two spatial axes; group = C is depthwise.";
  }
  std::vector<AttributeSpec> attributes() const override {
    auto specs = window_attributes();
    specs.push_back(integer_attribute("group", "number of groups of channels", 1));
    return specs;
  }
  std::size_t min_inputs() const override { return 2; }
  std::size_t max_inputs() const override { return 3; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const Format format = require_reals(node);
    const TensorType& x = node.input(0);
    const TensorType& w = node.input(1);
    if (x.shape.size() != 3 && x.shape.size() != 4) {
      throw Error("x is ", x.to_string(),
                  "; a convolution takes [N,C,W] or [N,C,H,W] (reshape other ranks)");
    }
    check_channels(node, x, w);
    if (node.has_input(2) && node.input(2).shape != std::vector<Dim>{w.shape[0]}) {
      throw Error("the bias is ", node.input(2).to_string(), ", not [", w.shape[0].to_string(),
                  "] as the filters want");
    }
    const Window window = window_of(node, spatial_extents(w.shape));
    TensorType y{{x.shape[0], w.shape[0]}, format};
    for (const std::int64_t extent : window.output_extents(spatial_extents(x.shape)))
      y.shape.emplace_back(extent);
    return {y};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    const Convolution shape = convolution(node, inputs[0].shape(), inputs[1].shape());
    Shape y_shape = {shape.batch, shape.filters, shape.out_height, shape.out_width};
    if (inputs[0].rank() == 3) y_shape.erase(y_shape.begin() + 2);
    const bool has_bias = node.has_input(2);
    return compute_reals(
        inputs[0].format(), inputs, [&]<typename T>(std::span<const Tensor> reals) {
          Tensor y(reals[0].format(), y_shape);
          convolve<T>(shape, reals[0].data<T>().data(), reals[1].data<T>().data(),
                      has_bias ? reals[2].data<T>().data() : nullptr, y.mutable_data<T>().data());
          return std::vector<Tensor>{std::move(y)};
        });
  }

  // Terms that meet the padding are counted too: that is what a kernel without special cases does.
  Work work(const NodeView& node) const override {
    const std::int64_t results = output_elements(node);
    const std::int64_t filters = node.input(1).shape[0].constant();
    std::vector<OperationCount> counts = {operations(node, OperationKind::kMultiplyAccumulate,
                                                     results * input_elements(node, 1) / filters)};
    if (node.has_input(2)) counts.push_back(operations(node, OperationKind::kAdd, results));
    return work_of(node, std::move(counts));
  }

  std::optional<std::vector<CodedValue>> lower(LoweringSite& site) const override {
    return lower_convolution(site);
  }

  std::vector<SampleCase> samples() const override;

 private:
  static void check_channels(const NodeView& node, const TensorType& x, const TensorType& w) {
    if (w.shape.size() != x.shape.size()) {
      throw Error("the weights ", w.to_string(), " have another rank than x ", x.to_string());
    }
    const std::int64_t group = node.integer("group");
    if (group < 1) throw Error("group is ", group, "; it must be at least 1");
    const std::int64_t channels = x.shape[1].constant(), filters = w.shape[0].constant();
    if (filters % group != 0)
      throw Error("group ", group, " does not divide the ", filters, " filters");
    if (w.shape[1].constant() * group != channels) {
      throw Error("x has ", channels, " channels, but the weights ", w.to_string(), " in ", group,
                  " group(s) want ", w.shape[1].constant() * group);
    }
  }

  static Convolution convolution(const NodeView& node, Shape x, Shape w) {
    if (x.size() == 3) x.insert(x.begin() + 2, 1);
    Window window = window_of(node, Shape(w.begin() + 2, w.end()));
    if (w.size() == 3) w.insert(w.begin() + 2, 1);
    if (window.rank() == 1) {
      const auto prepend = [](std::vector<std::int64_t>& list, std::int64_t value) {
        list.insert(list.begin(), value);
      };
      prepend(window.kernel, 1);
      prepend(window.strides, 1);
      prepend(window.dilations, 1);
      prepend(window.pads_begin, 0);
      prepend(window.pads_end, 0);
    }
    const auto out = window.output_extents({x[2], x[3]});
    return {.batch = x[0],
            .channels = x[1],
            .height = x[2],
            .width = x[3],
            .filters = w[0],
            .group = node.integer("group"),
            .kernel_height = w[2],
            .kernel_width = w[3],
            .stride_height = window.strides[0],
            .stride_width = window.strides[1],
            .dilation_height = window.dilations[0],
            .dilation_width = window.dilations[1],
            .pad_top = window.pads_begin[0],
            .pad_left = window.pads_begin[1],
            .out_height = out[0],
            .out_width = out[1]};
  }
};

std::vector<SampleCase> Conv::samples() const {
  const auto text = [](std::string_view x, std::string_view w, std::string_view y,
                       std::string_view attributes) {
    return sample_text("symbol N in [1,4]", concat("%x : ", x, ", %w : ", w),
                       concat("%y : ", y, " = Conv(%x, %w) ", attributes));
  };
  return {
      {text("f32[N,3,8,8]", "f32[4,3,3,3]", "f32[N,4,6,6]", ""), ""},
      {text("f32[2,3,9,7]", "f32[5,3,3,2]", "f32[2,5,4,8]",
            "{strides = [2,1], pads = [0,1,0,1], dilations = [1,1]}"),
       ""},
      {text("f32[1,4,6,6]", "f32[4,1,3,3]", "f32[1,4,6,6]", "{group = 4, pads = [1,1,1,1]}"), ""},
      {text("f16[1,4,6,6]", "f16[6,2,1,1]", "f16[1,6,3,3]", "{group = 2, strides = [2,2]}"), ""},
      {text("f64[2,2,10]", "f64[3,2,3]", "f64[2,3,6]", "{dilations = [2]}"), ""},
      {sample_text("constant @b : f32[2] = [0.5,-1]", "%x : f32[1,1,4,4], %w : f32[2,1,2,2]",
                   "%b = constant @b\n  %y : f32[1,2,3,3] = Conv(%x, %w, %b)"),
       ""},
      {text("f32[1,3,4,4]", "f32[2,4,3,3]", "f32[1,2,2,2]", ""), "x has 3 channels"},
      {text("f32[1,1,2,2]", "f32[1,1,3,3]", "f32[1,1,0,0]", ""), "the window reaches over 3"},
      {text("f32[1,1,2,2,2]", "f32[1,1,1,1,1]", "f32[1,1,2,2,2]", ""), "reshape other ranks"},
      {text("f32[1,1,N,4]", "f32[1,1,3,3]", "f32[1,1,1,2]", ""), "is symbolic"},
      {text("f32[1,1,4,4]", "f32[1,1,3,3]", "f32[1,1,2,2]", "{strides = [1]}"),
       "strides has 1 entries"}};
}

}  // namespace

void register_convolution_operators() { operators().add(std::make_unique<Conv>()); }

}  // namespace tandem
