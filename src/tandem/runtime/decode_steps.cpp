#include "tandem/runtime/decode_steps.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <set>

#include "tandem/base/error.h"
#include "tandem/kernels/decode_product.h"
#include "tandem/ops/broadcast.h"
#include "tandem/runtime/real_nodes.h"
#include "tandem/runtime/real_steps.h"

namespace tandem {
namespace {

bool is_transposed(const NodeView& product) {
  return product.node.op->name() == "Gemm" && product.integer("transB") != 0;
}

// A dimension of what broadcasts to `shape`, by the axis of the latter.
std::int64_t dimension(const Tensor& tensor, const Shape& shape, std::size_t axis) {
  const std::size_t missing = shape.size() - tensor.shape().size();
  return axis < missing ? 1 : tensor.shape()[axis - missing];
}

// How many elements along the depth share an element of `parameter`, whose codes have this shape:
// [depth, columns] or [groups, group, columns], or with the columns first. 0 for other shapes.
std::int64_t group_of(const Tensor& parameter, const Shape& codes, std::int64_t depth,
                      bool columns_first) {
  const std::size_t axis = columns_first ? 1 : 0;
  if (codes.size() == 2) return dimension(parameter, codes, axis) == 1 ? depth : 0;
  if (codes.size() != 3 || codes[axis] * codes[axis + 1] != depth ||
      dimension(parameter, codes, axis + 1) != 1)
    return 0;
  return dimension(parameter, codes, axis) == 1 ? depth : codes[axis + 1];
}

ScaleKind kind_of(std::span<const float> scales) {
  const auto are = [&](const char* name) {
    const Format format = Format::parse(name);
    return std::ranges::all_of(scales, [&](float scale) {
      const double value = static_cast<double>(scale);
      return std::isfinite(format.decode(format.encode(value))) &&
             format.decode(format.encode(value)) == value;
    });
  };
  return are("f16") ? ScaleKind::kF16 : are("bf16") ? ScaleKind::kBf16 : ScaleKind::kF32;
}

// What is taken off codes (integers less the least one) in place of `zero`.
double code_zero_of(const Format& format, double zero) {
  return zero - static_cast<double>(format.integer_range().min);
}

struct Constants {
  const Tensor *codes, *scale, *zero;  // the last may be null
};

std::optional<Constants> constants_of(const NodeView& dequantize) {
  Constants constants{dequantize.constant(0), dequantize.constant(1), nullptr};
  if (constants.codes == nullptr || constants.scale == nullptr) return std::nullopt;
  if (!dequantize.has_input(2)) return constants;
  constants.zero = dequantize.constant(2);
  if (constants.zero == nullptr) return std::nullopt;
  const auto zeros = constants.zero->to_reals();
  if (std::ranges::all_of(zeros, [](double zero) { return zero == 0; })) constants.zero = nullptr;
  return constants;
}

bool has_zeros_of_codes(const CodeDecoder& decoder, const Format& format, const Tensor& zero) {
  if (decoder.kind != CodeDecoder::Kind::kInteger || format.exponent() != 0) return false;
  return std::ranges::all_of(zero.to_reals(), [&](double real) {
    const double code = code_zero_of(format, real);
    return code == std::floor(code) && code >= 0 && code <= 255;
  });
}

std::optional<PackedRight> packed_right(const NodeView& product) {
  if (!is_dense_product(product, true) || product.constant(1) != nullptr) return std::nullopt;
  const Shape a = product.input(0).static_shape(), b = product.input(1).static_shape();
  if (b.size() != 2) return std::nullopt;
  const Graph& graph = product.graph;
  PackedRight right;
  NodeId at = graph.values[product.node.inputs[1]].producer;
  if (at != kNone && graph.nodes[at].op->name() == "Reshape") {
    right.nodes.push_back(at);
    at = graph.values[graph.nodes[at].inputs[0]].producer;
  }
  if (at == kNone || graph.nodes[at].op->name() != "Dequantize") return std::nullopt;
  right.nodes.insert(right.nodes.begin(), at);
  const auto constants = constants_of({product.module, graph, graph.nodes[at]});
  if (!constants) return std::nullopt;
  const bool columns_first = is_transposed(product);
  right.columns = b[columns_first ? 0 : 1];
  right.depth = b[columns_first ? 1 : 0];
  right.rows = element_count(a) / std::max<std::int64_t>(1, right.depth);
  const Format& format = constants->codes->format();
  const auto decoder = decoder_of(format);
  if (!decoder || right.rows < 1 || !decoding_pays(*decoder, right.rows)) return std::nullopt;
  right.decoder = *decoder;
  const Shape& shape = constants->codes->shape();
  right.group = group_of(*constants->scale, shape, right.depth, columns_first);
  if (constants->zero != nullptr) {
    if (!has_zeros_of_codes(*decoder, format, *constants->zero)) return std::nullopt;
    const auto group = group_of(*constants->zero, shape, right.depth, columns_first);
    right.group = group == 0 ? 0 : std::min(group, right.group);
  }
  if (!DecodeWeights::takes_group(right.group, right.depth, ScaleKind::kF32)) return std::nullopt;
  return right;
}

// The decoder's code of each stored byte.
std::array<std::uint8_t, 256> codes_by_byte(const Format& format, const CodeDecoder& decoder) {
  std::array<std::uint8_t, 256> codes{};
  for (int byte = 0; byte < 256; ++byte) {
    auto& code = codes[static_cast<std::size_t>(byte)];
    code = static_cast<std::uint8_t>(byte);
    if (!format.is_uniform()) continue;
    const std::int64_t integer = format.storage() == Storage::kI8
                                     ? std::int64_t{static_cast<std::int8_t>(byte)}
                                     : std::int64_t{byte};
    const IntegerRange range = format.integer_range();
    if (integer < range.min || integer > range.max) continue;
    if (decoder.kind == CodeDecoder::Kind::kInteger)
      code = static_cast<std::uint8_t>(integer - range.min);
    else if (integer != 0)  // bipolar has no 0
      code = static_cast<std::uint8_t>(format.code_of(integer));
  }
  return codes;
}

DecodeWeights pack_right(const NodeView& product, const PackedRight& right) {
  const Graph& graph = product.graph;
  const NodeView dequantize{product.module, graph, graph.nodes[right.nodes[0]]};
  const auto constants = constants_of(dequantize);
  ensure(constants.has_value(), "packed weights that are not constant");
  const Tensor& tensor = *constants->codes;
  const bool columns_first = is_transposed(product);
  const std::int64_t groups = right.depth / right.group;
  const auto place = [&](std::int64_t i, std::int64_t k) {
    return static_cast<std::size_t>(columns_first ? i * right.depth + k : k * right.columns + i);
  };
  const auto by_byte = codes_by_byte(tensor.format(), right.decoder);
  std::vector<std::uint8_t> codes(static_cast<std::size_t>(right.columns * right.depth));
  for (std::int64_t i = 0; i < right.columns; ++i)
    for (std::int64_t k = 0; k < right.depth; ++k)
      codes[static_cast<std::size_t>(i * right.depth + k)] =
          by_byte[static_cast<std::size_t>(tensor.bytes()[place(i, k)])];
  const auto spread = [&](const Tensor& parameter, const auto& put) {
    const auto values = parameter.to_floats();
    const auto offsets = broadcast_offsets(parameter.shape(), tensor.shape());
    for (std::int64_t i = 0; i < right.columns; ++i)
      for (std::int64_t g = 0; g < groups; ++g)
        put(static_cast<std::size_t>(i * groups + g),
            values[static_cast<std::size_t>(offsets[place(i, g * right.group)])]);
  };
  DecodeSource source;
  source.decoder = right.decoder;
  source.rows = right.columns;
  source.depth = right.depth;
  source.group = right.group;
  source.codes = codes;
  std::vector<float> scales(static_cast<std::size_t>(right.columns * groups));
  spread(*constants->scale, [&](std::size_t at, float scale) { scales[at] = scale; });
  source.scales = scales;
  source.scale_kind = kind_of(scales);
  std::vector<std::uint8_t> zeros;
  if (constants->zero != nullptr) {
    zeros.resize(scales.size());
    spread(*constants->zero, [&](std::size_t at, float zero) {
      zeros[at] =
          static_cast<std::uint8_t>(code_zero_of(tensor.format(), static_cast<double>(zero)));
    });
    source.zeros = zeros;
  }
  return DecodeWeights(source);
}

class DecodeStep final : public StepProgram {
 public:
  DecodeStep(const StepContext& context, const PackedRight& right)
      : weights_(pack_right(context.node(), right)), rows_(right.rows) {
    const NodeView node = context.node();
    const Followers followers = followers_of(context.module, context.graph, context.step.nodes);
    x_ = node.node.inputs[0];
    result_ = followers.result;
    activation_ = lane_call_of(followers.epilogue);
    if (node.node.op->name() == "Gemm" && node.has_input(2))
      bias_ = node.constant(2)->data<float>().data();
    addend_ = followers.addend;
    if (addend_ == kNone) return;
    constant_addend_ = context.constant(addend_);
    addend_is_row_ = element_count(context.shape(addend_)) == right.columns;
  }

  void run(const Places& places, Scratch&) const override {
    const auto* x = reinterpret_cast<const float*>(places.read[x_]);
    auto* y = reinterpret_cast<float*>(places.write[result_]);
    const float* addend = constant_addend_;
    if (addend == nullptr && addend_ != kNone)
      addend = reinterpret_cast<const float*>(places.read[addend_]);
    const std::int64_t columns = weights_.rows();
    if (addend != y) {
      decode_product(weights_, x, rows_, weights_.depth(), y, columns);
      if (addend != nullptr) add(addend, y);
    } else {  // the sum is written over what is added
      thread_local std::vector<float> sums;
      sums.resize(static_cast<std::size_t>(rows_ * columns));
      decode_product(weights_, x, rows_, weights_.depth(), sums.data(), columns);
      add(sums.data(), y);
    }
    if (bias_ != nullptr) {
      for (std::int64_t m = 0; m < rows_; ++m)
        apply({RealFunction::kAdd}, y + m * columns, bias_, y + m * columns, columns);
    }
    if (activation_.function != RealFunction::kCopy)
      apply(activation_, y, nullptr, y, rows_ * columns);
  }

 private:
  void add(const float* other, float* y) const {
    const std::int64_t columns = weights_.rows();
    const bool is_row = addend_is_row_ && rows_ > 1;
    for (std::int64_t m = 0; m < rows_; ++m)
      apply({RealFunction::kAdd}, y + m * columns, other + (is_row ? 0 : m * columns),
            y + m * columns, columns);
  }

  DecodeWeights weights_;
  std::int64_t rows_;
  ValueId x_ = kNone, addend_ = kNone, result_ = kNone;
  const float *bias_ = nullptr, *constant_addend_ = nullptr;
  bool addend_is_row_ = false;
  RealCall activation_;
};

}  // namespace

// In times of reading one byte, estimated from runs of tandem_decode_gemv on a busy machine: 17
// GB/s with two threads of AVX2, which decode 40 (integers) or 22 (others) and multiply 90 of f32
// or 75 of decoded weights in a nanosecond.
bool decoding_pays(const CodeDecoder& decoder, std::int64_t rows) {
  const double count = static_cast<double>(rows), fours = std::ceil(count / 4);
  const double decode = decoder.kind == CodeDecoder::Kind::kInteger ? 0.25 : 0.6;
  const double packed = std::max(decoder.bits / 8.0, fours * decode + count * 0.22);
  return packed < std::max(4.0, count * 0.19);
}

std::map<NodeId, PackedRight> decode_products(const Module& module) {
  const Graph& graph = module.main();
  std::map<NodeId, PackedRight> products;
  for (NodeId id = 0; id < graph.nodes.size(); ++id)
    if (auto right = packed_right({module, graph, graph.nodes[id]})) products.emplace(id, *right);
  const auto readers = consumers(graph);
  std::set<ValueId> ends(graph.outputs.begin(), graph.outputs.end());
  for (const StateUpdate& update : graph.updates) ends.insert(update.value);
  // Nothing else may read the weights as reals.
  const auto is_read_otherwise = [&](const PackedRight& right) {
    for (const NodeId node : right.nodes) {
      const ValueId value = graph.nodes[node].outputs[0];
      if (ends.contains(value)) return true;
      for (const NodeId reader : readers[value])
        if (!products.contains(reader) &&
            std::ranges::find(right.nodes, reader) == right.nodes.end())
          return true;
    }
    return false;
  };
  const auto is_refused = [&](const auto& entry) { return is_read_otherwise(entry.second); };
  while (std::erase_if(products, is_refused) > 0) {
  }
  return products;
}

std::unique_ptr<StepProgram> make_decode_product(const StepContext& context) {
  const auto right = packed_right(context.node());
  ensure(right.has_value(), "a product of packed weights that are none");
  return std::make_unique<DecodeStep>(context, *right);
}

}  // namespace tandem
