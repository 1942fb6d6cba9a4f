#include "tandem/numerics/accumulator_bounds.h"

#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "tandem/base/error.h"

#include "tests/numerics/oracle.h"

namespace tandem {
namespace {

using test::BigInteger;
using test::Rational;
__extension__ using UInt128 = unsigned __int128;

Rational exact_rational(const Format& format, std::uint64_t code) {
  const ExactValue value = format.exact(code);
  const BigInteger power = BigInteger(1) << static_cast<unsigned>(std::abs(value.exponent));
  const Rational significand(test::big(value.significand));
  return value.exponent < 0 ? Rational(significand / power) : Rational(significand * power);
}

std::vector<std::uint64_t> finite_codes(const Format& format) {
  std::vector<std::uint64_t> finite;
  for (const std::uint64_t code : format.codes())
    if (format.exact(code).kind == ExactValue::Kind::kFinite) finite.push_back(code);
  return finite;
}

// The sum in steps of the accumulator, which must be a whole number of them.
BigInteger in_steps(const Rational& sum, const ExactAccumulator& accumulator) {
  const BigInteger power = BigInteger(1) << static_cast<unsigned>(std::abs(accumulator.exponent));
  const Rational steps = accumulator.exponent < 0 ? Rational(sum * power) : Rational(sum / power);
  EXPECT_EQ(denominator(steps), 1);
  return numerator(steps);
}

bool holds(const BigInteger& steps, int bits) {
  const BigInteger end = BigInteger(1) << static_cast<unsigned>(bits - 1);
  return -end <= steps && steps < end;
}

// The least and the greatest product, or zero, from all pairs of codes.
std::pair<Rational, Rational> extreme_products(const Format& a, const Format& b) {
  Rational least = 0, greatest = 0;
  for (const std::uint64_t x : finite_codes(a))
    for (const std::uint64_t y : finite_codes(b)) {
      const Rational product = exact_rational(a, x) * exact_rational(b, y);
      if (product < least) least = product;
      if (product > greatest) greatest = product;
    }
  return {least, greatest};
}

TEST(ExactAccumulator, OfFloatsHasThePublishedWidth) {
  // Where every code is finite, and n is a power of two: 2^ea + ma + 2^eb + mb + log2 n - 1.
  for (int ea = 2; ea <= 4; ++ea)
    for (int ma = 1; ma <= 3; ++ma)
      for (int log_terms : {0, 3, 12}) {
        const Format a = Format::parse("e" + std::to_string(ea) + "m" + std::to_string(ma) +
                                       (ea == 4 && ma == 3 ? "finite" : ""));
        const Format b = Format::parse("e3m2");
        const int published = (1 << ea) + ma + (1 << 3) + 2 + log_terms - 1;
        EXPECT_EQ(exact_accumulator(a, b, std::int64_t{1} << log_terms).bits, published)
            << a.name() << " " << log_terms;
      }
  // The dot products of ResNet-18, whose longest has 4,608 terms: published are 26, 32 and 50 bits,
  // of the next power of two; the sums themselves need one bit less.
  const auto width = [](const char* name, std::int64_t terms) {
    return exact_accumulator(Format::parse(name), Format::parse(name), terms).bits;
  };
  EXPECT_EQ(width("e2m3", 8192), 26);
  EXPECT_EQ(width("e3m2", 8192), 32);
  EXPECT_EQ(width("e4m3", 8192), 50);
  EXPECT_EQ(width("e2m3", 4608), 25);
}

TEST(ExactAccumulator, NeverOverflowsAndABitLessDoes) {
  for (const char* a_name : {"int8", "uint4", "e4m3", "e5m2", "e3m2", "e2m1", "e2m3", "khot<6,2>",
                             "pow2<4>", "ternary", "bipolar", "fixed<6,3>", "log2<4>"})
    for (const char* b_name : {"int8", "int4", "e4m3", "e2m1", "ternary"}) {
      const Format a = Format::parse(a_name), b = Format::parse(b_name);
      const auto [least, greatest] = extreme_products(a, b);
      for (const std::int64_t terms : {1, 5, 64, 4608}) {
        const ExactAccumulator accumulator = exact_accumulator(a, b, terms);
        const BigInteger low = in_steps(least * terms, accumulator);
        const BigInteger high = in_steps(greatest * terms, accumulator);
        EXPECT_TRUE(holds(low, accumulator.bits) && holds(high, accumulator.bits))
            << a_name << " " << b_name << " " << terms;
        EXPECT_FALSE(holds(low, accumulator.bits - 1) && holds(high, accumulator.bits - 1))
            << a_name << " " << b_name << " " << terms;
      }
    }
}

TEST(ExactAccumulator, SumsInItEqualRationalSums) {
  std::mt19937_64 random(1);
  for (const char* name : {"e4m3", "e5m2", "e3m4", "e2m3", "e2m1", "log2<4>"}) {
    const Format a = Format::parse(name), b = Format::parse("e4m3");
    const std::vector<std::uint64_t> xs = finite_codes(a), ys = finite_codes(b);
    constexpr std::int64_t kTerms = 100;
    const ExactAccumulator accumulator = exact_accumulator(a, b, kTerms);
    ASSERT_LE(accumulator.bits, 128);
    for (int round = 0; round < 50; ++round) {
      Rational sum = 0;
      UInt128 bits = 0;  // two's complement, wrapping beyond its width
      for (std::int64_t i = 0; i < kTerms; ++i) {
        const ExactValue x = a.exact(xs[random() % xs.size()]);
        const ExactValue y = b.exact(ys[random() % ys.size()]);
        const int shift = x.exponent + y.exponent - accumulator.exponent;
        const Int128 product = x.significand * y.significand;
        // A significand may end in zeros that lie below the accumulator's step.
        bits += shift >= 0 ? static_cast<UInt128>(product) << static_cast<unsigned>(shift)
                           : static_cast<UInt128>(product / (Int128{1} << -shift));
        sum += Rational(test::big(product)) *
               (shift + accumulator.exponent >= 0
                    ? Rational(BigInteger(1) << static_cast<unsigned>(shift + accumulator.exponent))
                    : Rational(1, BigInteger(1)
                                      << static_cast<unsigned>(-(shift + accumulator.exponent))));
      }
      EXPECT_EQ(test::big(static_cast<Int128>(bits)), in_steps(sum, accumulator)) << name;
      EXPECT_TRUE(holds(in_steps(sum, accumulator), accumulator.bits)) << name;
    }
  }
}

TEST(ExactAccumulator, OfARowOfWeightsIsWhatItsWorstValuesNeed) {
  std::mt19937_64 random(2);
  for (const char* weight_name : {"int8", "int4", "e4m3", "e2m1", "ternary", "khot<6,2>"})
    for (const char* value_name : {"int8", "uint8", "e4m3", "e3m2"})
      for (int round = 0; round < 20; ++round) {
        const Format weight = Format::parse(weight_name), value = Format::parse(value_name);
        const std::vector<std::uint64_t> all = finite_codes(weight);
        std::vector<std::uint64_t> row(1 + random() % 40);
        for (std::uint64_t& code : row) code = all[random() % all.size()];
        Rational least = 0, greatest = 0, most = 0, fewest = 0;
        for (const std::uint64_t code : finite_codes(value)) {
          most = std::max(most, exact_rational(value, code));
          fewest = std::min(fewest, exact_rational(value, code));
        }
        for (const std::uint64_t code : row) {
          const Rational w = exact_rational(weight, code);
          greatest += std::max(Rational(w * most), Rational(w * fewest));
          least += std::min(Rational(w * most), Rational(w * fewest));
        }
        const ExactAccumulator accumulator = exact_accumulator(row, weight, value);
        const BigInteger low = in_steps(least, accumulator), high = in_steps(greatest, accumulator);
        EXPECT_TRUE(holds(low, accumulator.bits) && holds(high, accumulator.bits));
        EXPECT_FALSE(accumulator.bits > 1 && holds(low, accumulator.bits - 1) &&
                     holds(high, accumulator.bits - 1));
        EXPECT_LE(accumulator.bits,
                  exact_accumulator(weight, value, static_cast<std::int64_t>(row.size())).bits);
      }
}

TEST(ExactAccumulator, RefusesWhatHasNone) {
  EXPECT_THROW(exact_accumulator(Format::parse("f32"), Format::parse("int8"), 4), Error);
  EXPECT_EQ(exact_accumulator(std::vector<std::uint64_t>(3, 0), Format::parse("int8"),
                              Format::parse("int8")),
            ExactAccumulator{});
}

}  // namespace
}  // namespace tandem
