#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include <gtest/gtest.h>

#include "tandem/base/random.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/printer.h"
#include "tandem/ops/register.h"
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
  stage.keeps_rows = random.chance(0.6);
  const IoPlace io = random.chance(0.5) ? IoPlace::kArena : IoPlace::kCaller;
  return assemble_mcu_plan(module, "board", "core", groups, forms, io, stage);
}

TEST(Patches, EqualTheReferenceInRandomStagesRowsAndForms) {
  constexpr std::uint64_t kChains = 60;
  std::vector<Module> modules;
  std::vector<Plan> plans;
  std::vector<Samples> inputs;
  std::set<std::int64_t> patches, groups;
  int with_kept_rows = 0;
  for (std::uint64_t seed = 0; seed < kChains; ++seed) {
    Module module = random_chain(seed);
    std::optional<Plan> plan = random_patches(module, seed);
    if (!plan) continue;
    std::map<std::vector<NodeId>, std::int64_t> steps;
    bool keeps_rows = false;
    for (const Step& step : plan->steps) {
      if (step.kind == StepKind::kRun) ++steps[step.nodes];
      keeps_rows |= step.kind == StepKind::kMove && rows_of(step);
    }
    with_kept_rows += keeps_rows;
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
  EXPECT_GE(with_kept_rows, 10);
  const std::vector<Samples> outputs =
      run_c_batch(modules, plans, inputs, {.flags = {"-O1"}, .sanitize = true});
  for (std::size_t i = 0; i < modules.size(); ++i) {
    const Samples expected = make_execution("reference", modules[i])->run(inputs[i]);
    const Equality equality = compare_samples(expected, outputs[i]);
    EXPECT_TRUE(equality.equal()) << to_string(equality, "reference", "c") << "\n"
                                  << print_module(modules[i]) << print_plan(modules[i], plans[i]);
  }
}

// The skipped value is needed from a row before the first that the sum reads, to the last one that
// the convolutions read.
TEST(Patches, EqualTheReferenceInAResidualBlock) {
  register_operators();
  const Module module = parse_module(R"(tandem-module 1
constant @w : int4[2,3,3,2] = [1,2,3,4,5,6,7,-8,1,2,3,4,5,6,7,-8,1,2,
3,4,5,6,7,-8,1,2,3,4,5,6,7,-8,1,2,3,4]
constant @one : uint4[1] = [1]
constant @none : uint4[1] = [0]
constant @shift : uint4[1] = [6]
graph @main(%x : int8[1,8,4,2]) -> (%y) {
  %w = constant @w
  %one = constant @one
  %none = constant @none
  %shift = constant @shift
  %a : int24[1,8,4,2] = IntConv(%x, %w) {format = int24, pads = [1,1,1,1]}
  %b : int8[1,8,4,2] = Rescale(%a, %one, %none, %shift) {format = int8}
  %c : int24[1,8,4,2] = IntConv(%b, %w) {format = int24, pads = [1,1,1,1]}
  %d : int8[1,8,4,2] = Rescale(%c, %one, %none, %shift) {format = int8}
  %e : int24[1,8,4,2] = IntConv(%d, %w) {format = int24, pads = [1,1,1,1]}
  %f : int8[1,8,4,2] = Rescale(%e, %one, %none, %shift) {format = int8}
  %y : int9[1,8,4,2] = IntAdd(%f, %b) {format = int9}
}
)");
  const McuGroups groups = group_nodes(module, module.main());
  ASSERT_EQ(groups.groups.size(), 3U);
  std::vector<std::string> forms;
  for (const std::vector<NodeId>& nodes : groups.groups)
    forms.push_back(kernel_forms(module, module.main(), groups.base_of, nodes).front());
  const Samples inputs = stack(random_inputs(module, 0, 4));
  std::vector<Plan> plans;
  for (const bool keeps_rows : {false, true})
    for (const std::int64_t rows : {1, 2, 3, 5})
      plans.push_back(assemble_mcu_plan(module, "board", "core", groups, forms, IoPlace::kArena,
                                        {0, 2, rows, keeps_rows}));
  const std::vector<Samples> outputs =
      run_c_batch(std::vector<Module>(plans.size(), module), plans,
                  std::vector<Samples>(plans.size(), inputs), {.flags = {"-O1"}, .sanitize = true});
  const Samples expected = make_execution("reference", module)->run(inputs);
  for (std::size_t i = 0; i < plans.size(); ++i) {
    const Equality equality = compare_samples(expected, outputs[i]);
    EXPECT_TRUE(equality.equal()) << to_string(equality, "reference", "c")
                                  << print_plan(module, plans[i]);
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
