#include "tandem/transform/constant_fold.h"

#include <gtest/gtest.h>

#include "tandem/graph/evaluate.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/printer.h"
#include "tandem/graph/verifier.h"
#include "tandem/ops/register.h"

#include "tests/support/networks.h"

namespace tandem {
namespace {

using test::operators_of;

class ConstantFold : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { register_operators(); }
};

// Two constant branches, one of which ends in a Dequantize.
constexpr const char* kText = R"(tandem-module 1
constant @a : f32[2] = [1,4]
constant @b : f32[] = [0.5]
constant @s : f32[] = [0.25]
graph @main(%x : f32[2]) -> (%y) {
  %a = constant @a
  %b = constant @b
  %s = constant @s
  %root : f32[2] = Pow(%a, %b)
  %double : f32[2] = Add(%root, %root)
  %codes : int4[2] = Quantize(%double, %s) {format = int4}
  %weight : f32[2] = Dequantize(%codes, %s)
  %z : f32[2] = Mul(%x, %double)
  %y : f32[2] = Add(%z, %weight)
})";

TEST_F(ConstantFold, FoldsChainsAndKeepsDequantize) {
  const Module before = parse_module(kText);
  Module after = before;
  fold_constants(after);
  verify(after);
  EXPECT_EQ(operators_of(after), (std::vector<std::string>{"Dequantize", "Mul", "Add"}));
  const std::vector<double> values = {3, -7};
  const std::vector<Tensor> x = {Tensor::from_reals(Format(), {2}, values)};
  EXPECT_EQ(evaluate(after, after.main(), x), evaluate(before, before.main(), x));
  for (const Constant& constant : after.constants) EXPECT_NE(constant.name, "a");
}

// Scales that are codes become numbers, weights stay codes.
TEST_F(ConstantFold, ComputesScalesOfScales) {
  const Module before = parse_module(R"(tandem-module 1
constant @q : int4[2,2] = [1,-2,3,7]
constant @codes : uint8[2] = [3,200]
constant @unit : f32[] = [0.015625]
graph @main(%x : f32[2,2]) -> (%y) {
  %q = constant @q
  %codes = constant @codes
  %unit = constant @unit
  %scales : f32[2] = Dequantize(%codes, %unit)
  %rows : f32[2,1] = Reshape(%scales) {shape = ["2","1"]}
  %w : f32[2,2] = Dequantize(%q, %rows)
  %y : f32[2,2] = MatMul(%x, %w)
})");
  Module after = before;
  fold_scales(after);
  verify(after);
  EXPECT_EQ(operators_of(after), (std::vector<std::string>{"Dequantize", "MatMul"}));
  const std::vector<double> values = {3, -7, 2, 5};
  const std::vector<Tensor> x = {Tensor::from_reals(Format(), {2, 2}, values)};
  EXPECT_EQ(evaluate(after, after.main(), x), evaluate(before, before.main(), x));
}

TEST_F(ConstantFold, ChangesNothingWithoutConstants) {
  const Module before = parse_module(
      "tandem-module 1\ngraph @main(%x : f32[2]) -> (%y) {\n  %y : f32[2] = Relu(%x)\n}");
  Module after = before;
  fold_constants(after);
  EXPECT_EQ(print_module(after), print_module(before));
}

// 2^25 elements from one.
TEST_F(ConstantFold, KeepsWhatWouldBeLarge) {
  Module module = parse_module(R"(tandem-module 1
constant @a : f32[1,1] = [1]
graph @main(%x : f32[1]) -> (%y, %z) {
  %a = constant @a
  %y : f32[8192,4096] = Expand(%a) {shape = ["8192","4096"]}
  %z : f32[1] = Relu(%x)
})");
  fold_constants(module);
  EXPECT_EQ(operators_of(module), (std::vector<std::string>{"Expand", "Relu"}));
}

TEST_F(ConstantFold, FoldsAnOutputOfTheGraph) {
  Module module = parse_module(R"(tandem-module 1
constant @a : f32[2] = [1,-4]
graph @main(%x : f32[1]) -> (%y, %z) {
  %a = constant @a
  %y : f32[2] = Relu(%a)
  %z : f32[1] = Relu(%x)
})");
  fold_constants(module);
  verify(module);
  const std::vector<Tensor> x = {Tensor::scalar(2).reshaped({1})};
  EXPECT_EQ(evaluate(module, module.main(), x)[0].to_reals(), (std::vector<double>{1, 0}));
}

}  // namespace
}  // namespace tandem
