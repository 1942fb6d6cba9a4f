#include <gtest/gtest.h>

#include "tandem/base/random.h"
#include "tandem/cost/dataflow_simulation.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/printer.h"
#include "tandem/graph/registry.h"
#include "tandem/mapping/dataflow_buffers.h"
#include "tandem/ops/register.h"
#include "tandem/plan/dataflow.h"
#include "tandem/verify/verilator.h"

#include "tests/support/random_module.h"

namespace tandem {
namespace {

// A circuit under test with its module, samples and what the reference makes of them.
struct Case {
  std::string label;
  Module module;
  Plan plan;
  CircuitInputs samples;
  Samples expected;
};

Samples stacked(const std::vector<std::vector<Tensor>>& sets, std::size_t index) {
  const Tensor& first = sets[0][index];
  Shape shape = first.shape();
  shape.insert(shape.begin(), static_cast<std::int64_t>(sets.size()));
  std::vector<std::int64_t> integers;
  for (const auto& set : sets)
    for (const std::int64_t value : set[index].to_integers()) integers.push_back(value);
  return {Tensor::from_integers(first.format(), shape, integers)};
}

Case make_case(std::string label, Module module, const DataflowChoices& choices, std::size_t sets) {
  Case result{std::move(label), std::move(module), {}, {}, {}};
  const Graph& graph = result.module.main();
  result.plan = plan_dataflow(result.module, "test", choices);
  size_buffers(result.module, result.plan);
  const auto inputs = random_inputs(result.module, 7, sets);
  std::vector<std::vector<Tensor>> outputs;
  for (const auto& set : inputs) outputs.push_back(evaluate(result.module, graph, set));
  for (std::size_t i = 0; i < graph.inputs.size(); ++i)
    result.samples.inputs.push_back(stacked(inputs, i).front());
  for (std::size_t o = 0; o < graph.outputs.size(); ++o) {
    result.samples.outputs.push_back(outputs[0][o].shape());
    result.expected.push_back(stacked(outputs, o).front());
  }
  return result;
}

// Random legal foldings for every node.
DataflowChoices random_foldings(const Module& module, std::uint64_t seed) {
  const CounterRandom random(seed, "foldings");
  std::uint64_t next = 0;
  const auto pick = [&](const std::vector<std::int64_t>& legal) {
    return legal[static_cast<std::size_t>(
        random.integer(next++, 0, static_cast<std::int64_t>(legal.size()) - 1))];
  };
  DataflowChoices choices;
  for (const NodeId node : dataflow_nodes(module)) {
    const FoldingSpace space = folding_space(module, node);
    Folding folding;
    folding.pe = pick(space.pe);
    folding.simd = pick(space.simd);
    folding.dsp = random.integer(next++, 0, 1) == 1;
    folding.block_weights = random.integer(next++, 0, 1) == 1;
    choices.foldings[node] = folding;
  }
  return choices;
}

void expect_equal(const std::vector<Case>& cases, std::uint64_t stall_seed) {
  std::vector<Circuit> circuits;
  std::vector<CircuitInputs> inputs;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    circuits.push_back(
        {"case" + std::to_string(i), build_pipeline(cases[i].module, cases[i].plan)});
    inputs.push_back(cases[i].samples);
  }
  VerilatedCircuits verilated(circuits, {.quick = true});
  for (const std::uint64_t seed : {std::uint64_t{0}, stall_seed}) {
    const auto runs = verilated.run(inputs, seed);
    for (std::size_t i = 0; i < cases.size(); ++i) {
      for (std::size_t o = 0; o < cases[i].expected.size(); ++o) {
        EXPECT_TRUE(runs[i].outputs[o] == cases[i].expected[o])
            << cases[i].label << " output " << o << " seed " << seed << "\n"
            << print_module(cases[i].module, true) << print_pipeline(circuits[i].pipeline);
      }
      if (seed != 0) continue;
      SimulationOptions options;
      options.frames = static_cast<std::int64_t>(runs[i].frame_ends.size());
      const SimulationResult predicted = simulate(circuits[i].pipeline, options);
      EXPECT_EQ(predicted.deadlock, "") << cases[i].label;
      const std::size_t common = std::min(predicted.frame_ends.size(), runs[i].frame_ends.size());
      for (std::size_t f = 0; f < common; ++f) {
        EXPECT_EQ(predicted.frame_ends[f], runs[i].frame_ends[f])
            << cases[i].label << " frame " << f << "\n"
            << print_pipeline(circuits[i].pipeline);
      }
    }
  }
}

TEST(Circuit, SampleCasesOfEveryPrimitive) {
  register_operators();
  std::vector<Case> cases;
  for (const Operator* op : operators().all()) {
    const Domain domain = op->traits().domain;
    if (domain != Domain::kInteger && domain != Domain::kMovement) continue;
    for (const SampleCase& sample : op->samples()) {
      if (!sample.error.empty()) continue;
      Module module = parse_module(sample.text);
      std::map<std::string, std::int64_t> symbols;
      for (const Symbol& symbol : module.symbols) symbols[symbol.name] = symbol.min;
      module = specialize(module, symbols);
      if (!check_dataflow(module).empty()) continue;
      cases.push_back(make_case(std::string(op->name()), std::move(module), {}, 4));
    }
  }
  EXPECT_GT(cases.size(), 60u);
  expect_equal(cases, 11);
}

TEST(Circuit, RandomModules) {
  register_operators();
  std::vector<Case> cases;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Module module = random_lowered_module(seed);
    const auto choices = random_foldings(module, seed);
    cases.push_back(make_case("random " + std::to_string(seed), std::move(module), choices, 5));
  }
  expect_equal(cases, 12);
}

}  // namespace
}  // namespace tandem
