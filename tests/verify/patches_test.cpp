#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include <gtest/gtest.h>

#include "tandem/base/random.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/printer.h"
#include "tandem/plan/mcu_plan.h"
#include "tandem/verify/c_execution.h"
#include "tandem/verify/equality.h"
#include "tandem/verify/samples.h"

#include "tests/support/random_chain.h"
#include "tests/support/random_module.h"

namespace tandem {
namespace {

// A plan with a random stage in random forms; none where no groups can be a stage.
std::optional<Plan> random_patches(const Module& module, std::uint64_t seed) {
  const Graph& graph = module.main();
  RandomSequence random(seed, "tests/patches");
  const McuGroups groups = group_nodes(module, graph);
  std::vector<std::string> forms;
  for (const std::vector<NodeId>& nodes : groups.groups) {
    const auto known = kernel_forms(module, graph, groups.base_of, nodes);
    const auto most = static_cast<std::int64_t>(known.size()) - 1;
    forms.push_back(known[static_cast<std::size_t>(random.integer(0, most))]);
  }
  std::vector<PatchStage> stages;
  for (std::size_t first = 0; first < groups.groups.size(); ++first)
    for (std::size_t last = first; last < groups.groups.size(); ++last)
      if (is_stage(module, graph, groups, first, last)) stages.push_back({first, last, 0});
  if (stages.empty()) return std::nullopt;
  PatchStage stage = stages[static_cast<std::size_t>(
      random.integer(0, static_cast<std::int64_t>(stages.size()) - 1))];
  const Node& node = graph.nodes[groups.groups[stage.last].back()];
  stage.rows = random.integer(1, shape_of(graph, node.outputs[0])[1] - 1);
  const IoPlace io = random.chance(0.5) ? IoPlace::kArena : IoPlace::kCaller;
  return assemble_mcu_plan(module, "board", "core", groups, forms, io, stage);
}

TEST(Patches, EqualTheReferenceInRandomStagesRowsAndForms) {
  constexpr std::uint64_t kChains = 40;
  std::vector<Module> modules;
  std::vector<Plan> plans;
  std::vector<Samples> inputs;
  std::set<std::int64_t> patches, groups;
  for (std::uint64_t seed = 0; seed < kChains; ++seed) {
    Module module = random_chain(seed);
    std::optional<Plan> plan = random_patches(module, seed);
    if (!plan) continue;
    std::map<std::vector<NodeId>, std::int64_t> steps;
    for (const Step& step : plan->steps) ++steps[step.nodes];
    std::int64_t most = 0;
    for (const auto& [nodes, count] : steps) most = std::max(most, count);
    patches.insert(most);
    groups.insert(std::ranges::count_if(steps, [](const auto& entry) { return entry.second > 1; }));
    inputs.push_back(stack(random_inputs(module, seed, 8)));
    modules.push_back(std::move(module));
    plans.push_back(std::move(*plan));
  }
  EXPECT_GT(modules.size(), kChains * 3 / 4);
  EXPECT_GE(patches.size(), 4U);  // numbers of patches, and of groups in a stage
  EXPECT_GE(groups.size(), 3U);
  const std::vector<Samples> outputs =
      run_c_batch(modules, plans, inputs, {.flags = {"-O1"}, .sanitize = true});
  for (std::size_t i = 0; i < modules.size(); ++i) {
    const Samples expected = make_execution("reference", modules[i])->run(inputs[i]);
    const Equality equality = compare_samples(expected, outputs[i]);
    EXPECT_TRUE(equality.equal()) << to_string(equality, "reference", "c") << "\n"
                                  << print_module(modules[i]) << print_plan(modules[i], plans[i]);
  }
}

TEST(Patches, TracesEqualTheReferenceLayerByLayer) {
  int traced = 0;
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    const Module module = random_chain(seed);
    ExecutionOptions options;
    options.plan = random_patches(module, seed);
    if (!options.plan) continue;
    const Samples inputs = one_of(stack(random_inputs(module, seed, 3)), 2);
    CExecution execution(module, options);
    const auto expected = make_execution("reference", module)->trace(inputs);
    for (const auto& [value, tensor] : execution.trace(inputs)) {
      EXPECT_EQ(tensor.to_integers(), expected.at(value).to_integers())
          << module.main().values[value].name;
      ++traced;
    }
  }
  EXPECT_GT(traced, 6);
}

}  // namespace
}  // namespace tandem
