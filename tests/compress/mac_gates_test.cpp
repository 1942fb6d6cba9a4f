#include "tandem/compress/mac_gates.h"

#include <map>
#include <string>

#include <gtest/gtest.h>

namespace tandem {
namespace {

double gates(const std::string& a, const std::string& b) {
  return multiply_add_gates(Format::parse(a), Format::parse(b)).value();
}

// Counts of Yosys for one generator of units, exact sums of 4,096 products.
TEST(MacGates, AreNearSynthesis) {
  const std::map<std::string, double> counted = {
      {"int4", 158}, {"e2m1", 164}, {"int6", 286}, {"e2m3", 255}, {"e3m2", 286},
      {"int8", 462}, {"e2m5", 396}, {"e3m4", 414}, {"e4m3", 499}, {"e5m2", 720}};
  for (const auto& [format, wanted] : counted)
    EXPECT_NEAR(gates(format, format), wanted, 0.09 * wanted) << format;
}

TEST(MacGates, FollowWidths) {
  EXPECT_LT(gates("int4", "uint8"), gates("int8", "uint8"));
  EXPECT_LT(gates("ternary", "uint8"), gates("int2", "uint8"));
  EXPECT_LT(gates("pow2<4>", "int8"), gates("int8", "int8") * 2);
  EXPECT_EQ(gates("int4", "uint8"), gates("uint8", "int4"));
  EXPECT_FALSE(multiply_add_gates(Format::parse("nf4"), Format::parse("uint8")).has_value());
}

}  // namespace
}  // namespace tandem
