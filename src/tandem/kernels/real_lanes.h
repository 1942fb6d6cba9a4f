#pragma once

#include <cstdint>

namespace tandem {

// Functions of f32, element by element, with the widest vectors of the processor. Results are
// within a few units in the last place of the exact ones; they do not depend on how a range is cut.
enum class RealFunction {
  // of one operand
  kCopy,
  kNegate,
  kAbs,
  kSquareRoot,
  kReciprocal,
  kExp,
  kLog,
  kErf,
  kTanh,
  kSigmoid,
  kFloor,
  kCeil,
  kRound,        // ties to even
  kRelu,         // max(a, 0) + alpha * min(a, 0)
  kClip,         // min(max(a, alpha), beta); NaN stays
  kHardSigmoid,  // max(0, min(1, alpha * a + beta))
  kHardSwish,
  kSwish,  // a * sigmoid(a)
  kGelu,   // with the error function
  kGeluTanh,
  // of two
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kMin,  // NaN where either is
  kMax,
  kPower
};

struct RealCall {
  RealFunction function = RealFunction::kCopy;
  float alpha = 0, beta = 0;
};

// y[i] = function(a[i], b[i]) for `count` elements; `b` is null for functions of one operand. y may
// be a or b.
void apply(const RealCall& call, const float* a, const float* b, float* y, std::int64_t count);

// y = e^(x - max) / sum over `count` elements, which lie side by side; 0 where that is subnormal.
void softmax_row(const float* x, float* y, std::int64_t count);

// y = (x - mean) / sqrt(variance + epsilon) * scale + bias over `count` elements; scale and bias
// may be null, and mean_only_square leaves the mean out (root mean square normalization).
void normalize_row(const float* x, const float* scale, const float* bias, float epsilon,
                   bool without_mean, float* y, std::int64_t count);

// The sum of `count` elements, in an order that depends on the count and the instruction set only.
float sum_row(const float* x, std::int64_t count);

// The greatest of `count` elements; NaN where one is.
float max_row(const float* x, std::int64_t count);

// Over rows of `channels` elements, `stride` elements apart in x: y[c] is factor times the sum, or
// the maximum with NaN kept, of the elements c of the `count` rows whose numbers are in `rows`.
void sum_of_rows(const float* x, const std::int64_t* rows, std::int64_t count, float factor,
                 std::int64_t stride, std::int64_t channels, float* y);
void max_of_rows(const float* x, const std::int64_t* rows, std::int64_t count, std::int64_t stride,
                 std::int64_t channels, float* y);

// Weights [columns, depth] in the order in which add_product_row() reads them: columns in panels of
// kProductPanel (zeros behind the last), of each one [depth, kProductPanel].
inline constexpr std::int64_t kProductPanel = 128;
std::int64_t product_panels(std::int64_t columns);
void turn_to_product_panels(const float* w, std::int64_t columns, std::int64_t depth, float* to);

// sums[j] += sum_k x[k] * w[j,k] for the columns of one panel, of which `columns` count.
void add_product_row(const float* x, std::int64_t depth, const float* panel, std::int64_t columns,
                     float* sums);

// sums[j] += sum_k x[k] * w[k * stride + j] for `rows` rows of `columns` elements, in an order
// that depends on the number of rows only.
void add_weighted_rows(const float* x, const float* w, std::int64_t rows, std::int64_t stride,
                       std::int64_t columns, float* sums);

// results[i] = sum_k x[k] * w[i * count + k] for `rows` rows, in an order that depends on the count
// and the instruction set only.
void inner_products(const float* x, const float* w, std::int64_t rows, std::int64_t count,
                    float* results);

}  // namespace tandem
