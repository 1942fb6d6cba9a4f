#include "tandem/verify/yosys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/base/process.h"
#include "tandem/cost/dataflow_area.h"
#include "tandem/cost/dataflow_cost.h"
#include "tandem/device/device.h"
#include "tandem/mapping/dataflow_buffers.h"
#include "tandem/ops/register.h"
#include "tandem/plan/dataflow.h"

#include "tests/support/random_module.h"

namespace tandem {
namespace {

class Yosys : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!has_program("yosys")) GTEST_SKIP() << "yosys is not installed; tools/setup.sh test does";
  }
};

TEST(LutsOfCell, CountsMemoriesByTheLookUpTablesTheyTake) {
  EXPECT_EQ(luts_of_cell("LUT1"), 1);
  EXPECT_EQ(luts_of_cell("LUT6"), 1);
  EXPECT_EQ(luts_of_cell("RAM64M"), 4);
  EXPECT_EQ(luts_of_cell("SRL16E"), 1);
  EXPECT_EQ(luts_of_cell("FDRE"), 0);
  EXPECT_EQ(luts_of_cell("CARRY4"), 0);
  EXPECT_EQ(luts_of_cell("MUXF7"), 0);
}

// By hand: each bit of a and b is one LUT2 and one flip-flop, in each of the two instances.
TEST_F(Yosys, CountsCellsOverTheHierarchy) {
  const Synthesis result = synthesize(
      "module half (input logic clk, input logic [2:0] a, b, output logic [2:0] y);\n"
      "  always_ff @(posedge clk) y <= a & b;\nendmodule\n"
      "module whole (input logic clk, input logic [5:0] a, b, output logic [5:0] y);\n"
      "  (* keep *) half low (.clk(clk), .a(a[2:0]), .b(b[2:0]), .y(y[2:0]));\n"
      "  (* keep *) half high (.clk(clk), .a(a[5:3]), .b(b[5:3]), .y(y[5:3]));\nendmodule\n",
      "whole");
  EXPECT_EQ(result.luts, 6);
  EXPECT_EQ(result.flip_flops, 6);
  EXPECT_EQ(result.latches, 0);
  EXPECT_EQ(result.dsps, 0);
  EXPECT_EQ(result.modules.at("half").at("LUT2"), 3);
}

TEST_F(Yosys, FindsLatches) {
  const Synthesis result = synthesize(
      "module kept (input logic open, a, output logic y);\n"
      "  always_latch if (open) y = a;\nendmodule\n",
      "kept");
  EXPECT_EQ(result.latches, 1);
}

TEST_F(Yosys, ReportsItsComplaints) {
  try {
    synthesize("module broken (input logic a; endmodule\n", "broken");
    FAIL() << "a broken text was synthesised";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("synthesising"));
  }
}

// A few emitted circuits as a whole: no latches, the estimated memories and multipliers, and
// look-up tables near the estimate though every single circuit is small.
TEST_F(Yosys, EmittedCircuitsAreNearTheirEstimates) {
  register_operators();
  const Device device = find_device("artix7-35t");
  double predicted = 0, measured = 0;
  for (std::uint64_t seed = 900; seed < 904; ++seed) {
    const Module module = random_lowered_module(seed);
    Plan plan = plan_dataflow(module, device.name);
    size_buffers(module, plan);
    const Synthesis synthesis = synthesize(build_pipeline(module, plan));
    const Estimate estimate = estimate_dataflow(module, plan, device);
    EXPECT_EQ(synthesis.latches, 0) << seed;
    predicted += estimate.total.at("luts").value;
    measured += static_cast<double>(synthesis.luts);
    EXPECT_NEAR(estimate.total.at("flip_flops").value, static_cast<double>(synthesis.flip_flops),
                0.35 * static_cast<double>(synthesis.flip_flops))
        << seed;
  }
  EXPECT_NEAR(predicted, measured, 0.35 * measured);
}

}  // namespace
}  // namespace tandem
