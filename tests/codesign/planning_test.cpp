#include "tandem/codesign/planning.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/graph/printer.h"
#include "tandem/ops/register.h"
#include "tandem/plan/dataflow.h"

namespace tandem {
namespace {

// A dense layer with weights of so many bits, whose sums are brought to 4 bits.
Module dense(int weight_bits) {
  register_operators();
  std::string weights;
  const int most = (1 << (weight_bits - 1)) - 1;
  for (int i = 0; i < 16 * 8; ++i)
    weights += (i == 0 ? "" : ",") + std::to_string(i * 7 % (2 * most + 1) - most);
  return parse_module("tandem-module 1\nconstant @w : int" + std::to_string(weight_bits) +
                      "[16,8] = [" + weights +
                      "]\n"
                      "constant @m : uint4[1,1] = [9]\n"
                      "constant @a : uint4[1,1] = [0]\n"
                      "constant @s : uint4[1,1] = [8]\n"
                      "graph @main(%x : uint4[1,16]) -> (%y) {\n"
                      "  %w = constant @w\n  %m = constant @m\n"
                      "  %a = constant @a\n  %s = constant @s\n"
                      "  %c : int16[1,8] = IntMatMul(%x, %w) {format = int16} \"dense\"\n"
                      "  %y : int4[1,8] = Rescale(%c, %m, %a, %s) {format = int4} \"rescale\"\n"
                      "}\n");
}

std::vector<std::map<std::string, std::string>> choices_of(
    const std::vector<PlannedNetwork>& plans) {
  std::vector<std::map<std::string, std::string>> choices;
  for (const PlannedNetwork& planned : plans) choices.push_back(planned.choices);
  return choices;
}

double figure(const PlannedNetwork& planned, const char* name) {
  return planned.estimate.total.at(name).value;
}

TEST(DevicePlanner, PlansCircuitsFromSmallToFastWithoutAndWithDspBlocks) {
  const Device device = find_device("artix7-35t");
  const Module module = dense(6);
  const auto plans = DevicePlanner(device).plans(module);
  ASSERT_EQ(plans.size() % 2, 0U);
  const std::size_t half = plans.size() / 2;
  ASSERT_GE(half, 3U);
  for (std::size_t i = 0; i < plans.size(); ++i) {
    EXPECT_EQ(plans[i].choices.at("products"), i < half ? "logic" : "dsp");
    if (i < half) {
      EXPECT_EQ(figure(plans[i], "dsps"), 0);
    }
    if (i % half > 0) {
      EXPECT_LE(figure(plans[i], "interval_cycles"), figure(plans[i - 1], "interval_cycles"));
    }
    EXPECT_LE(figure(plans[i], "interval_cycles"),
              std::stod(plans[i].choices.at("interval_cycles")));
  }
  EXPECT_EQ(figure(plans[0], "interval_cycles"), 16 * 8);
  EXPECT_LT(figure(plans[0], "luts"), figure(plans[half - 1], "luts"));
}

// A search compares recoded variants plan by plan.
TEST(DevicePlanner, VariantsOfANetworkHavePlansAlike) {
  const Device device = find_device("artix7-35t");
  DevicePlanner planner(device);
  const auto wide = planner.plans(dense(8)), narrow = planner.plans(dense(2));
  EXPECT_EQ(choices_of(wide), choices_of(narrow));
  for (std::size_t i = 0; i < wide.size() / 2; ++i)
    EXPECT_LT(figure(narrow[i], "luts"), figure(wide[i], "luts")) << i;
  // What was planned before changes nothing.
  const auto again = planner.plans(dense(8));
  ASSERT_EQ(again.size(), wide.size());
  for (std::size_t i = 0; i < wide.size(); ++i)
    EXPECT_EQ(print_plan(dense(8), again[i].plan), print_plan(dense(8), wide[i].plan));
}

TEST(DevicePlanner, RefusesNetworksOfReals) {
  const Device device = find_device("artix7-35t");
  register_operators();
  const Module module = parse_module(
      "tandem-module 1\ngraph @main(%x : f32[1,4]) -> (%y) {\n"
      "  %y : f32[1,4] = Relu(%x) \"first\"\n}\n");
  try {
    DevicePlanner(device).plans(module);
    FAIL() << "a network of reals was planned";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("first"));
  }
}

}  // namespace
}  // namespace tandem
