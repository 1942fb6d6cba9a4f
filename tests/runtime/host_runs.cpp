#include "tests/runtime/host_runs.h"

#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "tandem/runtime/host_network.h"
#include "tandem/runtime/host_plan.h"
#include "tandem/runtime/program.h"

namespace tandem {

std::vector<Tensor> run_on_host(const Module& module, const std::vector<Tensor>& inputs) {
  const HostNetwork network = prepare_for_host(module);
  const Program program(network.module, plan_host(network.module, {.layouts = network.layouts}));
  Program::Workspace workspace = program.workspace();
  std::vector<const std::byte*> from;
  for (const Tensor& input : inputs) from.push_back(input.bytes().data());
  std::vector<Tensor> outputs;
  const Graph& graph = network.module.main();
  for (const ValueId output : graph.outputs)
    outputs.emplace_back(graph.values[output].type.format,
                         graph.values[output].type.static_shape());
  std::vector<std::byte*> to;
  for (Tensor& output : outputs) to.push_back(output.mutable_bytes().data());
  for (int run = 0; run < 2; ++run)
    program.run(from, to, workspace);  // twice: memory is used again
  return outputs;
}

std::vector<Tensor> random_inputs_of(const Module& module, std::uint64_t seed) {
  std::mt19937_64 engine(seed);
  std::normal_distribution<double> normal;
  std::vector<Tensor> inputs;
  for (const ValueId id : module.main().inputs) {
    const TensorType& type = module.main().values[id].type;
    const Shape shape = type.static_shape();
    std::vector<double> values(static_cast<std::size_t>(element_count(shape)));
    for (double& value : values) value = normal(engine);
    inputs.push_back(type.format.is_integer() ? Tensor(type.format, shape)
                                              : Tensor::from_reals(type.format, shape, values));
  }
  return inputs;
}

void expect_close(const std::vector<Tensor>& computed, const std::vector<Tensor>& expected,
                  double tolerance) {
  ASSERT_EQ(computed.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(computed[i].shape(), expected[i].shape());
    double greatest = 1;
    for (const double value : expected[i].to_reals())
      if (std::isfinite(value)) greatest = std::max(greatest, std::abs(value));
    for (std::int64_t at = 0; at < expected[i].size(); ++at) {
      const double a = computed[i].real(at), b = expected[i].real(at);
      if (std::isnan(b) || std::isinf(b)) {
        ASSERT_EQ(std::isnan(a), std::isnan(b)) << "output " << i << "[" << at << "]";
      } else {
        ASSERT_NEAR(a, b, tolerance * greatest) << "output " << i << "[" << at << "]";
      }
    }
  }
}

}  // namespace tandem
