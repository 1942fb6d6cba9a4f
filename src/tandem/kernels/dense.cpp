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
#include "tandem/kernels/dense_call.h"
#include "tandem/kernels/dense_parts.h"
#include "tandem/kernels/instruction_set.h"
#include "tandem/kernels/thread_memory.h"

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

}  // namespace

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
dnnl::primitive_attr dense_attributes(const Epilogue& epilogue) {
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

DenseArguments::DenseArguments() = default;
DenseArguments::~DenseArguments() = default;

void DenseCall::Parts::run_tile(const Tile& tile, DenseArguments::Kept::Operands& kept,
                                const float* x, const float* right, const float* addend,
                                float* y) const {
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
  if (tile.apart) copy_rows(result, stride, y + tile.y, tile.y_stride, tile.y_rows, tile.y_columns);
}

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

// ---- Product ----

namespace {

DenseCall::Parts::Variant product_variant(const DenseProduct& p, DenseRange rows,
                                          DenseRange columns, bool has_weights, bool has_bias,
                                          const Epilogue& epilogue) {
  const Description x({rows.size(), p.depth}, kDnnlFloat, Tag::ab);
  // Where columns are cut, the result's rows lie apart, and their kernel takes the right operand as
  // it is; one row has no gaps, and reads short pieces of many rows better packed.
  constexpr std::int64_t kLongPiece = 2048;
  const bool side_by_side =
      columns.size() == p.columns || (p.rows * p.batch == 1 && columns.size() < kLongPiece);
  const Description y({rows.size(), columns.size()}, kDnnlFloat,
                      Memory::dims{side_by_side ? columns.size() : p.columns, 1});
  const Memory::dims shape = {p.depth, columns.size()};
  const Memory::dims strides =
      p.right_is_transposed ? Memory::dims{1, p.depth} : Memory::dims{p.columns, 1};
  const bool packs = has_weights && side_by_side;
  const Description w =
      packs ? Description(shape, kDnnlFloat, Tag::any) : Description(shape, kDnnlFloat, strides);
  using Call = dnnl::matmul;
  const auto description =
      has_bias ? Call::desc(x, w, Description({1, columns.size()}, kDnnlFloat, Tag::ab), y)
               : Call::desc(x, w, y);
  const Call::primitive_desc made(description, dense_attributes(epilogue), dnnl_engine());
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
      const Description x({range.size(), p.rows, p.depth}, kDnnlFloat, Tag::abc);
      const Description w({range.size(), p.depth, p.columns}, kDnnlFloat, strides);
      const Description y({range.size(), p.rows, p.columns}, kDnnlFloat, Tag::abc);
      using Call = dnnl::matmul;
      const Call::primitive_desc made(Call::desc(x, w, y), dense_attributes(epilogue),
                                      dnnl_engine());
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

// A product as a convolution with one position.
Convolution as_convolution(const DenseProduct& p) {
  return {.batch = p.batch,
          .channels = p.depth,
          .height = p.rows,
          .filters = p.columns,
          .out_height = p.rows};
}

// Where tiles compute it so: null otherwise.
std::unique_ptr<DenseCall::Parts> product_on_tiles(const DenseProduct& p, const float* w,
                                                   const float* bias, const Epilogue& epilogue,
                                                   PackedConstants& packed) {
  const Convolution c = as_convolution(p);
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

// All rows of a batch that shares its right operand as one image, and how its weights lie.
Convolution as_one_image(const DenseProduct& p) {
  Convolution c = as_convolution(p);
  c.height = c.out_height = p.batch * p.rows;
  c.batch = 1;
  return c;
}
WeightOrder weight_order(const DenseProduct& p) {
  return {p.columns,
          p.depth,
          1,
          p.right_is_transposed ? p.depth : 1,
          p.right_is_transposed ? 1 : p.columns,
          1};
}

// Weights that are turned to panels while they are read, so that no copy of them stays: a tenth to
// a fifth slower than copies that oneDNN packs, where rows are many.
std::unique_ptr<DenseCall::Parts> product_on_panels(const DenseProduct& p, const float* w,
                                                    const float* bias, const Epilogue& epilogue) {
  constexpr std::int64_t kManyRows = 48;
  if (!PanelProduct::is_there() || w == nullptr || !p.shares_right || p.batch * p.rows < kManyRows)
    return nullptr;
  auto parts = std::make_unique<DenseCall::Parts>();
  parts->panel_product.emplace(as_one_image(p), nullptr,
                               PanelProduct::Options{.bias = bias,
                                                     .adds = epilogue.adds,
                                                     .activation = lane_call_of(epilogue),
                                                     .weights = w,
                                                     .order = weight_order(p)});
  return parts;
}

// With AVX2 oneDNN's convolutions, which pack their weights, take 0.8 of the time of its products,
// of a few rows a third. Weights beyond 4 MB stay where they are: a copy of them costs more than
// that.
std::unique_ptr<DenseCall::Parts> product_by_convolution(const DenseProduct& p, const float* w,
                                                         const float* bias,
                                                         const Epilogue& epilogue,
                                                         PackedConstants& packed) {
  constexpr std::int64_t kMostWeights = std::int64_t{4} << 20;  // of all products together
  if (instruction_set() != InstructionSet::kAvx2 || w == nullptr || !p.shares_right) return nullptr;
  std::int64_t& copied = packed.kept->product_weights;
  if (copied + p.depth * p.columns > kMostWeights) return nullptr;
  copied += p.depth * p.columns;
  return convolution_by_primitives(as_one_image(p), w, weight_order(p), bias, epilogue, packed);
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
  const auto call = [](std::unique_ptr<DenseCall::Parts> parts) {
    return std::unique_ptr<DenseCall>(new DenseCall(std::move(parts)));
  };
  if (!p.copies_weights)
    if (auto panels = product_on_panels(p, w, bias, epilogue)) return call(std::move(panels));
  if (auto tiled = product_on_tiles(p, w, bias, epilogue, packed_constants))
    return call(std::move(tiled));
  if (auto convolution = product_by_convolution(p, w, bias, epilogue, packed_constants))
    return call(std::move(convolution));
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
      const Description part({1, column.size()}, kDnnlFloat, Tag::ab);
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
        const Description given({p.depth, column.size()}, kDnnlFloat, strides);
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
