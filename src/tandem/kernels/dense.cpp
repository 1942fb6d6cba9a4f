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

// Of libgomp, which Debian's oneDNN runs on. Declared here since <omp.h> comes with GCC alone.
extern "C" void omp_set_num_threads(int threads);

namespace tandem {
namespace {

using Memory = dnnl::memory;
using Description = dnnl::memory::desc;
using Tag = dnnl::memory::format_tag;
constexpr auto kFloat = dnnl::memory::data_type::f32;

const dnnl::engine& cpu() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

// Each thread works alone: oneDNN's own threads stay out of the way of parallel_for's.
const dnnl::stream& stream() {
  thread_local const dnnl::stream stream = [] {
    omp_set_num_threads(1);
    return dnnl::stream(cpu());
  }();
  return stream;
}

// Memory for one primitive at a time of the calling thread.
void* scratchpad(std::size_t bytes) {
  constexpr std::size_t kAlignment = 64;
  thread_local std::vector<std::byte> memory;
  if (memory.size() < bytes + kAlignment) memory.resize(bytes + kAlignment);
  auto address = reinterpret_cast<std::uintptr_t>(memory.data());
  address += (kAlignment - address % kAlignment) % kAlignment;
  return reinterpret_cast<void*>(address);
}

// What is added is copied to the result's place first: oneDNN's fast kernels take a sum with what
// stands there, but no further operand.
dnnl::primitive_attr attributes(const Epilogue& epilogue) {
  dnnl::post_ops operations;
  if (epilogue.adds) operations.append_sum(1);
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
  dnnl::primitive_attr result_attributes;
  result_attributes.set_post_ops(operations);
  result_attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return result_attributes;
}

// How many parts a call is cut into: enough for a few threads, none smaller than what a thread
// takes to wake up.
std::int64_t part_count(double operations, std::int64_t most) {
  constexpr double kLeastOperations = 1e6;
  constexpr std::int64_t kParts = 4;
  const auto affordable = static_cast<std::int64_t>(operations / kLeastOperations);
  return std::clamp<std::int64_t>(std::min(kParts, affordable), 1, std::max<std::int64_t>(most, 1));
}

struct Range {
  std::int64_t begin, end;
  std::int64_t size() const { return end - begin; }
};

// [0, size) in `parts` ranges whose borders are multiples of `unit`.
std::vector<Range> spans(std::int64_t size, std::int64_t parts, std::int64_t unit = 1) {
  const std::int64_t units = (size + unit - 1) / unit;
  std::vector<Range> result;
  for (std::int64_t p = 0; p < parts; ++p) {
    const Range span{units * p / parts * unit, std::min(size, units * (p + 1) / parts * unit)};
    if (span.size() > 0) result.push_back(span);
  }
  return result;
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
  };

  std::vector<Variant> variants;
  std::vector<Tile> tiles;
  std::vector<Memory> constants;
  bool has_weights = false, has_bias = false, adds = false;

  // The constant in the order that a primitive wants, once for all that want the same.
  std::size_t constant(const Description& plain, const Description& wanted, const float* data) {
    Memory result(wanted, cpu());
    Memory given(plain, cpu(), const_cast<float*>(data));
    dnnl::reorder(given, result).execute(const_cast<dnnl::stream&>(stream()), given, result);
    const_cast<dnnl::stream&>(stream()).wait();
    constants.push_back(result);
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
    place(kept.y, y + tile.y);
    give(DNNL_ARG_DST, kept.y);
    if (has_weights) {
      give(DNNL_ARG_WEIGHTS, constants[tile.weights]);
    } else {
      place(kept.right, right + tile.right);
      give(DNNL_ARG_WEIGHTS, kept.right);
    }
    if (has_bias) give(DNNL_ARG_BIAS, constants[tile.bias]);
    if (adds && addend != y) {
      const auto bytes = static_cast<std::size_t>(tile.y_columns) * sizeof(float);
      for (std::int64_t row = 0; row < tile.y_rows; ++row) {
        const std::int64_t at = tile.y + row * tile.y_stride;
        std::memcpy(y + at, addend + at, bytes);
      }
    }
    if (const std::size_t bytes = variant.scratch.get_size(); bytes > 0) {
      kept.scratch.set_data_handle(scratchpad(bytes));
      give(DNNL_ARG_SCRATCHPAD, kept.scratch);
    }
    const auto status = dnnl_primitive_execute(variant.primitive.get(), stream().get(),
                                               static_cast<int>(count), arguments.data());
    ensure(status == dnnl_success, "oneDNN refused to run a primitive that it made");
  }
};

DenseCall::DenseCall(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
DenseCall::~DenseCall() = default;

void DenseCall::run(const float* x, const float* right, const float* addend, float* y,
                    DenseArguments& arguments) const {
  if (!arguments.kept_) {
    arguments.kept_ = std::make_unique<DenseArguments::Kept>();
    for (const Parts::Tile& tile : parts_->tiles) {
      const Parts::Variant& variant = parts_->variants[tile.variant];
      const auto empty = [](const Description& description) {
        return Memory(description, cpu(), DNNL_MEMORY_NONE);
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

struct ConvolutionRows {
  std::int64_t in_begin, in_rows, pad_before, pad_after, out_rows;
  friend bool operator==(const ConvolutionRows&, const ConvolutionRows&) = default;
};

// The input rows that output rows [out.begin, out.end) read.
ConvolutionRows rows_of(const Convolution& c, Range out) {
  const std::int64_t reach = (c.kernel_height - 1) * c.dilation_height + 1;
  const std::int64_t first = out.begin * c.stride_height - c.pad_top;
  const std::int64_t last = (out.end - 1) * c.stride_height - c.pad_top + reach;
  const std::int64_t begin = std::clamp<std::int64_t>(first, 0, c.height - 1);
  const std::int64_t end = std::clamp<std::int64_t>(last, begin + 1, c.height);
  return {begin, end - begin, begin - first, last - end, out.size()};
}

DenseCall::Parts::Variant convolution_variant(const Convolution& c, const ConvolutionRows& rows,
                                              bool has_bias, const Epilogue& epilogue) {
  const Description x({1, c.channels, rows.in_rows, c.width}, kFloat, Tag::nhwc);
  const Description y({1, c.filters, rows.out_rows, c.out_width}, kFloat, Tag::nhwc);
  const Memory::dims plain = {c.filters, c.channels / c.group, c.kernel_height, c.kernel_width};
  const Memory::dims grouped = {c.group, c.filters / c.group, plain[1], plain[2], plain[3]};
  const Description w(c.group > 1 ? grouped : plain, kFloat, Tag::any);
  const std::int64_t reach = (c.kernel_width - 1) * c.dilation_width + 1;
  const std::int64_t pad_right = (c.out_width - 1) * c.stride_width + reach - c.width - c.pad_left;
  const Memory::dims strides = {c.stride_height, c.stride_width};
  const Memory::dims dilations = {c.dilation_height - 1, c.dilation_width - 1};
  const Memory::dims before = {rows.pad_before, c.pad_left}, after = {rows.pad_after, pad_right};
  const auto kind = dnnl::prop_kind::forward_inference;
  const auto algorithm = dnnl::algorithm::convolution_direct;
  using Call = dnnl::convolution_forward;
  const auto description =
      has_bias ? Call::desc(kind, algorithm, x, w, {{c.filters}, kFloat, Tag::a}, y, strides,
                            dilations, before, after)
               : Call::desc(kind, algorithm, x, w, y, strides, dilations, before, after);
  const Call::primitive_desc made(description, attributes(epilogue), cpu());
  return {Call(made), x, made.weights_desc(), y, made.scratchpad_desc()};
}

}  // namespace

std::unique_ptr<DenseCall> dense_convolution(const Convolution& c, const float* w,
                                             const float* bias, const Epilogue& epilogue) {
  stream();  // one thread, before primitives are made for a number of them
  auto parts = std::make_unique<DenseCall::Parts>();
  parts->has_weights = true;
  parts->has_bias = bias != nullptr;
  parts->adds = epilogue.adds;
  const std::int64_t x_row = c.width * c.channels, y_row = c.out_width * c.filters;
  const double operations =
      2.0 * static_cast<double>(c.out_height * y_row) *
      static_cast<double>(c.channels / c.group * c.kernel_height * c.kernel_width);
  const Memory::dims plain = {c.filters, c.channels / c.group, c.kernel_height, c.kernel_width};
  const Memory::dims grouped = {c.group, c.filters / c.group, plain[1], plain[2], plain[3]};
  const Description given = c.group > 1 ? Description(grouped, kFloat, Tag::goihw)
                                        : Description(plain, kFloat, Tag::oihw);
  std::vector<ConvolutionRows> shapes;
  std::vector<std::size_t> weights;
  const std::size_t bias_at =
      bias == nullptr
          ? 0
          : parts->constant({{c.filters}, kFloat, Tag::a}, {{c.filters}, kFloat, Tag::a}, bias);
  for (const Range out : spans(c.out_height, part_count(operations, c.out_height))) {
    ConvolutionRows rows = rows_of(c, out);
    const std::int64_t in_begin = std::exchange(rows.in_begin, 0);
    const auto known = std::find(shapes.begin(), shapes.end(), rows);
    const auto variant = static_cast<std::size_t>(known - shapes.begin());
    if (known == shapes.end()) {
      shapes.push_back(rows);
      parts->variants.push_back(convolution_variant(c, rows, bias != nullptr, epilogue));
      const Description& wanted = parts->variants.back().right;
      std::size_t same = 0;
      while (same < variant && parts->variants[same].right != wanted) ++same;
      weights.push_back(same < variant ? weights[same] : parts->constant(given, wanted, w));
    }
    for (std::int64_t image = 0; image < c.batch; ++image) {
      parts->tiles.push_back({variant, image * c.height * x_row + in_begin * x_row, 0,
                              image * c.out_height * y_row + out.begin * y_row, weights[variant],
                              bias_at, 1, out.size() * y_row, 0});
    }
  }
  return std::unique_ptr<DenseCall>(new DenseCall(std::move(parts)));
}

// ---- Product ----

namespace {

DenseCall::Parts::Variant product_variant(const DenseProduct& p, Range rows, Range columns,
                                          bool has_weights, bool has_bias,
                                          const Epilogue& epilogue) {
  const Description x({rows.size(), p.depth}, kFloat, Tag::ab);
  const Description y({rows.size(), columns.size()}, kFloat, Memory::dims{p.columns, 1});
  const Memory::dims shape = {p.depth, columns.size()};
  const Memory::dims strides =
      p.right_is_transposed ? Memory::dims{1, p.depth} : Memory::dims{p.columns, 1};
  const Description w =
      has_weights ? Description(shape, kFloat, Tag::any) : Description(shape, kFloat, strides);
  using Call = dnnl::matmul;
  const auto description =
      has_bias ? Call::desc(x, w, Description({1, columns.size()}, kFloat, Tag::ab), y)
               : Call::desc(x, w, y);
  const Call::primitive_desc made(description, attributes(epilogue), cpu());
  return {Call(made), x, made.weights_desc(), y, made.scratchpad_desc()};
}

}  // namespace

std::unique_ptr<DenseCall> dense_product(const DenseProduct& p, const float* w, const float* bias,
                                         const Epilogue& epilogue) {
  stream();
  auto parts = std::make_unique<DenseCall::Parts>();
  parts->has_weights = w != nullptr;
  parts->has_bias = bias != nullptr;
  parts->adds = epilogue.adds;
  // Rows of a batch that shares its right operand are rows of one product.
  const std::int64_t rows = p.shares_right ? p.batch * p.rows : p.rows;
  const std::int64_t batch = p.shares_right ? 1 : p.batch;
  const double operations =
      2.0 * static_cast<double>(rows * p.columns) * static_cast<double>(p.depth);
  constexpr std::int64_t kColumns = 64, kRows = 8;
  const std::int64_t wanted = batch > 1 ? 1 : part_count(operations, 1 << 20);
  const bool by_columns = p.columns / kColumns >= wanted && p.columns >= rows / 4;
  const auto row_spans = spans(rows, by_columns ? 1 : wanted, kRows);
  const auto column_spans = spans(p.columns, by_columns ? wanted : 1, kColumns);
  struct Shape {
    std::int64_t rows, columns;
    std::size_t variant;
  };
  std::vector<Shape> shapes;
  for (const Range column : column_spans) {
    std::optional<std::pair<Description, std::size_t>> packed;
    std::size_t bias_at = 0;
    if (bias != nullptr) {
      const Description part({1, column.size()}, kFloat, Tag::ab);
      bias_at = parts->constant(part, part, bias + column.begin);
    }
    for (const Range row : row_spans) {
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
        packed = {variant.right, parts->constant(given, variant.right, w + right)};
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
