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

// y[i] += x[i], y[i] = max(y[i], x[i]) with NaN kept.
void accumulate_sum(const float* x, float* y, std::int64_t count);
void accumulate_max(const float* x, float* y, std::int64_t count);

}  // namespace tandem
