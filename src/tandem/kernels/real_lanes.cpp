#include "tandem/kernels/real_lanes.h"

#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tandem/kernels/real_lanes.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h, which includes this file once for each instruction set.
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

// Below -88 it is 0 within half a subnormal unit.
HWY_INLINE V sigmoid(V x) {
  const D d;
  const V one = hn::Set(d, 1), most = hn::Set(d, 88);
  const V power = hn::Exp(d, hn::Min(hn::Max(hn::Neg(x), hn::Neg(most)), most));
  return hn::IfThenElse(hn::IsNaN(x), x, hn::Div(one, hn::Add(one, power)));
}

// Odd polynomial near 0; elsewhere (e^2x - 1) / (e^2x + 1), which is 1 in f32 from 9.1 on.
HWY_INLINE V tangent(V x) {
  const D d;
  const V one = hn::Set(d, 1);
  const V magnitude = hn::Min(hn::Abs(x), hn::Set(d, 9.2F));
  const V power = hn::Exp(d, hn::Add(magnitude, magnitude));
  const V far = hn::Sub(one, hn::Div(hn::Set(d, 2), hn::Add(power, one)));
  static constexpr float kNear[] = {1.0F,         -0.33333333F,   0.13333333F,  -0.053968254F,
                                    0.021869488F, -0.0088632355F, 0.0035921280F};
  const V near = hn::Mul(magnitude, polynomial(hn::Mul(magnitude, magnitude), kNear));
  const V result = hn::IfThenElse(hn::Lt(magnitude, hn::Set(d, 0.35F)), near, far);
  return hn::IfThenElse(hn::IsNaN(x), x, hn::CopySign(result, x));
}

// erf(x) / x as a polynomial in x^2 below 1, -log(1 - erf(x)) as one in x up to 4, both fitted to
// the exact function at Chebyshev nodes; 1 beyond.
HWY_INLINE V error_function(V x) {
  const D d;
  static constexpr float kNear[] = {1.1283792F,    -0.37612638F,    0.11283783F,    -0.026865438F,
                                    0.0052210535F, -0.00084843964F, 0.00011268254F, -9.67359e-06F};
  static constexpr float kFar[] = {-0.00030321299F, 1.1301667F,     0.63193709F,
                                   0.10997824F,     -0.026364712F,  0.0047402224F,
                                   -0.00059276953F, 4.5590623e-05F, -1.6140616e-06F};
  const V magnitude = hn::Min(hn::Abs(x), hn::Set(d, 4));
  const V near = hn::Mul(magnitude, polynomial(hn::Mul(magnitude, magnitude), kNear));
  const V far = hn::Sub(hn::Set(d, 1), hn::Exp(d, hn::Neg(polynomial(magnitude, kFar))));
  const V result = hn::IfThenElse(hn::Lt(magnitude, hn::Set(d, 1)), near, far);
  return hn::IfThenElse(hn::IsNaN(x), x, hn::CopySign(result, x));
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
    case RealFunction::kSwish: return map([](V x) { return hn::Mul(x, sigmoid(x)); });
    case RealFunction::kGelu:
      return map([&](V x) {
        const V erf = error_function(hn::Mul(x, hn::Set(d, 0.70710678F)));
        return hn::Mul(hn::Mul(half, x), hn::Add(one, erf));
      });
    case RealFunction::kGeluTanh:
      return map([&](V x) {
        const V cube = hn::Mul(hn::Mul(x, x), x);
        const V inner =
            hn::Mul(hn::Set(d, 0.79788456F), hn::MulAdd(cube, hn::Set(d, 0.044715F), x));
        return hn::Mul(hn::Mul(half, x), hn::Add(one, tangent(inner)));
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
  map_one(x, y, count, [&](V v) { return exponential(hn::Sub(v, shift)); });
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

void add_to(const float* x, float* y, std::int64_t count) {
  map_two(x, y, y, count, [](V a, V b) { return hn::Add(a, b); });
}
void max_to(const float* x, float* y, std::int64_t count) {
  map_two(x, y, y, count, [](V a, V b) { return with_nan(a, b, hn::Max(a, b)); });
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
HWY_EXPORT(add_to);
HWY_EXPORT(max_to);

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

void accumulate_sum(const float* x, float* y, std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(add_to)(x, y, count);
}
void accumulate_max(const float* x, float* y, std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(max_to)(x, y, count);
}

}  // namespace tandem
#endif  // HWY_ONCE
