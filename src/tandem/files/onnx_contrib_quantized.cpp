// ONNX Runtime's own operators over codes: reals between a Dequantize and a Quantize, and products
// of codes that are summed exactly.
#include "tandem/files/onnx_contrib.h"
#include "tandem/files/onnx_quant.h"
#include "tandem/files/onnx_window.h"

namespace tandem {
namespace {

using Axes = std::vector<std::int64_t>;

// ---- Between a Dequantize and a Quantize -----------------------------------------------------

ValueId scalar_parameter(OnnxNode& node, ValueId parameter) {
  const ValueId placed = along_axis(node, parameter, 0, 1);
  if (placed != kNone && !node.type_of_value(placed).shape.empty())
    OnnxNode::refuse("a scale or zero point of it is no scalar", "quantize per tensor");
  return placed;
}

// Input `first` as reals; its scale and zero point stand behind it.
ValueId decoded(OnnxNode& node, std::size_t first) {
  return node.add("Dequantize",
                  {node.value(first), scalar_parameter(node, real_parameter(node, first + 1)),
                   scalar_parameter(node, zero_parameter(node, first + 2))});
}

// Codes of the format of input `like` with the scale at input `scale`, the zero point behind it.
ValueId coded(OnnxNode& node, ValueId x, std::size_t scale, std::size_t like) {
  const ValueId zero = scalar_parameter(node, zero_parameter(node, scale + 1));
  Attributes attributes = {{"format", node.type(node.has(scale + 1) ? scale + 1 : like).format}};
  if (zero != kNone) attributes["zero_added"] = std::string("after_rounding");
  return node.add("Quantize", {x, scalar_parameter(node, real_parameter(node, scale)), zero},
                  std::move(attributes));
}

void qlinear_binary(OnnxNode& node) {
  const std::string_view op = node.op() == "QLinearAdd" ? "Add" : "Mul";
  node.set(0, coded(node, node.add(op, {decoded(node, 0), decoded(node, 3)}), 6, 0));
}

void qlinear_sigmoid(OnnxNode& node) {
  node.set(0, coded(node, node.add("Sigmoid", {decoded(node, 0)}), 3, 0));
}

void qlinear_leaky_relu(OnnxNode& node) {
  const Attributes attributes = {{"alpha", node.real("alpha", 0.01)}};
  node.set(0, coded(node, node.add("LeakyRelu", {decoded(node, 0)}, attributes), 3, 0));
}

void qlinear_softmax(OnnxNode& node) {
  const std::int64_t axis = node.integer("axis", -1), opset = node.integer("opset");
  const auto rank = static_cast<std::int64_t>(node.type(0).shape.size());
  if (opset < 13 && axis != -1 && axis != rank - 1)
    OnnxNode::refuse("it normalises several axes, as operator sets before 13 did",
                     "export the model with operator set 13 or later");
  node.set(0, coded(node, node.add("Softmax", {decoded(node, 0)}, {{"axis", axis}}), 3, 0));
}

void qlinear_where(OnnxNode& node) {
  const ValueId y = node.add("Where", {node.value(0), decoded(node, 1), decoded(node, 4)});
  node.set(0, coded(node, y, 7, 1));
}

void qlinear_concat(OnnxNode& node) {
  if (node.input_count() < 5 || (node.input_count() - 2) % 3 != 0)
    OnnxNode::refuse(concat("it has ", node.input_count(), " inputs"),
                     "give it two, and three for each part");
  std::vector<ValueId> parts;
  for (std::size_t i = 2; i < node.input_count(); i += 3) parts.push_back(decoded(node, i));
  const ValueId y = node.add("Concat", parts, {{"axis", node.integer("axis")}});
  node.set(0, coded(node, y, 0, 2));
}

bool has_channels_last(OnnxNode& node) { return node.integer("channels_last", 0) != 0; }

void qlinear_average_pool(OnnxNode& node) {
  const bool is_last = has_channels_last(node);
  const auto kernel = node.integers("kernel_shape");
  const std::size_t rank = kernel ? kernel->size() : 0;
  if (rank == 0 || rank + 2 != node.type(0).shape.size() ||
      node.text("auto_pad", "NOTSET") != "NOTSET")
    OnnxNode::refuse("its kernel does not fit its input, or it pads by itself",
                     "give it kernel_shape and pads");
  const ValueId x = decoded(node, 0);
  const ValueId y = node.add("AveragePool", {is_last ? channels_first(node, x) : x},
                             {{"kernel", *kernel},
                              {"strides", window_attribute(node, "strides", rank)},
                              {"pads", window_attribute(node, "pads", 2 * rank)},
                              {"ceil_mode", node.integer("ceil_mode", 0)},
                              {"count_include_pad", node.integer("count_include_pad", 0)}});
  node.set(0, coded(node, is_last ? channels_last(node, y) : y, 3, 0));
}

void qlinear_global_average_pool(OnnxNode& node) {
  const bool is_last = has_channels_last(node);
  const ValueId x = decoded(node, 0);
  const ValueId y = node.add("GlobalAveragePool", {is_last ? channels_first(node, x) : x});
  node.set(0, coded(node, is_last ? channels_last(node, y) : y, 3, 0));
}

// ---- Exact sums of products ------------------------------------------------------------------

// Codes less their zero point, as f64, which holds every sum that 32 bits hold. A zero point with
// several elements has one for each column.
ValueId exact(OnnxNode& node, ValueId codes, ValueId zero) {
  const ValueId x = cast_to(node, codes, Format::parse("f64"));
  return zero == kNone ? x : node.add("Sub", {x, cast_to(node, zero, Format::parse("f64"))});
}

ValueId as_f32(OnnxNode& node, ValueId x) { return cast_to(node, x, Format()); }

// Exact sums times the scales of both operands, and the bias.
ValueId scaled_product(OnnxNode& node, ValueId a, ValueId b, ValueId scale, std::size_t bias) {
  const ValueId sums = as_f32(node, node.add("MatMul", {a, b}));
  const ValueId y = node.add("Mul", {sums, scale});
  return node.has(bias) ? node.add("Add", {y, node.value(bias)}) : y;
}

void matmul_integer_to_float(OnnxNode& node) {
  const ValueId a = exact(node, node.value(0), node.value(4));
  const ValueId b = exact(node, node.value(1), node.value(5));
  const ValueId scale = node.add("Mul", {node.value(2), node.value(3)});
  node.set(0, scaled_product(node, a, b, scale, 6));
}

void dynamic_quantize_matmul(OnnxNode& node) {
  const DynamicCodes a = quantized_dynamically(node, node.value(0));
  const ValueId b = exact(node, node.value(1), node.value(3));
  const ValueId scale = node.add("Mul", {a.scale, node.value(2)});
  node.set(0, scaled_product(node, exact(node, a.codes, a.zero), b, scale, 4));
}

// alpha * a b + c, where c has codes of the scale of the product; codes where it has a scale.
void qgemm(OnnxNode& node) {
  const auto operand = [&](std::size_t input, std::string_view flag) {
    const ValueId x = exact(node, node.value(input), node.value(input + 2));
    return node.integer(flag, 0) != 0 ? permuted(node, x, {1, 0}) : x;
  };
  if (node.type(0).shape.size() != 2 || node.type(3).shape.size() != 2 ||
      node.type(5).shape != node.type(4).shape)
    OnnxNode::refuse("its operands are no matrices, or their parameters differ in shape",
                     "correct the inputs");
  const bool is_turned = node.integer("transB", 0) != 0;
  if (is_turned && element_count(node.type(4).static_shape()) != 1)
    OnnxNode::refuse("its transposed weights have a scale for each column",
                     "quantize the weights per tensor");
  ValueId sums = node.add("MatMul", {operand(0, "transA"), operand(3, "transB")});
  if (node.has(6)) sums = node.add("Add", {sums, exact(node, node.value(6), kNone)});
  ValueId scale = node.add("Mul", {scalar_parameter(node, node.value(1)), node.value(4)});
  if (const double alpha = node.real("alpha", 1); alpha != 1)
    scale = node.add("Mul", {scale, constant_like(node, alpha, scale)});
  const ValueId y = node.add("Mul", {as_f32(node, sums), scale});
  node.set(0, node.has(7) ? coded(node, y, 7, 0) : y);
}

// ---- Weights in blocks of a few bits ---------------------------------------------------------

// The codes of bytes that hold several, the first in the low bits: [rows, count].
Tensor unpacked(const Tensor& bytes, std::int64_t rows, std::int64_t count, int bits) {
  const std::int64_t per_row = rows == 0 ? 0 : bytes.size() / rows;
  if (bytes.format() != Format::parse("uint8") || rows * per_row != bytes.size() ||
      per_row * 8 < count * bits)
    OnnxNode::refuse("its packed codes do not fit its sizes", "correct the inputs");
  Tensor codes(Format::integer(bits, false), {rows, count});
  const auto to = codes.mutable_data<std::uint8_t>();
  const auto data = bytes.data<std::uint8_t>();
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t bit = i * bits;
      const unsigned byte = data[static_cast<std::size_t>(row * per_row + bit / 8)];
      to[static_cast<std::size_t>(row * count + i)] =
          static_cast<std::uint8_t>((byte >> (bit % 8)) & ((1U << bits) - 1));
    }
  }
  return codes;
}

// x times weights [N,K], whose rows have a scale and a zero point for each block.
class BlockProduct {
 public:
  explicit BlockProduct(OnnxNode& node)
      : node_(node),
        depth_(node.integer("K")),
        rows_(node.integer("N")),
        block_(node.integer("block_size")),
        bits_(static_cast<int>(node.integer("bits", 4))) {
    if (bits_ != 2 && bits_ != 4 && bits_ != 8)
      OnnxNode::refuse(concat("its weights have ", bits_, " bits"), "use 2, 4 or 8");
    constexpr std::int64_t kMost = std::int64_t{1} << 20;
    if (depth_ < 1 || rows_ < 1 || block_ < 1 || depth_ > kMost || rows_ > kMost || block_ > kMost)
      OnnxNode::refuse("its K, N or block_size is not positive, or beyond 2^20",
                       "correct the attributes");
    blocks_ = (depth_ - 1) / block_ + 1;
    node.ignore("accuracy_level");  // lets a runtime round x, which is not done here
    if (node.integer("weight_prepacked", 0) != 0)
      OnnxNode::refuse("its weights are packed for one machine", "export the model without that");
    if (node.has(4)) OnnxNode::refuse("it reorders its rows (g_idx)", "export without act_order");
  }

  void read() {
    const Tensor codes =
        unpacked(node_.required_constant(1, "its weight"), rows_ * blocks_, block_, bits_)
            .reshaped({rows_, blocks_, block_});
    const std::vector<Dim> each = {rows_, blocks_, 1};
    const ValueId scale = node_.reshape(real_parameter(node_, 2), each);
    ValueId w = node_.add("Dequantize", {node_.add_constant(codes), scale, zero(each)});
    w = node_.reshape(w, {rows_, blocks_ * block_});
    if (blocks_ * block_ > depth_) w = sliced(node_, w, 1, 0, depth_);
    const ValueId x = node_.value(0);
    const Format format = node_.type(0).format;
    if (format != Format()) w = cast_to(node_, w, format);
    ValueId y = node_.add("MatMul", {x, permuted(node_, w, {1, 0})});
    if (node_.has(5)) y = node_.add("Add", {y, node_.value(5)});
    node_.set(0, y);
  }

 private:
  // Packed as the weights are, or reals; without one the middle of the codes.
  ValueId zero(const std::vector<Dim>& each) {
    if (!node_.has(3))
      return node_.add_constant(Tensor::scalar(static_cast<double>(1 << (bits_ - 1))));
    const Tensor& given = node_.required_constant(3, "its zero point");
    if (given.format().is_float()) return node_.reshape(real_parameter(node_, 3), each);
    const Tensor codes = unpacked(given, rows_, blocks_, bits_);
    return node_.add_constant(codes.converted(Format()).reshaped({rows_, blocks_, 1}));
  }

  OnnxNode& node_;
  std::int64_t depth_, rows_, block_, blocks_ = 0;
  int bits_;
};

void matmul_n_bits(OnnxNode& node) { BlockProduct(node).read(); }

}  // namespace

void add_contrib_quantized_handlers(OnnxHandlers& handlers) {
  handlers["ms:QLinearAdd"] = handlers["ms:QLinearMul"] = qlinear_binary;
  handlers["ms:QLinearSigmoid"] = qlinear_sigmoid;
  handlers["ms:QLinearLeakyRelu"] = qlinear_leaky_relu;
  handlers["ms:QLinearSoftmax"] = qlinear_softmax;
  handlers["ms:QLinearWhere"] = qlinear_where;
  handlers["ms:QLinearConcat"] = qlinear_concat;
  handlers["ms:QLinearAveragePool"] = qlinear_average_pool;
  handlers["ms:QLinearGlobalAveragePool"] = qlinear_global_average_pool;
  handlers["ms:MatMulIntegerToFloat"] = matmul_integer_to_float;
  handlers["ms:DynamicQuantizeMatMul"] = dynamic_quantize_matmul;
  handlers["ms:QGemm"] = qgemm;
  handlers["ms:MatMulNBits"] = matmul_n_bits;
}

}  // namespace tandem
