#include <cstdlib>

#include <gtest/gtest.h>

#include "tandem/base/text.h"
#include "tandem/graph/evaluate.h"
#include "tandem/ops/register.h"
#include "tandem/verify/samples.h"

#include "tests/verify/circuit_batch.h"
#include "tests/verify/random_modules.h"

namespace tandem {
namespace {

// Module i of a batch runs in variant i of its foldings, modulo this.
constexpr std::uint64_t kVariants = 4;
constexpr std::uint64_t kStallSeed = 12;

std::vector<Samples> run_batch(std::span<const Module> modules, std::span<const Samples> inputs) {
  std::vector<DataflowChoices> choices;
  for (std::size_t i = 0; i < modules.size(); ++i)
    choices.push_back(random_foldings(modules[i], i % kVariants));
  return run_circuit_batch(modules, choices, inputs, kStallSeed);
}

// A module by itself is one that is being shrunk: it fails if it does in any variant.
std::vector<Samples> run_single(const Module& module, const Samples& inputs) {
  std::vector<std::vector<Tensor>> reference;
  for (std::int64_t i = 0; i < inputs[0].shape()[0]; ++i)
    reference.push_back(evaluate(module, module.main(), one_sample(inputs, i)));
  std::vector<Samples> outputs;
  for (std::uint64_t variant = 0; variant < kVariants; ++variant) {
    const std::vector<DataflowChoices> choices{random_foldings(module, variant)};
    outputs = run_circuit_batch(std::span(&module, 1), choices, std::span(&inputs, 1), kStallSeed);
    if (!(outputs[0] == stack(reference))) break;
  }
  return outputs;
}

TEST(RandomModulesInCircuits, EqualTheReferenceInEveryBit) {
  register_operators();
  const char* wanted = std::getenv("TANDEM_RANDOM_CIRCUITS");
  const std::int64_t modules = wanted == nullptr ? 80 : parse_integer(wanted, "count");
  const RandomComparison comparison = compare_random_modules(
      500, modules, 6, 20, [](std::span<const Module> batch, std::span<const Samples> inputs) {
        return batch.size() == 1 ? run_single(batch[0], inputs[0]) : run_batch(batch, inputs);
      });
  std::printf("%lld modules, %lld values, median %zu nodes, %.1f %% of outputs vary\n",
              static_cast<long long>(comparison.modules),
              static_cast<long long>(comparison.compared_values), comparison.median_nodes,
              100 * comparison.varying_outputs);
  EXPECT_EQ(comparison.modules, modules);
  EXPECT_GE(comparison.median_nodes, 5U);
  EXPECT_GE(comparison.varying_outputs, 0.7);
}

}  // namespace
}  // namespace tandem
