#include "tandem/kernels/dense.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <dnnl.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "tandem/base/error.h"
#include "tandem/base/threads.h"
#include "tandem/kernels/dense_parts.h"
#include "tandem/kernels/packed_constants.h"
#include "tandem/kernels/panel_product.h"
#include "tandem/kernels/real_lanes.h"
#include "tandem/kernels/thread_memory.h"
#include "tandem/kernels/tile_product.h"
#include "tandem/kernels/vector_product.h"

namespace tandem {

RealCall lane_call_of(const Epilogue& epilogue) {
  const auto call = [&](RealFunction function) {
    return RealCall{function, epilogue.alpha, epilogue.beta};
  };
  switch (epilogue.activation) {
    case Activation::kIdentity: return call(RealFunction::kCopy);
    case Activation::kRelu: return call(RealFunction::kRelu);
    case Activation::kClip: return call(RealFunction::kClip);
    case Activation::kSigmoid: return call(RealFunction::kSigmoid);
    case Activation::kTanh: return call(RealFunction::kTanh);
    case Activation::kSwish: return call(RealFunction::kSwish);
    case Activation::kHardSwish: return call(RealFunction::kHardSwish);
    case Activation::kGelu: return call(RealFunction::kGelu);
    case Activation::kGeluTanh: return call(RealFunction::kGeluTanh);
  }
  throw InternalError("unknown activation");
}

namespace {

using Memory = dnnl::memory;
using Description = dnnl::memory::desc;
using Tag = dnnl::memory::format_tag;
constexpr auto kFloat = dnnl::memory::data_type::f32;

// For one primitive at a time.
void* scratchpad(std::size_t bytes) {
  thread_local ThreadMemory memory;
  return memory.take(bytes);
}

// For the result of one tile at a time.
float* result_memory(std::int64_t elements) {
  thread_local ThreadMemory memory;
  return memory.floats(elements);
}

// A matrix to a place where its rows lie further apart, or back.
void copy_rows(const float* from, std::int64_t from_stride, float* to, std::int64_t to_stride,
               std::int64_t rows, std::int64_t columns) {
  const auto bytes = static_cast<std::size_t>(columns) * sizeof(float);
  for (std::int64_t row = 0; row < rows; ++row)
    std::memcpy(to + row * to_stride, from + row * from_stride, bytes);
}

dnnl::primitive_attr attributes_of(const dnnl::post_ops& operations) {
  dnnl::primitive_attr attributes;
  attributes.set_post_ops(operations);
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

// Activations for which our lanes are faster than oneDNN's epilogue, though they pass over the tile
// once more.
std::optional<RealCall> own_activation_of(const Epilogue& epilogue) {
  switch (epilogue.activation) {
    case Activation::kSwish:
    case Activation::kSigmoid:
    case Activation::kTanh:
    case Activation::kGelu:
    case Activation::kGeluTanh: return lane_call_of(epilogue);
    default: return std::nullopt;
  }
}

// What is added is copied to the result's place first: oneDNN's fast kernels take a sum with what
// stands there, but no further operand.
dnnl::primitive_attr attributes(const Epilogue& epilogue) {
  dnnl::post_ops operations;
  if (epilogue.adds) operations.append_sum(1);
  if (own_activation_of(epilogue)) return attributes_of(operations);
  const auto apply = [&](dnnl::algorithm algorithm, float alpha = 0, float beta = 0) {
    operations.append_eltwise(1, algorithm, alpha, beta);
  };
  switch (epilogue.activation) {
    case Activation::kIdentity: break;
    case Activation::kRelu: apply(dnnl::algorithm::eltwise_relu, epilogue.alpha); break;
    case Activation::kClip:
      apply(dnnl::algorithm::eltwise_clip, epilogue.alpha, epilogue.beta);
      break;
    case Activation::kSigmoid: apply(dnnl::algorithm::eltwise_logistic); break;
    case Activation::kTanh: apply(dnnl::algorithm::eltwise_tanh); break;
    case Activation::kSwish: apply(dnnl::algorithm::eltwise_swish, epilogue.alpha); break;
    case Activation::kHardSwish: apply(dnnl::algorithm::eltwise_hardswish); break;
    case Activation::kGelu: apply(dnnl::algorithm::eltwise_gelu_erf); break;
    case Activation::kGeluTanh: apply(dnnl::algorithm::eltwise_gelu_tanh); break;
  }
  return attributes_of(operations);
}

}  // namespace

struct DenseArguments::Kept {
  struct Operands {
    Memory x, right, y, scratch;
  };
  std::vector<Operands> tiles;
};

DenseArguments::DenseArguments() = default;
DenseArguments::~DenseArguments() = default;

struct DenseCall::Parts {
  // One primitive, and the memory that it works on.
  struct Variant {
    dnnl::primitive primitive;
    Description x, right, y, scratch;
  };

  // A part of a call: a primitive, and where its operands begin.
  struct Tile {
    std::size_t variant = 0;
    std::int64_t x = 0, right = 0, y = 0;
    std::size_t weights = 0, bias = 0;  // indices of constants; unused where there are none
    std::int64_t y_rows = 0, y_columns = 0, y_stride = 0;  // the elements that it writes
    // The primitive writes them side by side: they are computed apart and copied to their place.
    bool apart = false;
  };

  // Instead of all that follows, where the processor has tiles.
  std::optional<TileProduct> tile_product;
  const float* tile_right = nullptr;  // constant

  std::optional<VectorProduct> vector_product;  // likewise, of one row
  std::optional<PanelProduct> panel_product;    // likewise, with vectors of AVX2

  std::vector<Variant> variants;
  std::vector<Tile> tiles;
  std::vector<Memory> constants;
  bool has_weights = false, has_bias = false, adds = false;
  std::optional<RealCall> own_activation;  // behind the primitive

  std::size_t constant(PackedConstants& packed, const Description& plain, const Description& wanted,
                       const float* data) {
    constants.push_back(packed.kept->in_order(plain, wanted, data));
    return constants.size() - 1;
  }

  void run_tile(const Tile& tile, DenseArguments::Kept::Operands& kept, const float* x,
                const float* right, const float* addend, float* y) const {
    const Variant& variant = variants[tile.variant];
    std::array<dnnl_exec_arg_t, 7> arguments;
    std::size_t count = 0;
    const auto give = [&](int kind, const Memory& memory) {
      arguments[count++] = {kind, memory.get()};
    };
    const auto place = [](Memory& memory, const float* data) {
      memory.set_data_handle(const_cast<float*>(data));
    };
    place(kept.x, x + tile.x);
    give(DNNL_ARG_SRC, kept.x);
    float* result = tile.apart ? result_memory(tile.y_rows * tile.y_columns) : y + tile.y;
    const std::int64_t stride = tile.apart ? tile.y_columns : tile.y_stride;
    place(kept.y, result);
    give(DNNL_ARG_DST, kept.y);
    if (has_weights) {
      give(DNNL_ARG_WEIGHTS, constants[tile.weights]);
    } else {
      place(kept.right, right + tile.right);
      give(DNNL_ARG_WEIGHTS, kept.right);
    }
    if (has_bias) give(DNNL_ARG_BIAS, constants[tile.bias]);
    if (adds && addend + tile.y != result)
      copy_rows(addend + tile.y, tile.y_stride, result, stride, tile.y_rows, tile.y_columns);
    if (const std::size_t bytes = variant.scratch.get_size(); bytes > 0) {
      kept.scratch.set_data_handle(scratchpad(bytes));
      give(DNNL_ARG_SCRATCHPAD, kept.scratch);
    }
    const auto status = dnnl_primitive_execute(variant.primitive.get(), dnnl_stream().get(),
                                               static_cast<int>(count), arguments.data());
    ensure(status == dnnl_success, "oneDNN refused to run a primitive that it made");
    if (own_activation) {
      for (std::int64_t row = 0; row < tile.y_rows; ++row) {
        float* elements = result + row * stride;
        apply(*own_activation, elements, nullptr, elements, tile.y_columns);
      }
    }
    if (tile.apart)
      copy_rows(result, stride, y + tile.y, tile.y_stride, tile.y_rows, tile.y_columns);
  }
};

DenseCall::DenseCall(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
DenseCall::~DenseCall() = default;

void DenseCall::run(const float* x, const float* right, const float* addend, float* y,
                    DenseArguments& arguments) const {
  if (parts_->vector_product) return parts_->vector_product->run(x, addend, y);
  if (parts_->panel_product) return parts_->panel_product->run(x, addend, y);
  if (parts_->tile_product) {
    const float* constant = parts_->tile_right;
    return parts_->tile_product->run(x, constant != nullptr ? constant : right, addend, y);
  }
  if (!arguments.kept_) {
    arguments.kept_ = std::make_unique<DenseArguments::Kept>();
    for (const Parts::Tile& tile : parts_->tiles) {
      const Parts::Variant& variant = parts_->variants[tile.variant];
      const auto empty = [](const Description& description) {
        return Memory(description, dnnl_engine(), DNNL_MEMORY_NONE);
      };
      arguments.kept_->tiles.push_back(
          {empty(variant.x), empty(variant.right), empty(variant.y), empty(variant.scratch)});
    }
  }
  struct Run {
    const Parts& parts;
    DenseArguments::Kept& kept;
    const float *x, *right, *addend;
    float* y;
  } run{*parts_, *arguments.kept_, x, right, addend, y};
  parallel_for(0, static_cast<std::int64_t>(parts_->tiles.size()), 1,
               [&run](std::int64_t from, std::int64_t to) {
                 for (std::int64_t i = from; i < to; ++i) {
                   const auto at = static_cast<std::size_t>(i);
                   run.parts.run_tile(run.parts.tiles[at], run.kept.tiles[at], run.x, run.right,
                                      run.addend, run.y);
                 }
               });
}

// ---- Convolution ----

namespace {

// A call on panels of filters.
std::unique_ptr<DenseCall::Parts> panels_of(const Convolution& c, const float* w,
                                            const WeightOrder& order, const float* bias,
                                            const Epilogue& epilogue, PackedConstants& packed) {
  auto parts = std::make_unique<DenseCall::Parts>();
  parts->panel_product.emplace(
      c, packed.kept->in_filter_panels(w, order),
      PanelProduct::Options{
          .bias = bias, .adds = epilogue.adds, .activation = lane_call_of(epilogue)});
  return parts;
}

// The filters and output rows that one tile computes, and the input rows that they read.
struct ConvolutionTile {
  std::int64_t filters, in_begin, in_rows, pad_before, pad_after, out_rows;
};

ConvolutionTile tile_of(const Convolution& c, DenseRange filters, DenseRange out) {
  const std::int64_t reach = (c.kernel_height - 1) * c.dilation_height + 1;
  const std::int64_t first = out.begin * c.stride_height - c.pad_top;
  const std::int64_t last = (out.end - 1) * c.stride_height - c.pad_top + reach;
  const std::int64_t begin = std::clamp<std::int64_t>(first, 0, c.height - 1);
  const std::int64_t end = std::clamp<std::int64_t>(last, begin + 1, c.height);
  return {filters.size(), begin, end - begin, begin - first, last - end, out.size()};
}

// One primitive serves all tiles that differ in where they begin alone.
bool same_primitive(const ConvolutionTile& a, const ConvolutionTile& b) {
  return a.filters == b.filters && a.in_rows == b.in_rows && a.pad_before == b.pad_before &&
         a.pad_after == b.pad_after && a.out_rows == b.out_rows;
}

// Weights of `filters` filters, as they are given or as the primitive wants them.
Memory::dims weight_shape(const Convolution& c, std::int64_t filters) {
  const std::int64_t channels = c.channels / c.group;
  if (c.group == 1) return {filters, channels, c.kernel_height, c.kernel_width};
  return {c.group, filters / c.group, channels, c.kernel_height, c.kernel_width};
}

DenseCall::Parts::Variant convolution_variant(const Convolution& c, const ConvolutionTile& tile,
                                              bool has_bias, const Epilogue& epilogue) {
  const Description x({1, c.channels, tile.in_rows, c.width}, kFloat, Tag::nhwc);
  const Description y({1, tile.filters, tile.out_rows, c.out_width}, kFloat, Tag::nhwc);
  const Description w(weight_shape(c, tile.filters), kFloat, Tag::any);
  const std::int64_t reach = (c.kernel_width - 1) * c.dilation_width + 1;
  const std::int64_t pad_right = (c.out_width - 1) * c.stride_width + reach - c.width - c.pad_left;
  const Memory::dims strides = {c.stride_height, c.stride_width};
  const Memory::dims dilations = {c.dilation_height - 1, c.dilation_width - 1};
  const Memory::dims before = {tile.pad_before, c.pad_left}, after = {tile.pad_after, pad_right};
  const auto kind = dnnl::prop_kind::forward_inference;
  const auto algorithm = dnnl::algorithm::convolution_direct;
  using Call = dnnl::convolution_forward;
  const auto description =
      has_bias ? Call::desc(kind, algorithm, x, w, {{tile.filters}, kFloat, Tag::a}, y, strides,
                            dilations, before, after)
               : Call::desc(kind, algorithm, x, w, y, strides, dilations, before, after);
  const Call::primitive_desc made(description, attributes(epilogue), dnnl_engine());
  return {Call(made), x, made.weights_desc(), y, made.scratchpad_desc()};
}

// Whether tiles are ranges of filters, not of rows: where the weights are what has to be read.
bool cuts_filters(const Convolution& c) {
  constexpr std::int64_t kLeastFilters = 128;
  if (c.group > 1 || c.filters < kLeastFilters) return false;
  const std::int64_t weights = c.filters * c.channels * c.kernel_height * c.kernel_width;
  return weights > c.height * c.width * c.channels + c.out_height * c.out_width * c.filters;
}

}  // namespace

std::unique_ptr<DenseCall> dense_convolution(const Convolution& c, const float* w,
                                             const float* bias, const Epilogue& epilogue,
                                             PackedConstants& packed_constants) {
  const std::int64_t positions = c.kernel_height * c.kernel_width;
  if (TileProduct::suits(c, true) && all_finite(w, c.filters * c.channels * positions)) {
    auto tiled = std::make_unique<DenseCall::Parts>();
    tiled->tile_right = packed_constants.kept->in_panels(w, c.filters, c.channels, positions);
    tiled->tile_product.emplace(c, TileProduct::Options{.right_is_finite = true,
                                                        .right_in_panels = true,
                                                        .bias = bias,
                                                        .adds = epilogue.adds,
                                                        .activation = lane_call_of(epilogue)});
    return std::unique_ptr<DenseCall>(new DenseCall(std::move(tiled)));
  }
  if (PanelProduct::suits(c)) {
    const WeightOrder order{c.filters, c.channels, positions, c.channels * positions, positions, 1};
    return std::unique_ptr<DenseCall>(
        new DenseCall(panels_of(c, w, order, bias, epilogue, packed_constants)));
  }
  dnnl_stream();  // one thread, before primitives are made for a number of them
  auto parts = std::make_unique<DenseCall::Parts>();
  parts->has_weights = true;
  parts->has_bias = bias != nullptr;
  parts->adds = epilogue.adds;
  parts->own_activation = own_activation_of(epilogue);
  const std::int64_t x_row = c.width * c.channels, y_row = c.out_width * c.filters;
  const std::int64_t filter_size = c.channels / c.group * c.kernel_height * c.kernel_width;
  // Weights that are read and elements that are written count too where little is computed of them.
  constexpr double kOperationsPerElement = 16;
  const double operations =
      2.0 * static_cast<double>(c.out_height * y_row) * static_cast<double>(filter_size) +
      kOperationsPerElement * static_cast<double>(c.out_height * y_row + c.filters * filter_size);
  // Fewer filters are cut finer, so that parts are alike.
  constexpr std::int64_t kManyFilters = 512;
  const std::int64_t unit = c.filters >= kManyFilters ? 64 : 16;
  const bool by_filters = cuts_filters(c);
  const std::int64_t wanted = part_count(operations, by_filters ? c.filters : c.out_height);
  std::vector<ConvolutionTile> known;  // by variant
  for (const DenseRange filters : dense_spans(c.filters, by_filters ? wanted : 1, unit)) {
    std::size_t bias_at = 0;
    if (bias != nullptr) {
      const Description plain({filters.size()}, kFloat, Tag::a);
      bias_at = parts->constant(packed_constants, plain, plain, bias + filters.begin);
    }
    const Description given(weight_shape(c, filters.size()), kFloat,
                            c.group > 1 ? Tag::goihw : Tag::oihw);
    std::vector<std::pair<Description, std::size_t>> packed;  // the weights of these filters
    for (const DenseRange out : dense_spans(c.out_height, by_filters ? 1 : wanted)) {
      const ConvolutionTile tile = tile_of(c, filters, out);
      const auto same = std::ranges::find_if(
          known, [&](const ConvolutionTile& other) { return same_primitive(tile, other); });
      const auto variant = static_cast<std::size_t>(same - known.begin());
      if (same == known.end()) {
        known.push_back(tile);
        parts->variants.push_back(convolution_variant(c, tile, bias != nullptr, epilogue));
      }
      const Description& order = parts->variants[variant].right;
      auto weights =
          std::ranges::find_if(packed, [&](const auto& entry) { return entry.first == order; });
      if (weights == packed.end()) {
        packed.emplace_back(order, parts->constant(packed_constants, given, order,
                                                   w + filters.begin * filter_size));
        weights = packed.end() - 1;
      }
      for (std::int64_t image = 0; image < c.batch; ++image) {
        DenseCall::Parts::Tile part;
        part.variant = variant;
        part.x = image * c.height * x_row + tile.in_begin * x_row;
        part.y = (image * c.out_height + out.begin) * y_row + filters.begin;
        part.weights = weights->second;
        part.bias = bias_at;
        part.apart = filters.size() < c.filters;
        part.y_rows = part.apart ? out.size() * c.out_width : 1;
        part.y_columns = part.apart ? filters.size() : out.size() * y_row;
        part.y_stride = c.filters;
        parts->tiles.push_back(part);
      }
    }
  }
  return std::unique_ptr<DenseCall>(new DenseCall(std::move(parts)));
}

// ---- Product ----

namespace {

DenseCall::Parts::Variant product_variant(const DenseProduct& p, DenseRange rows,
                                          DenseRange columns, bool has_weights, bool has_bias,
                                          const Epilogue& epilogue) {
  const Description x({rows.size(), p.depth}, kFloat, Tag::ab);
  // Where columns are cut, the result's rows lie apart, and their kernel takes the right operand as
  // it is; one row has no gaps, and reads short pieces of many rows better packed.
  constexpr std::int64_t kLongPiece = 2048;
  const bool side_by_side =
      columns.size() == p.columns || (p.rows * p.batch == 1 && columns.size() < kLongPiece);
  const Description y({rows.size(), columns.size()}, kFloat,
                      Memory::dims{side_by_side ? columns.size() : p.columns, 1});
  const Memory::dims shape = {p.depth, columns.size()};
  const Memory::dims strides =
      p.right_is_transposed ? Memory::dims{1, p.depth} : Memory::dims{p.columns, 1};
  const bool packs = has_weights && side_by_side;
  const Description w =
      packs ? Description(shape, kFloat, Tag::any) : Description(shape, kFloat, strides);
  using Call = dnnl::matmul;
  const auto description =
      has_bias ? Call::desc(x, w, Description({1, columns.size()}, kFloat, Tag::ab), y)
               : Call::desc(x, w, y);
  const Call::primitive_desc made(description, attributes(epilogue), dnnl_engine());
  return {Call(made), x, made.weights_desc(), y, made.scratchpad_desc()};
}

// A batch of products of two computed operands: each tile is some of them.
std::unique_ptr<DenseCall::Parts> product_batch(const DenseProduct& p, const Epilogue& epilogue) {
  auto parts = std::make_unique<DenseCall::Parts>();
  parts->adds = epilogue.adds;
  parts->own_activation = own_activation_of(epilogue);
  const std::int64_t x_size = p.rows * p.depth, right_size = p.depth * p.columns,
                     y_size = p.rows * p.columns;
  constexpr double kLeastOperations = 1e6;
  const double operations = 2.0 * static_cast<double>(y_size) * static_cast<double>(p.depth);
  const auto together = static_cast<std::int64_t>(kLeastOperations / operations) + 1;
  const Memory::dims strides = p.right_is_transposed ? Memory::dims{right_size, 1, p.depth}
                                                     : Memory::dims{right_size, p.columns, 1};
  std::vector<std::int64_t> known;  // products of each variant
  for (const DenseRange range : dense_spans(p.batch, (p.batch + together - 1) / together)) {
    const auto same = std::ranges::find(known, range.size());
    const auto variant = static_cast<std::size_t>(same - known.begin());
    if (same == known.end()) {
      known.push_back(range.size());
      const Description x({range.size(), p.rows, p.depth}, kFloat, Tag::abc);
      const Description w({range.size(), p.depth, p.columns}, kFloat, strides);
      const Description y({range.size(), p.rows, p.columns}, kFloat, Tag::abc);
      using Call = dnnl::matmul;
      const Call::primitive_desc made(Call::desc(x, w, y), attributes(epilogue), dnnl_engine());
      parts->variants.push_back({Call(made), x, w, y, made.scratchpad_desc()});
    }
    DenseCall::Parts::Tile tile;
    tile.variant = variant;
    tile.x = range.begin * x_size;
    tile.right = range.begin * right_size;
    tile.y = range.begin * y_size;
    tile.y_rows = 1;
    tile.y_columns = range.size() * y_size;
    parts->tiles.push_back(tile);
  }
  return parts;
}

// A product as a convolution with one position, where tiles compute it: null otherwise.
std::unique_ptr<DenseCall::Parts> product_on_tiles(const DenseProduct& p, const float* w,
                                                   const float* bias, const Epilogue& epilogue,
                                                   PackedConstants& packed) {
  const Convolution c{.batch = p.batch,
                      .channels = p.depth,
                      .height = p.rows,
                      .filters = p.columns,
                      .out_height = p.rows};
  Convolution all = c;
  if (p.shares_right) all.height = all.out_height = p.batch * p.rows;
  if (!TileProduct::suits(all, w != nullptr) || (w == nullptr && p.right_is_transposed) ||
      (w != nullptr && !p.shares_right))
    return nullptr;
  if (w != nullptr && !all_finite(w, p.depth * p.columns)) return nullptr;
  auto parts = std::make_unique<DenseCall::Parts>();
  parts->tile_right = w;
  if (p.right_is_transposed) parts->tile_right = packed.kept->in_panels(w, p.columns, p.depth, 1);
  parts->tile_product.emplace(
      c, TileProduct::Options{.right_stride = p.shares_right ? 0 : p.depth * p.columns,
                              .right_is_finite = w != nullptr,
                              .right_in_panels = p.right_is_transposed,
                              .bias = bias,
                              .adds = epilogue.adds,
                              .activation = lane_call_of(epilogue)});
  return parts;
}

}  // namespace

std::unique_ptr<DenseCall> dense_product(const DenseProduct& p, const float* w, const float* bias,
                                         const Epilogue& epilogue,
                                         PackedConstants& packed_constants) {
  if (p.batch * p.rows == 1 && w != nullptr) {
    auto parts = std::make_unique<DenseCall::Parts>();
    parts->vector_product = {p.depth, p.columns,     p.right_is_transposed, w,
                             bias,    epilogue.adds, lane_call_of(epilogue)};
    return std::unique_ptr<DenseCall>(new DenseCall(std::move(parts)));
  }
  if (auto tiled = product_on_tiles(p, w, bias, epilogue, packed_constants))
    return std::unique_ptr<DenseCall>(new DenseCall(std::move(tiled)));
  dnnl_stream();
  if (!p.shares_right && w == nullptr && bias == nullptr)
    return std::unique_ptr<DenseCall>(new DenseCall(product_batch(p, epilogue)));
  auto parts = std::make_unique<DenseCall::Parts>();
  parts->has_weights = w != nullptr;
  parts->has_bias = bias != nullptr;
  parts->adds = epilogue.adds;
  parts->own_activation = own_activation_of(epilogue);
  // Rows of a batch that shares its right operand are rows of one product.
  const std::int64_t rows = p.shares_right ? p.batch * p.rows : p.rows;
  const std::int64_t batch = p.shares_right ? 1 : p.batch;
  const double operations =
      2.0 * static_cast<double>(rows * p.columns) * static_cast<double>(p.depth);
  constexpr std::int64_t kColumns = 64, kRows = 8;
  // Few rows take as long as the right operand takes to be read.
  constexpr double kOperationsPerElement = 16;
  const double effort = std::max(operations, kOperationsPerElement * static_cast<double>(p.depth) *
                                                 static_cast<double>(p.columns));
  const std::int64_t wanted = batch > 1 ? 1 : part_count(effort, 1 << 20);
  const bool by_columns = p.columns / kColumns >= wanted && p.columns >= rows / 4;
  const auto row_spans = dense_spans(rows, by_columns ? 1 : wanted, kRows);
  const auto column_spans = dense_spans(p.columns, by_columns ? wanted : 1, kColumns);
  struct Shape {
    std::int64_t rows, columns;
    std::size_t variant;
  };
  std::vector<Shape> shapes;
  for (const DenseRange column : column_spans) {
    std::optional<std::pair<Description, std::size_t>> packed;
    std::size_t bias_at = 0;
    if (bias != nullptr) {
      const Description part({1, column.size()}, kFloat, Tag::ab);
      bias_at = parts->constant(packed_constants, part, part, bias + column.begin);
    }
    for (const DenseRange row : row_spans) {
      auto known = std::find_if(shapes.begin(), shapes.end(), [&](const Shape& shape) {
        return shape.rows == row.size() && shape.columns == column.size();
      });
      if (known == shapes.end()) {
        parts->variants.push_back(
            product_variant(p, row, column, w != nullptr, bias != nullptr, epilogue));
        shapes.push_back({row.size(), column.size(), parts->variants.size() - 1});
        known = shapes.end() - 1;
      }
      const DenseCall::Parts::Variant& variant = parts->variants[known->variant];
      const std::int64_t right = p.right_is_transposed ? column.begin * p.depth : column.begin;
      if (w != nullptr && (!packed || packed->first != variant.right)) {
        const Memory::dims strides =
            p.right_is_transposed ? Memory::dims{1, p.depth} : Memory::dims{p.columns, 1};
        const Description given({p.depth, column.size()}, kFloat, strides);
        packed = {variant.right,
                  parts->constant(packed_constants, given, variant.right, w + right)};
      }
      for (std::int64_t b = 0; b < batch; ++b) {
        parts->tiles.push_back(
            {known->variant, (b * rows + row.begin) * p.depth, b * p.depth * p.columns + right,
             (b * rows + row.begin) * p.columns + column.begin, packed ? packed->second : 0,
             bias_at, row.size(), column.size(), p.columns});
      }
    }
  }
  return std::unique_ptr<DenseCall>(new DenseCall(std::move(parts)));
}

}  // namespace tandem
