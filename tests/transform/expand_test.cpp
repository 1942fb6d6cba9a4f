#include "tandem/transform/expand.h"

#include <gtest/gtest.h>

#include "tandem/graph/evaluate.h"
#include "tandem/graph/printer.h"
#include "tandem/graph/verifier.h"
#include "tandem/ops/register.h"

namespace tandem {
namespace {

class Expand : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { register_operators(); }
};

std::vector<std::vector<double>> run(const Module& module, const std::vector<Tensor>& inputs) {
  std::vector<std::vector<double>> results;
  for (const Tensor& output : evaluate(module, module.main(), inputs))
    results.push_back(output.to_reals());
  return results;
}

// A loop of three steps inside a scan of two, beside a branch, which has no body to write out.
TEST_F(Expand, WritesOutLoopsWhoseStepsAreKnown) {
  Module module = parse_module(
      "tandem-module 1\nconstant @three : int64[] = [3]\nconstant @half : f32[] = [0.5]\n"
      "body @more(%i : int64[], %c : bool[], %x : f32[2], %w : f32[2]) -> (%d, %y) {\n"
      "  %d : bool[] = Identity(%c)\n  %y : f32[2] = Mul(%x, %w)\n}\n"
      "body @step(%s : f32[2], %x : f32[2]) -> (%t, %y) {\n  %three = constant @three\n"
      "  %t : f32[2] = Add(%s, %x)\n"
      "  %y : f32[2] = Loop(%three, _, %t, %x) {carried = 1} body @more\n}\n"
      "body @one(%x : f32[2]) -> (%y) {\n  %half = constant @half\n"
      "  %y : f32[2] = Mul(%x, %half)\n}\n"
      "body @two(%x : f32[2]) -> (%y) {\n  %y : f32[2] = Neg(%x)\n}\n"
      "graph @main(%c : bool[], %s : f32[2], %x : f32[2,2]) -> (%z, %y) {\n"
      "  %t : f32[2], %y : f32[2,2] = Scan(%s, %x) {states = 1, scanned = 1} body @step\n"
      "  %z : f32[2] = If(%c, %t) body @one body @two\n}\n");
  const std::vector<Tensor> inputs = {
      Tensor::from_integers(Format::parse("bool"), {}, std::vector<std::int64_t>{1}),
      Tensor::from_reals(Format(), {2}, std::vector<double>{1, -2}),
      Tensor::from_reals(Format(), {2, 2}, std::vector<double>{2, 3, -1, 0.5})};
  const auto before = run(module, inputs);
  // s + x, times x three times: 3 * 8 and 1 * 27, then 2 * -1 and 1.5 * 0.125.
  EXPECT_EQ(before[1], (std::vector<double>{24, 27, -2, 0.1875}));
  EXPECT_EQ(before[0], (std::vector<double>{1, 0.75}));
  expand_composites(module, [](const NodeView&) { return false; });
  verify(module);
  EXPECT_EQ(run(module, inputs), before);
  const std::string text = print_module(module);
  EXPECT_EQ(text.find("Loop("), std::string::npos);
  EXPECT_EQ(text.find("Scan("), std::string::npos);
  EXPECT_NE(text.find("If("), std::string::npos);
}

}  // namespace
}  // namespace tandem
