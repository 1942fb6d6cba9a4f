// Convolutions, matrix products and pools of TensorFlow Lite.
#include <algorithm>

#include "tandem/files/tflite_hybrid.h"
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
  if (input.size() != 4) TfliteNode::refuse("its input has not four axes", "give it [N,H,W,C]");
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

// Sums of 16-bit activations have 64 bits, and the kernels multiply them by 15 bits.
Rescaling rescaling_of(const TfliteTensor& activation) {
  return activation.format->bits() == 16 ? Rescaling::kReducedMultiplier
                                         : Rescaling::kDoubleRounding;
}

// ---- Weights -----------------------------------------------------------------------------------

struct Weights {
  ValueId value = kNone;       // real
  std::vector<double> scales;  // one, or one per output; empty where they are real
};

// How a layer wants its weights.
struct WeightOrder {
  Integers perm;             // of the file's axes
  std::size_t outputs = 0;   // the axis of the outputs then
  bool is_mirrored = false;  // the last two axes backwards
};

// The last two axes backwards.
ValueId mirrored(TfliteNode& node, ValueId weights) {
  constexpr std::int64_t kWhole = std::int64_t{1} << 31;
  return node.add("Slice", {weights},
                  {{"starts", Integers{-1, -1}},
                   {"ends", Integers{-kWhole, -kWhole}},
                   {"axes", Integers{2, 3}},
                   {"steps", Integers{-1, -1}}});
}

Tensor mirrored(const Tensor& weights) {
  const Shape& shape = weights.shape();
  const std::int64_t window = shape[2] * shape[3];
  auto reals = weights.to_reals();
  for (auto at = reals.begin(); at != reals.end(); at += window) std::reverse(at, at + window);
  return Tensor::from_reals(weights.format(), shape, reals);
}

// Real or coded weights in the given order.
Weights weights_of(TfliteNode& node, const WeightOrder& order) {
  const TfliteTensor& tensor = node.input(1);
  Builder& builder = node.builder();
  const auto& [perm, outputs, is_mirrored] = order;
  Weights weights;
  if (!node.is_constant(1)) {
    weights.value = node.add("Transpose", {node.real(1)}, {{"perm", perm}});
    if (is_mirrored) weights.value = mirrored(node, weights.value);
    return weights;
  }
  Tensor codes = transposed_tensor(node.constant(1, "the weights"), perm);
  if (is_mirrored) codes = mirrored(codes);
  if (!tensor.quantization) {
    if (!tensor.format->is_float())
      TfliteNode::refuse("its weights are integers without a scale", "convert the model again");
    weights.value = builder.constant(codes.converted(Format()), tensor.name);
    return weights;
  }
  const TfliteQuantization& quantization = *tensor.quantization;
  if (!quantization.is_per_tensor() &&
      perm[outputs] != static_cast<std::int64_t>(quantization.axis)) {
    TfliteNode::refuse(concat("its weights have scales along axis ", quantization.axis),
                       "quantize them per tensor or per output channel");
  }
  weights.scales.assign(quantization.scales.begin(), quantization.scales.end());
  Shape shape;
  if (!quantization.is_per_tensor()) {
    shape.assign(perm.size(), 1);
    shape[outputs] = static_cast<std::int64_t>(weights.scales.size());
  }
  std::vector<ValueId> inputs = {
      builder.constant(codes, tensor.name),
      builder.constant(Tensor::from_reals(f64(), shape, weights.scales), tensor.name + ".scale"),
      kNone};
  const std::vector<double> zeros(quantization.zeros.begin(), quantization.zeros.end());
  if (std::ranges::any_of(zeros, [](double z) { return z != 0; }))
    inputs.back() =
        builder.constant(Tensor::from_reals(Format(), shape, zeros), tensor.name + ".zero");
  weights.value = node.add("Dequantize", std::move(inputs));
  return weights;
}

// The bias at an input, or kNone. Integers are in units of the sums whose scales are given.
ValueId bias_of(TfliteNode& node, std::size_t index, const std::vector<double>& sum_scales) {
  if (!node.has(index)) return kNone;
  const TfliteTensor& tensor = node.input(index);
  if (tensor.format->is_float() && sum_scales.empty()) return node.real(index);
  if (!tensor.format->is_integer() || sum_scales.empty() || tensor.format->bits() < 32) {
    TfliteNode::refuse(concat("its bias is ", tensor.to_string()),
                       "give it as reals beside reals, as int32 or int64 beside codes");
  }
  const Tensor codes = node.constant(index, "the bias");
  Shape shape;
  if (sum_scales.size() > 1) shape = {static_cast<std::int64_t>(sum_scales.size())};
  Builder& builder = node.builder();
  return node.add("Dequantize", {builder.constant(codes, tensor.name),
                                 builder.constant(Tensor::from_reals(f64(), shape, sum_scales),
                                                  tensor.name + ".scale")});
}

// The scales of the sums of products: exact, since both factors are f32.
std::vector<double> sum_scales(const TfliteNode& node, const TfliteTensor& x,
                               const Weights& weights) {
  std::vector<double> scales;
  if (!x.quantization) return scales;
  if (weights.scales.empty())
    TfliteNode::refuse("its weights are real beside codes", "convert the model again");
  for (const double scale : weights.scales) scales.push_back(scale * node.scale(x));
  return scales;
}

bool is_hybrid(const TfliteTensor& x, const Weights& weights) {
  return !x.quantization && !weights.scales.empty();
}

// ---- Convolutions ------------------------------------------------------------------------------

void convolve(TfliteNode& node, const LayerWindow& window, const Weights& weights,
              std::int64_t groups, tflite::Activation activation) {
  const TfliteTensor& x = node.input(0);
  Attributes attributes = window_attributes(window, x.shape);
  attributes["group"] = groups;
  const ValueId bias = bias_of(node, 2, sum_scales(node, x, weights));
  ValueId input = node.real(0);
  if (is_hybrid(x, weights)) input = dynamically_coded(node, input, weights.scales.size() > 1);
  const ValueId sums =
      node.add("Conv", {node.channels_second(input), weights.value, bias}, attributes);
  node.set_real(node.channels_last(sums), {.rescaling = rescaling_of(x), .activation = activation});
}

void conv_2d(TfliteNode& node) {
  const auto& options = node.options<tflite::Conv2DOptions>();
  const TfliteTensor &x = node.input(0), &w = node.input(1);
  require_rank(x, 4);
  require_rank(w, 4);
  if (x.shape[3] % w.shape[3] != 0) {
    TfliteNode::refuse(
        concat("its ", x.shape[3], " channels are no multiple of the filters' ", w.shape[3]),
        "convert the model again");
  }
  const LayerWindow window{{w.shape[1], w.shape[2]},
                           {options.stride_h(), options.stride_w()},
                           {options.dilation_h(), options.dilation_w()},
                           options.padding()};
  const Weights weights = weights_of(node, {.perm = {0, 3, 1, 2}});
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
  const Weights weights = weights_of(node, {.perm = {3, 0, 1, 2}});
  convolve(node, window, weights, x.shape[3], options.activation());
}

// ---- Transposed convolution --------------------------------------------------------------------

// Where TensorFlow's gradient of a convolution with this window over an extent `to` begins.
std::int64_t pad_before(const LayerWindow& window, std::size_t d, std::int64_t to) {
  if (window.padding == tflite::Padding::VALID) return 0;
  const std::int64_t stride = window.strides[d], windows = (to + stride - 1) / stride;
  return std::max<std::int64_t>(0, (windows - 1) * stride + window.kernel[d] - to) / 2;
}

// x [N,H,W,C] with zeros between its elements, so that they lie `stride` apart.
ValueId spread(TfliteNode& node, ValueId x, const Shape& shape, const Integers& strides) {
  if (strides == Integers{1, 1}) return x;
  const Shape wide = {shape[0], shape[1] * strides[0], shape[2] * strides[1], shape[3]};
  x = node.reshaped(x, {shape[0], shape[1], 1, shape[2], 1, shape[3]});
  const Integers pads = {0, 0, 0, 0, 0, 0, 0, 0, strides[0] - 1, 0, strides[1] - 1, 0};
  const TfliteTensor& tensor = node.input(2);
  const double zero = tensor.quantization ? static_cast<double>(node.zero(tensor)) : 0;
  x = node.reshaped(node.add("Pad", {x}, {{"pads", pads}, {"value", zero}}), wide);
  return node.add("Slice", {x},
                  {{"starts", Integers{0, 0}},
                   {"ends", Integers{wide[1] - strides[0] + 1, wide[2] - strides[1] + 1}},
                   {"axes", Integers{1, 2}}});
}

// A convolution of the spread input with the mirrored kernel.
void transpose_conv(TfliteNode& node) {
  const auto& options = node.options<tflite::TransposeConvOptions>();
  const TfliteTensor &w = node.input(1), &x = node.input(2), &y = node.output();
  require_rank(w, 4);
  require_rank(x, 4);
  require_rank(y, 4);
  if (node.integers(0, "the shape of the result") != y.shape)
    TfliteNode::refuse("its result has another shape than it says", "convert the model again");
  const LayerWindow window{{w.shape[1], w.shape[2]},
                           {options.stride_h(), options.stride_w()},
                           {1, 1},
                           options.padding()};
  window_attributes(window, x.shape);  // checks the strides
  Integers pads(4);
  for (std::size_t d = 0; d < 2; ++d) {
    const std::int64_t spread_extent = (x.shape[d + 1] - 1) * window.strides[d] + 1;
    pads[d] = window.kernel[d] - 1 - pad_before(window, d, y.shape[d + 1]);
    pads[d + 2] = y.shape[d + 1] - spread_extent - pads[d] + window.kernel[d] - 1;
    if (pads[d] < 0 || pads[d + 2] < 0) {
      TfliteNode::refuse("its result is smaller than what its input reaches",
                         "give it the size that its padding makes");
    }
  }
  const Weights weights = weights_of(node, {.perm = {0, 3, 1, 2}, .is_mirrored = true});
  const ValueId codes = spread(node, node.value(2), x.shape, window.strides);
  const ValueId input = node.channels_second(node.real_of(codes, x));
  const ValueId sums =
      node.add("Conv", {input, weights.value, bias_of(node, 3, sum_scales(node, x, weights))},
               {{"pads", pads}});
  node.set_real(node.channels_last(sums),
                {.rescaling = rescaling_of(x), .activation = options.activation()});
}

// ---- Fully connected ---------------------------------------------------------------------------

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
  const Weights weights = weights_of(node, {.perm = {1, 0}, .outputs = 1});
  ValueId flat = node.reshaped(node.real(0), {elements / depth, depth});
  if (is_hybrid(x, weights))
    flat = dynamically_coded(node, flat, options.asymmetric_quantize_inputs());
  ValueId sums = node.add("MatMul", {flat, weights.value});
  const ValueId bias = bias_of(node, 2, sum_scales(node, node.input(0), weights));
  if (bias != kNone) sums = node.add("Add", {sums, bias});
  node.set_real(node.reshaped(sums, node.output().shape),
                {.rescaling = rescaling_of(x), .activation = options.activation()});
}

// ---- Pools -------------------------------------------------------------------------------------

// For every window the number of elements that are no padding, [1,H,W,1].
Tensor window_counts(const LayerWindow& window, const Shape& input, const Shape& output) {
  const Integers pads = pads_of(window, input);
  const auto count = [&](std::size_t d, std::int64_t o) {
    const std::int64_t first = o * window.strides[d] - pads[d];
    return std::min(first + window.kernel[d], input[d + 1]) - std::max<std::int64_t>(first, 0);
  };
  Integers counts;
  for (std::int64_t y = 0; y < output[1]; ++y)
    for (std::int64_t x = 0; x < output[2]; ++x) counts.push_back(count(0, y) * count(1, x));
  return Tensor::from_integers(Format::integer(32, true), {1, output[1], output[2], 1}, counts);
}

// Means of 16-bit codes: too many codes for one multiplier that gives them all, so they are
// divided.
void average_of_wide_codes(TfliteNode& node, const LayerWindow& window, Attributes attributes,
                           tflite::Activation activation) {
  const TfliteTensor &x = node.input(0), &y = node.output();
  require_rank(y, 4);
  constexpr std::int64_t kMostWindows = std::int64_t{1} << 20;
  if (y.shape[1] > kMostWindows / y.shape[2])
    TfliteNode::refuse("it has more than 2^20 windows", "use int8 activations");
  const ValueId sums = node.add_integer("IntSumPool", {node.value(0)}, std::move(attributes));
  const ValueId counts = node.constant(window_counts(window, x.shape, y.shape));
  const ValueId means = node.add_integer(
      "IntDiv", {sums, counts}, {{"rounding", std::string(name(Rounding::kHalfAwayFromZero))}});
  const IntegerRange kept = node.limits(y, activation);
  node.set(
      node.add("Clamp", {means}, {{"format", *y.format}, {"min", kept.min}, {"max", kept.max}}));
}

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
  if (is_average && x.quantization && x.format->bits() > 8)
    return average_of_wide_codes(node, window, std::move(attributes), options.activation());
  const ValueId pooled = node.add(is_average ? "AveragePool" : "MaxPool",
                                  {node.channels_second(node.real(0))}, attributes);
  node.set_rounded(node.channels_last(pooled), options.activation());
}

}  // namespace

void add_tflite_layer_handlers(TfliteHandlers& handlers) {
  handlers["CONV_2D"] = conv_2d;
  handlers["DEPTHWISE_CONV_2D"] = depthwise_conv_2d;
  handlers["TRANSPOSE_CONV"] = transpose_conv;
  handlers["FULLY_CONNECTED"] = fully_connected;
  handlers["AVERAGE_POOL_2D"] = handlers["MAX_POOL_2D"] = pool_2d;
}

}  // namespace tandem
