#include "tests/verify/circuit_batch.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "tandem/base/random.h"
#include "tandem/cost/dataflow_simulation.h"
#include "tandem/graph/printer.h"
#include "tandem/mapping/dataflow_buffers.h"

namespace tandem {
namespace {

CircuitInputs inputs_of(const Module& module, const Samples& samples) {
  CircuitInputs inputs;
  inputs.inputs = samples;
  for (const ValueId output : module.main().outputs)
    inputs.outputs.push_back(module.main().values[output].type.static_shape());
  return inputs;
}

void expect_predicted_cycles(const Module& module, const Pipeline& pipeline,
                             const CircuitRun& run) {
  SimulationOptions options;
  options.frames = static_cast<std::int64_t>(run.frame_ends.size());
  const SimulationResult predicted = simulate(pipeline, options);
  EXPECT_EQ(predicted.deadlock, "");
  const std::size_t common = std::min(predicted.frame_ends.size(), run.frame_ends.size());
  for (std::size_t f = 0; f < common; ++f) {
    EXPECT_EQ(predicted.frame_ends[f], run.frame_ends[f])
        << "frame " << f << "\n"
        << print_module(module, true) << print_pipeline(pipeline);
  }
}

}  // namespace

DataflowChoices random_foldings(const Module& module, std::uint64_t seed) {
  RandomSequence random(seed, "foldings");
  const auto pick = [&](const std::vector<std::int64_t>& legal) {
    return legal[static_cast<std::size_t>(
        random.integer(0, static_cast<std::int64_t>(legal.size()) - 1))];
  };
  DataflowChoices choices;
  for (const NodeId node : dataflow_nodes(module)) {
    const FoldingSpace space = folding_space(module, node);
    Folding folding;
    folding.pe = pick(space.pe);
    folding.simd = pick(space.simd);
    folding.dsp = random.chance(0.5);
    folding.block_weights = random.chance(0.5);
    choices.foldings[node] = folding;
  }
  return choices;
}

std::vector<Samples> run_circuit_batch(std::span<const Module> modules,
                                       std::span<const DataflowChoices> choices,
                                       std::span<const Samples> samples, std::uint64_t stall_seed) {
  std::vector<Circuit> circuits;
  std::vector<CircuitInputs> inputs;
  for (std::size_t i = 0; i < modules.size(); ++i) {
    Plan plan = plan_dataflow(modules[i], "test", choices[i]);
    size_buffers(modules[i], plan);
    circuits.push_back({"case" + std::to_string(i), build_pipeline(modules[i], plan)});
    inputs.push_back(inputs_of(modules[i], samples[i]));
  }
  VerilatedCircuits verilated(circuits, {.quick = true});
  std::vector<Samples> outputs;
  const auto runs = verilated.run(inputs), stalled = verilated.run(inputs, stall_seed);
  for (std::size_t i = 0; i < modules.size(); ++i) {
    expect_predicted_cycles(modules[i], circuits[i].pipeline, runs[i]);
    outputs.push_back(runs[i].outputs == stalled[i].outputs ? runs[i].outputs : stalled[i].outputs);
  }
  return outputs;
}

}  // namespace tandem
