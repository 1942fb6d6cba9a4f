#include "tandem/ops/conv.h"

#include <algorithm>
#include <memory>

#include "tandem/graph/registry.h"
#include "tandem/ops/lowering_rules.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/support.h"

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
           "[O] to [N,O,spatial...]; group = C is depthwise.";
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
    if (x.shape.size() < 3)
      throw Error("x is ", x.to_string(), ", not [N,C,spatial...] as a convolution takes");
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
    const Shape &x = inputs[0].shape(), &w = inputs[1].shape();
    const Window window = window_of(node, {w.begin() + 2, w.end()});
    const bool has_bias = node.has_input(2);
    return compute_reals(
        inputs[0].format(), inputs, [&]<typename T>(std::span<const Tensor> reals) {
          const T* bias = has_bias ? reals[2].data<T>().data() : nullptr;
          Shape shape = {x[0], w[0]};
          const Shape extents = window.output_extents({x.begin() + 2, x.end()});
          shape.insert(shape.end(), extents.begin(), extents.end());
          Tensor y(reals[0].format(), shape);
          if (window.rank() > 2) {
            convolve_volume<T>(node, window, reals[0], reals[1], bias, y);
          } else {
            convolve<T>(convolution_of(node, window, x, w), reals[0].data<T>().data(),
                        reals[1].data<T>().data(), bias, y.mutable_data<T>().data());
          }
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

  // More than two spatial axes: a sum of convolutions over the last two.
  template <typename T>
  static void convolve_volume(const NodeView& node, const Window& window, const Tensor& x,
                              const Tensor& w, const T* bias, Tensor& y) {
    Convolution plane = convolution_of(node, window, x.shape(), w.shape());
    plane.batch = 1;
    const std::size_t lead = window.rank() - 2;
    const Shape& extents = x.shape();
    const Volume from(x.shape()), filters(w.shape()), to(y.shape());
    std::vector<T> planes, kernels, sums(static_cast<std::size_t>(plane.filters * to.plane));
    for (std::int64_t n = 0; n < extents[0]; ++n) {
      for_each_window_element(
          leading(window, lead), {extents.begin() + 2, extents.end() - 2},
          [&](std::int64_t o, std::int64_t k, std::int64_t i) {
            T* target = y.mutable_data<T>().data() + (n * plane.filters * to.depth + o) * to.plane;
            if (k == 0) start_planes(target, to, plane.filters, bias);
            if (i < 0) return;
            gather_planes(x.data<T>().data() + (n * plane.channels * from.depth + i) * from.plane,
                          from, plane.channels, planes);
            gather_planes(w.data<T>().data() + k * filters.plane, filters,
                          plane.filters * w.shape()[1], kernels);
            convolve<T>(plane, planes.data(), kernels.data(), nullptr, sums.data());
            add_planes(sums, to, plane.filters, target);
          });
    }
  }

  // [outer, outer, depth axes..., plane axes (2)] of a tensor.
  struct Volume {
    explicit Volume(const Shape& shape) : plane(shape.back() * shape[shape.size() - 2]) {
      for (std::size_t d = 2; d + 2 < shape.size(); ++d) depth *= shape[d];
    }
    std::int64_t depth = 1, plane;
  };

  static Window leading(const Window& window, std::size_t axes) {
    Window result = window;
    for (auto* list :
         {&result.kernel, &result.strides, &result.dilations, &result.pads_begin, &result.pads_end})
      list->resize(axes);
    return result;
  }

  template <typename T>
  static void gather_planes(const T* from, const Volume& volume, std::int64_t count,
                            std::vector<T>& planes) {
    planes.resize(static_cast<std::size_t>(count * volume.plane));
    for (std::int64_t c = 0; c < count; ++c)
      std::copy_n(from + c * volume.depth * volume.plane, volume.plane,
                  planes.data() + c * volume.plane);
  }

  template <typename T>
  static void start_planes(T* to, const Volume& volume, std::int64_t count, const T* bias) {
    for (std::int64_t c = 0; c < count; ++c)
      std::fill_n(to + c * volume.depth * volume.plane, volume.plane,
                  bias == nullptr ? T{0} : bias[c]);
  }

  template <typename T>
  static void add_planes(const std::vector<T>& planes, const Volume& volume, std::int64_t count,
                         T* to) {
    for (std::int64_t c = 0; c < count; ++c)
      for (std::int64_t i = 0; i < volume.plane; ++i)
        to[c * volume.depth * volume.plane + i] +=
            planes[static_cast<std::size_t>(c * volume.plane + i)];
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
      {text("f32[2,4,5,4,3]", "f32[6,2,3,2,2]", "f32[2,6,3,3,4]",
            "{group = 2, strides = [2,1,1], pads = [1,0,1,1,0,1]}"),
       ""},
      {text("f32[1,2,3,3,4,3]", "f32[2,2,2,2,2,2]", "f32[1,2,2,2,2,2]", "{dilations = [1,1,2,1]}"),
       ""},
      {text("f32[1,1]", "f32[1,1]", "f32[1,1]", ""), "not [N,C,spatial...]"},
      {text("f32[1,1,N,4]", "f32[1,1,3,3]", "f32[1,1,1,2]", ""), "is symbolic"},
      {text("f32[1,1,4,4]", "f32[1,1,3,3]", "f32[1,1,2,2]", "{strides = [1]}"),
       "strides has 1 entries"}};
}

}  // namespace

Convolution convolution_of(const NodeView& node, const Window& window, const Shape& x,
                           const Shape& w) {
  Convolution shape = {.batch = x[0],
                       .channels = x[1],
                       .width = x.back(),
                       .filters = w[0],
                       .group = node.integer("group"),
                       .kernel_width = w.back(),
                       .stride_width = window.strides.back(),
                       .dilation_width = window.dilations.back(),
                       .pad_left = window.pads_begin.back()};
  const std::vector<std::int64_t> outputs = window.output_extents({x.begin() + 2, x.end()});
  shape.out_width = outputs.back();
  if (window.rank() == 1) return shape;
  const std::size_t d = window.rank() - 2;
  shape.height = x[d + 2];
  shape.kernel_height = w[d + 2];
  shape.stride_height = window.strides[d];
  shape.dilation_height = window.dilations[d];
  shape.pad_top = window.pads_begin[d];
  shape.out_height = outputs[d];
  return shape;
}

void register_convolution_operators() { operators().add(std::make_unique<Conv>()); }

}  // namespace tandem
