// Floating point of any width of exponent and mantissa, against ml_dtypes and by definition.

#include <cmath>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/base/text.h"
#include "tandem/numerics/format.h"

#include "tests/support/paths.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

double largest_of(const Format& format) {
  double largest = 0;
  for (const std::uint64_t code : format.codes())
    if (std::isfinite(format.decode(code))) largest = std::max(largest, format.decode(code));
  return largest;
}

TEST(Minifloat, EqualsMlDtypesOnEveryHalf) {
  const Format half = Format::parse("f16");
  std::istringstream file(read_file(test::source_dir() / "tests/numerics/golden/minifloats.txt"));
  int formats = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    std::istringstream words(line);
    std::string name, other, run;
    words >> name >> other;
    const Format format = Format::parse(name);
    SCOPED_TRACE(name);
    const double largest = largest_of(format);
    std::uint64_t at = 0;
    while (words >> run) {
      const std::size_t star = run.find('*');
      const auto count = parse_integer(run.substr(0, star), "count");
      const auto expected = static_cast<std::uint64_t>(parse_integer(run.substr(star + 1), "code"));
      for (long long i = 0; i < count; ++i, ++at) {
        const double value = half.decode(at);
        if (std::isnan(value)) {
          // A format without NaN refuses it.
          if (std::isnan(format.decode(expected))) {
            ASSERT_TRUE(std::isnan(format.decode(format.encode(value))));
          }
          continue;
        }
        const double theirs = format.decode(expected);
        // Beyond the largest number we saturate by default; ml_dtypes makes some of them NaN.
        if (std::abs(value) > largest && !std::isfinite(theirs)) continue;
        ASSERT_EQ(format.encode(value), expected) << value;
      }
    }
    EXPECT_EQ(at, 65536u);
    ++formats;
  }
  EXPECT_EQ(formats, 10);
}

// Every format of at most eight bits, with every kind of specials and some biases.
std::vector<Format> small_formats() {
  std::vector<Format> formats;
  for (int exponent = 1; exponent <= 7; ++exponent)
    for (int mantissa = 0; 1 + exponent + mantissa <= 8; ++mantissa)
      for (const std::string suffix : {"finite", "fn", "fnuz", "ieee"})
        for (const std::string bias : {"", "b0", "b-3", "b40"}) {
          const bool exists = 1 + exponent + mantissa >= 3 &&
                              (suffix != "ieee" || (exponent >= 2 && mantissa >= 1));
          const std::string name = concat("e", exponent, "m", mantissa, bias, suffix);
          if (exists)
            formats.push_back(Format::parse(name));
          else
            EXPECT_THROW(Format::parse(name), Error) << name;
        }
  return formats;
}

TEST(Minifloat, EveryCodeOfEveryFormatReadsBack) {
  const std::vector<Format> formats = small_formats();
  EXPECT_GT(formats.size(), 300u);
  for (const Format& format : formats) {
    SCOPED_TRACE(format.name());
    EXPECT_EQ(Format::parse(format.name()), format);
    double before = -1;
    for (const std::uint64_t code : format.codes()) {
      const double value = format.decode(code);
      if (std::isnan(value)) continue;
      const bool negative = code >> (format.bits() - 1) != 0;
      if (!negative) {
        EXPECT_GT(value, before);
        before = value;
      }
      for (const Rounding rounding : kAllRoundings) ASSERT_EQ(format.encode(value, rounding), code);
      const ExactValue exact = format.exact(code);
      if (std::isfinite(value)) {
        EXPECT_EQ(std::ldexp(static_cast<double>(exact.significand), exact.exponent), value);
      }
    }
  }
}

// Minifloat PTQ on FPGA (Aggarwal et al.): one bit of exponent makes evenly spaced numbers.
TEST(Minifloat, OneExponentBitIsASymmetricInteger) {
  for (int mantissa = 1; mantissa <= 6; ++mantissa) {
    const Format format = Format::parse(concat("e1m", mantissa, "b1"));
    const double step = format.decode(1);
    for (const std::uint64_t code : format.codes()) {
      const auto magnitude = static_cast<double>(code & ((1u << (mantissa + 1)) - 1));
      const bool negative = code >> (mantissa + 1) != 0;
      EXPECT_EQ(format.decode(code), (negative ? -1 : 1) * magnitude * step);
    }
  }
}

// The value nearest to a number, found among all of them; ties to the even code.
std::uint64_t nearest(const Format& format, double x) {
  std::uint64_t best = 0;
  double distance = INFINITY;
  for (const std::uint64_t code : format.codes()) {
    const double value = format.decode(code);
    if (!std::isfinite(value) || std::signbit(value) != std::signbit(x)) continue;
    const double d = std::abs(value - x);
    if (d < distance || (d == distance && code % 2 == 0)) {
      distance = d;
      best = code;
    }
  }
  return best;
}

TEST(Minifloat, RoundsToTheNearestOfAllCodes) {
  for (const char* name :
       {"e3m4", "e3m2", "e2m3", "e4m2", "e3m0", "e2m5", "e1m6", "e4m3b4finite"}) {
    const Format format = Format::parse(name);
    for (int i = -4000; i <= 4000; ++i) {
      const double x = std::copysign(std::ldexp(1.0 + (i % 97) / 97.0, i % 9 - 4), i);
      ASSERT_EQ(format.encode(x), nearest(format, x)) << name << " " << x;
    }
  }
}

TEST(Minifloat, NamesSayWhatIsUnusual) {
  EXPECT_EQ(Format::parse("e4m3fn").name(), "e4m3");
  EXPECT_EQ(Format::parse("e5m2ieee").name(), "e5m2");
  EXPECT_EQ(Format::parse("e3m2finite").name(), "e3m2");
  EXPECT_EQ(Format::parse("e4m3b7").name(), "e4m3");
  EXPECT_EQ(Format::parse("e4m3b11fnuz").name(), "e4m3b11fnuz");
  EXPECT_EQ(Format::parse("e4m3b8fnuz").name(), "e4m3fnuz");
  EXPECT_EQ(Format::parse("e5m10ieee").name(), "f16");
  EXPECT_EQ(Format::parse("e8m7ieee").name(), "bf16");
}

TEST(Minifloat, RefusesWhatIsNoFormat) {
  for (const char* name : {"e0m3", "e9m2", "e1m0", "e8m8", "e3m0ieee", "e4m3b600", "e99999m2"})
    EXPECT_THROW(Format::parse(name), Error) << name;
  EXPECT_THAT([] { Format::parse("e8m9"); }, ThrowsMessage<Error>(HasSubstr("3 to 16 bits")));
  EXPECT_THAT([] { Format::parse("e4m3x"); }, ThrowsMessage<Error>(HasSubstr("unknown format")));
}

}  // namespace
}  // namespace tandem
