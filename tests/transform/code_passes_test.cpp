// The passes that prepare lowered functions for the kernels of codes: floor_rescales(),
// tabulate_codes(), split_rescales().
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/graph/evaluate.h"
#include "tandem/graph/printer.h"
#include "tandem/graph/verifier.h"
#include "tandem/ops/register.h"
#include "tandem/transform/floor_rescales.h"
#include "tandem/transform/split_rescales.h"
#include "tandem/transform/tabulate_codes.h"

namespace tandem {
namespace {

using testing::HasSubstr;
using testing::Not;

class CodePasses : public testing::Test {
 protected:
  static void SetUpTestSuite() { register_operators(); }

  // The module after a pass, which must compute the same for every integer from `least` on.
  static std::string after(void (*pass)(Module&), const std::string& text, std::int64_t least) {
    const Module before = parse_module(text);
    Module module = before;
    pass(module);
    verify(module);
    const TensorType& type = before.main().values[before.main().inputs[0]].type;
    std::vector<std::int64_t> integers(
        static_cast<std::size_t>(element_count(type.static_shape())));
    std::iota(integers.begin(), integers.end(), least);
    const Tensor x = Tensor::from_integers(type.format, type.static_shape(), integers);
    EXPECT_EQ(evaluate(module, module.main(), std::span(&x, 1))[0].to_integers(),
              evaluate(before, before.main(), std::span(&x, 1))[0].to_integers());
    return print_module(module);
  }
};

const char* const kZeroPoint =
    "constant @m : uint4[] = [6]\nconstant @a : int8[] = [5]\nconstant @s : uint3[] = [4]\n"
    "constant @z : uint8[] = [100]\n"
    "graph @main(%x : int12[4000]) -> (%y) {\n"
    "  %m = constant @m\n  %a = constant @a\n  %s = constant @s\n  %z = constant @z\n"
    "  %r : int9[4000] = Rescale(%x, %m, %a, %s) {format = int9, rounding = \"half_even\"}\n"
    "  %c : int9[4000] = Clamp(%r) {format = int9, min = -100, max = 155}\n"
    "  %t : int10[4000] = IntAdd(%c, %z) {format = int10}\n"
    "  %y : uint8[4000] = Clamp(%t) {format = uint8, min = 0, max = 255}\n}\n";

TEST_F(CodePasses, ClampsAndZeroPointGoIntoARescaleThatRoundsDown) {
  const std::string text =
      after(floor_rescales, std::string("tandem-module 1\n") + kZeroPoint, -2000);
  // (6x + 5) / 16 + 100 to the nearest, where no sum lies between two codes: 5 + 1600 + 8.
  EXPECT_THAT(text, HasSubstr("[1613]"));
  EXPECT_THAT(text, HasSubstr("rounding = \"floor\""));
  EXPECT_THAT(text, Not(HasSubstr("IntAdd")));
  EXPECT_THAT(text, Not(HasSubstr("Clamp")));
}

TEST_F(CodePasses, ARescaleWhoseTiesGoBothWaysStays) {
  const std::string text = after(
      floor_rescales,
      "tandem-module 1\nconstant @m : uint1[] = [1]\nconstant @a : uint1[] = [0]\n"
      "constant @s : uint1[] = [1]\n"
      "graph @main(%x : int8[200]) -> (%y) {\n"
      "  %m = constant @m\n  %a = constant @a\n  %s = constant @s\n"
      "  %y : int8[200] = Rescale(%x, %m, %a, %s) {format = int8, rounding = \"half_even\"}\n}\n",
      -100);
  EXPECT_THAT(text, HasSubstr("half_even"));
}

TEST_F(CodePasses, NarrowerLimitsBecomeOneClamp) {
  std::string text = kZeroPoint;
  text.replace(text.find("max = 255"), 9, "max = 200");
  text = after(floor_rescales, "tandem-module 1\n" + text, -2000);
  EXPECT_THAT(text, HasSubstr("Clamp"));
  EXPECT_THAT(text, HasSubstr("max = 200"));
  EXPECT_THAT(text, Not(HasSubstr("IntAdd")));
}

// x * sigmoid(x) as lowering writes it.
TEST_F(CodePasses, AFunctionOfOneCodeBecomesATable) {
  const std::string text =
      after(tabulate_codes,
            "tandem-module 1\nconstant @t : uint4[1,16] = [0,0,0,1,1,2,3,4,6,8,10,12,13,14,15,15]\n"
            "constant @z : int5[1] = [-8]\nconstant @m : uint4[1] = [9]\n"
            "constant @a : uint1[1] = [0]\nconstant @s : uint3[1] = [6]\n"
            "graph @main(%x : uint4[16]) -> (%y) {\n  %t = constant @t\n  %z = constant @z\n"
            "  %m = constant @m\n  %a = constant @a\n  %s = constant @s\n"
            "  %g : uint4[16] = Table(%x, %t) {format = uint4}\n"
            "  %d : int5[16] = IntAdd(%x, %z) {format = int5}\n"
            "  %p : int9[16] = IntMul(%d, %g) {format = int9}\n"
            "  %y : int5[16] = Rescale(%p, %m, %a, %s) {format = int5}\n}\n",
            0);
  EXPECT_THAT(text, HasSubstr("= Table(%x"));
  EXPECT_THAT(text, Not(HasSubstr("IntMul")));
  EXPECT_THAT(text, Not(HasSubstr("Rescale(")));
}

// Scaled by channel, and limited alike in all of them.
TEST_F(CodePasses, AFunctionThatDiffersBetweenChannelsHasATableForEach) {
  const std::string text = after(
      tabulate_codes,
      "tandem-module 1\nconstant @f : uint3[3] = [1,2,3]\nconstant @m : uint4[1,3] = [9,3,1]\n"
      "constant @a : uint1[1] = [0]\nconstant @s : uint3[1] = [6]\n"
      "graph @main(%x : uint4[5,3]) -> (%y) {\n  %f = constant @f\n"
      "  %m = constant @m\n  %a = constant @a\n  %s = constant @s\n"
      "  %p : uint6[5,3] = IntMul(%x, %f) {format = uint6}\n"
      "  %y : int5[5,3] = Rescale(%p, %m, %a, %s) {format = int5}\n}\n",
      0);
  EXPECT_THAT(text, HasSubstr("= Table(%x"));
  EXPECT_THAT(text, HasSubstr("[1,3,16]"));
  EXPECT_THAT(text, Not(HasSubstr("IntMul")));
}

// Which runs as fast as it is, without the memory.
TEST_F(CodePasses, ARescaleByChannelThatRoundsDownStays) {
  const std::string text =
      after(tabulate_codes,
            "tandem-module 1\nconstant @m : uint4[1,3] = [9,3,1]\n"
            "constant @a : uint1[1] = [0]\nconstant @s : uint3[1] = [3]\n"
            "graph @main(%x : uint4[5,3]) -> (%y) {\n"
            "  %m = constant @m\n  %a = constant @a\n  %s = constant @s\n"
            "  %y : int5[5,3] = Rescale(%x, %m, %a, %s) {format = int5, rounding = \"floor\"}\n}\n",
            0);
  EXPECT_THAT(text, HasSubstr("= Rescale(%x"));
  EXPECT_THAT(text, Not(HasSubstr("Table")));
}

TEST_F(CodePasses, AFunctionThatDiffersAlongTwoAxesIsNoTable) {
  const std::string text =
      after(tabulate_codes,
            "tandem-module 1\nconstant @f : uint3[3] = [1,2,3]\nconstant @m : uint4[2,1] = [9,3]\n"
            "constant @a : uint1[1] = [0]\nconstant @s : uint3[1] = [6]\n"
            "graph @main(%x : uint4[2,3]) -> (%y) {\n  %f = constant @f\n"
            "  %m = constant @m\n  %a = constant @a\n  %s = constant @s\n"
            "  %p : uint6[2,3] = IntMul(%x, %f) {format = uint6}\n"
            "  %y : int5[2,3] = Rescale(%p, %m, %a, %s) {format = int5}\n}\n",
            0);
  EXPECT_THAT(text, HasSubstr("= Table(%x"));  // of the product, along its axis alone
  EXPECT_THAT(text, HasSubstr("Rescale("));
}

TEST_F(CodePasses, ARescaleBehindAConcatRunsForEachPart) {
  const std::string text = after(
      split_rescales,
      "tandem-module 1\nconstant @m : uint4[1,5] = [3,3,7,7,7]\nconstant @a : uint1[1,1] = [0]\n"
      "constant @s : uint3[1,1] = [3]\nconstant @t : uint4[1,1,16] = "
      "[3,0,0,1,1,2,3,4,6,8,10,12,13,14,15,15]\n"
      "graph @main(%x : uint4[3,5]) -> (%y) {\n  %m = constant @m\n  %a = constant @a\n"
      "  %s = constant @s\n  %t = constant @t\n"
      "  %u : uint4[3,5] = Table(%x, %t) {format = uint4}\n"
      "  %p : uint4[3,2], %q : uint4[3,3] = Split(%u) {axis = 1, sizes = [2,3]}\n"
      "  %c : uint4[3,5] = Concat(%p, %q) {axis = 1}\n"
      "  %y : uint4[3,5] = Rescale(%c, %m, %a, %s) {format = uint4}\n}\n",
      0);
  EXPECT_THAT(text, HasSubstr("[3]"));  // one multiplier for each part
  EXPECT_THAT(text, HasSubstr("[7]"));
  EXPECT_LT(text.rfind("Rescale("), text.find("= Concat("));
}

// The zero point of the result, added and limited behind the Rescale.
TEST_F(CodePasses, WhatFollowsSuchARescaleRunsForEachPartToo) {
  const std::string text =
      after(split_rescales,
            "tandem-module 1\nconstant @m : uint4[] = [3]\nconstant @a : uint1[] = [0]\n"
            "constant @s : uint3[] = [3]\nconstant @z : uint4[] = [7]\n"
            "graph @main(%x : uint4[3,5]) -> (%y) {\n  %m = constant @m\n  %a = constant @a\n"
            "  %s = constant @s\n  %z = constant @z\n"
            "  %p : uint4[3,2], %q : uint4[3,3] = Split(%x) {axis = 1, sizes = [2,3]}\n"
            "  %c : uint4[3,5] = Concat(%p, %q) {axis = 1}\n"
            "  %r : int5[3,5] = Rescale(%c, %m, %a, %s) {format = int5}\n"
            "  %i : int6[3,5] = IntAdd(%r, %z) {format = int6}\n"
            "  %y : uint4[3,5] = Clamp(%i) {format = uint4, min = 0, max = 11}\n}\n",
            0);
  EXPECT_LT(text.rfind("Rescale("), text.find("= Concat("));
  EXPECT_LT(text.rfind("IntAdd("), text.find("= Concat("));
  EXPECT_LT(text.rfind("Clamp("), text.find("= Concat("));
}

}  // namespace
}  // namespace tandem
