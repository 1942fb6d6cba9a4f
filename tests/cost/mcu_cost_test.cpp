#include "tandem/cost/mcu_cost.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/codesign/planning.h"
#include "tandem/compress/quantize_network.h"
#include "tandem/plan/mcu_plan.h"
#include "tandem/transform/constant_fold.h"
#include "tandem/verify/network.h"
#include "tandem/verify/qemu_execution.h"

#include "tests/support/networks.h"
#include "tests/support/paths.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// A network with random weights in codes of 8 bits, lowered.
Module lowered(const std::function<ValueId(test::NetworkMaker&, ValueId)>& layers,
               const Shape& sample) {
  test::NetworkMaker maker(3);
  const ValueId x = maker.input("x", sample);
  const Module network = maker.finish(layers(maker, x));
  Shape batch{16};
  batch.insert(batch.end(), sample.begin(), sample.end());
  const QuantizationSites sites = find_sites(network);
  Calibration calibration(network, sites);
  calibration.add(std::vector<Tensor>{maker.random(batch)});
  return lowered_network(quantize_network(network, sites, calibration, {}));
}

Module convolutional() {
  return lowered(
      [](test::NetworkMaker& maker, ValueId x) {
        const ValueId stem = maker.unary("Relu", "relu1", maker.conv("conv1", x, 8, 3));
        const ValueId deep = maker.unary("Relu", "relu2", maker.conv("deep", stem, 8, 3, 8));
        const ValueId sum = maker.add("sum", maker.conv("conv2", deep, 8, 1), stem);
        const ValueId pool = maker.max_pool("pool", maker.unary("Relu", "relu3", sum));
        const ValueId gate = maker.unary("Sigmoid", "gate", maker.conv("conv3", pool, 6, 3));
        const ValueId average = maker.unary("GlobalAveragePool", "average", gate);
        return maker.gemm("head", maker.reshape_flat("flat", average), 5);
      },
      {3, 12, 12});
}

Module perceptron() {
  return lowered(
      [](test::NetworkMaker& maker, ValueId x) {
        const ValueId hidden = maker.unary("Relu", "relu1", maker.gemm("fc1", x, 40));
        const ValueId more = maker.unary("Tanh", "tanh", maker.gemm("fc2", hidden, 20));
        return maker.unary("Softmax", "shares", maker.gemm("fc3", more, 7));
      },
      {64});
}

// What the README promises: bytes of arrays exactly, code within 20 %, instructions within 25 %.
void expect_truth(const Module& module, const char* name) {
  const Device device = find_device(name);
  const auto plans = plan_candidates(module, device);
  EXPECT_GE(plans.size(), 2u);
  for (const PlannedNetwork& planned : plans) {
    ExecutionOptions options;
    options.device = name;
    QemuExecution execution(module, planned.plan, options);
    execution.run(random_samples(module, 4, 1).codes(module));
    const auto& measured = execution.measured();
    const Figures& total = planned.estimate.total;
    for (const char* exact : {"weights_bytes", "tables_bytes", "arena_bytes", "io_bytes"})
      EXPECT_EQ(total.at(exact).value, measured.at(exact)) << exact;
    const double code = measured.at("code_bytes"), steps = measured.at("instructions_per_run");
    EXPECT_NEAR(total.at("code_bytes").value, code, 0.20 * code);
    EXPECT_NEAR(total.at("instructions").value, steps, 0.25 * steps);
  }
}

TEST(McuCost, FindsTheTruthOfAConvolutionalNetwork) { expect_truth(convolutional(), "stm32f411"); }

TEST(McuCost, FindsTheTruthOfAPerceptron) { expect_truth(perceptron(), "stm32f746"); }

TEST(McuCost, AddsUpItsSteps) {
  const Module module = convolutional();
  const Device device = find_device("stm32f411");
  for (const PlannedNetwork& planned : plan_candidates(module, device)) {
    const Estimate& estimate = planned.estimate;
    ASSERT_EQ(estimate.steps.size(), planned.plan.steps.size());
    for (const char* figure : {"instructions", "latency_cycles", "code_bytes", "weights_bytes",
                               "tables_bytes", "multiply_accumulates"}) {
      double sum = 0;
      for (const StepEstimate& step : estimate.steps) sum += step.figures.at(figure).value;
      const double total = estimate.total.at(figure).value;
      EXPECT_NEAR(sum, total, 1e-9 * total) << figure;
    }
    const double cycles = estimate.total.at("latency_cycles").value;
    EXPECT_GE(cycles, estimate.total.at("instructions").value);
    EXPECT_DOUBLE_EQ(estimate.total.at("latency_seconds").value, cycles / device.clock.hertz);
    EXPECT_DOUBLE_EQ(estimate.total.at("flash_bytes").value,
                     estimate.total.at("weights_bytes").value +
                         estimate.total.at("tables_bytes").value +
                         estimate.total.at("code_bytes").value);
    EXPECT_GT(estimate.total.at("instructions").relative_uncertainty, 0);
  }
}

TEST(McuCost, ObjectivesGetWhatTheyAskFor) {
  const Module module = convolutional();
  const auto plans = plan_candidates(module, find_device("stm32f411"));
  ASSERT_EQ(plans.size(), 3u);
  const auto figure = [&](std::size_t plan, const char* key) {
    return plans[plan].estimate.total.at(key).value;
  };
  for (std::size_t other = 0; other < 3; ++other) {
    EXPECT_LE(figure(0, "latency_cycles"), figure(other, "latency_cycles"));
    EXPECT_LE(figure(1, "flash_bytes"), figure(other, "flash_bytes"));
    EXPECT_LE(figure(2, "sram_bytes"), figure(other, "sram_bytes"));
  }
}

TEST(McuCost, NamesAFeatureThatACoreLacks) {
  const std::filesystem::path devices = test::source_dir() / "devices";
  std::string costs = read_file((devices / "costs" / "cortex-m4.toml").string());
  const std::size_t feature = costs.find("\"loads\"");
  ASSERT_NE(feature, std::string::npos);
  costs.replace(feature, 7, "\"lodes\"");
  const test::TemporaryDir folder;
  std::filesystem::create_directories(folder / "costs");
  write_file_atomic((folder / "costs/cortex-m4.toml").string(), costs);
  const std::string path = (folder / "board.toml").string();
  write_file_atomic(path, read_file((devices / "stm32f411.toml").string()));
  EXPECT_THAT([&] { McuCosts{read_device(path)}; },
              ThrowsMessage<Error>(HasSubstr("feature 'loads'")));
}

}  // namespace
}  // namespace tandem
