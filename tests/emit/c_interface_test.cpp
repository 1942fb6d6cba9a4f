#include "tandem/emit/c_interface.h"

#include <cmath>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/text.h"
#include "tandem/graph/printer.h"
#include "tandem/numerics/format.h"

#include "tests/emit/emitted_c.h"

namespace tandem::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class CInterfaceTest : public EmittedC {
 protected:
  // The words that a program prints which includes a network of kCoded.
  std::vector<std::string> printed(const std::string& includes, const std::string& body) const {
    write(emitted(parse_module(kCoded), "net"));
    write({{"user.c", concat(includes, "#include <stdio.h>\n\n", including({"net.h"}),
                             "int main(void) {\n", body, "  return 0;\n}\n")}});
    run({"gcc", "-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-ffp-contract=off",
         "user.c", "net.c", "-o", "user"});
    std::istringstream text(run({folder() + "/user"}));
    std::vector<std::string> words;
    for (std::string word; text >> word;) words.push_back(word);
    return words;
  }
};

TEST_F(CInterfaceTest, MacrosDescribeInputsAndOutputs) {
  const auto words = printed("", R"(
  static const int shape[NET_X_INPUT_RANK] = NET_X_INPUT_SHAPE;
  static const double scale[3] = NET_C_INPUT_SCALE;
  printf("%d %d %d %g %g %d ", shape[0], shape[1], NET_X_INPUT_SIZE, NET_X_INPUT_SCALE,
         NET_X_INPUT_OFFSET, NET_X_INPUT_ZERO_POINT);
  printf("%g %g %g\n", NET_U_INPUT_OFFSET, scale[0], scale[2]);
)");
  EXPECT_EQ(join(words, " "), "1 3 3 0.0078125 0.0234375 -3 -0.25 0.5 2");
  const std::string header = emitted(parse_module(kCoded), "net").front().content;
  // -0.25 is no multiple of 0.1, and channels have scales of their own.
  EXPECT_THAT(header, Not(HasSubstr("NET_U_INPUT_ZERO_POINT")));
  EXPECT_THAT(header, Not(HasSubstr("NET_C_INPUT_ZERO_POINT")));
  EXPECT_THAT(header, Not(HasSubstr("net_quantize_c_input")));
}

TEST_F(CInterfaceTest, MacrosOfNamesThatDifferInCaseOnlyAreDistinct) {
  const std::string header = emitted(parse_module(kAwkward), "net").front().content;
  EXPECT_THAT(header, HasSubstr("#define NET_a_INPUT_SIZE 6\n"));
  EXPECT_THAT(header, HasSubstr("#define NET_A_INPUT_SIZE 6\n"));
}

// In steps of a 16th of a code, through the range and beyond: ties are exact in the first coding;
// of the second, whose scale is no float, those are left out.
TEST_F(CInterfaceTest, QuantizesAsTheReferenceDoes) {
  const auto words = printed("#define NET_WITH_FLOAT\n", R"(
  int i;
  for (i = -2400; i <= 2400; ++i)
    printf("%d %d ", net_quantize_x_input((float)i / 2048.0f),
           net_quantize_u_input((float)i / 160.0f));
  printf("%d %d %d %d", net_quantize_x_input(1e30f), net_quantize_x_input(-1e30f),
         net_quantize_x_input(0.0f / 0.0f), net_quantize_u_input(-1e30f));
)");
  ASSERT_EQ(words.size(), 2U * 4801 + 4);
  const Format int8 = Format::parse("int8"), uint4 = Format::parse("uint4");
  for (int i = -2400; i <= 2400; ++i) {
    const auto at = static_cast<std::size_t>(2 * (i + 2400));
    const double exact = (i / 2048.0 - 0.0234375) / 0.0078125;
    EXPECT_EQ(parse_integer(words[at], "code"), int8.integer_of(int8.encode(exact))) << i;
    const double near = (i / 160.0 + 0.25) / 0.1;
    if (std::abs(near - std::floor(near) - 0.5) < 1e-3) continue;
    EXPECT_EQ(parse_integer(words[at + 1], "code"), uint4.integer_of(uint4.encode(near))) << i;
  }
  EXPECT_EQ(join({words.end() - 4, words.end()}, " "), "127 -128 -128 0");
}

TEST_F(CInterfaceTest, DequantizesAsTheReferenceDoes) {
  const auto words = printed("#define NET_WITH_FLOAT\n", R"(
  int i;
  for (i = -128; i < 128; ++i)
    printf("%.9g %.9g ", (double)net_dequantize_y_output((int8_t)i),
           (double)net_dequantize_z_output((int16_t)i));
)");
  ASSERT_EQ(words.size(), 512U);
  for (int i = -128; i < 128; ++i) {
    const auto at = static_cast<std::size_t>(2 * (i + 128));
    EXPECT_EQ(parse_real(words[at], "real"), 0.0078125 * i + 0.0234375);
    const double real = 0.1 * i - 0.25;
    EXPECT_NEAR(parse_real(words[at + 1], "real"), real, 2e-7 * (std::abs(0.1 * i) + 0.25));
  }
}

TEST_F(CInterfaceTest, NoFloatIsInALayer) {
  for (const Artifact& artifact : emitted(parse_module(kCoded), "net"))
    EXPECT_EQ(artifact.content.find("float") != std::string::npos, artifact.path == "net.h")
        << artifact.path;
}

}  // namespace
}  // namespace tandem::test
