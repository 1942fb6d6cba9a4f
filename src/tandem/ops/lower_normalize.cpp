// Normalization by statistics of the sample itself, in exact integers up to two roundings.
#include <algorithm>
#include <cmath>

#include "tandem/base/error.h"
#include "tandem/numerics/square_root.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/coded.h"
#include "tandem/ops/integer.h"
#include "tandem/ops/lowering_rules.h"

namespace tandem {
namespace {

constexpr int kMostCodeBits = 17;    // codes of 16 bits less a zero point; wider sums are rounded
constexpr int kNormalizedBits = 15;  // fraction bits of the result
constexpr int kRootPrecisionBits = 14;  // of the root of the least variance, where there is room
constexpr int kRoomBits = 61;           // that integers on the way may take

int bits_of_count(std::int64_t count) { return bits_for({0, count}); }

// What is normalized: codes with one scale, for which the zero of the reals is either of no matter
// (`centre`: the mean is taken off) or the integer 0; so narrow that sums of squares fit.
CodedValue normalizable(LoweringSite& site, std::size_t rank, std::int64_t count, bool centre) {
  CodedValue value = with_positive_scale(site, materialized(site, site.coded(0)));
  const bool one_scale = is_uniform(value.scale), one_offset = is_uniform(value.offset);
  if (!one_scale || !one_offset) value = materialized(site, value, true);
  if (!centre) value = centred(site, value);
  const int most = std::min(kMostCodeBits, (kRoomBits - 2 * bits_of_count(count)) / 2);
  if (most < 2) throw Error("normalizes ", count, " elements at once; its sums may leave 63 bits");
  const Format format = site.integer_format(value);
  const int drop = std::max(0, format.bits() - most);
  const double unit = std::ldexp(value.scale.real(0), drop);
  if (drop > 0)
    value.integer = shifted_right(site, value.integer, drop, "half_even",
                                  Format::integer(most, format.is_signed()), rank);
  return affine(value.integer, with_rank(Tensor::scalar(unit, f64()), rank),
                with_rank(Tensor::scalar(0, f64()), rank));
}

class Normalizer {
 public:
  Normalizer(LoweringSite& site, const CodedValue& value, std::vector<std::int64_t> axes,
             std::int64_t count, bool centre)
      : builder_(site.builder),
        name_(site.node.node.name),
        x_(value.integer),
        range_(site.integer_format(value).integer_range()),
        unit_(value.scale.real(0)),
        rank_(value.scale.shape().size()),
        axes_(std::move(axes)),
        count_(count),
        centre_(centre) {}

  // With sums over the axes: S of x, Q of x^2, n the count, W = nQ - S^2 (nQ where the mean stays),
  //   y = (n x - S) / sqrt(W + n^2 epsilon / unit^2)
  // The root is taken of 4^k times as much and floored, and the quotient is rounded at
  // kNormalizedBits places, so that |y - result| <= |y| / root + 2^-(kNormalizedBits + 1).
  CodedValue run(double epsilon) {
    const int places = root_places(epsilon);
    const ValueId sum = centre_ ? reduced(x_) : kNone;
    const ValueId root = exact("IntSqrt", {power(sum, epsilon, places)});
    const std::int64_t one = std::int64_t{1} << (places + kNormalizedBits);
    ValueId distance = exact("IntMul", {x_, number(count_ * one)});
    if (centre_) distance = exact("IntSub", {distance, exact("IntMul", {sum, number(one)})});
    const ValueId quotient = divided(distance, root);
    // |y| <= sqrt(n), of which equal elements but one come close.
    const std::int64_t limit = (floor_square_root(count_) + 1) << kNormalizedBits;
    const ValueId y =
        add_exact(builder_, "Clamp", {quotient}, {{"min", -limit}, {"max", limit}}, name_);
    return affine(y, filled(std::ldexp(1.0, -kNormalizedBits)), filled(0));
  }

 private:
  Tensor filled(double value) const { return with_rank(Tensor::scalar(value, f64()), rank_); }
  ValueId exact(std::string_view op, std::vector<ValueId> inputs) {
    return add_exact(builder_, op, std::move(inputs), {}, name_);
  }
  ValueId divided(ValueId distance, ValueId root) {
    return add_exact(builder_, "IntDiv", {distance, root}, {{"rounding", std::string("half_up")}},
                     name_);
  }
  ValueId reduced(ValueId x) {
    return add_exact(builder_, "IntSum", {x}, {{"axes", axes_}}, name_);
  }
  ValueId number(std::int64_t value) {
    return integer_constant(builder_, Shape(rank_, 1), {value}, "number");
  }

  // The greatest W: n^2 times the greatest variance within the range (Popoviciu), or square.
  double greatest_power() const {
    const auto low = static_cast<double>(range_.min), high = static_cast<double>(range_.max);
    const double reach = centre_ ? (high - low) / 2 : std::max(-low, high);
    return std::pow(static_cast<double>(count_) * reach, 2);
  }
  double epsilon_power(double epsilon, int places) const {
    return std::ldexp(epsilon * std::pow(static_cast<double>(count_) / unit_, 2), 2 * places);
  }

  // k: as many places as make the root of the least W that is not 0 (n - 1) precise enough, and as
  // there is room for.
  int root_places(double epsilon) const {
    const double least = std::log2(std::max(1.0, static_cast<double>(count_ - 1))) / 2;
    int places = std::max(0, static_cast<int>(std::ceil(kRootPrecisionBits - least)));
    const double reach =
        std::max(-static_cast<double>(range_.min) + 1, static_cast<double>(range_.max) + 1) *
        static_cast<double>(count_);
    const auto fits = [&](int k) {
      return std::ldexp(greatest_power(), 2 * k) + epsilon_power(epsilon, k) <
                 std::ldexp(1.0, kRoomBits) &&
             2 * std::ldexp(reach, k + kNormalizedBits) < std::ldexp(1.0, kRoomBits);
    };
    while (places > 0 && !fits(places)) --places;
    if (!fits(places)) {
      throw Error("epsilon ", epsilon, " is too great beside codes with steps of ", unit_,
                  "; quantize its input with a greater scale");
    }
    return places;
  }

  // 4^k (W + n^2 epsilon / unit^2).
  ValueId power(ValueId sum, double epsilon, int places) {
    const ValueId squares = reduced(exact("IntMul", {x_, x_}));
    ValueId power = exact("IntMul", {squares, number(count_)});
    if (centre_) power = exact("IntSub", {power, exact("IntMul", {sum, sum})});
    const auto most = static_cast<std::int64_t>(std::ceil(greatest_power()));
    power = add_exact(builder_, "Clamp", {power}, {{"min", std::int64_t{0}}, {"max", most}}, name_);
    if (places > 0) power = exact("IntMul", {power, number(std::int64_t{1} << (2 * places))});
    const auto addend = std::llround(epsilon_power(epsilon, places));
    return addend == 0 ? power : exact("IntAdd", {power, number(addend)});
  }

  Builder& builder_;
  const std::string name_;
  ValueId x_;
  IntegerRange range_;
  double unit_;
  std::size_t rank_;
  std::vector<std::int64_t> axes_;
  std::int64_t count_;
  bool centre_;
};

std::int64_t count_along(const TensorType& type, const std::vector<std::int64_t>& axes) {
  std::int64_t count = 1;
  for (const std::int64_t axis : axes)
    count *= type.shape[static_cast<std::size_t>(axis)].constant();
  return count;
}

std::vector<std::int64_t> axes_behind(std::size_t axis, std::size_t rank) {
  std::vector<std::int64_t> axes;
  for (std::size_t d = axis; d < rank; ++d) axes.push_back(static_cast<std::int64_t>(d));
  return axes;
}

}  // namespace

Lowered lower_layer_normalization(LoweringSite& site, std::size_t axis, bool centre) {
  const TensorType& type = site.node.input(0);
  const std::vector<std::int64_t> axes = axes_behind(axis, type.shape.size());
  const std::int64_t count = count_along(type, axes);
  const CodedValue x = normalizable(site, type.shape.size(), count, centre);
  CodedValue y = Normalizer(site, x, axes, count, centre).run(site.node.real("epsilon"));
  y = multiplied(std::move(y), required_constant(site, 1, "scale"));
  if (site.node.has_input(2)) y = shifted(std::move(y), required_constant(site, 2, "bias"));
  return std::vector{y};
}

Lowered lower_group_normalization(LoweringSite& site) {
  const TensorType& type = site.node.input(0);
  const std::int64_t groups = site.node.integer("num_groups");
  const std::vector<std::int64_t> axes = axes_behind(1, type.shape.size());
  const std::int64_t count = count_along(type, axes) / groups;
  CodedValue x = normalizable(site, 3, count, true);
  x.integer = add_folded(site.builder, "Reshape", {x.integer},
                         {{"shape", std::vector<std::string>{"d0", std::to_string(groups), "-1"}}});
  CodedValue y = Normalizer(site, x, {2}, count, true).run(site.node.real("epsilon"));
  std::vector<std::string> shape{"d0"};
  for (const std::int64_t axis : axes)
    shape.push_back(std::to_string(type.shape[static_cast<std::size_t>(axis)].constant()));
  const ValueId full = add_folded(site.builder, "Reshape", {y.integer}, {{"shape", shape}});
  const std::size_t rank = type.shape.size();
  const double unit = y.scale.real(0);
  y = affine(full, with_rank(Tensor::scalar(unit, f64()), rank),
             with_rank(Tensor::scalar(0, f64()), rank));
  const auto channels = [&](std::size_t input, std::string_view what) {
    Shape own(rank - 1, 1);
    const Tensor values = required_constant(site, input, what);
    own[0] = values.size();
    return values.reshaped(own);
  };
  return std::vector{shifted(multiplied(std::move(y), channels(1, "scale")), channels(2, "bias"))};
}

}  // namespace tandem
