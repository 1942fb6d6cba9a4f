// The uniform formats against definitions over rational numbers and against the HLS types.

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/base/random.h"
#include "tandem/base/text.h"
#include "tandem/numerics/format.h"

#include "tests/numerics/oracle.h"
#include "tests/support/paths.h"

namespace tandem {
namespace {

using test::BigInteger;
using test::overflow_oracle;
using test::Rational;
using test::rational_of;
using test::round_oracle;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::int64_t to_int64(const BigInteger& value) { return value.convert_to<std::int64_t>(); }

// What the oracle says about the numbers from just below the least to just above the greatest code
// of 12 bits, in units of a format's step: it is asked once, for all formats.
class FixedTable {
 public:
  static constexpr int kMostBits = 12;
  static constexpr std::int64_t kFirst = -(1 << (kMostBits - 1)) - 3;
  static constexpr std::int64_t kLast = (1 << kMostBits) + 3;

  FixedTable() {
    for (std::int64_t integer = kFirst; integer <= kLast; ++integer)
      for (const double part : {0.0, 0x1p-30, 0.25, 0.5 - 0x1p-30, 0.5, 0.5 + 0x1p-30, 1 - 0x1p-30})
        units_.push_back(static_cast<double>(integer) + part);
    for (const Rounding rounding : kAllRoundings)
      for (const double units : units_)
        rounded_[index(rounding)].push_back(to_int64(round_oracle(rational_of(units), rounding)));
  }

  const std::vector<double>& units() const { return units_; }
  std::int64_t rounded(Rounding rounding, std::size_t i) const {
    return rounded_[index(rounding)][i];
  }

  // The codes of kFirst to kLast + 1.
  static std::vector<std::int64_t> overflowed(int bits, bool is_signed, Overflow overflow) {
    std::vector<std::int64_t> results;
    for (std::int64_t integer = kFirst; integer <= kLast + 1; ++integer)
      results.push_back(to_int64(overflow_oracle(integer, bits, is_signed, overflow)));
    return results;
  }

 private:
  static std::size_t index(Rounding rounding) { return static_cast<std::size_t>(rounding); }
  std::vector<double> units_;
  std::array<std::vector<std::int64_t>, 9> rounded_;
};

// Compares one format with every rounding at every code, tie and beside them; with every overflow
// where a rounding could leave the range or reach its ends, with each in turn elsewhere.
std::int64_t count_mismatches(const FixedTable& table, int bits, bool is_signed, int fraction,
                              const std::array<std::vector<std::int64_t>, 4>& overflowed) {
  const Format format = Format::fixed(bits, fraction, is_signed);
  const IntegerRange range = integer_range(bits, is_signed);
  const auto min = static_cast<double>(range.min);
  const auto max = static_cast<double>(range.max);
  std::int64_t mismatches = 0;
  for (std::size_t i = 0; i < table.units().size(); ++i) {
    const double units = table.units()[i];
    if (units < min - 3 || units > max + 3) continue;
    const double value = std::ldexp(units, -fraction);
    const bool is_inside = units > min + 2 && units < max - 2;
    for (const Rounding rounding : kAllRoundings) {
      const auto at = static_cast<std::size_t>(table.rounded(rounding, i) - FixedTable::kFirst);
      for (std::size_t mode = is_inside ? i % 4 : 0; mode < (is_inside ? i % 4 + 1 : 4); ++mode) {
        const std::int64_t found =
            format.integer_of(format.encode(value, rounding, kAllOverflows[mode]));
        mismatches += found != overflowed[mode].at(at);
      }
    }
  }
  return mismatches;
}

TEST(Fixed, EveryTieInEveryModeOfEveryWidthTo12) {
  const FixedTable table;
  for (int bits = 1; bits <= FixedTable::kMostBits; ++bits)
    for (const bool is_signed : {false, true}) {
      std::array<std::vector<std::int64_t>, 4> overflowed;
      for (std::size_t mode = 0; mode < 4; ++mode)
        overflowed[mode] = FixedTable::overflowed(bits, is_signed, kAllOverflows[mode]);
      for (int fraction = -4; fraction <= 16; ++fraction)
        EXPECT_EQ(count_mismatches(table, bits, is_signed, fraction, overflowed), 0)
            << Format::fixed(bits, fraction, is_signed).name();
    }
}

TEST(Fixed, RandomNumbersInFormatsTo12Bits) {
  RandomSequence random(5, "fixed");
  for (int i = 0; i < 100'000; ++i) {
    const bool is_signed = random.chance(0.5);
    const auto bits = static_cast<int>(random.integer(1, 12));
    const auto fraction = static_cast<int>(random.integer(-4, 16));
    const double reach = std::ldexp(1.0, static_cast<int>(random.integer(-3, bits + 2)) - fraction);
    const double value = reach * (2 * random.uniform() - 1);
    const Rounding rounding = kAllRoundings[static_cast<std::size_t>(random.integer(0, 8))];
    const Overflow overflow = kAllOverflows[static_cast<std::size_t>(random.integer(0, 3))];
    const Format format = Format::fixed(bits, fraction, is_signed);
    const Rational units = rational_of(value) * rational_of(std::ldexp(1.0, fraction));
    ASSERT_EQ(BigInteger(format.integer_of(format.encode(value, rounding, overflow))),
              overflow_oracle(round_oracle(units, rounding), bits, is_signed, overflow))
        << format.name() << " of " << shortest(value) << " " << name(rounding) << " "
        << name(overflow);
  }
}

TEST(Uniform, RandomNumbersInTheWidestFormats) {
  RandomSequence random(6, "wide");
  for (int i = 0; i < 30'000; ++i) {
    const bool is_signed = random.chance(0.5);
    const bool is_integer = random.chance(0.3);
    const auto bits = static_cast<int>(random.integer(1, is_integer && is_signed ? 64 : 63));
    const auto fraction = is_integer ? 0 : static_cast<int>(random.integer(-64, 64));
    const Format format =
        is_integer ? Format::integer(bits, is_signed) : Format::fixed(bits, fraction, is_signed);
    const int reach = static_cast<int>(random.integer(-70, 130)) - fraction;
    const double value = std::ldexp(2 * random.uniform() - 1, reach);
    const Rounding rounding = kAllRoundings[static_cast<std::size_t>(random.integer(0, 8))];
    const Overflow overflow = kAllOverflows[static_cast<std::size_t>(random.integer(0, 3))];
    const Rational units = rational_of(value) * rational_of(std::ldexp(1.0, fraction));
    ASSERT_EQ(BigInteger(format.integer_of(format.encode(value, rounding, overflow))),
              overflow_oracle(round_oracle(units, rounding), bits, is_signed, overflow))
        << format.name() << " of " << shortest(value) << " " << name(rounding) << " "
        << name(overflow);
  }
}

TEST(Uniform, ExtremeNumbers) {
  const Format format = Format::parse("fixed<8,-64>");
  for (const double huge : {std::numeric_limits<double>::max(), 0x1p1000}) {
    EXPECT_EQ(format.integer_of(format.encode(huge)), 127);
    EXPECT_EQ(format.integer_of(format.encode(-huge)), -128);
    EXPECT_EQ(format.encode(huge, Rounding::kFloor, Overflow::kWrap), 0u);
    EXPECT_EQ(format.encode(huge, Rounding::kFloor, Overflow::kSaturateZero), 0u);
  }
  const double tiny = std::numeric_limits<double>::denorm_min();
  EXPECT_EQ(format.encode(tiny), 0u);
  EXPECT_EQ(format.encode(tiny, Rounding::kCeiling), 1u);
  EXPECT_EQ(format.integer_of(format.encode(-tiny, Rounding::kFloor)), -1);
  EXPECT_EQ(format.encode(-0.0), 0u);
}

TEST(Uniform, NanAndInfinities) {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const char* format_name : {"int8", "uint8", "fixed<8,3>", "bool", "bipolar"}) {
    const Format format = Format::parse(format_name);
    EXPECT_THAT([&] { format.encode(std::nan("")); },
                ThrowsMessage<Error>(concat("NaN has no code in format ", format_name)));
  }
  const Format format = Format::parse("fixed<8,3>");
  EXPECT_EQ(format.integer_of(format.encode(infinity)), 127);
  EXPECT_EQ(format.integer_of(format.encode(-infinity)), -128);
  EXPECT_EQ(format.encode(infinity, Rounding::kFloor, Overflow::kSaturateZero), 0u);
  EXPECT_EQ(
      format.integer_of(format.encode(-infinity, Rounding::kFloor, Overflow::kSaturateSymmetric)),
      -127);
  EXPECT_THAT(
      [&] { format.encode(infinity, Rounding::kFloor, Overflow::kWrap); },
      ThrowsMessage<Error>(HasSubstr("no code in format fixed<8,3> under overflow 'wrap'")));
}

// One block of ap_fixed.txt: a format, its inputs in quarter steps, and codes per pair of modes.
struct HlsBlock {
  Format format;
  std::vector<double> inputs;
  std::map<std::pair<Rounding, Overflow>, std::vector<std::int64_t>> codes;
};

std::vector<HlsBlock> read_hls_blocks() {
  std::istringstream file(
      read_file(test::source_dir() / "tests" / "numerics" / "ap_fixed" / "ap_fixed.txt"));
  std::vector<HlsBlock> blocks;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string first, second;
    words >> first >> second;
    std::vector<std::int64_t> numbers;
    for (std::int64_t number = 0; words >> number;) numbers.push_back(number);
    if (first == "inputs") {
      blocks.push_back({Format::parse(second), {}, {}});
      for (const std::int64_t quarter : numbers)
        blocks.back().inputs.push_back(
            std::ldexp(static_cast<double>(quarter), blocks.back().format.exponent() - 2));
    } else {
      blocks.back().codes[{parse_rounding(first), parse_overflow(second)}] = numbers;
    }
  }
  return blocks;
}

TEST(Fixed, CastsLikeTheHlsTypes) {
  const std::vector<HlsBlock> blocks = read_hls_blocks();
  ASSERT_EQ(blocks.size(), 10u);
  std::int64_t compared = 0;
  for (const HlsBlock& block : blocks) {
    ASSERT_EQ(block.codes.size(), 28u);
    for (const auto& [modes, codes] : block.codes) {
      ASSERT_EQ(codes.size(), block.inputs.size());
      for (std::size_t i = 0; i < codes.size(); ++i, ++compared)
        EXPECT_EQ(block.format.integer_of(
                      block.format.encode(block.inputs[i], modes.first, modes.second)),
                  codes[i])
            << block.format.name() << " of " << block.inputs[i] << " " << name(modes.first) << " "
            << name(modes.second);
    }
  }
  EXPECT_GT(compared, 10'000);
}

}  // namespace
}  // namespace tandem
