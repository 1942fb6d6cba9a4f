#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/compress/quantizer.h"
#include "tandem/numerics/code_grid.h"
#include "tandem/numerics/format.h"
#include "tandem/tensor/tensor.h"

namespace tandem {

// Which weights share a scale: all of a layer, those of an output channel, or blocks of a channel's
// weights that follow each other along the reduction. A block has at most `block` weights: the
// greatest divisor of the channel's count up to it, so that blocks are equal.
struct Granularity {
  enum class Kind { kTensor, kChannel, kBlock };
  Kind kind = Kind::kChannel;
  std::int64_t block = 0;
  friend bool operator==(const Granularity&, const Granularity&) = default;
};
std::string name(const Granularity& granularity);  // "tensor", "channel", "group:32"
Granularity parse_granularity(std::string_view text);

// The numbers of scales. Nested ones are codes themselves, of which `block` share an f32 scale of
// their own, the unit (QLoRA's double quantization, NVFP4, the blocks Q4_K and Q6_K of GGUF):
// neighbours along a channel, or channels where each has one scale; the greatest divisor of their
// count up to it.
struct ScaleRules {
  static constexpr std::int64_t kWhole = -1;  // all scales of a layer share the unit
  Format format;                              // f32, f16, bf16, e8m0, or of codes up to 8 bits
  std::int64_t block = 0;                     // 0: not nested
  friend bool operator==(const ScaleRules&, const ScaleRules&) = default;
};
std::string name(const ScaleRules& scales);  // "f32", "uint8:256", "e4m3:tensor"
ScaleRules parse_scale_rules(std::string_view text);

// The greatest divisor of a count up to a limit: how many numbers share a scale.
std::int64_t divisor_up_to(std::int64_t count, std::int64_t most);

struct WeightRules {
  // int<b>: symmetric, without the least code, so that both signs reach equally far; uint<b>: with
  // a zero point; any other format of codes.
  Format format = Format::integer(8, true);
  Granularity granularity;
  RangeMethod method = RangeMethod::kMse;  // kMinMax, kMse or kOutputError
  ScaleRules scales;
  friend bool operator==(const WeightRules&, const WeightRules&) = default;
};

// Weights seen as channels of numbers that are summed: rows [channels][reduced], from a tensor
// whose axis `axis` is the output channel's.
class WeightRows {
 public:
  WeightRows(const Shape& shape, std::int64_t axis);
  std::int64_t rows() const { return rows_; }
  std::int64_t columns() const { return columns_; }
  std::vector<double> from(const Tensor& weights) const;
  // Elements of rows in the tensor's own order.
  template <typename T>
  std::vector<T> back(const std::vector<T>& rows) const {
    std::vector<T> result(rows.size());
    for (std::int64_t r = 0; r < rows_; ++r)
      for (std::int64_t c = 0; c < columns_; ++c)
        result[place(r, c)] = rows[static_cast<std::size_t>(r * columns_ + c)];
    return result;
  }

 private:
  std::size_t place(std::int64_t row, std::int64_t column) const {
    return static_cast<std::size_t>((column / inner_ * rows_ + row) * inner_ + column % inner_);
  }
  std::int64_t rows_ = 1, columns_ = 1, inner_ = 1;
};

// The grid on which the weights of one scale lie: real = scale * (decode(code) - zero).
struct WeightGrid {
  double scale = 1;
  double zero = 0;
};

// Nearest representable numbers of a format, as every rounding of weights needs them.
class WeightCodec {
 public:
  explicit WeightCodec(const Format& format);
  const Format& format() const { return format_; }
  bool has_zero() const { return has_zero_; }
  double least() const { return least_; }
  double greatest() const { return greatest_; }
  // Between neighbours where the numbers are the multiples of a power of two; else 0.
  double step() const { return grid_ == nullptr && step_ <= greatest_ ? step_ : 0; }
  // The number of the format nearest to a real, ties to even, and its neighbours around it.
  double nearest(double real) const;
  double below(double real) const;  // the greatest not above
  double above(double real) const;  // the least not below

 private:
  Format format_;
  const CodeGrid* grid_ = nullptr;  // unless the numbers are evenly spaced
  double step_ = 1, least_ = 0, greatest_ = 0;
  bool has_zero_ = false;
};

// Weights in rows with their grids: one for each `block` columns of a row, or one for all.
struct WeightGrids {
  std::vector<WeightGrid> grids;
  std::int64_t blocks = 1;  // of a row
  bool per_tensor = false;
  std::int64_t columns = 1;
  // Of nested scales, one for `unit_block` grids each; empty where they are not nested.
  std::vector<double> units;
  std::int64_t unit_block = 0;

  const WeightGrid& at(std::int64_t row, std::int64_t column) const {
    if (per_tensor) return grids.front();
    return grids[static_cast<std::size_t>(row * blocks + column / (columns / blocks))];
  }
};

// What the inputs of a layer's weights are like, by group of output channels and column: what
// kOutputError asks for. The output's error of a row of errors d is then
// sum_c variance_c d_c^2 + (sum_c mean_c d_c)^2.
struct ColumnInputs {
  std::int64_t groups = 1;
  std::vector<double> mean, variance;  // [groups][columns]
};

// Throws Error on a number that is not finite, and on a format or method that weights cannot have.
// `inputs` are looked at for kOutputError alone.
void check_weight_rules(const WeightRules& rules);
WeightGrids choose_grids(const std::vector<double>& rows, std::int64_t columns,
                         const WeightRules& rules, const ColumnInputs& inputs = {});

// Weights as codes with what Dequantize needs: real = (codes - zeros) * scales, then `shape`, where
// codes, scales and zeros lie in blocks: [.., blocks, block ..] in the place of the reduced axes.
struct CodedWeights {
  Tensor codes;
  Tensor scales;  // of the scale's format (e8m0 and nested ones: f32), broadcast to codes
  // Nested scales as codes and units, broadcast to each other; `scales` has another shape.
  Tensor scale_codes, scale_units;
  Tensor zeros;  // f32, or empty
  Shape shape;   // of the weights, where codes have another
};

// Bits of packed codes with their scales and zero points, for rows [rows][columns].
std::int64_t coded_bits(std::int64_t rows, std::int64_t columns, const WeightRules& rules);

// `rounded` are decoded numbers in rows, one for each weight.
CodedWeights coded_weights(const WeightRows& layout, const Shape& shape, std::int64_t axis,
                           const std::vector<double>& rounded, const WeightGrids& grids,
                           const WeightRules& rules);

// Nearest rounding. Throws Error on a weight that is not finite.
CodedWeights quantize_weights(const Tensor& weights, std::int64_t axis, const WeightRules& rules);

}  // namespace tandem
