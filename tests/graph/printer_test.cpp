#include "tandem/graph/printer.h"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/graph/builder.h"
#include "tandem/graph/evaluate.h"
#include "tandem/ops/register.h"

namespace tandem {
namespace {

class Printer : public testing::Test {
 protected:
  static void SetUpTestSuite() { register_operators(); }
};

// Every construct of the text form.
constexpr const char* kEverything = R"(tandem-module 1
metadata "a \"quoted\" key" = "line\nbreak"
symbol N in [1,16]
constant @w : int4[3,2] = [1,-2,7,-8,0,5]
constant @"odd name:0/x" : f32[] = [0.25]
constant @h0 : int16[1,2] = [0,0]
state @h : int16[1,2] = @h0 stream
graph @main(%x : int8[1,3] coded(@"odd name:0/x",@"odd name:0/x"), %n : uint2[N,2]) -> (%z, %n) updates(@h = %z) {
  %w = constant @w
  %h = state @h
  %y : int12[1,2] = IntMatMul(%x, %w) {format = int12} "fc:1" scope "head/a"
  %s : int17[1,2] = IntAdd(%y, %h) {format = int17} "s"
  %z : int16[1,2] = Clamp(%s) {format = int16, max = 32767, min = -32768} "z"
}
)";

TEST_F(Printer, TextReadsBackToTheSameText) {
  const Module module = parse_module(kEverything);
  EXPECT_EQ(print_module(module), kEverything);
}

TEST_F(Printer, LargeAndSpecialConstantsAreLossless) {
  Module module;
  Builder builder(module, Builder::add_graph(module, "main"));
  std::vector<double> reals;
  for (int i = 0; i < 100; ++i) reals.push_back(1.0 / (i + 1));
  const double inf = std::numeric_limits<double>::infinity();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const char* format : {"f32", "f64", "f16", "bf16"}) {
    const Format f = Format::parse(format);
    builder.output(builder.constant(Tensor::from_reals(f, {100}, reals)));
    builder.output(builder.constant(Tensor::from_reals(f, {3}, std::vector{inf, -inf, nan})));
    builder.output(builder.constant(Tensor::from_reals(f, {2}, std::vector{1.0 / 3, -0.0})));
  }
  for (const char* format : {"int64", "uint63", "bipolar", "fixed<9,4>", "int3", "bool"}) {
    const Format f = Format::parse(format);
    const IntegerRange range = f.integer_range();
    builder.output(builder.constant(
        Tensor::from_integers(f, {2}, std::vector<std::int64_t>{range.min, range.max})));
    builder.output(
        builder.constant(Tensor::from_integers(f, {40}, std::vector<std::int64_t>(40, range.max))));
  }
  const Module read = parse_module(print_module(module));
  ASSERT_EQ(read.constants.size(), module.constants.size());
  for (std::size_t i = 0; i < read.constants.size(); ++i)
    EXPECT_EQ(read.constants[i].tensor, module.constants[i].tensor) << module.constants[i].name;
}

struct Refusal {
  const char* text;
  const char* says;
};

class PrinterRefusals : public testing::TestWithParam<Refusal> {
 protected:
  static void SetUpTestSuite() { register_operators(); }
};

TEST_P(PrinterRefusals, NameLineAndRemedy) {
  try {
    parse_module(std::string("tandem-module 1\n") + GetParam().text, "case.tandem");
    FAIL() << "was accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr(GetParam().says));
    EXPECT_THAT(error.what(), testing::HasSubstr("case.tandem:"));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Cases, PrinterRefusals,
    testing::Values(
        Refusal{"grph @main() -> () {}", "did you mean 'graph'"},
        Refusal{"constant @a : int9x[1] = [1]", "int9x"},
        Refusal{"constant @a : int4[2] = [1]", "1 elements where int4[2] needs 2"},
        Refusal{"constant @a : int4[1] = [99]", "99"},
        Refusal{"constant @a : int8[40] = x00", "needs 40"},
        Refusal{"constant @a : int4[999999999,999999999] = [1]", "elements"},
        Refusal{"graph @main(%x : int8[2]) -> (%y) {\n  %y : int9[2] = IntAd(%x, %x) {format = "
                "int9}\n}",
                "did you mean 'IntAdd'"},
        Refusal{"graph @main(%x : int8[2]) -> (%y) {\n  %y : int9[2] = IntAdd(%x, %z) {format = "
                "int9}\n}",
                "no value 'z'"},
        Refusal{"graph @main(%x : int8[2]) -> (%y) {\n  %y : int9[3] = IntAdd(%x, %x) {format = "
                "int9}\n}",
                "declared int9[3]"},
        Refusal{"graph @main(%x : int8[2]) -> (%y) {\n  %y : int9[2] = IntAdd(%x, %x) {format = "
                "int9, shape = 3}\n}",
                "no attribute 'shape'"},
        Refusal{"graph @main(%x : int8[M]) -> (%x) {\n}", "undeclared symbol M"},
        Refusal{"graph @main(%x : int8[2]) -> (%x) {\n", "expected"}));

TEST_F(Printer, StatesCarryValuesBetweenRuns) {
  const Module module = parse_module(kEverything);
  auto states = initial_states(module);
  const Tensor x =
      Tensor::from_integers(Format::parse("int8"), {1, 3}, std::vector<std::int64_t>{1, 2, 3});
  const Tensor n =
      Tensor::from_integers(Format::parse("uint2"), {5, 2}, std::vector<std::int64_t>(10, 3));
  const std::vector<Tensor> inputs{x, n};
  // [1,2,3] * [[1,-2],[7,-8],[0,5]] = [15,-3], added up run by run.
  for (std::int64_t run = 1; run <= 3; ++run) {
    const auto outputs = evaluate(module, module.main(), inputs, &states);
    EXPECT_EQ(outputs[0].to_integers(), (std::vector<std::int64_t>{15 * run, -3 * run}));
  }
}

}  // namespace
}  // namespace tandem
