#include "tandem/kernels/real_lanes.h"

#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tandem/kernels/real_lanes.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h, which includes this file once for each instruction set.
#include <hwy/cache_control.h>
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tandem {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

template <std::size_t kCount>
HWY_INLINE V polynomial(V x, const float (&coefficients)[kCount]) {
  const D d;
  V result = hn::Set(d, coefficients[kCount - 1]);
  for (std::size_t i = kCount - 1; i-- > 0;)
    result = hn::MulAdd(result, x, hn::Set(d, coefficients[i]));
  return result;
}

// hn::Exp without its assumption that x is finite and in range.
HWY_INLINE V exponential(V x) {
  const D d;
  const V low = hn::Set(d, -87.5F), high = hn::Set(d, 88.7F);
  V result = hn::Exp(d, hn::Min(hn::Max(x, low), high));
  result =
      hn::IfThenElse(hn::Gt(x, high), hn::Set(d, std::numeric_limits<float>::infinity()), result);
  result = hn::IfThenElse(hn::Lt(x, hn::Set(d, -103.9F)), hn::Zero(d), result);
  return hn::IfThenElse(hn::IsNaN(x), x, result);
}

// e^-x for x from -87 to 87, within 2 units in the last place: 2^n times a polynomial of 2^f with f
// in [-1/2, 1/2]. How long one number takes bounds the rate, since few of them are under way at
// once: the polynomial is summed in pairs, and what is rounded is so by a sum.
HWY_INLINE V exponential_of_negative(V x) {
  const D d;
  const hn::RebindToSigned<D> integers;
  // Least relative error of 2^f by iterated reweighting.
  const auto set = [&](float value) { return hn::Set(d, value); };
  const V factor = set(-1.44269502F);  // -1 / log(2) in two parts
  const V integer = set(12582912.0F);  // 1.5 * 2^23: one unit in the last place is 1
  const V rounded = hn::MulAdd(x, factor, integer);
  const V n = hn::Sub(rounded, integer);
  const V f = hn::MulAdd(x, set(-1.9259630e-8F), hn::MulSub(x, factor, n));
  const V square = hn::Mul(f, f);
  const V upper = hn::MulAdd(square, set(1.53532581e-4F),
                             hn::MulAdd(f, set(1.33990036e-3F), set(9.6184386e-3F)));
  const V middle = hn::MulAdd(f, set(0.0555033216F), set(0.240226479F));
  const V lower = hn::MulAdd(f, set(0.693147203F), set(1));
  const V power = hn::MulAdd(hn::MulAdd(upper, square, middle), square, lower);
  const auto exponent = hn::ShiftLeft<23>(hn::BitCast(integers, rounded));
  return hn::BitCast(d, hn::Add(hn::BitCast(integers, power), exponent));
}

// e^x for x up to 0, where it is 0 below -87.
HWY_INLINE V exponential_up_to_1(V x) {
  const D d;
  const V least = hn::Set(d, -87);
  const V power = exponential_of_negative(hn::Neg(hn::Max(x, least)));
  return hn::IfThenElse(hn::IsNaN(x), x, hn::IfThenZeroElse(hn::Lt(x, least), power));
}

// 1 / x for x from 1 on, within 2 units in the last place: the processor's estimate (of 14 bits
// with AVX-512, 8 or more elsewhere), refined.
HWY_INLINE V reciprocal(V x) {
  const D d;
  constexpr int kSteps = HWY_TARGET <= HWY_AVX3 ? 1 : 2;
  V estimate = hn::ApproximateReciprocal(x);
  for (int step = 0; step < kSteps; ++step)
    estimate = hn::MulAdd(estimate, hn::NegMulAdd(x, estimate, hn::Set(d, 1)), estimate);
  return estimate;
}

// Below -87 it is 0 within the least normal number. Anything for NaN.
HWY_INLINE V sigmoid_of_number(V x) {
  const D d;
  const V most = hn::Set(d, 87);
  const V power = exponential_of_negative(hn::Min(hn::Max(x, hn::Neg(most)), most));
  return reciprocal(hn::Add(hn::Set(d, 1), power));
}
HWY_INLINE V sigmoid(V x) { return hn::IfThenElse(hn::IsNaN(x), x, sigmoid_of_number(x)); }

// x p(x^2) / q(x^2) for x in [-limit, limit], at most 1 in magnitude. Anything for NaN.
template <std::size_t kUpper, std::size_t kLower>
HWY_INLINE V odd_ratio(V x, float limit, const float (&upper)[kUpper],
                       const float (&lower)[kLower]) {
  const D d;
  const V one = hn::Set(d, 1), most = hn::Set(d, limit);
  x = hn::Min(hn::Max(x, hn::Neg(most)), most);
  const V square = hn::Mul(x, x);
  const V ratio =
      hn::Mul(hn::Mul(x, polynomial(square, upper)), reciprocal(polynomial(square, lower)));
  return hn::Min(hn::Max(ratio, hn::Neg(one)), one);
}

// Both are fitted to the exact functions, least relative error by iterated reweighting; at the
// limits they reach 1.
HWY_INLINE V tangent_of_number(V x) {
  static constexpr float kUpper[] = {0.999999979F, 0.133797291F, 0.00349404742F, 2.05836779e-05F,
                                     1.33193167e-08F};
  static constexpr float kLower[] = {1.0F, 0.467130444F, 0.0258711231F, 0.000328311322F,
                                     7.76212544e-07F};
  return odd_ratio(x, 9.1F, kUpper, kLower);
}
HWY_INLINE V tangent(V x) { return hn::IfThenElse(hn::IsNaN(x), x, tangent_of_number(x)); }

HWY_INLINE V error_function_of_number(V x) {
  static constexpr float kUpper[] = {1.12837915F,    0.190404888F,    0.0527485215F,
                                     0.00376555038F, 0.000284881418F, 2.05010239e-06F};
  static constexpr float kLower[] = {1.0F,          0.50207468F,    0.114108465F,
                                     0.0149690844F, 0.00116251965F, 3.80918021e-05F};
  return odd_ratio(x, 4.0F, kUpper, kLower);
}
HWY_INLINE V error_function(V x) {
  return hn::IfThenElse(hn::IsNaN(x), x, error_function_of_number(x));
}

HWY_INLINE V clip(V x, V low, V high) {
  return hn::IfThenElse(hn::IsNaN(x), x, hn::Min(hn::Max(x, low), high));
}

HWY_INLINE V hard_sigmoid(V x, V alpha, V beta) {
  const D d;
  return clip(hn::MulAdd(x, alpha, beta), hn::Zero(d), hn::Set(d, 1));
}

// y[i] = function(a[i]), the last elements through vectors that are filled up.
template <typename Function>
HWY_INLINE void map_one(const float* a, float* y, std::int64_t count, const Function& function) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(function(hn::LoadU(d, a + i)), d, y + i);
  if (i == count) return;
  alignas(64) float rest[hn::MaxLanes(D())] = {};
  for (std::int64_t j = i; j < count; ++j) rest[j - i] = a[j];
  hn::Store(function(hn::Load(d, rest)), d, rest);
  for (std::int64_t j = i; j < count; ++j) y[j] = rest[j - i];
}

template <typename Function>
HWY_INLINE void map_two(const float* a, const float* b, float* y, std::int64_t count,
                        const Function& function) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes)
    hn::StoreU(function(hn::LoadU(d, a + i), hn::LoadU(d, b + i)), d, y + i);
  if (i == count) return;
  alignas(64) float left[hn::MaxLanes(D())] = {}, right[hn::MaxLanes(D())] = {};
  for (std::int64_t j = i; j < count; ++j) {
    left[j - i] = a[j];
    right[j - i] = b[j];
  }
  hn::Store(function(hn::Load(d, left), hn::Load(d, right)), d, left);
  for (std::int64_t j = i; j < count; ++j) y[j] = left[j - i];
}

HWY_INLINE V with_nan(V a, V b, V result) {
  result = hn::IfThenElse(hn::IsNaN(a), a, result);
  return hn::IfThenElse(hn::IsNaN(b), b, result);
}

void apply_one(const RealCall& call, const float* a, float* y, std::int64_t count) {
  const D d;
  const V zero = hn::Zero(d), one = hn::Set(d, 1), half = hn::Set(d, 0.5F);
  const V alpha = hn::Set(d, call.alpha), beta = hn::Set(d, call.beta);
  const auto map = [&](const auto& function) { map_one(a, y, count, function); };
  switch (call.function) {
    case RealFunction::kNegate: return map([](V x) { return hn::Neg(x); });
    case RealFunction::kAbs: return map([](V x) { return hn::Abs(x); });
    case RealFunction::kSquareRoot: return map([](V x) { return hn::Sqrt(x); });
    case RealFunction::kReciprocal: return map([&](V x) { return hn::Div(one, x); });
    case RealFunction::kExp: return map([](V x) { return exponential(x); });
    case RealFunction::kErf: return map([](V x) { return error_function(x); });
    case RealFunction::kTanh: return map([](V x) { return tangent(x); });
    case RealFunction::kSigmoid: return map([](V x) { return sigmoid(x); });
    case RealFunction::kFloor: return map([](V x) { return hn::Floor(x); });
    case RealFunction::kCeil: return map([](V x) { return hn::Ceil(x); });
    case RealFunction::kRound: return map([](V x) { return hn::Round(x); });
    case RealFunction::kRelu:
      if (call.alpha == 0)
        return map([&](V x) { return hn::IfThenElse(hn::IsNaN(x), x, hn::Max(x, zero)); });
      return map([&](V x) { return hn::IfThenElse(hn::Lt(x, zero), hn::Mul(x, alpha), x); });
    case RealFunction::kClip: return map([&](V x) { return clip(x, alpha, beta); });
    case RealFunction::kHardSigmoid: return map([&](V x) { return hard_sigmoid(x, alpha, beta); });
    case RealFunction::kHardSwish:
      return map([&](V x) { return hn::Mul(x, hard_sigmoid(x, hn::Set(d, 1 / 6.0F), half)); });
    case RealFunction::kSwish: return map([](V x) { return hn::Mul(x, sigmoid_of_number(x)); });
    case RealFunction::kGelu:
      return map([&](V x) {
        const V erf = error_function_of_number(hn::Mul(x, hn::Set(d, 0.70710678F)));
        return hn::Mul(hn::Mul(half, x), hn::Add(one, erf));
      });
    case RealFunction::kGeluTanh:
      return map([&](V x) {
        const V cube = hn::Mul(hn::Mul(x, x), x);
        const V inner =
            hn::Mul(hn::Set(d, 0.79788456F), hn::MulAdd(cube, hn::Set(d, 0.044715F), x));
        return hn::Mul(hn::Mul(half, x), hn::Add(one, tangent_of_number(inner)));
      });
    default: return map([](V x) { return x; });
  }
}

void apply_two(const RealCall& call, const float* a, const float* b, float* y, std::int64_t count) {
  const auto map = [&](const auto& function) { map_two(a, b, y, count, function); };
  switch (call.function) {
    case RealFunction::kAdd: return map([](V x, V z) { return hn::Add(x, z); });
    case RealFunction::kSubtract: return map([](V x, V z) { return hn::Sub(x, z); });
    case RealFunction::kMultiply: return map([](V x, V z) { return hn::Mul(x, z); });
    case RealFunction::kDivide: return map([](V x, V z) { return hn::Div(x, z); });
    case RealFunction::kMin: return map([](V x, V z) { return with_nan(x, z, hn::Min(x, z)); });
    default: return map([](V x, V z) { return with_nan(x, z, hn::Max(x, z)); });
  }
}

float sum(const float* x, std::int64_t count) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  V first = hn::Zero(d), second = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    first = hn::Add(first, hn::LoadU(d, x + i));
    second = hn::Add(second, hn::LoadU(d, x + i + lanes));
  }
  float rest = 0;
  for (; i < count; ++i) rest += x[i];
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(first, second))) + rest;
}

// The greatest element that is no NaN.
float greatest_of(const float* x, std::int64_t count) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const V least = hn::Set(d, -std::numeric_limits<float>::infinity());
  V greatest = least;
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const V v = hn::LoadU(d, x + i);
    greatest = hn::IfThenElse(hn::Gt(v, greatest), v, greatest);
  }
  float result = hn::GetLane(hn::MaxOfLanes(d, greatest));
  for (; i < count; ++i) result = x[i] > result ? x[i] : result;
  return result;
}

void softmax(const float* x, float* y, std::int64_t count) {
  const D d;
  const V shift = hn::Set(d, greatest_of(x, count));
  map_one(x, y, count, [&](V v) { return exponential_up_to_1(hn::Sub(v, shift)); });
  const V factor = hn::Set(d, 1 / sum(y, count));
  // Subnormal numbers, as masks make them, slow down what reads them a hundredfold.
  const V least = hn::Set(d, std::numeric_limits<float>::min());
  map_one(y, y, count, [&](V v) {
    const V share = hn::Mul(v, factor);
    return hn::IfThenZeroElse(hn::Lt(share, least), share);
  });
}

void normalize(const float* x, const float* scale, const float* bias, float epsilon,
               bool without_mean, float* y, std::int64_t count) {
  const D d;
  const float size = static_cast<float>(count);
  const float mean = without_mean ? 0 : sum(x, count) / size;
  const V center = hn::Set(d, mean);
  map_one(x, y, count, [&](V v) {
    const V difference = hn::Sub(v, center);
    return hn::Mul(difference, difference);
  });
  const V factor = hn::Set(d, 1 / std::sqrt(sum(y, count) / size + epsilon));
  map_one(x, y, count, [&](V v) { return hn::Mul(hn::Sub(v, center), factor); });
  if (scale != nullptr) map_two(y, scale, y, count, [](V a, V b) { return hn::Mul(a, b); });
  if (bias != nullptr) map_two(y, bias, y, count, [](V a, V b) { return hn::Add(a, b); });
}

// y[c] = finish(combine over k of x[rows[k] * stride + c]).
template <typename Combine, typename Finish>
HWY_INLINE void combine_rows(const float* x, const std::int64_t* rows, std::int64_t count,
                             std::int64_t stride, std::int64_t channels, float* y,
                             const Combine& combine, const Finish& finish) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const hn::CappedTag<float, 1> one;
  std::int64_t c = 0;
  // Four vectors at a time, none of which waits for another.
  for (; c + 4 * lanes <= channels; c += 4 * lanes) {
    const float* from = x + rows[0] * stride + c;
    V r0 = hn::LoadU(d, from), r1 = hn::LoadU(d, from + lanes), r2 = hn::LoadU(d, from + 2 * lanes),
      r3 = hn::LoadU(d, from + 3 * lanes);
    for (std::int64_t k = 1; k < count; ++k) {
      from = x + rows[k] * stride + c;
      r0 = combine(d, r0, hn::LoadU(d, from));
      r1 = combine(d, r1, hn::LoadU(d, from + lanes));
      r2 = combine(d, r2, hn::LoadU(d, from + 2 * lanes));
      r3 = combine(d, r3, hn::LoadU(d, from + 3 * lanes));
    }
    hn::StoreU(finish(d, r0), d, y + c);
    hn::StoreU(finish(d, r1), d, y + c + lanes);
    hn::StoreU(finish(d, r2), d, y + c + 2 * lanes);
    hn::StoreU(finish(d, r3), d, y + c + 3 * lanes);
  }
  for (; c + lanes <= channels; c += lanes) {
    V result = hn::LoadU(d, x + rows[0] * stride + c);
    for (std::int64_t k = 1; k < count; ++k)
      result = combine(d, result, hn::LoadU(d, x + rows[k] * stride + c));
    hn::StoreU(finish(d, result), d, y + c);
  }
  for (; c < channels; ++c) {
    auto result = hn::LoadU(one, x + rows[0] * stride + c);
    for (std::int64_t k = 1; k < count; ++k)
      result = combine(one, result, hn::LoadU(one, x + rows[k] * stride + c));
    hn::StoreU(finish(one, result), one, y + c);
  }
}

void sum_rows(const float* x, const std::int64_t* rows, std::int64_t count, float factor,
              std::int64_t stride, std::int64_t channels, float* y) {
  combine_rows(
      x, rows, count, stride, channels, y, [](auto, auto a, auto b) { return hn::Add(a, b); },
      [&](auto d, auto a) { return hn::Mul(a, hn::Set(d, factor)); });
}

// Max gives the second operand where one is NaN on some processors, the number on others.
void max_rows(const float* x, const std::int64_t* rows, std::int64_t count, std::int64_t stride,
              std::int64_t channels, float* y) {
  combine_rows(
      x, rows, count, stride, channels, y,
      [](auto, auto a, auto b) { return hn::IfThenElse(hn::Or(hn::Gt(b, a), hn::IsNaN(b)), b, a); },
      [](auto, auto a) { return a; });
}

void product_row(const float* x, std::int64_t depth, const float* panel, std::int64_t columns,
                 float* sums) {
  const hn::CappedTag<float, kProductPanel / 8> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  alignas(64) float results[kProductPanel];
  constexpr std::int64_t kAhead = 6;  // rows whose weights are under way
  for (std::int64_t begin = 0; begin < columns; begin += 8 * lanes) {
    const float* w = panel + begin;
    auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
    for (std::int64_t k = 0; k < depth; ++k, w += kProductPanel) {
      const auto factor = hn::Set(d, x[k]);
      for (std::int64_t line = 0; line < 8 * lanes; line += 16)
        hwy::Prefetch(w + kAhead * kProductPanel + line);
      s0 = hn::MulAdd(factor, hn::LoadU(d, w), s0);
      s1 = hn::MulAdd(factor, hn::LoadU(d, w + lanes), s1);
      s2 = hn::MulAdd(factor, hn::LoadU(d, w + 2 * lanes), s2);
      s3 = hn::MulAdd(factor, hn::LoadU(d, w + 3 * lanes), s3);
      s4 = hn::MulAdd(factor, hn::LoadU(d, w + 4 * lanes), s4);
      s5 = hn::MulAdd(factor, hn::LoadU(d, w + 5 * lanes), s5);
      s6 = hn::MulAdd(factor, hn::LoadU(d, w + 6 * lanes), s6);
      s7 = hn::MulAdd(factor, hn::LoadU(d, w + 7 * lanes), s7);
    }
    float* to = results + begin;
    for (const auto& sum : {s0, s1, s2, s3, s4, s5, s6, s7}) {
      hn::StoreU(sum, d, to);
      to += lanes;
    }
  }
  for (std::int64_t j = 0; j < columns; ++j) sums[j] += results[j];
}

// Rows of four quarters at a time: the processor sees four streams, each of which goes on where it
// stands, and fetches ahead of them by itself. Four rows side by side would end with every row.
void weighted_rows(const float* x, const float* w, std::int64_t rows, std::int64_t stride,
                   std::int64_t columns, float* sums) {
  constexpr std::int64_t kStreams = 4;
  const D d;
  const hn::CappedTag<float, 1> one;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t quarter = rows / kStreams;
  const auto add_quarters = [&](auto tag, std::int64_t k, std::int64_t j) HWY_ATTR {
    auto sum = hn::LoadU(tag, sums + j);
    for (std::int64_t i = 0; i < kStreams; ++i) {
      const std::int64_t row = k + i * quarter;
      sum = hn::MulAdd(hn::Set(tag, x[row]), hn::LoadU(tag, w + row * stride + j), sum);
    }
    hn::StoreU(sum, tag, sums + j);
  };
  const auto add_row = [&](auto tag, std::int64_t row, std::int64_t j) HWY_ATTR {
    const auto weights = hn::LoadU(tag, w + row * stride + j);
    hn::StoreU(hn::MulAdd(hn::Set(tag, x[row]), weights, hn::LoadU(tag, sums + j)), tag, sums + j);
  };
  const auto add_all = [&](std::int64_t row, const auto& add) HWY_ATTR {
    std::int64_t j = 0;
    for (; j + lanes <= columns; j += lanes) add(d, row, j);
    for (; j < columns; ++j) add(one, row, j);
  };
  for (std::int64_t k = 0; k < quarter; ++k) add_all(k, add_quarters);
  for (std::int64_t row = kStreams * quarter; row < rows; ++row) add_all(row, add_row);
}

// The sums of one row in lanes, and what is left of it.
HWY_INLINE float dot_end(const float* x, const float* w, std::int64_t at, std::int64_t count,
                         V sum) {
  float rest = 0;
  for (; at < count; ++at) rest += x[at] * w[at];
  return hn::GetLane(hn::SumOfLanes(D(), sum)) + rest;
}

float dot(const float* x, const float* w, std::int64_t count) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  V a = hn::Zero(d), b = a;
  std::int64_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    a = hn::MulAdd(hn::LoadU(d, x + i), hn::LoadU(d, w + i), a);
    b = hn::MulAdd(hn::LoadU(d, x + i + lanes), hn::LoadU(d, w + i + lanes), b);
  }
  return dot_end(x, w, i, count, hn::Add(a, b));
}

// Rows of four quarters at a time, as in weighted_rows(), each as dot() takes it.
void dots(const float* x, const float* w, std::int64_t rows, std::int64_t count, float* results) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t quarter = rows / 4;
  for (std::int64_t row = 0; row < quarter; ++row) {
    const float *w0 = w + row * count, *w1 = w0 + quarter * count, *w2 = w1 + quarter * count,
                *w3 = w2 + quarter * count;
    V a0 = hn::Zero(d), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
    std::int64_t i = 0;
    for (; i + 2 * lanes <= count; i += 2 * lanes) {
      const V left = hn::LoadU(d, x + i), right = hn::LoadU(d, x + i + lanes);
      a0 = hn::MulAdd(left, hn::LoadU(d, w0 + i), a0);
      b0 = hn::MulAdd(right, hn::LoadU(d, w0 + i + lanes), b0);
      a1 = hn::MulAdd(left, hn::LoadU(d, w1 + i), a1);
      b1 = hn::MulAdd(right, hn::LoadU(d, w1 + i + lanes), b1);
      a2 = hn::MulAdd(left, hn::LoadU(d, w2 + i), a2);
      b2 = hn::MulAdd(right, hn::LoadU(d, w2 + i + lanes), b2);
      a3 = hn::MulAdd(left, hn::LoadU(d, w3 + i), a3);
      b3 = hn::MulAdd(right, hn::LoadU(d, w3 + i + lanes), b3);
    }
    results[row] = dot_end(x, w0, i, count, hn::Add(a0, b0));
    results[row + quarter] = dot_end(x, w1, i, count, hn::Add(a1, b1));
    results[row + 2 * quarter] = dot_end(x, w2, i, count, hn::Add(a2, b2));
    results[row + 3 * quarter] = dot_end(x, w3, i, count, hn::Add(a3, b3));
  }
  for (std::int64_t row = 4 * quarter; row < rows; ++row)
    results[row] = dot(x, w + row * count, count);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tandem
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tandem {
namespace {

HWY_EXPORT(apply_one);
HWY_EXPORT(apply_two);
HWY_EXPORT(sum);
HWY_EXPORT(softmax);
HWY_EXPORT(normalize);
HWY_EXPORT(sum_rows);
HWY_EXPORT(max_rows);
HWY_EXPORT(product_row);
HWY_EXPORT(weighted_rows);
HWY_EXPORT(dots);

}  // namespace

void apply(const RealCall& call, const float* a, const float* b, float* y, std::int64_t count) {
  if (call.function == RealFunction::kLog) {
    for (std::int64_t i = 0; i < count; ++i) y[i] = std::log(a[i]);
  } else if (call.function == RealFunction::kPower) {
    for (std::int64_t i = 0; i < count; ++i) y[i] = std::pow(a[i], b[i]);
  } else if (b == nullptr) {
    HWY_DYNAMIC_DISPATCH(apply_one)(call, a, y, count);
  } else {
    HWY_DYNAMIC_DISPATCH(apply_two)(call, a, b, y, count);
  }
}

void softmax_row(const float* x, float* y, std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(softmax)(x, y, count);
}

void normalize_row(const float* x, const float* scale, const float* bias, float epsilon,
                   bool without_mean, float* y, std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(normalize)(x, scale, bias, epsilon, without_mean, y, count);
}

float sum_row(const float* x, std::int64_t count) { return HWY_DYNAMIC_DISPATCH(sum)(x, count); }

float max_row(const float* x, std::int64_t count) {
  float best = x[0];
  for (std::int64_t i = 1; i < count; ++i) best = x[i] > best || std::isnan(x[i]) ? x[i] : best;
  return best;
}

void sum_of_rows(const float* x, const std::int64_t* rows, std::int64_t count, float factor,
                 std::int64_t stride, std::int64_t channels, float* y) {
  HWY_DYNAMIC_DISPATCH(sum_rows)(x, rows, count, factor, stride, channels, y);
}
void max_of_rows(const float* x, const std::int64_t* rows, std::int64_t count, std::int64_t stride,
                 std::int64_t channels, float* y) {
  HWY_DYNAMIC_DISPATCH(max_rows)(x, rows, count, stride, channels, y);
}

std::int64_t product_panels(std::int64_t columns) {
  return (columns + kProductPanel - 1) / kProductPanel;
}

void turn_to_product_panels(const float* w, std::int64_t columns, std::int64_t depth, float* to) {
  for (std::int64_t begin = 0; begin < columns; begin += kProductPanel)
    for (std::int64_t k = 0; k < depth; ++k)
      for (std::int64_t j = begin; j < begin + kProductPanel; ++j)
        *to++ = j < columns ? w[j * depth + k] : 0;
}

void add_product_row(const float* x, std::int64_t depth, const float* panel, std::int64_t columns,
                     float* sums) {
  HWY_DYNAMIC_DISPATCH(product_row)(x, depth, panel, columns, sums);
}

void add_weighted_rows(const float* x, const float* w, std::int64_t rows, std::int64_t stride,
                       std::int64_t columns, float* sums) {
  HWY_DYNAMIC_DISPATCH(weighted_rows)(x, w, rows, stride, columns, sums);
}

void inner_products(const float* x, const float* w, std::int64_t rows, std::int64_t count,
                    float* results) {
  HWY_DYNAMIC_DISPATCH(dots)(x, w, rows, count, results);
}

}  // namespace tandem
#endif  // HWY_ONCE
