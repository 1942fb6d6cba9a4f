// Positions that are found and positions that are read, and trees of decisions.
#include <cmath>
#include <limits>

#include <gmock/gmock.h>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/printer.h"
#include "tandem/runtime/host_network.h"
#include "tandem/runtime/host_plan.h"

#include "tests/runtime/host_runs.h"

namespace tandem {
namespace {

class IndexStepsTest : public OnAnyProcessor {};

std::string form_of_first(const Module& module) {
  const HostNetwork network = prepare_for_host(module);
  return plan_host(network.module, {.layouts = network.layouts}).steps.at(0).form;
}

Tensor positions_of(std::string_view format, const std::vector<std::int64_t>& positions) {
  return Tensor::from_integers(Format::parse(format), {static_cast<std::int64_t>(positions.size())},
                               positions);
}

TEST_F(IndexStepsTest, FindsExtremesAsTheDefinitionDoes) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const Tensor x = Tensor::from_reals(
      Format(), {3, 4, 2},
      std::vector<double>{1, 3,    2, 3,    2,    -1, 0,   -1, kNan, -kInfinity, 7, kInfinity,
                          7, kNan, 8, kNan, -0.0, 5,  0.0, 5,  -1,   5,          0, 5});
  for (const std::string_view op : {"ArgMax", "ArgMin"}) {
    for (const int axis : {0, 1, -1}) {
      for (const int last : {0, 1}) {
        const std::string y = axis == 0 ? "4,2" : axis == 1 ? "3,2" : "3,4";
        const Module module = parse_module(concat(
            "tandem-module 1\ngraph @main(%x : f32[3,4,2]) -> (%y) {\n  %y : int64[", y, "] = ", op,
            "(%x) {axis = ", axis, ", keepdims = 0, select_last_index = ", last, "}\n}\n"));
        EXPECT_EQ(form_of_first(module), "arg_extreme");
        EXPECT_EQ(run_on_host(module, {x})[0], evaluate(module, module.main(), {{x}})[0])
            << op << " along " << axis << (last != 0 ? ", the last" : "");
      }
    }
  }
}

TEST_F(IndexStepsTest, GathersAtComputedPositions) {
  for (const std::string_view format : {"int64", "int32", "int8"}) {
    for (const std::string_view table : {"f32", "int8", "f64"}) {
      const Module module = parse_module(
          concat("tandem-module 1\ngraph @main(%x : ", table, "[2,3,2], %p : ", format,
                 "[4]) -> (%y) {\n  %y : ", table, "[2,4,2] = Gather(%x, %p) {axis = 1}\n}\n"));
      std::vector<std::int64_t> elements(12);
      for (std::size_t i = 0; i < elements.size(); ++i) elements[i] = static_cast<std::int64_t>(i);
      const Tensor x = Tensor::from_integers(Format::parse("int64"), {2, 3, 2}, elements)
                           .converted(Format::parse(table));
      const std::vector<Tensor> inputs = {x, positions_of(format, {2, -3, 0, -1})};
      EXPECT_EQ(run_on_host(module, inputs)[0], evaluate(module, module.main(), inputs)[0])
          << table << " at " << format;
      const std::vector<Tensor> outside = {x, positions_of(format, {2, 3, 0, -1})};
      EXPECT_THAT([&] { run_on_host(module, outside); },
                  testing::ThrowsMessage<Error>(testing::HasSubstr("position 3 is outside")));
    }
  }
}

TEST_F(IndexStepsTest, WalksTreesAsTheDefinitionDoes) {
  for (const std::string_view format : {"f32", "f64"}) {
    const Module module = parse_module(concat(
        "tandem-module 1\nconstant @s : ", format, "[3] = [0.25,-0.5,1]\nconstant @w : ", format,
        "[4] = [1,-2,0.5,0.1]\ngraph @main(%x : ", format, "[40,3]) -> (%y) {\n",
        "  %s = constant @s\n  %w = constant @w\n  %y : ", format,
        "[40,2] = TreeEnsemble(%x, %s, %w) {features = [0,2,1], comparisons = [0,3,4], "
        "if_true = [1,-2,-1], if_false = [2,-3,-4], nan_is_true = [1,0,0], "
        "roots = [0,2,0,-2], leaf_targets = [0,1,1,0], targets = 2, "
        "aggregate = \"mean\"}\n}\n"));
    EXPECT_EQ(form_of_first(module), "trees");
    std::vector<double> values;
    for (int i = 0; i < 120; ++i) values.push_back(i % 7 == 0 ? std::nan("") : (i * 37 % 17) / 8.0);
    const Tensor x = Tensor::from_reals(Format::parse(format), {40, 3}, values);
    const Tensor expected = evaluate(module, module.main(), {{x}})[0];
    for (const int threads : {1, 2, 3, 4}) {
      set_thread_count(threads);
      EXPECT_EQ(run_on_host(module, {x})[0], expected) << format << ", " << threads << " threads";
    }
  }
}

}  // namespace
}  // namespace tandem
