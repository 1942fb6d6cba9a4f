#include "tandem/cost/dataflow_cost.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/cost/dataflow_simulation.h"
#include "tandem/graph/printer.h"
#include "tandem/mapping/dataflow_buffers.h"
#include "tandem/ops/register.h"
#include "tandem/plan/dataflow.h"

namespace tandem {
namespace {

Module dense() {
  register_operators();
  return parse_module(
      "tandem-module 1\n"
      "constant @w : int2[6,4] = [1,-1,0,1,0,1,1,-2,-1,1,0,0,1,1,1,-1,0,0,1,1,-2,1,0,-1]\n"
      "constant @t : int7[4,1] = [0,3,-2,5]\n"
      "graph @main(%x : int3[1,6]) -> (%z) {\n"
      "  %w = constant @w\n  %t = constant @t\n"
      "  %y : int7[1,4] = IntMatMul(%x, %w) {format = int7} \"dense\"\n"
      "  %z : uint1[1,4] = Threshold(%y, %t) {format = uint1, base = 0, step = 1} \"step\"\n"
      "}\n");
}

TEST(DataflowCost, OfADenseLayerByHand) {
  const Module module = dense();
  const Device device = find_device("artix7-35t");
  Plan plan = plan_dataflow(module, device.name);
  size_buffers(module, plan);
  const Estimate estimate = estimate_dataflow(module, plan, device);
  const auto value = [&](const char* name) { return estimate.total.at(name).value; };
  EXPECT_EQ(value("weights_bytes"), 24 * 2 / 8.0);
  // Four thresholds with a bit more than the operand's, as one of them may lie above all of its
  // integers; and the row that each of the four results uses.
  EXPECT_EQ(value("tables_bytes"), (4 * 8 + 4 * 3) / 8.0);
  // Beats of one element, each padded to a byte: six in, four out.
  EXPECT_EQ(value("io_bytes"), 10);
  EXPECT_EQ(value("multiply_accumulates"), 24);
  EXPECT_EQ(value("interval_cycles"), 24) << "one product per cycle";
  EXPECT_DOUBLE_EQ(value("interval_seconds"), 24 / device.clock.hertz);
  EXPECT_DOUBLE_EQ(value("rate_per_second"), device.clock.hertz / 24);
  EXPECT_EQ(value("dsps"), 0);
  EXPECT_EQ(value("brams"), 0);
  EXPECT_EQ(estimate.total.at("weights_bytes").source, Source::kExact);
  EXPECT_EQ(estimate.total.at("luts").relative_uncertainty, kLutUncertainty);
}

TEST(DataflowCost, StepsSumToTheTotalButForTheTop) {
  const Module module = dense();
  const Device device = find_device("artix7-35t");
  const Plan plan = plan_dataflow(module, device.name);
  const Estimate estimate = estimate_dataflow(module, plan, device);
  ASSERT_EQ(estimate.steps.size(), plan.steps.size());
  double luts = 0;
  for (const auto& step : estimate.steps) {
    const auto found = step.figures.find("luts");
    if (found != step.figures.end()) luts += found->second.value;
  }
  const double total = estimate.total.at("luts").value;
  EXPECT_LT(luts, total);
  EXPECT_GT(luts, 0.5 * total);
}

TEST(DataflowCost, MoreParallelIsFasterAndLarger) {
  const Module module = dense();
  const Device device = find_device("artix7-35t");
  DataflowChoices wide;
  wide.foldings[dataflow_nodes(module)[0]] = {4, 6, false, false};
  wide.foldings[dataflow_nodes(module)[1]] = {4, 1, false, false};
  wide.input_lanes[0] = 6;
  wide.output_lanes[0] = 4;
  const auto slow = estimate_dataflow(module, plan_dataflow(module, device.name), device);
  const auto fast = estimate_dataflow(module, plan_dataflow(module, device.name, wide), device);
  EXPECT_EQ(fast.total.at("interval_cycles").value, 1);
  EXPECT_GT(fast.total.at("luts").value, slow.total.at("luts").value);
}

TEST(DataflowCost, RefusesOtherDevices) {
  const Module module = dense();
  const Plan plan = plan_dataflow(module, "artix7-35t");
  EXPECT_THROW(estimate_dataflow(module, plan, find_device("stm32f746")), Error);
}

}  // namespace
}  // namespace tandem
