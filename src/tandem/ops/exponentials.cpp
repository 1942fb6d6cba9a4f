#include "tandem/ops/exponentials.h"

#include <array>
#include <cmath>
#include <numbers>
#include <utility>

#include <boost/multiprecision/cpp_bin_float.hpp>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/ops/coded.h"
#include "tandem/ops/integer.h"

namespace tandem {
namespace {

constexpr int kExponentialBits = 15;  // fraction bits of the exponentials
constexpr int kDistanceBits = 12;     // resolution of the distances below the greatest
constexpr int kTableBits = 8;

constexpr std::array<std::pair<Exponential, std::string_view>, 3> kNames = {
    {{Exponential::kTable, "table"},
     {Exponential::kShift, "shift"},
     {Exponential::kPolynomial, "polynomial"}}};

// Beyond this distance the exponential rounds to zero.
double farthest() { return (kExponentialBits + 1) * std::log(2.0) + 1; }

// exp(-scale * i) with kExponentialBits fraction bits, correctly rounded so that every machine
// lowers to the same table.
std::vector<std::int64_t> exponentials(double scale, std::int64_t entries) {
  using Wide = boost::multiprecision::cpp_bin_float_50;
  std::vector<std::int64_t> table;
  for (std::int64_t i = 0; i < entries; ++i) {
    const Wide value = exp(-Wide(scale) * i) * (std::int64_t{1} << kExponentialBits);
    table.push_back(static_cast<std::int64_t>(floor(value + Wide(0.5))));
  }
  return table;
}

ValueId limited_to(LoweringSite& site, ValueId x, int bits) {
  return site.builder.add("Clamp", {x},
                          {{"format", Format::integer(bits, false)},
                           {"min", std::int64_t{0}},
                           {"max", (std::int64_t{1} << bits) - 1}},
                          site.node.node.name);
}

ValueId exponential_table(LoweringSite& site, ValueId x, double unit) {
  const std::int64_t entries = std::int64_t{1} << site.builder.type(x).format.bits();
  const ValueId table =
      integer_constant(site.builder, {entries}, exponentials(unit, entries), "exponentials");
  return site.builder.add("Table", {x, table},
                          {{"format", Format::integer(kExponentialBits + 1, false)}},
                          site.node.node.name);
}

// With kExponentialBits fraction bits: one table, or for more than kTableBits the product of one
// for the upper and one for the lower half of the bits: exp(-(h + l)) = exp(-h) exp(-l).
ValueId by_tables(LoweringSite& site, ValueId distance, double unit, std::size_t rank) {
  const double reach = farthest();
  int drop = 0;
  while (reach / std::ldexp(unit, drop) > std::ldexp(1.0, kDistanceBits)) ++drop;
  unit = std::ldexp(unit, drop);
  if (drop > 0) {
    distance =
        shifted_right(site, distance, drop, "half_even", site.builder.type(distance).format, rank);
  }
  const int bits = bits_for({0, static_cast<std::int64_t>(std::ceil(reach / unit))});
  const ValueId limited = limited_to(site, distance, bits);
  if (bits <= kTableBits) return exponential_table(site, limited, unit);
  const int low_bits = bits / 2;
  const ValueId high = shifted_right(site, limited, low_bits, "floor",
                                     Format::integer(bits - low_bits, false), rank);
  const ValueId whole = add_exact(
      site.builder, "IntMul",
      {high, integer_constant(site.builder, Shape(rank, 1), {std::int64_t{1} << low_bits}, "two")});
  const ValueId low =
      limited_to(site, add_exact(site.builder, "IntSub", {limited, whole}), low_bits);
  const ValueId product = add_exact(site.builder, "IntMul",
                                    {exponential_table(site, high, std::ldexp(unit, low_bits)),
                                     exponential_table(site, low, unit)});
  return shifted_right(site, product, kExponentialBits, "half_up",
                       Format::integer(kExponentialBits + 1, false), rank);
}

// The forms that split a distance on the grid 2^-bits into whole powers of two and a rest.
class OnGrid {
 public:
  OnGrid(LoweringSite& site, std::size_t rank, int bits) : site_(site), rank_(rank), bits_(bits) {}

  ValueId distance(ValueId x, double unit) {
    const int bits = bits_for({0, static_cast<std::int64_t>(std::ldexp(farthest(), bits_))});
    QuantizeTarget target;
    target.format = Format::integer(bits, false);
    target.scale = Tensor::scalar(std::ldexp(1.0, -bits_), f64());
    target.zero = Tensor::scalar(0, f64());
    const auto filled = [&](double v) { return with_rank(Tensor::scalar(v, f64()), rank_); };
    return requantize(site_, affine(x, filled(unit), filled(0)), target).integer;
  }

  // d log2(e) is d + d / 2 - d / 16, as integers of which the magnitudes of quotients round up.
  ValueId by_shifts(ValueId d) {
    const auto part = [&](int shift) {
      return shifted_right(site_, d, shift, "ceiling", site_.builder.type(d).format, rank_);
    };
    const ValueId exponent = exact("IntSub", exact("IntAdd", d, part(1)), part(4));
    // Clamped at zero, which it never is below: the range of a difference does not tell.
    const std::int64_t most = site_.builder.type(exponent).format.integer_range().max;
    const ValueId p =
        add_exact(site_.builder, "Clamp", {exponent}, {{"min", std::int64_t{0}}, {"max", most}});
    const std::int64_t one = std::int64_t{1} << bits_;
    const ValueId whole = quotient(p, one);
    const ValueId rest = exact("IntSub", p, exact("IntMul", whole, number(one)));
    // 2 (2^bits - rest / 2)
    return scaled(exact("IntSub", number(2 * one), rest), whole, 2 * one);
  }

  ValueId by_polynomial(ValueId d) {
    const auto whole_part = [&](double v, int bits) {
      return static_cast<std::int64_t>(std::floor(std::ldexp(v, bits)));
    };
    // Published as the floor of -ln 2 in steps.
    const std::int64_t period = -whole_part(-std::numbers::ln2, bits_);
    const ValueId whole = quotient(d, period);
    const ValueId rest = exact("IntSub", d, exact("IntMul", whole, number(period)));
    const std::int64_t shift = whole_part(1.353, bits_);
    const ValueId base = exact("IntSub", number(shift), rest);
    const std::int64_t constant = whole_part(0.344 / 0.3585, 2 * bits_);
    const ValueId power = exact("IntAdd", exact("IntMul", base, base), number(constant));
    return scaled(power, whole, shift * shift + constant);
  }

 private:
  ValueId number(std::int64_t value) {
    return integer_constant(site_.builder, Shape(rank_, 1), {value}, "number");
  }
  ValueId exact(std::string_view op, ValueId a, ValueId b) {
    return add_exact(site_.builder, op, {a, b}, {}, site_.node.node.name);
  }
  ValueId quotient(ValueId x, std::int64_t by) {
    return add_exact(site_.builder, "IntDiv", {x, number(by)}, {{"rounding", std::string("floor")}},
                     site_.node.node.name);
  }
  // x in [0, most] times 2^(kExponentialBits - whole), which is 0 beyond.
  ValueId scaled(ValueId x, ValueId whole, std::int64_t most) {
    const Format format = site_.builder.type(whole).format;
    std::vector<std::int64_t> powers;
    for (std::int64_t i = 0; i <= format.integer_range().max; ++i)
      powers.push_back(i > kExponentialBits ? 0 : std::int64_t{1} << (kExponentialBits - i));
    const auto entries = static_cast<std::int64_t>(powers.size());
    const ValueId power =
        add_exact(site_.builder, "Table",
                  {whole, integer_constant(site_.builder, {entries}, powers, "powers")});
    const ValueId within =
        add_exact(site_.builder, "Clamp", {x}, {{"min", std::int64_t{0}}, {"max", most}});
    return exact("IntMul", within, power);
  }

  LoweringSite& site_;
  std::size_t rank_;
  int bits_;
};

}  // namespace

std::string_view name(Exponential how) {
  for (const auto& [value, text] : kNames)
    if (value == how) return text;
  throw InternalError("unknown exponential");
}

std::vector<std::string> exponential_names() {
  std::vector<std::string> names;
  for (const auto& [value, text] : kNames) names.emplace_back(text);
  return names;
}

Exponential parse_exponential(std::string_view text) {
  for (const auto& [value, known] : kNames)
    if (known == text) return value;
  throw Error("unknown form of exponentials '", text, "'", suggestion(text, exponential_names()));
}

ValueId negative_exponentials(LoweringSite& site, ValueId distance, double unit, std::size_t rank,
                              Exponential how, int grid_bits) {
  if (how == Exponential::kTable) return by_tables(site, distance, unit, rank);
  OnGrid grid(site, rank, grid_bits);
  const ValueId d = grid.distance(distance, unit);
  return how == Exponential::kShift ? grid.by_shifts(d) : grid.by_polynomial(d);
}

}  // namespace tandem
