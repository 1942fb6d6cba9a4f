#include "tandem/graph/equality.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/graph/printer.h"
#include "tandem/ops/register.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::Optional;

class Equality : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { register_operators(); }
};

Module module_of(const std::string& body,
                 const std::string& constants = "constant @c : f32[] = [2]") {
  return parse_module("tandem-module 1\n" + constants +
                      "\ngraph @main(%x : f32[3]) -> (%y) {\n  %c = constant @c\n" + body + "\n}");
}

TEST_F(Equality, SeesThroughNamesOrderAndSharing) {
  const Module a = module_of(
      "  %a : f32[3] = Mul(%x, %c)\n  %b : f32[3] = Relu(%x)\n  %y : f32[3] = Add(%a, %b)");
  const Module b = module_of(
      "  %d = constant @d\n  %unused : f32[3] = Exp(%x)\n  %r : f32[3] = Relu(%x)\n"
      "  %m : f32[3] = Mul(%x, %d)\n  %y : f32[3] = Add(%m, %r)",
      "constant @c : f32[] = [2]\nconstant @d : f32[] = [2]");
  EXPECT_EQ(difference(a, b), std::nullopt);
  EXPECT_EQ(difference(b, a), std::nullopt);
}

TEST_F(Equality, NamesTheFirstDifference) {
  const Module base = module_of("  %m : f32[3] = LeakyRelu(%x)\n  %y : f32[3] = Sub(%m, %c)");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"  %m : f32[3] = LeakyRelu(%x)\n  %y : f32[3] = Add(%m, %c)", "Sub against Add"},
      {"  %m : f32[3] = LeakyRelu(%x)\n  %y : f32[3] = Sub(%c, %m)", "only one is constant"},
      {"  %m : f32[3] = LeakyRelu(%x) {alpha = 0.5}\n  %y : f32[3] = Sub(%m, %c)",
       "'m' against 'm': attribute alpha is 0.01 against 0.5"},
      {"  %y : f32[3] = Sub(%x, %c)", "an input stands against another value"},
  };
  for (const auto& [body, message] : cases)
    EXPECT_THAT(difference(base, module_of(body)), Optional(HasSubstr(message)));
  const Module other = module_of("  %m : f32[3] = LeakyRelu(%x)\n  %y : f32[3] = Sub(%m, %c)",
                                 "constant @c : f32[] = [3]");
  EXPECT_THAT(difference(base, other), Optional(HasSubstr("constants differ")));
}

TEST_F(Equality, TakesScalesForWhatTheyBroadcastTo) {
  const auto quantized = [](const std::string& constant) {
    return module_of(
        "  %q : int8[3] = Quantize(%x, %c) {format = int8}\n"
        "  %y : f32[3] = Dequantize(%q, %c)",
        constant);
  };
  const Module scalar = quantized("constant @c : f32[] = [2]");
  EXPECT_EQ(difference(scalar, quantized("constant @c : f32[1] = [2]")), std::nullopt);
  EXPECT_THAT(difference(scalar, quantized("constant @c : f32[3] = [2,2,2]")),
              Optional(HasSubstr("constants differ")));
}

TEST_F(Equality, ComparesTypesAndCodings) {
  const auto coded = [](const std::string& type, const std::string& scale) {
    return parse_module("tandem-module 1\nconstant @s : f64[] = [" + scale +
                        "]\nconstant @o : f64[] = [0]\ngraph @main(%x : " + type +
                        " coded(@s,@o)) -> (%y coded(@s,@o)) {\n  %y : " + type +
                        " = Identity(%x)\n}");
  };
  EXPECT_EQ(difference(coded("int8[2]", "0.5"), coded("int8[2]", "0.5")), std::nullopt);
  EXPECT_THAT(difference(coded("int8[2]", "0.5"), coded("int8[3]", "0.5")),
              Optional(HasSubstr("int8[2] against int8[3]")));
  EXPECT_THAT(difference(coded("int8[2]", "0.5"), coded("int8[2]", "0.25")),
              Optional(HasSubstr("codings differ")));
}

}  // namespace
}  // namespace tandem
