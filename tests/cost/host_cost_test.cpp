#include "tandem/cost/host_cost.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/graph/printer.h"
#include "tandem/ops/register.h"
#include "tandem/runtime/host_plan.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// Every feature of these forms costs so many seconds on one core, half of it on two.
Device device_of(const std::vector<std::string>& forms, double seconds) {
  std::string text =
      "schema = \"tandem-device/1\"\ntitle = \"a processor\"\n"
      "[clock]\nhertz = 1e9\nsource = \"assumed: a test\"\n"
      "[[memory]]\nname = \"l1\"\nbytes = 100\nsource = \"assumed: a test\"\n"
      "[[memory]]\nname = \"dram\"\nbytes = 1000000\nsource = \"assumed: a test\"\n"
      "[[unit]]\nname = \"cores\"\nkind = \"host_cpu\"\ninstruction_set = \"none\"\ncores = 2\n"
      "f32_operations_per_second = 10\ni16_operations_per_second = 20\n"
      "i8_operations_per_second = 40\nsource = \"measured: a test\"\n";
  for (const std::string& form : forms) {
    for (std::size_t k = 0; k < kHostFeatures; ++k)
      text += concat("[[unit.cost]]\nform = \"", form, "\"\nfeature = \"",
                     name(static_cast<HostFeature>(k)), "\"\nseconds_one_core = ", seconds,
                     "\nseconds_all_cores = ", seconds / 2, "\n");
    text += concat("[[unit.cost]]\nform = \"", form,
                   "\"\nfeature = \"relative_error\"\nseconds_one_core = 0.1\n"
                   "seconds_all_cores = 0.2\n");
  }
  return parse_device(text, "host.toml");
}

class HostCost : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { register_operators(); }
};

Module module_of(const std::string& graph) { return parse_module("tandem-module 1\n" + graph); }

HostStep only_step(const Module& module) {
  const Plan plan = plan_host(module);
  EXPECT_EQ(plan.steps.size(), 1u);
  return host_step(module, plan, plan.steps[0]);
}

// 4 x 2 by a constant 2 x 3, with Relu behind.
constexpr const char* kProduct =
    "constant @w : f32[2,3] = [1,2,3,4,5,6]\n"
    "graph @main(%x : f32[4,2]) -> (%z) {\n  %w = constant @w\n"
    "  %y : f32[4,3] = MatMul(%x, %w) \"fc\"\n  %z : f32[4,3] = Relu(%y) \"relu\"\n}\n";

TEST_F(HostCost, CountsWhatAStepTakes) {
  const HostStep step = only_step(module_of(kProduct));
  EXPECT_EQ(step.form, "dense_product");
  EXPECT_EQ(step[HostFeature::kCalls], 1);
  EXPECT_EQ(step[HostFeature::kMultiplyAccumulates], 24);
  EXPECT_EQ(step[HostFeature::kOperations], 12);  // the comparisons of Relu
  EXPECT_EQ(step[HostFeature::kTranscendentals], 0);
  EXPECT_EQ(step[HostFeature::kBytes], 4 * (8 + 6 + 12));
  EXPECT_EQ(step.outer_bytes, 4 * (8 + 6 + 12));
  EXPECT_EQ(step[HostFeature::kColdBytes], 0);
}

TEST_F(HostCost, TellsProductsOfValuesFromThoseByConstants) {
  EXPECT_EQ(only_step(module_of("graph @main(%x : f32[2,4], %w : f32[4,3]) -> (%y) {\n"
                                "  %y : f32[2,3] = MatMul(%x, %w) \"p\"\n}\n"))
                .form,
            "dense_product_of_values");
}

TEST_F(HostCost, CountsThePiecesOfMovements) {
  const auto pieces = [](const std::string& type, const std::string& node) {
    const HostStep step =
        only_step(module_of("graph @main(%x : f32[2,3,4]) -> (%y) {\n  %y : f32[" + type +
                            "] = " + node + " \"m\"\n}\n"));
    EXPECT_EQ(step.form, "movement");
    return step[HostFeature::kOperations];
  };
  EXPECT_EQ(pieces("3,2,4", "Transpose(%x) {perm = [1,0,2]}"), 6);   // rows of four stay together
  EXPECT_EQ(pieces("2,4,3", "Transpose(%x) {perm = [0,2,1]}"), 24);  // no two elements do
  EXPECT_EQ(pieces("2,6,4", "Concat(%x, %x) {axis = 1}"), 12);
}

TEST_F(HostCost, AddsUpWhatTheFeaturesOfAllStepsCost) {
  const Module module = module_of(kProduct);
  const Plan plan = plan_host(module);
  const Estimate estimate = estimate_host(module, plan, device_of({"dense_product"}, 0.5));
  // One call, 24 products, 12 comparisons, 104 bytes; 24 bytes of constants are within the caches.
  EXPECT_DOUBLE_EQ(estimate.total.at("core_seconds").value, 0.5 * (1 + 24 + 12 + 104));
  EXPECT_DOUBLE_EQ(estimate.total.at("latency_seconds").value, 0.25 * (1 + 24 + 12 + 104));
  EXPECT_DOUBLE_EQ(estimate.total.at("core_seconds").relative_uncertainty, 0.1);
  EXPECT_DOUBLE_EQ(estimate.total.at("latency_seconds").relative_uncertainty, 0.2);
  EXPECT_EQ(estimate.total.at("core_seconds").source, Source::kMeasured);
  EXPECT_EQ(estimate.total.at("weights_bytes").value, 24);
  EXPECT_EQ(estimate.total.at("io_bytes").value, 80);
  // 48 operations at ten per second on each of two cores.
  EXPECT_DOUBLE_EQ(estimate.total.at("bound_seconds").value, 2.4);
  ASSERT_EQ(estimate.steps.size(), 1u);
  EXPECT_EQ(estimate.steps[0].name, "fc");
}

TEST_F(HostCost, ReadsConstantsFromMemoryWhereTheCachesAreTooSmall) {
  std::string values = "1";
  for (int i = 1; i < 100; ++i) values += ",1";
  const Module module = module_of("constant @w : f32[2,50] = [" + values +
                                  "]\ngraph @main(%x : f32[4,2]) -> (%y) {\n  %w = constant @w\n"
                                  "  %y : f32[4,50] = MatMul(%x, %w) \"fc\"\n}\n");
  const Estimate estimate =
      estimate_host(module, plan_host(module), device_of({"dense_product"}, 1));
  const double bytes = 4 * (8 + 100 + 200);
  EXPECT_DOUBLE_EQ(estimate.total.at("core_seconds").value, 1 + 400 + 2 * bytes);
}

TEST_F(HostCost, NamesTheFormThatWasNeverMeasured) {
  const Module module = module_of(kProduct);
  EXPECT_THAT([&] { estimate_host(module, plan_host(module), device_of({"real_lanes"}, 1)); },
              ThrowsMessage<Error>(AllOf(HasSubstr("host.toml"), HasSubstr("'dense_product'"),
                                         HasSubstr("tandem measure"))));
}

}  // namespace
}  // namespace tandem
