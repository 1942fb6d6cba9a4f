#include "tandem/cost/dataflow_area.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/graph/printer.h"
#include "tandem/ops/register.h"
#include "tandem/plan/dataflow.h"

namespace tandem {
namespace {

TEST(DataflowArea, MemoriesOfKnownSizes) {
  // A block RAM of 36 Kbit is 1024 x 36 or two halves of 512 x 36, 1024 x 18, ... (Xilinx UG473).
  EXPECT_EQ(block_rams_of(512, 36), 0.5);
  EXPECT_EQ(block_rams_of(1024, 36), 1);
  EXPECT_EQ(block_rams_of(1024, 18), 0.5);
  EXPECT_EQ(block_rams_of(16384, 1), 0.5);
  EXPECT_EQ(block_rams_of(2048, 27), 1.5);
  // A ROM of 4608 bytes fills one block of 512 x 72, nine words side by side.
  EXPECT_EQ(block_rams_of(4608, 8), 1.5);
  EXPECT_EQ(rom_block_rams_of(4608, 8), 1);
  EXPECT_EQ(rom_block_rams_of(12544, 4), 1.5);
  EXPECT_EQ(rom_block_rams_of(2304, 16), 1.5);
  EXPECT_EQ(rom_block_rams_of(1024, 36), 1);
  // RAM32M holds 32 x 6 and RAM64M 64 x 3 bits in four look-up tables (Xilinx UG474).
  EXPECT_EQ(lut_ram_of(20, 6), 4);
  EXPECT_EQ(lut_ram_of(20, 7), 8);
  EXPECT_EQ(lut_ram_of(64, 3), 4);
  EXPECT_EQ(lut_ram_of(128, 1), 4);
}

TEST(DataflowArea, DspBlocksOfProducts) {
  EXPECT_EQ(dsps_of(8, 8), 1);
  EXPECT_EQ(dsps_of(25, 18), 1);
  EXPECT_EQ(dsps_of(18, 25), 1);
  EXPECT_EQ(dsps_of(30, 18), 2);
  EXPECT_EQ(dsps_of(20, 20), 2);
  EXPECT_EQ(dsps_of(3, 3), 0) << "left to logic";
}

Unit unit_of(std::vector<Cost> costs) {
  Unit unit;
  unit.name = "paper";
  unit.kind = "dataflow_fpga";
  unit.costs = std::move(costs);
  return unit;
}

TEST(DataflowArea, AddsUpFeatures) {
  const Unit unit = unit_of({{"lane", "adders", {{"luts", 2}}},
                             {"lane", "one", {{"luts", 5}}},
                             {"lane", "registers", {{"flip_flops", 0.5}}}});
  AreaPart part;
  part.form = "lane";
  part.instances = 3;
  part.features = {{"adders", 10}, {"one", 1}};
  part.registers = 8;
  part.dsps = 2;
  part.block_rams = 0.5;
  const Area area = area_of(part, unit);
  EXPECT_EQ(area.luts, 3 * (2 * 10 + 5));
  EXPECT_EQ(area.flip_flops, 3 * 4);
  EXPECT_EQ(area.dsps, 6);
  EXPECT_EQ(area.block_rams, 1.5);
}

TEST(DataflowArea, NamesTheMissingCost) {
  AreaPart part;
  part.form = "lane";
  part.features = {{"adders", 10}};
  try {
    area_of(part, unit_of({{"lane", "registers", {{"flip_flops", 1}}}}));
    FAIL() << "a feature without a cost was counted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("'adders'"));
    EXPECT_THAT(error.what(), ::testing::HasSubstr("bench/cost/fit_dataflow_area"));
  }
}

// 4 results of 6 operands each, int3 times int2.
Pipeline dot_pipeline(const Folding& folding) {
  register_operators();
  const Module module = parse_module(
      "tandem-module 1\n"
      "constant @w : int2[6,4] = [1,-1,0,1,0,1,1,-2,-1,1,0,0,1,1,1,-1,0,0,1,1,-2,1,0,-1]\n"
      "graph @main(%x : int3[1,6]) -> (%y) {\n"
      "  %w = constant @w\n"
      "  %y : int7[1,4] = IntMatMul(%x, %w) {format = int7} \"dense\"\n"
      "}\n");
  DataflowChoices choices;
  choices.foldings[dataflow_nodes(module)[0]] = folding;
  return build_pipeline(module, plan_dataflow(module, "", choices));
}

AreaPart part_of(const std::vector<AreaPart>& parts, const std::string& form) {
  const auto found = std::find_if(parts.begin(), parts.end(),
                                  [&](const AreaPart& part) { return part.form == form; });
  if (found == parts.end()) throw InternalError(concat("no part of form ", form));
  return *found;
}

TEST(DataflowFeatures, OfADotLaneByHand) {
  const auto parts = area_parts(dot_pipeline({2, 3, false, false}));
  const AreaPart lane = part_of(parts, "dot");
  EXPECT_EQ(lane.instances, 2);
  // Products of 3 + 2 bits are tables: 3 lanes of 5 bits. Their tree adds 5 + 5 -> 6 bits, then
  // 6 + 5 -> 7 bits; the accumulator has the 7 bits of the result.
  EXPECT_EQ(lane.features.at("products"), 15);
  EXPECT_EQ(lane.features.at("adders"), 13);
  EXPECT_EQ(lane.features.at("accumulator"), 7);
  EXPECT_EQ(lane.registers, 7);
  // 2 x 3 weights of 2 bits in each of 2 x 2 words; a counter over four words.
  const AreaPart rom = part_of(parts, "rom");
  EXPECT_EQ(rom.features.at("address"), 2);
  EXPECT_LE(rom.features.at("table"), 12);
  EXPECT_GE(rom.features.at("table"), 1);
}

TEST(DataflowFeatures, WeightsOfOneWordAreNoMemory) {
  for (const AreaPart& part : area_parts(dot_pipeline({4, 6, false, false})))
    EXPECT_NE(part.form, "rom") << part.module;
}

TEST(DataflowFeatures, BlockWeightsTakeBlockRam) {
  const AreaPart rom = part_of(area_parts(dot_pipeline({1, 1, false, true})), "rom");
  EXPECT_EQ(rom.block_rams, 0.5);
  EXPECT_FALSE(rom.features.contains("table"));
}

TEST(DataflowFeatures, DspBlocksTakeTheProducts) {
  const AreaPart lane = part_of(area_parts(dot_pipeline({2, 3, true, false})), "dot_dsp");
  // Small products stay in logic where Yosys leaves them there.
  EXPECT_EQ(lane.features.at("products") > 0, lane.dsps == 0);
  EXPECT_EQ(lane.dsps, 3 * dsps_of(3, 2));
}

TEST(DataflowArea, StagesSumToTheWhole) {
  const Device device = find_device("artix7-35t");
  const Pipeline pipeline = dot_pipeline({2, 3, false, false});
  Area by_part, by_stage;
  for (const AreaPart& part : area_parts(pipeline)) by_part += area_of(part, device.unit());
  const auto areas = area_by_stage(pipeline, device.unit());
  EXPECT_EQ(areas.size(), pipeline.stages.size() + 1);
  for (const Area& area : areas) by_stage += area;
  EXPECT_DOUBLE_EQ(by_part.luts, by_stage.luts);
  EXPECT_DOUBLE_EQ(by_part.flip_flops, by_stage.flip_flops);
}

}  // namespace
}  // namespace tandem
