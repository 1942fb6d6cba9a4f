#include "tandem/compress/hybrid.h"

#include <gtest/gtest.h>

#include "tandem/graph/operator.h"
#include "tandem/graph/printer.h"
#include "tandem/graph/verifier.h"
#include "tandem/ops/register.h"
#include "tandem/transform/lower.h"

namespace tandem {
namespace {

std::vector<std::string> operators_of(const Module& module) {
  std::vector<std::string> names;
  for (const Node& node : module.main().nodes) names.emplace_back(node.op->name());
  return names;
}

// Weights of codes, and an input that is coded with the scale of each sample.
constexpr const char* kHybrid = R"(tandem-module 1
constant @w : int8[2,3] = [1,2,3,-4,-5,-6]
constant @s : f32[] = [0.5]
constant @steps : f32[] = [127]
constant @one : f32[] = [1]
graph @main(%x : f32[1,2]) -> (%y) {
  %w = constant @w
  %s = constant @s
  %steps = constant @steps
  %one = constant @one
  %weights : f32[2,3] = Dequantize(%w, %s)
  %size : f32[1,2] = Abs(%x)
  %range : f32[1,1] = ReduceMax(%size) {axes = [1]}
  %up : f32[1,1] = Div(%steps, %range)
  %scaled : f32[1,2] = Mul(%x, %up)
  %codes : int8[1,2] = Quantize(%scaled, %one) {format = int8}
  %down : f32[1,1] = Div(%range, %steps)
  %again : f32[1,2] = Dequantize(%codes, %down)
  %y : f32[1,3] = MatMul(%again, %weights)
}
)";

TEST(Hybrid, BecomesTheNetworkOfRealsThatItApproximates) {
  register_operators();
  Module module = parse_module(kHybrid);
  EXPECT_FALSE(is_quantized(module));
  make_real(module);
  verify(module);
  EXPECT_EQ(operators_of(module), std::vector<std::string>{"MatMul"});
  ASSERT_EQ(module.constants.size(), 1u);
  const std::vector<double> weights = {0.5, 1, 1.5, -2, -2.5, -3};
  EXPECT_EQ(module.constants[0].tensor.to_reals(), weights);
}

TEST(Hybrid, KeepsQuantizersWithAScaleOfTheirOwn) {
  register_operators();
  Module module = parse_module(R"(tandem-module 1
constant @s : f32[] = [0.5]
graph @main(%x : f32[1,2]) -> (%y) {
  %s = constant @s
  %q : int8[1,2] = Quantize(%x, %s) {format = int8}
  %y : f32[1,2] = Dequantize(%q, %s)
}
)");
  EXPECT_TRUE(is_quantized(module));
  const std::string text = print_module(module);
  make_real(module);
  EXPECT_EQ(print_module(module), text);
}

}  // namespace
}  // namespace tandem
