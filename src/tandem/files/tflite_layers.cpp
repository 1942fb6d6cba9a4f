// Convolutions, matrix products and pools of TensorFlow Lite.
#include <algorithm>
#include <cmath>

#include "tandem/files/tflite_import.h"
#include "tandem/ops/movement.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

// The window of one layer over the two spatial axes.
struct LayerWindow {
  Integers kernel, strides, dilations = {1, 1};
  tflite::Padding padding = tflite::Padding::SAME;
};

// SAME: ceil(extent / stride) windows, the odd element of the padding at the end. All begins, then
// all ends.
Integers pads_of(const LayerWindow& window, const Shape& input) {
  Integers pads(4, 0);
  if (window.padding == tflite::Padding::VALID) return pads;
  if (window.padding != tflite::Padding::SAME)
    TfliteNode::refuse("its padding is neither SAME nor VALID", "convert the model again");
  for (std::size_t d = 0; d < 2; ++d) {
    const std::int64_t extent = input[d + 1], stride = window.strides[d];
    const std::int64_t windows = (extent + stride - 1) / stride;
    const std::int64_t reach = (window.kernel[d] - 1) * window.dilations[d] + 1;
    const std::int64_t total = std::max<std::int64_t>(0, (windows - 1) * stride + reach - extent);
    pads[d] = total / 2;
    pads[d + 2] = total - total / 2;
  }
  return pads;
}

Attributes window_attributes(const LayerWindow& window, const Shape& input) {
  if (input.size() != 4)
    TfliteNode::refuse("its input has not four axes", "give it [N,H,W,C]");
  constexpr std::int64_t kLargest = 65536;
  for (const Integers* list : {&window.kernel, &window.strides, &window.dilations}) {
    for (const std::int64_t entry : *list) {
      if (entry < 1 || entry > kLargest) {
        TfliteNode::refuse("its strides, dilations and kernel must lie in [1,65536]",
                           "convert the model again");
      }
    }
  }
  return {{"strides", window.strides},
          {"dilations", window.dilations},
          {"pads", pads_of(window, input)}};
}

void require_rank(const TfliteTensor& tensor, std::size_t rank) {
  if (tensor.shape.size() != rank) {
    TfliteNode::refuse(concat(tensor.to_string(), " has not ", rank, " axes"),
                       "convert the model again");
  }
}

// Sums of activations of 16 bits are of 64 bits, which are multiplied by 15.
Rescaling rescaling_of(const TfliteTensor& activation) {
  return activation.format->bits() == 16 ? Rescaling::kReducedMultiplier
                                         : Rescaling::kDoubleRounding;
}

// ---- Weights -----------------------------------------------------------------------------------

struct Weights {
  ValueId value = kNone;       // real
  std::vector<double> scales;  // one, or one per output; empty where they are real
};

// Real or coded weights with their axes in the given order, `outputs` the axis of the outputs then.
// `scale` replaces their own one where a kernel computes with another.
Weights weights_of(TfliteNode& node, const Integers& perm, std::size_t outputs,
                   std::optional<double> scale = {}) {
  const TfliteTensor& tensor = node.input(1);
  Weights weights;
  if (!node.is_constant(1)) {
    weights.value = node.add("Transpose", {node.real(1)}, {{"perm", perm}});
    return weights;
  }
  const Tensor codes = transposed_tensor(node.constant(1, "the weights"), perm);
  if (!tensor.quantization) {
    if (!tensor.format->is_float())
      TfliteNode::refuse("its weights are integers without a scale", "convert the model again");
    weights.value = node.constant(codes.converted(Format()));
    return weights;
  }
  const TfliteQuantization& quantization = *tensor.quantization;
  if (!quantization.is_per_tensor() &&
      perm[outputs] != static_cast<std::int64_t>(quantization.axis)) {
    TfliteNode::refuse(concat("its weights have scales along axis ", quantization.axis),
                       "quantize them per tensor or per output channel");
  }
  weights.scales.assign(quantization.scales.begin(), quantization.scales.end());
  if (scale) weights.scales = {*scale};
  Shape shape;
  if (!quantization.is_per_tensor()) {
    shape.assign(perm.size(), 1);
    shape[outputs] = static_cast<std::int64_t>(weights.scales.size());
  }
  std::vector<ValueId> inputs = {
      node.constant(codes), node.constant(Tensor::from_reals(f64(), shape, weights.scales)), kNone};
  const std::vector<double> zeros(quantization.zeros.begin(), quantization.zeros.end());
  if (std::ranges::any_of(zeros, [](double z) { return z != 0; }))
    inputs.back() = node.constant(Tensor::from_reals(Format(), shape, zeros));
  weights.value = node.add("Dequantize", std::move(inputs));
  return weights;
}

// The bias at input 2, or kNone. Integers are in units of the sums whose scales are given.
ValueId bias_of(TfliteNode& node, const std::vector<double>& sum_scales) {
  if (!node.has(2)) return kNone;
  const TfliteTensor& tensor = node.input(2);
  if (tensor.format->is_float() && sum_scales.empty()) return node.real(2);
  if (!tensor.format->is_integer() || sum_scales.empty() || tensor.format->bits() < 32) {
    TfliteNode::refuse(concat("its bias is ", tensor.to_string()),
                       "give it as reals beside reals, as int32 or int64 beside codes");
  }
  const Tensor codes = node.constant(2, "the bias");
  Shape shape;
  if (sum_scales.size() > 1) shape = {static_cast<std::int64_t>(sum_scales.size())};
  return node.add("Dequantize", {node.constant(codes),
                                 node.constant(Tensor::from_reals(f64(), shape, sum_scales))});
}

// The scales of the sums of products: exact, since both factors are f32.
std::vector<double> sum_scales(const TfliteNode& node, const Weights& weights) {
  std::vector<double> scales;
  if (!node.is_quantized(0)) return scales;
  if (weights.scales.empty())
    TfliteNode::refuse("its weights are real beside codes", "convert the model again");
  for (const double scale : weights.scales) scales.push_back(scale * node.scale(node.input(0)));
  return scales;
}

// ---- Convolutions ------------------------------------------------------------------------------

void convolve(TfliteNode& node, const LayerWindow& window, const Weights& weights,
              std::int64_t groups, tflite::Activation activation) {
  const TfliteTensor& x = node.input(0);
  Attributes attributes = window_attributes(window, x.shape);
  attributes["group"] = groups;
  const ValueId bias = bias_of(node, sum_scales(node, weights));
  const ValueId sums =
      node.add("Conv", {node.channels_second(node.real(0)), weights.value, bias}, attributes);
  node.set_real(node.channels_last(sums),
                {.rescaling = rescaling_of(x), .activation = activation});
}

void conv_2d(TfliteNode& node) {
  const auto& options = node.options<tflite::Conv2DOptions>();
  const TfliteTensor &x = node.input(0), &w = node.input(1);
  require_rank(x, 4);
  require_rank(w, 4);
  if (x.shape[3] % w.shape[3] != 0) {
    TfliteNode::refuse(concat("its ", x.shape[3], " channels are no multiple of the filters' ",
                              w.shape[3]),
                       "convert the model again");
  }
  const LayerWindow window{{w.shape[1], w.shape[2]},
                           {options.stride_h(), options.stride_w()},
                           {options.dilation_h(), options.dilation_w()},
                           options.padding()};
  const Weights weights = weights_of(node, {0, 3, 1, 2}, 0);
  convolve(node, window, weights, x.shape[3] / w.shape[3], options.activation());
}

void depthwise_conv_2d(TfliteNode& node) {
  const auto& options = node.options<tflite::DepthwiseConv2DOptions>();
  const TfliteTensor &x = node.input(0), &w = node.input(1);
  require_rank(x, 4);
  require_rank(w, 4);
  if (w.shape[0] != 1 || w.shape[3] % x.shape[3] != 0) {
    TfliteNode::refuse("its filters do not fit the channels of its input",
                       "convert the model again");
  }
  const LayerWindow window{{w.shape[1], w.shape[2]},
                           {options.stride_h(), options.stride_w()},
                           {options.dilation_h(), options.dilation_w()},
                           options.padding()};
  // [1,H,W,O] to [O,1,H,W]
  const Weights weights = weights_of(node, {3, 0, 1, 2}, 0);
  convolve(node, window, weights, x.shape[3], options.activation());
}

// ---- Fully connected ---------------------------------------------------------------------------

// The kernel of one scale for all weights multiplies the scales of input and weights as f32, so the
// weights get a scale with which the sum's is that product.
double scale_for_float_product(double input, double weights) {
  const double wanted =
      static_cast<double>(static_cast<float>(input) * static_cast<float>(weights));
  double scale = wanted / input;
  // The quotient is one of the nearest numbers.
  for (const double towards : {0.0, HUGE_VAL}) {
    const double next = std::nextafter(scale, towards);
    if (scale * input != wanted && next * input == wanted) return next;
  }
  return scale;
}

void fully_connected(TfliteNode& node) {
  const auto& options = node.options<tflite::FullyConnectedOptions>();
  const TfliteTensor &x = node.input(0), &w = node.input(1);
  require_rank(w, 2);
  if (options.weights_format() != 0)
    TfliteNode::refuse("its weights are shuffled", "convert the model with plain weights");
  const std::int64_t elements = element_count(x.shape), depth = w.shape[1];
  if (elements % depth != 0) {
    TfliteNode::refuse(concat("its ", elements, " inputs are no multiple of the ", depth,
                              " columns of its weights"),
                       "convert the model again");
  }
  std::optional<double> scale;
  if (x.quantization && w.quantization && w.quantization->is_per_tensor())
    scale = scale_for_float_product(node.scale(x), node.scale(w));
  const Weights weights = weights_of(node, {1, 0}, 1, scale);
  const ValueId flat = node.reshaped(node.real(0), {elements / depth, depth});
  ValueId sums = node.add("MatMul", {flat, weights.value});
  const ValueId bias = bias_of(node, sum_scales(node, weights));
  if (bias != kNone) sums = node.add("Add", {sums, bias});
  node.set_real(node.reshaped(sums, node.output().shape),
                {.rescaling = rescaling_of(x), .activation = options.activation()});
}

// ---- Pools -------------------------------------------------------------------------------------

void pool_2d(TfliteNode& node) {
  const auto& options = node.options<tflite::Pool2DOptions>();
  const TfliteTensor& x = node.input(0);
  require_rank(x, 4);
  const LayerWindow window{{options.filter_height(), options.filter_width()},
                           {options.stride_h(), options.stride_w()},
                           {1, 1},
                           options.padding()};
  Attributes attributes = window_attributes(window, x.shape);
  attributes["kernel"] = window.kernel;
  const bool is_average = node.op() == "AVERAGE_POOL_2D";
  node.require_same_quantization(0);
  const ValueId pooled = node.add(is_average ? "AveragePool" : "MaxPool",
                                  {node.channels_second(node.real(0))}, attributes);
  node.set_rounded(node.channels_last(pooled), options.activation());
}

}  // namespace

void add_tflite_layer_handlers(TfliteHandlers& handlers) {
  handlers["CONV_2D"] = conv_2d;
  handlers["DEPTHWISE_CONV_2D"] = depthwise_conv_2d;
  handlers["FULLY_CONNECTED"] = fully_connected;
  handlers["AVERAGE_POOL_2D"] = handlers["MAX_POOL_2D"] = pool_2d;
}

}  // namespace tandem
