#include "tandem/numerics/bit_packer.h"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/numerics/format.h"
#include "tandem/numerics/format_family.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// All ways of packing codes of that many bits that the planes, lanes and orders allow.
std::vector<Packing> packings_of(int bits) {
  std::vector<std::vector<int>> splits{{bits}};
  for (int low = 1; low < bits; ++low) splits.push_back({low, bits - low});
  splits.push_back(Packing::split(bits, 1).planes);
  std::vector<Packing> packings;
  for (const auto& planes : splits) {
    bool has_fields = true;
    for (const int width : planes) has_fields = has_fields && width <= 8 && 8 % width == 0;
    for (const int lanes : {1, 2, 16, 32}) {
      if (lanes > 1 && !has_fields) continue;
      packings.push_back({planes, lanes, false});
      if (has_fields) packings.push_back({planes, lanes, true});
    }
  }
  return packings;
}

// The formats that are listed as examples, and every width of the families that have one.
std::vector<Format> formats_of_at_most_16_bits() {
  std::vector<Format> formats;
  for (const FormatFamily* family : format_families())
    for (const std::string& name : family->examples()) formats.push_back(Format::parse(name));
  for (int bits = 1; bits <= 16; ++bits) {
    formats.push_back(Format::integer(bits, true));
    formats.push_back(Format::integer(bits, false));
    formats.push_back(Format::fixed(bits, bits / 2));
  }
  for (int exponent = 1; exponent <= 8; ++exponent)
    for (int mantissa = 1; exponent + mantissa < 16; ++mantissa) {
      try {
        formats.push_back(
            Format::parse("e" + std::to_string(exponent) + "m" + std::to_string(mantissa)));
      } catch (const Error&) {
        continue;  // not one of the family
      }
    }
  std::erase_if(formats, [](const Format& format) { return format.bits() > 16; });
  return formats;
}

TEST(BitPacker, EveryFormatComesBackFromEveryPacking) {
  std::mt19937 engine(3);
  int cases = 0;
  for (const Format& format : formats_of_at_most_16_bits()) {
    std::vector<std::uint16_t> codes;
    for (const std::uint64_t code : format.codes())
      codes.push_back(static_cast<std::uint16_t>(code));
    // All codes in their order, then some in any, to an end within a byte and a vector.
    const std::size_t all = codes.size();
    for (int i = 0; i < 61; ++i) codes.push_back(codes[engine() % all]);
    for (const Packing& packing : packings_of(format.bits())) {
      SCOPED_TRACE(format.name() + " as " + packing.name());
      const auto bytes = pack_bits(codes, packing);
      ASSERT_EQ(bytes.size(), packing.bytes(codes.size()));
      ASSERT_EQ(unpack_bits(bytes, codes.size(), packing), codes);
      ASSERT_EQ(Packing::parse(packing.name()), packing);
      ++cases;
    }
  }
  EXPECT_GT(cases, 1000);
}

TEST(BitPacker, PutsFieldsWhereItSays) {
  // 1 in the low nibble, 2 in the high one; then the other way about.
  EXPECT_THAT(pack_bits(std::vector<std::uint16_t>{1, 2, 3}, Packing::parse("4")),
              ElementsAre(0x21, 0x03));
  EXPECT_THAT(pack_bits(std::vector<std::uint16_t>{1, 2, 3}, Packing::parse("4/high")),
              ElementsAre(0x12, 0x30));
  // Two lanes: codes 0 and 1 in the low nibbles of two bytes, 2 and 3 in the high ones.
  EXPECT_THAT(pack_bits(std::vector<std::uint16_t>{1, 2, 3, 4}, Packing::parse("4x2")),
              ElementsAre(0x31, 0x42));
  // 0b10'0110 and 0b01'1001: low nibbles 6 and 9, then high pairs 2 and 1.
  EXPECT_THAT(pack_bits(std::vector<std::uint16_t>{0x26, 0x19}, Packing::parse("4+2")),
              ElementsAre(0x96, 0b0110));
  // Three bits each, side by side: 0b101, 0b011, 0b110.
  EXPECT_THAT(pack_bits(std::vector<std::uint16_t>{5, 3, 6}, Packing::dense(3)),
              ElementsAre(0b10'011'101, 0b1));
}

TEST(BitPacker, SplitsIntoPlanesThatDivideBytes) {
  EXPECT_EQ(Packing::split(6, 32).name(), "4+2x32");
  EXPECT_EQ(Packing::split(7, 1).name(), "4+2+1");
  EXPECT_EQ(Packing::split(8, 32).name(), "8x32");
  EXPECT_EQ(Packing::split(13, 1).name(), "8+4+1");
  EXPECT_EQ(Packing::split(16, 1).name(), "8+8");
}

TEST(BitPacker, RefusesWhatIsNoPacking) {
  for (const char* text : {"", "4+", "x4", "4+2x", "0", "4x", "four"})
    EXPECT_THAT([&] { Packing::parse(text); }, ThrowsMessage<Error>(HasSubstr("names no packing")))
        << text;
  for (const char* text : {"3x32", "3/high", "9+8", "4x128"})
    EXPECT_THAT([&] { Packing::parse(text); },
                ThrowsMessage<Error>(HasSubstr("only planes of 1, 2, 4 or 8 bits")))
        << text;
}

}  // namespace
}  // namespace tandem
