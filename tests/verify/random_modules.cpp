#include "tests/verify/random_modules.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "tandem/verify/equality.h"
#include "tandem/verify/shrink.h"

namespace tandem {
namespace {

std::vector<Tensor> reversed(const std::vector<Tensor>& sample) {
  std::vector<Tensor> result;
  for (const Tensor& tensor : sample) {
    auto integers = tensor.to_integers();
    std::reverse(integers.begin(), integers.end());
    result.push_back(Tensor::from_integers(tensor.format(), tensor.shape(), integers));
  }
  return result;
}

// The failing module as small as it gets, as text that reads back. The sample runs between its
// reverses, because what a circuit remembers of one sample may spoil the next.
std::string shrunk(const Module& module, const std::vector<Tensor>& sample, const RunBatch& run) {
  const auto fails = [&](const FailingCase& candidate) {
    const std::vector<Module> modules{candidate.module};
    const auto other = reversed(candidate.inputs);
    const std::vector<Samples> inputs{
        stack({candidate.inputs, other, candidate.inputs, other, candidate.inputs})};
    const Samples expected = evaluate_samples(candidate.module, inputs[0]);
    return !compare_samples(expected, run(modules, inputs)[0]).equal();
  };
  const FailingCase whole{module, sample};
  if (!module.states.empty()) return to_text(whole);
  if (!fails(whole)) return "(not alone, so not shrunk)\n" + to_text(whole);
  return to_text(shrink(whole, fails));
}

std::size_t count_varying(const Samples& outputs, std::int64_t samples) {
  std::size_t varying = 0;
  for (const Tensor& output : outputs) {
    bool varies = false;
    for (std::int64_t i = 1; i < samples; ++i)
      varies |= !(output.rows(i, i + 1) == output.rows(0, 1));
    varying += varies;
  }
  return varying;
}

}  // namespace

RandomComparison compare_random_modules(std::uint64_t first, std::int64_t count,
                                        std::int64_t samples, std::int64_t batch,
                                        const RunBatch& run, const RandomModuleOptions& options) {
  RandomComparison result;
  std::vector<Module> all;
  std::vector<std::size_t> nodes;
  std::size_t outputs = 0, varying = 0;
  for (std::int64_t begin = 0; begin < count && !testing::Test::HasFailure(); begin += batch) {
    std::vector<Module> modules;
    std::vector<Samples> inputs;
    for (std::int64_t i = begin; i < std::min(begin + batch, count); ++i) {
      const std::uint64_t seed = first + static_cast<std::uint64_t>(i);
      modules.push_back(random_lowered_module(seed, options));
      inputs.push_back(
          stack(random_inputs(modules.back(), seed, static_cast<std::size_t>(samples))));
    }
    const std::vector<Samples> actual = run(modules, inputs);
    for (std::size_t i = 0; i < modules.size(); ++i) {
      const Samples expected = evaluate_samples(modules[i], inputs[i]);
      const Equality equality = compare_samples(expected, actual[i]);
      result.compared_values += equality.compared_values;
      outputs += expected.size();
      varying += count_varying(expected, samples);
      nodes.push_back(modules[i].main().nodes.size());
      if (!equality.equal()) {
        ADD_FAILURE() << to_string(equality, "reference", "execution") << "\nshrunk from seed "
                      << first + static_cast<std::uint64_t>(begin) + i << " to:\n"
                      << shrunk(modules[i], one_sample(inputs[i], equality.sample), run);
        break;
      }
    }
    all.insert(all.end(), modules.begin(), modules.end());
  }
  result.modules = static_cast<std::int64_t>(all.size());
  std::nth_element(nodes.begin(), nodes.begin() + static_cast<std::ptrdiff_t>(nodes.size() / 2),
                   nodes.end());
  result.median_nodes = nodes[nodes.size() / 2];
  result.varying_outputs = static_cast<double>(varying) / static_cast<double>(outputs);
  result.rarest_mode = INT32_MAX;
  for (const auto& [mode, times] : primitive_census(all)) {
    if (mode != "Identity") result.rarest_mode = std::min(result.rarest_mode, times);
  }
  return result;
}

}  // namespace tandem
