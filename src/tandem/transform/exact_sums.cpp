#include "tandem/transform/exact_sums.h"

#include <algorithm>
#include <cmath>

#include "tandem/numerics/rounding.h"
#include "tandem/ops/coded.h"

namespace tandem {
namespace {

// (x * x_factor + y * y_factor + addend) / 2^shift
struct Form {
  std::int64_t x_factor = 0, y_factor = 0, addend = 0;
  int shift = 0;
  Rounding rounding = Rounding::kFloor;
  std::int64_t zero = 0;  // what is added after the rounding

  std::int64_t at(std::int64_t x, std::int64_t y) const {
    const std::int64_t sum = x * x_factor + y * y_factor + addend;
    if (rounding == Rounding::kFloor) return (sum >> shift) + zero;
    return static_cast<std::int64_t>(round_shift(sum, shift, rounding)) + zero;
  }
};

class SumForms {
 public:
  SumForms(const CodeTerm& a, IntegerRange x, const CodeTerm& b, IntegerRange y,
           const SumCodes& codes)
      : x_(x),
        y_(y),
        codes_(codes),
        x_ratio_(a.scale / codes.scale),
        y_ratio_(b.scale / codes.scale),
        offset_((a.offset + b.offset) / codes.scale) {}

  std::optional<Form> find() const {
    // Sums of so many bits are exact in the lanes of doubles that compute them.
    constexpr int kSumBits = 50, kCodeBits = 9, kMostShift = 40;
    const double reach =
        std::abs(x_ratio_) + std::abs(y_ratio_) + std::abs(offset_) / 256 +
        static_cast<double>(std::max(std::abs(codes_.low), std::abs(codes_.high))) / 256;
    const int shift = std::min(kMostShift, kSumBits - kCodeBits - std::ilogb(reach) - 1);
    if (!(reach > 0) || shift < 1) return std::nullopt;
    Form form{whole(x_ratio_, shift), whole(y_ratio_, shift), whole(offset_, shift), shift};
    if (form.x_factor == 0 || form.y_factor == 0) return std::nullopt;
    const std::int64_t real = form.addend, half = std::int64_t{1} << (shift - 1);
    for (const std::int64_t extra : {half, half - 1}) {
      form.addend = real + (codes_.zero << shift) + extra;
      if (agrees(form)) return form;
    }
    form.addend = real;
    form.zero = codes_.zero;
    form.rounding = Rounding::kHalfEven;
    return agrees(form) ? std::optional(form) : std::nullopt;
  }

 private:
  static std::int64_t whole(double ratio, int shift) {
    return std::llround(std::ldexp(ratio, shift));
  }
  std::int64_t clamped(std::int64_t code) const {
    return std::clamp(code, codes_.low, codes_.high);
  }

  std::int64_t code(std::int64_t x, std::int64_t y) const {
    const double real =
        x_ratio_ * static_cast<double>(x) + y_ratio_ * static_cast<double>(y) + offset_;
    // A real that is a half is found some ulps beside it, since ratios of scales are rounded.
    constexpr double kSlack = 1e-11;
    const double half = std::nearbyint(2 * real) / 2;
    const bool ties = std::abs(real - half) <= kSlack * std::max(1.0, std::abs(half));
    return clamped(std::llrint(ties ? half : real) + codes_.zero);
  }
  bool agrees(const Form& form) const {
    for (std::int64_t x = x_.min; x <= x_.max; ++x)
      for (std::int64_t y = y_.min; y <= y_.max; ++y)
        if (clamped(form.at(x, y)) != code(x, y)) return false;
    return true;
  }

  IntegerRange x_, y_;
  SumCodes codes_;
  double x_ratio_, y_ratio_, offset_;
};

}  // namespace

std::optional<ValueId> add_exact_sum(Builder& builder, const CodeTerm& a, const CodeTerm& b,
                                     const SumCodes& codes, const std::string& name) {
  const IntegerRange x = builder.type(a.integer).format.integer_range(),
                     y = builder.type(b.integer).format.integer_range();
  const auto form = SumForms(a, x, b, y, codes).find();
  if (!form) return std::nullopt;
  const auto constant = [&](std::int64_t value, const char* what) {
    return integer_constant(builder, Shape(builder.type(a.integer).shape.size(), 1), {value}, what);
  };
  const auto times = [&](ValueId integer, std::int64_t factor) {
    return add_exact_folded(builder, "IntMul", {integer, constant(factor, "factor")});
  };
  const ValueId sum = add_exact_folded(
      builder, "IntAdd", {times(a.integer, form->x_factor), times(b.integer, form->y_factor)}, {},
      name);
  const bool is_last = form->zero == 0;
  const Format format =
      is_last ? codes.format : Format::holding({codes.low - form->zero, codes.high - form->zero});
  ValueId code = builder.add("Rescale",
                             {sum, constant(1, "multiplier"), constant(form->addend, "addend"),
                              constant(form->shift, "shift")},
                             {{"format", format},
                              {"rounding", std::string(tandem::name(form->rounding))},
                              {"overflow", std::string("saturate")}},
                             name);
  if (!is_last) code = add_exact_folded(builder, "IntAdd", {code, constant(form->zero, "zero")});
  const IntegerRange full = codes.format.integer_range();
  if (is_last && codes.low <= full.min && codes.high >= full.max) return code;
  return add_folded(builder, "Clamp", {code},
                    {{"format", codes.format}, {"min", codes.low}, {"max", codes.high}}, name);
}

}  // namespace tandem
