#include <cmath>
#include <memory>

#include "tandem/graph/registry.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/support.h"
#include "tandem/ops/window.h"

namespace tandem {
namespace {

// The plane read between its elements: bilinear, zero outside.
template <typename T>
double sampled(const T* plane, std::int64_t height, std::int64_t width, double y, double x) {
  if (!(y > -1) || !(x > -1) || y >= static_cast<double>(height) || x >= static_cast<double>(width))
    return 0;
  const double top = std::floor(y), left = std::floor(x);
  const double down = y - top, right = x - left;
  const auto at = [&](double row, double column) {
    const auto i = static_cast<std::int64_t>(row), j = static_cast<std::int64_t>(column);
    return i < 0 || j < 0 || i >= height || j >= width ? 0.0
                                                       : static_cast<double>(plane[i * width + j]);
  };
  return (1 - down) * ((1 - right) * at(top, left) + right * at(top, left + 1)) +
         down * ((1 - right) * at(top + 1, left) + right * at(top + 1, left + 1));
}

// Convolution whose kernel elements lie where `offset` moves them. "Deformable Convolutional
// Networks" (Dai et al., 2017), with the mask of "Deformable ConvNets v2" (Zhu et al., 2018).
class DeformConv final : public Operator {
 public:
  std::string_view name() const override { return "DeformConv"; }
  std::string_view description() const override {
    return "Convolution of x [N,C,H,W] with w [O,C/group,KH,KW] and the optional bias [O], whose "
           "kernel element k is read at its place plus offset [N,G*KH*KW*2,OH,OW] (rows, columns), "
           "between elements bilinearly, times the optional mask [N,G*KH*KW,OH,OW], for G groups "
           "of channels: inputs x, w, offset, bias, mask.";
  }
  std::vector<AttributeSpec> attributes() const override {
    auto specs = window_attributes();
    specs.push_back(integer_attribute("group", "number of groups of channels", 1));
    specs.push_back(integer_attribute("offset_group", "groups of channels with own offsets", 1));
    return specs;
  }
  std::size_t min_inputs() const override { return 3; }
  std::size_t max_inputs() const override { return 5; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const Format format = require_reals(node);
    const TensorType &x = node.input(0), &w = node.input(1);
    if (x.shape.size() != 4 || w.shape.size() != 4)
      throw Error("x is ", x.to_string(), " and w ", w.to_string(), "; both must have four axes");
    check_channels(node);
    const Window window = window_of(node, {w.shape[2].constant(), w.shape[3].constant()});
    const auto extents = window.output_extents({x.shape[2].constant(), x.shape[3].constant()});
    const std::int64_t places = node.integer("offset_group") * window.kernel[0] * window.kernel[1];
    require_shape(node, 2, {x.shape[0], 2 * places, extents[0], extents[1]}, "offset");
    if (node.has_input(3)) require_shape(node, 3, {w.shape[0]}, "the bias");
    if (node.has_input(4))
      require_shape(node, 4, {x.shape[0], places, extents[0], extents[1]}, "the mask");
    return {{{x.shape[0], w.shape[0], extents[0], extents[1]}, format}};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    return compute_reals(inputs[0].format(), inputs,
                         [&]<typename T>(std::span<const Tensor> reals) {
                           return std::vector<Tensor>{convolve<T>(node, reals)};
                         });
  }

  // A bilinear reading takes four multiply-accumulates.
  Work work(const NodeView& node) const override {
    const std::int64_t results = output_elements(node);
    const std::int64_t filters = node.input(1).shape[0].constant();
    const std::int64_t channels = node.input(0).shape[1].constant();
    const std::int64_t depth = input_elements(node, 1) / filters;
    const std::int64_t readings =
        results / filters * channels * depth / node.input(1).shape[1].constant();
    return work_of(node, {operations(node, OperationKind::kMultiplyAccumulate,
                                     results * depth + 4 * readings)});
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view inputs, std::string_view names, std::string_view y,
                         std::string_view attributes) {
      return sample_text("symbol N in [1,4]", inputs,
                         concat("%y : ", y, " = DeformConv(", names, ") ", attributes));
    };
    return {
        {text("%x : f32[N,2,5,5], %w : f32[3,2,2,2], %o : f32[N,8,4,4]", "%x, %w, %o",
              "f32[N,3,4,4]", ""),
         ""},
        {text("%x : f32[1,4,5,4], %w : f32[2,2,3,2], %o : f32[1,24,3,3], %b : f32[2], "
              "%m : f32[1,12,3,3]",
              "%x, %w, %o, %b, %m", "f32[1,2,3,3]",
              "{group = 2, offset_group = 2, strides = [2,1], pads = [1,0,1,0]}"),
         ""},
        {text("%x : f64[1,1,6,6], %w : f64[1,1,2,2], %o : f64[1,8,4,4]", "%x, %w, %o",
              "f64[1,1,4,4]", "{dilations = [2,2]}"),
         ""},
        {text("%x : f32[1,1,3,3], %w : f32[1,1,2,2], %o : f32[1,4,2,2]", "%x, %w, %o",
              "f32[1,1,2,2]", ""),
         "offset is f32[1,4,2,2]"},
        {text("%x : f32[1,1,3], %w : f32[1,1,2], %o : f32[1,2,2]", "%x, %w, %o", "f32[1,1,2]", ""),
         "four axes"}};
  }

 private:
  static void check_channels(const NodeView& node) {
    const std::int64_t channels = node.input(0).shape[1].constant(),
                       filters = node.input(1).shape[0].constant();
    for (const std::string_view name : {"group", "offset_group"}) {
      const std::int64_t groups = node.integer(name);
      if (groups < 1 || channels % groups != 0)
        throw Error(name, " ", groups, " does not divide the ", channels, " channels");
    }
    const std::int64_t group = node.integer("group");
    if (filters % group != 0 || node.input(1).shape[1].constant() * group != channels) {
      throw Error("the weights ", node.input(1).to_string(), " do not fit ", channels,
                  " channels in ", group, " group(s)");
    }
  }

  static void require_shape(const NodeView& node, std::size_t input, const std::vector<Dim>& shape,
                            std::string_view what) {
    const TensorType wanted{shape, node.input(input).format};
    if (node.input(input) != wanted)
      throw Error(what, " is ", node.input(input).to_string(), ", not ", wanted.to_string());
  }

  template <typename T>
  static Tensor convolve(const NodeView& node, std::span<const Tensor> in) {
    const Shape &x = in[0].shape(), &w = in[1].shape(), &o = in[2].shape();
    const Window window = window_of(node, {w[2], w[3]});
    const std::int64_t kernel = w[2] * w[3], positions = o[2] * o[3];
    const std::int64_t channels_each = x[1] / node.integer("offset_group");
    const bool has_bias = node.has_input(3), has_mask = node.has_input(4);
    Tensor y(in[0].format(), {x[0], w[0], o[2], o[3]});
    T* to = y.mutable_data<T>().data();
    std::vector<double> patch(static_cast<std::size_t>(x[1] * kernel));
    for (std::int64_t n = 0; n < x[0]; ++n) {
      for (std::int64_t p = 0; p < positions; ++p) {
        for (std::int64_t c = 0; c < x[1]; ++c) {
          const T* plane = in[0].data<T>().data() + (n * x[1] + c) * x[2] * x[3];
          for (std::int64_t k = 0; k < kernel; ++k) {
            const std::int64_t place = (n * o[1] / 2 + c / channels_each * kernel + k);
            const T* offset = in[2].data<T>().data() + 2 * place * positions + p;
            const std::int64_t row = p / o[3] * window.strides[0] - window.pads_begin[0] +
                                     k / w[3] * window.dilations[0];
            const std::int64_t column = p % o[3] * window.strides[1] - window.pads_begin[1] +
                                        k % w[3] * window.dilations[1];
            double value = sampled(
                plane, x[2], x[3], static_cast<double>(row) + static_cast<double>(offset[0]),
                static_cast<double>(column) + static_cast<double>(offset[positions]));
            if (has_mask)
              value *= static_cast<double>(
                  in[4].data<T>()[static_cast<std::size_t>(place * positions + p)]);
            patch[static_cast<std::size_t>(c * kernel + k)] = value;
          }
        }
        for (std::int64_t f = 0; f < w[0]; ++f) {
          const std::int64_t depth = w[1] * kernel, first = f / (w[0] / node.integer("group"));
          const T* weights = in[1].data<T>().data() + f * depth;
          double sum =
              has_bias ? static_cast<double>(in[3].data<T>()[static_cast<std::size_t>(f)]) : 0.0;
          for (std::int64_t i = 0; i < depth; ++i)
            sum += static_cast<double>(weights[i]) *
                   patch[static_cast<std::size_t>(first * depth + i)];
          to[(n * w[0] + f) * positions + p] = static_cast<T>(sum);
        }
      }
    }
    return y;
  }
};

}  // namespace

void register_deformable_convolution_operators() {
  operators().add(std::make_unique<DeformConv>());
}

}  // namespace tandem
