// Convolutions, matrix products and pools as TensorFlow Lite's operators.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "tandem/base/text.h"
#include "tandem/files/element_check.h"
#include "tandem/files/onnx_tensor.h"
#include "tandem/files/tflite_export.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/movement.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

// The coded values of the module have their scales in these shapes.
constexpr int kCodedConvolution = 3, kCodedProduct = 4, kCoded = 2;  // versions of operators

Integers or_default(const Integers& given, const Integers& otherwise) {
  return given.empty() ? otherwise : given;
}

// ---- Weights and biases ------------------------------------------------------------------------

// Constant codes with scales along one axis, or reals.
struct ConstantWeights {
  Tensor elements;
  std::vector<float> scales;  // one, or one per output; empty for reals
};

// The scales of a Dequantize as one number, or one for each place of an axis.
std::vector<float> scales_along(const Tensor& scale, const Shape& shape, std::size_t axis) {
  if (scale.size() == 1) return {static_cast<float>(scale.real(0))};
  Shape along(shape.size(), 1);
  along[axis] = shape[axis];
  if (with_rank(scale, shape.size()).shape() != along)
    TfliteExporter::refuse("its weights have scales along another axis than that of its outputs",
                           "quantize weights per tensor or per output channel");
  std::vector<float> scales;
  for (const double real : scale.to_reals()) scales.push_back(static_cast<float>(real));
  return scales;
}

// The weights of a node, whose outputs lie along `axis`, as codes or as reals.
ConstantWeights constant_weights(TfliteExporter& out, const Node& node, std::size_t axis,
                                 bool as_codes) {
  const auto reals = out.known(node.inputs[1]);
  if (!reals) {
    TfliteExporter::refuse("its weights are computed while the network runs",
                           "give it constant weights");
  }
  if (!as_codes) return {reals->converted(Format()), {}};
  const Node* decoder = out.producer(node.inputs[1]);
  const auto codes = decoder == nullptr || decoder->op->name() != "Dequantize"
                         ? std::nullopt
                         : out.known(decoder->inputs[0]);
  const auto scale = codes ? out.known(decoder->inputs[1]) : std::nullopt;
  if (!scale)
    TfliteExporter::refuse("its weights are no codes beside coded activations",
                           "quantize its weights, or leave its activations real");
  constexpr int kMostBits = 8;
  const Format& format = codes->format();
  if (!format.is_integer() || !format.is_signed() || format.bits() > kMostBits) {
    TfliteExporter::refuse(concat("its weights are ", format.name()),
                           "quantize weights to int8 or fewer bits");
  }
  if (out.view_of(*decoder).has_input(2) && !is_zero(*out.known(decoder->inputs[2])))
    TfliteExporter::refuse("its weights have a zero point", "quantize weights symmetrically");
  const Format held = format == Format::integer(4, true) ? format : Format::integer(8, true);
  return {Tensor::from_integers(held, codes->shape(), codes->to_integers()),
          scales_along(*scale, codes->shape(), axis)};
}

std::optional<TfliteQuantization> quantization_of(const ConstantWeights& weights,
                                                  std::size_t axis) {
  if (weights.scales.empty()) return std::nullopt;
  return TfliteQuantization{weights.scales, Integers(weights.scales.size(), 0),
                            weights.scales.size() > 1 ? axis : 0};
}

// A bias in units of the sums, as many as there are outputs.
int coded_bias(TfliteExporter& out, const std::vector<double>& bias, const PlacedCodes& x,
               const ConstantWeights& weights, const std::string& name) {
  const bool wide = x.coding.format.bits() == 16;
  const Format format = Format::integer(wide ? 64 : 32, true);
  std::vector<float> scales;
  Integers codes;
  for (std::size_t i = 0; i < bias.size(); ++i) {
    const auto weight_scale =
        static_cast<double>(weights.scales[weights.scales.size() == 1 ? 0 : i]);
    const double unit = weight_scale * static_cast<double>(x.coding.scale);
    const double units = bias[i] / unit, nearest = std::nearbyint(units);
    constexpr double kSlack = 1e-3, kMost = 0x1p31 - 1;
    if (!out.is_adopting() && std::abs(units - nearest) > kSlack)
      TfliteExporter::refuse("its bias is no whole number of the units of its sums",
                             "quantize the bias with the scale of its input times that of its "
                             "weights, or compress the network to a .tflite file");
    if (!std::isnormal(static_cast<float>(unit)))
      TfliteExporter::refuse(concat("the unit of its sums, ", unit, ", is no f32"),
                             "quantize with greater scales");
    if (std::abs(nearest) > kMost)
      TfliteExporter::refuse("its bias has more than 32 bits in units of its sums",
                             "quantize its weights per tensor");
    codes.push_back(static_cast<std::int64_t>(nearest));
    if (scales.size() < weights.scales.size()) scales.push_back(static_cast<float>(unit));
  }
  const Shape shape = {static_cast<std::int64_t>(codes.size())};
  return out.file().constant(Tensor::from_integers(format, shape, codes),
                             TfliteQuantization{scales, Integers(scales.size(), 0), 0}, name);
}

// The bias of `outputs` outputs, or -1. A bias of reals is known in f32; that of codes may be coded
// by itself, and is then known exactly.
int bias_of(TfliteExporter& out, ValueId value, std::int64_t outputs, const PlacedCodes& x,
            const ConstantWeights& weights, const Sink& sink) {
  if (value == kNone) return -1;
  const auto reals = out.known(value);
  if (!reals) {
    TfliteExporter::refuse("its bias is computed while the network runs",
                           "give it a constant bias");
  }
  std::vector<double> bias = reals->to_reals();
  if (const Node* decoder = out.producer(value);
      decoder != nullptr && decoder->op->name() == "Dequantize") {
    const auto codes = out.known(decoder->inputs[0]), scale = out.known(decoder->inputs[1]);
    if (codes && scale && !out.view_of(*decoder).has_input(2)) {
      const auto at = broadcast_offsets(scale->shape(), codes->shape());
      for (std::size_t i = 0; i < bias.size(); ++i)
        bias[i] =
            static_cast<double>(codes->integer(static_cast<std::int64_t>(i))) * scale->real(at[i]);
    }
  }
  if (bias.size() == 1) bias.resize(static_cast<std::size_t>(outputs), bias[0]);
  if (static_cast<std::int64_t>(bias.size()) != outputs)
    TfliteExporter::refuse("its bias is no number for each output", "add it behind the layer");
  const std::string name = out.name(value);
  if (sink.is_coded()) return coded_bias(out, bias, x, weights, name);
  return out.file().constant(Tensor::from_reals(Format(), {outputs}, bias), {}, name);
}

// What a layer reads: codes, reals, or reals that its kernel codes beside coded weights.
struct LayerInput {
  PlacedCodes x;
  bool has_coded_weights = false;
  bool is_hybrid = false, is_asymmetric = false;
};

LayerInput layer_input(TfliteExporter& out, ValueId value, const Sink& sink) {
  if (sink.is_coded()) return {out.operand(value, sink), true};
  // A convolution reads [N,H,W,C] that the module has with channels second.
  const Node* turned = out.producer(value);
  const bool is_turned = turned != nullptr && turned->op->name() == "Transpose" &&
                         out.view_of(*turned).integers("perm") == Integers{0, 3, 1, 2};
  const auto coding = dynamic_coding(out, is_turned ? turned->inputs[0] : value);
  if (!coding) return {out.operand(value, sink)};
  const Placed source = {out.plain(out.real(coding->source)), is_turned};
  return {{source, {}}, true, true, coding->is_asymmetric};
}

// ---- Windows -----------------------------------------------------------------------------------

struct WindowPlace {
  Integers kernel, strides, dilations, pads;  // of two axes; all begins, then all ends
};

WindowPlace window_of(const NodeView& node, const Integers& kernel) {
  if (kernel.size() != 2) {
    TfliteExporter::refuse(concat("it has a window over ", kernel.size(), " axes"),
                           "reshape it to a window over two axes");
  }
  return {kernel, or_default(node.integers("strides"), {1, 1}),
          or_default(node.integers("dilations"), {1, 1}),
          or_default(node.integers("pads"), {0, 0, 0, 0})};
}

// SAME, VALID, or nullopt where the padding is neither. [N,C,H,W] to [N,C,H,W].
std::optional<tflite::Padding> padding_of(const WindowPlace& window, const Shape& from,
                                          const Shape& to) {
  bool same = true, valid = true;
  for (std::size_t d = 0; d < 2; ++d) {
    const std::int64_t extent = from[d + 2], stride = window.strides[d];
    const std::int64_t reach = (window.kernel[d] - 1) * window.dilations[d] + 1;
    const std::int64_t windows = (extent + stride - 1) / stride;
    const std::int64_t total = std::max<std::int64_t>(0, (windows - 1) * stride + reach - extent);
    same = same && to[d + 2] == windows && window.pads[d] == total / 2 &&
           window.pads[d + 2] == total - total / 2;
    valid = valid && window.pads[d] == 0 && window.pads[d + 2] == 0 &&
            to[d + 2] == (extent - reach) / stride + 1;
  }
  if (valid) return tflite::Padding::VALID;
  if (same) return tflite::Padding::SAME;
  return std::nullopt;
}

// x [N,H,W,C] with explicit padding.
int padded(TfliteExporter& out, int x, const Integers& pads, const std::string& name) {
  Shape shape = out.file().shape(x);
  shape[1] += pads[0] + pads[2];
  shape[2] += pads[1] + pads[3];
  const Integers pairs = {0, 0, pads[0], pads[2], pads[1], pads[3], 0, 0};
  const Tensor constant = Tensor::from_integers(Format::integer(32, true), {4, 2}, pairs);
  const int tensor = out.file().like(x, shape, name + ".padded");
  out.file().add("PAD", {x, out.file().constant(constant, {}, name + ".pads")}, {tensor}, kCoded);
  return tensor;
}

Shape channels_last(const Shape& shape) { return {shape[0], shape[2], shape[3], shape[1]}; }

// ---- Convolutions ------------------------------------------------------------------------------

template <typename Options>
Options convolution_options(const WindowPlace& window, tflite::Padding padding, const Sink& sink) {
  Options options;
  options.padding = padding;
  options.stride_h = static_cast<std::int32_t>(window.strides[0]);
  options.stride_w = static_cast<std::int32_t>(window.strides[1]);
  options.dilation_h = static_cast<std::int32_t>(window.dilations[0]);
  options.dilation_w = static_cast<std::int32_t>(window.dilations[1]);
  options.activation = sink.activation;
  return options;
}

// ---- Transposed convolutions -------------------------------------------------------------------

// Where the spread input begins in the padded one, as TensorFlow places the result.
std::optional<tflite::Padding> transposed_padding(const Integers& kernel, const Integers& strides,
                                                  const Integers& pads, const Shape& to) {
  for (const tflite::Padding padding : {tflite::Padding::SAME, tflite::Padding::VALID}) {
    bool fits = true;
    for (std::size_t d = 0; d < 2; ++d) {
      const std::int64_t windows = (to[d + 2] + strides[d] - 1) / strides[d];
      const std::int64_t total = (windows - 1) * strides[d] + kernel[d] - to[d + 2];
      const std::int64_t before =
          padding == tflite::Padding::SAME ? std::max<std::int64_t>(0, total) / 2 : 0;
      fits = fits && pads[d] == kernel[d] - 1 - before;
    }
    if (fits) return padding;
  }
  return std::nullopt;
}

// [O,C,H,W] with its window backwards.
Tensor backwards(const Tensor& weights) {
  const Shape& shape = weights.shape();
  const std::int64_t window = shape[2] * shape[3];
  auto reals = weights.to_reals();
  for (auto at = reals.begin(); at != reals.end(); at += window) std::reverse(at, at + window);
  return Tensor::from_reals(weights.format(), shape, reals);
}

Placed transposed_convolution(TfliteExporter& out, const Node& node, const SpreadInput& spread,
                              const Sink& sink) {
  const NodeView view = out.view_of(node);
  const Shape shape = out.shape(node.inputs[1]), to = out.shape(node.outputs[0]);
  const Integers pads = or_default(view.integers("pads"), {0, 0, 0, 0});
  const auto padding = transposed_padding({shape[2], shape[3]}, spread.strides, pads, to);
  const bool is_plain = view.integer("group") == 1 &&
                        or_default(view.integers("strides"), {1, 1}) == Integers{1, 1} &&
                        or_default(view.integers("dilations"), {1, 1}) == Integers{1, 1};
  if (!padding || !is_plain)
    TfliteExporter::refuse("its padding is neither SAME nor VALID", "choose one of both");
  const ConstantWeights weights = constant_weights(out, node, 0, sink.is_coded());
  const PlacedCodes x = out.operand(spread.source, sink);
  out.require_rescaling(sink, TfliteExporter::rescaling_of(x.coding));
  const int w = out.file().constant(transposed_tensor(backwards(weights.elements), {0, 2, 3, 1}),
                                    quantization_of(weights, 0), out.name(node.inputs[1]));
  const ValueId bias = node.inputs.size() > 2 ? node.inputs[2] : kNone;
  std::vector<int> inputs = {out.index_constant(channels_last(to), sink.name + ".shape"), w,
                             out.plain(x.placed)};
  if (const int b = bias_of(out, bias, to[1], x, weights, sink); b >= 0) inputs.push_back(b);
  tflite::TransposeConvOptionsT options;
  options.padding = *padding;
  options.stride_h = static_cast<std::int32_t>(spread.strides[0]);
  options.stride_w = static_cast<std::int32_t>(spread.strides[1]);
  options.activation = sink.activation;
  const int y = out.result(sink, channels_last(to));
  out.file().add("TRANSPOSE_CONV", inputs, {y}, sink.is_coded() ? kCodedConvolution : 1, options);
  return {y, true};
}

Placed write_convolution(TfliteExporter& out, const Node& node, const Sink& sink) {
  const NodeView view = out.view_of(node);
  const Shape from = out.shape(node.inputs[0]), to = out.shape(node.outputs[0]),
              shape = out.shape(node.inputs[1]);
  if (from.size() != 4)
    TfliteExporter::refuse("it is no convolution over two axes", "reshape it to two axes");
  if (const auto spread = spread_input(out, node.inputs[0]))
    return transposed_convolution(out, node, *spread, sink);
  const WindowPlace window = window_of(view, {shape[2], shape[3]});
  const LayerInput layer = layer_input(out, node.inputs[0], sink);
  const PlacedCodes& x = layer.x;
  const ConstantWeights weights = constant_weights(out, node, 0, layer.has_coded_weights);
  if (layer.is_hybrid && layer.is_asymmetric != (weights.scales.size() > 1)) {
    TfliteExporter::refuse("its activations are coded otherwise than TensorFlow Lite's kernel does",
                           "leave the layer real");
  }
  out.require_rescaling(sink, TfliteExporter::rescaling_of(x.coding));
  const bool is_depthwise = view.integer("group") == from[1] && from[1] > 1;
  const std::size_t axis = is_depthwise ? 3 : 0;
  const Integers perm = is_depthwise ? Integers{1, 2, 3, 0} : Integers{0, 2, 3, 1};
  const int w = out.file().constant(transposed_tensor(weights.elements, perm),
                                    quantization_of(weights, axis), out.name(node.inputs[1]));
  const ValueId bias = node.inputs.size() > 2 ? node.inputs[2] : kNone;
  const int b = bias_of(out, bias, to[1], x, weights, sink);
  int input = out.in_order(x.placed, true);
  auto padding = padding_of(window, from, to);
  if (!padding) {
    input = padded(out, input, window.pads, sink.name);
    padding = tflite::Padding::VALID;
  }
  const int y = out.result(sink, channels_last(to));
  const int version = sink.is_coded() ? kCodedConvolution : 1;
  if (is_depthwise) {
    auto options = convolution_options<tflite::DepthwiseConv2DOptionsT>(window, *padding, sink);
    options.depth_multiplier = static_cast<std::int32_t>(to[1] / from[1]);
    out.file().add("DEPTHWISE_CONV_2D", {input, w, b}, {y}, version, std::move(options));
  } else {
    out.file().add("CONV_2D", {input, w, b}, {y}, version,
                   convolution_options<tflite::Conv2DOptionsT>(window, *padding, sink));
  }
  return {y, true};
}

// ---- Products ----------------------------------------------------------------------------------

// x [..., depth] times constant weights, [depth, outputs] or transposed, plus a bias.
Placed fully_connected(TfliteExporter& out, const Node& node, ValueId bias, bool is_transposed,
                       const Sink& sink) {
  const Shape shape = out.shape(node.inputs[1]);
  if (shape.size() != 2) {
    TfliteExporter::refuse("its second factor is no matrix", "multiply by a constant matrix");
  }
  const std::size_t axis = is_transposed ? 0 : 1;
  const LayerInput layer = layer_input(out, node.inputs[0], sink);
  const PlacedCodes& x = layer.x;
  const ConstantWeights weights = constant_weights(out, node, axis, layer.has_coded_weights);
  out.require_rescaling(sink, TfliteExporter::rescaling_of(x.coding));
  const Tensor rows =
      is_transposed ? weights.elements : transposed_tensor(weights.elements, {1, 0});
  const int w = out.file().constant(rows, quantization_of(weights, 0), out.name(node.inputs[1]));
  const int b = bias_of(out, bias, rows.shape()[0], x, weights, sink);
  const int input = out.plain(x.placed);
  Shape to = out.file().shape(input);
  to.back() = rows.shape()[0];
  const int y = out.result(sink, to);
  tflite::FullyConnectedOptionsT options;
  options.activation = sink.activation;
  options.keep_num_dims = to.size() != 2;
  options.asymmetric_quantize_inputs = layer.is_asymmetric;
  out.file().add("FULLY_CONNECTED", {input, w, b}, {y}, sink.is_coded() ? kCodedProduct : 1,
                 std::move(options));
  return {y, false};
}

Placed write_matmul(TfliteExporter& out, const Node& node, const Sink& sink) {
  return write_product(out, node, kNone, sink);
}

Placed write_gemm(TfliteExporter& out, const Node& node, const Sink& sink) {
  const NodeView view = out.view_of(node);
  const bool has_bias = view.has_input(2);
  if (view.integer("transA") != 0 || view.real("alpha") != 1 ||
      (has_bias && view.real("beta") != 1)) {
    TfliteExporter::refuse("it transposes its input or has factors",
                           "fold alpha and beta into the weights");
  }
  return fully_connected(out, node, has_bias ? node.inputs[2] : kNone, view.integer("transB") != 0,
                         sink);
}

// ---- Pools -------------------------------------------------------------------------------------

Placed write_pool(TfliteExporter& out, const Node& node, const Sink& sink) {
  const NodeView view = out.view_of(node);
  const bool is_average = node.op->name() == "AveragePool";
  const Shape from = out.shape(node.inputs[0]), to = out.shape(node.outputs[0]);
  if (from.size() != 4)
    TfliteExporter::refuse("it is no pool over two axes", "reshape it to two axes");
  const WindowPlace window = window_of(view, view.integers("kernel"));
  const auto padding = padding_of(window, from, to);
  const bool pads_count = is_average && view.integer("count_include_pad") != 0 &&
                          padding == tflite::Padding::SAME && window.pads != Integers(4, 0);
  if (!padding || pads_count || window.dilations != Integers{1, 1}) {
    TfliteExporter::refuse("its padding is neither SAME nor VALID, or its window is dilated",
                           "pad before it, or choose the padding that ceil(extent / stride) "
                           "windows need");
  }
  tflite::Pool2DOptionsT options;
  options.padding = *padding;
  options.stride_h = static_cast<std::int32_t>(window.strides[0]);
  options.stride_w = static_cast<std::int32_t>(window.strides[1]);
  options.filter_height = static_cast<std::int32_t>(window.kernel[0]);
  options.filter_width = static_cast<std::int32_t>(window.kernel[1]);
  options.activation = sink.activation;
  const std::string_view op = is_average ? "AVERAGE_POOL_2D" : "MAX_POOL_2D";
  if (!is_average) {
    const int x = out.in_order(out.moved_operand(node.inputs[0], sink), true);
    const int y = out.result(sink, channels_last(to));
    out.file().add(op, {x}, {y}, sink.is_coded() ? kCoded : 1, std::move(options));
    return {y, true};
  }
  // The kernel's means have the codes of its input.
  const PlacedCodes x = out.operand(node.inputs[0], sink);
  const int input = out.in_order(x.placed, true);
  if (!sink.is_coded() || x.coding == sink.codes->coding) {
    out.require_nearest(sink, false);
    const int y = out.result(sink, channels_last(to));
    out.file().add(op, {input}, {y}, sink.is_coded() ? kCoded : 1, std::move(options));
    return {y, true};
  }
  options.activation = tflite::Activation::NONE;
  const int means = out.file().like(input, channels_last(to), sink.name + ".means");
  out.file().add(op, {input}, {means}, kCoded, std::move(options));
  CodeTarget target = *sink.codes;
  target.kept = activation_limits(target.coding.format, target.coding.scale, target.coding.zero,
                                  sink.activation);
  if (!out.is_adopting())
    TfliteExporter::refuse("its means have other codes than its input",
                           "compress the network to a .tflite file, or code both alike");
  return {out.requantized({{means, true}, x.coding}, target, sink.name), true};
}

}  // namespace

std::optional<SpreadInput> spread_input(const TfliteExporter& out, ValueId value) {
  bool is_coded = false;
  for (const char* op : {"Transpose", "Dequantize", "Slice", "Reshape", "Pad", "Reshape"}) {
    const Node* node = out.producer(value);
    // Reals are spread without a Dequantize.
    if (op == std::string_view("Dequantize") && node != nullptr && node->op->name() != op) continue;
    if (node == nullptr || node->op->name() != op) return std::nullopt;
    if (op == std::string_view("Dequantize")) is_coded = true;
    if (op == std::string_view("Pad")) {
      const Integers& pads = out.view_of(*node).integers("pads");
      Integers expected(12, 0);
      if (pads.size() != expected.size()) return std::nullopt;
      expected[8] = pads[8];
      expected[10] = pads[10];
      const Node* before = out.producer(node->inputs[0]);
      if (pads != expected || before == nullptr || out.shape(before->inputs[0]).size() != 4)
        return std::nullopt;
      return SpreadInput{before->inputs[0], {pads[8] + 1, pads[10] + 1}, is_coded};
    }
    value = node->inputs[0];
  }
  return std::nullopt;
}

Placed write_product(TfliteExporter& out, const Node& matmul, ValueId bias, const Sink& sink) {
  if (out.shape(matmul.inputs[0]).size() < 2)
    TfliteExporter::refuse("its first factor is a vector", "give it as a matrix of one row");
  return fully_connected(out, matmul, bias, false, sink);
}

void add_tflite_layer_writers(TfliteWriters& writers) {
  const TfliteWriterEntry layer{.takes_codes = true, .fuses = true};
  const auto add = [&](const char* op, TfliteWriter write, TfliteWriterEntry entry) {
    entry.write = write;
    writers[op] = entry;
  };
  add("Conv", write_convolution, layer);
  add("MatMul", write_matmul, layer);
  add("Gemm", write_gemm, layer);
  add("AveragePool", write_pool, layer);
  add("MaxPool", write_pool, {.fuses = true, .moves = true});
}

}  // namespace tandem
