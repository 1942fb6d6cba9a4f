#include "tandem/runtime/measure_host.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/base/threads.h"
#include "tandem/cost/host_cost.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/printer.h"
#include "tandem/graph/registry.h"
#include "tandem/ops/register.h"
#include "tandem/runtime/host_network.h"
#include "tandem/runtime/host_plan.h"
#include "tandem/runtime/host_sweep.h"

#include "tests/support/least_sizes.h"
#include "tests/support/random_module.h"
#include "tests/support/random_real.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

void add_forms(const Module& module, std::set<std::string>& forms) {
  const HostNetwork network = prepare_for_host(module);
  const Plan plan = plan_host(network.module, {.layouts = network.layouts});
  for (const Step& step : plan.steps) forms.insert(host_step(network.module, plan, step).form);
}

Device quickly_measured() { return measure_host({.seconds_per_network = 0, .rounds = 1}); }

TEST(HostSweep, IsTheSameForTheSameSeed) {
  const std::vector<Module> first = host_sweep(7, 1), again = host_sweep(7, 1),
                            other = host_sweep(8, 1);
  ASSERT_EQ(first.size(), again.size());
  for (std::size_t i = 0; i < first.size(); ++i)
    EXPECT_EQ(print_module(first[i]), print_module(again[i]));
  EXPECT_NE(print_module(first[0]), print_module(other[0]));
}

// A network with a form that no measurement knows could not be estimated.
TEST(HostSweep, HasEveryFormThatPlansHave) {
  std::set<std::string> swept = {""}, planned;
  for (const Module& module : host_sweep(1, 4)) add_forms(module, swept);
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    add_forms(random_real_network(seed), planned);
    add_forms(random_lowered_module(seed), planned);
  }
  for (const Operator* op : operators().all()) {
    for (const SampleCase& sample : op->samples()) {
      if (!sample.error.empty() || op->name() == "Opaque") continue;  // which has no form
      add_forms(with_least_sizes(parse_module(sample.text)), planned);
    }
  }
  EXPECT_THAT(swept, ::testing::IsSupersetOf(planned));
}

TEST(MeasureHost, IsADeviceOnWhichNetworksAreEstimated) {
  const Device measured = quickly_measured();
  EXPECT_EQ(measured.unit().number("cores"), thread_count());
  EXPECT_GT(measured.memory("dram").bytes_per_second, 1e8);
  const Device device = parse_device(to_toml(measured), measured.path);
  EXPECT_EQ(to_toml(device), to_toml(measured));
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const HostNetwork network = prepare_for_host(random_real_network(seed));
    const Plan plan = plan_host(network.module, {.layouts = network.layouts});
    const Estimate estimate = estimate_host(network.module, plan, device);
    double seconds = 0;
    for (const StepEstimate& step : estimate.steps)
      seconds += step.figures.at("core_seconds").value;
    EXPECT_NEAR(estimate.total.at("core_seconds").value, seconds, 1e-12);
    EXPECT_GT(seconds, 0);
    EXPECT_LT(seconds, 1);
  }
}

}  // namespace
}  // namespace tandem
