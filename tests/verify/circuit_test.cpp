#include <gtest/gtest.h>

#include "tandem/base/file.h"
#include "tandem/base/process.h"
#include "tandem/base/random.h"
#include "tandem/emit/verilog.h"
#include "tandem/graph/builder.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/printer.h"
#include "tandem/graph/registry.h"
#include "tandem/ops/integer.h"
#include "tandem/ops/register.h"
#include "tandem/verify/equality.h"
#include "tandem/verify/samples.h"

#include "tests/support/least_sizes.h"
#include "tests/support/paths.h"
#include "tests/support/random_module.h"
#include "tests/verify/circuit_batch.h"

namespace tandem {
namespace {

// Compares circuits with the reference on random inputs, all-minimum and all-maximum among them.
void expect_equal(const std::vector<Module>& modules, const std::vector<std::string>& labels,
                  const std::vector<DataflowChoices>& choices, std::size_t sets,
                  std::uint64_t stall_seed) {
  std::vector<Samples> inputs, expected;
  for (const Module& module : modules) {
    const auto drawn = random_inputs(module, 7, sets);
    std::vector<std::vector<Tensor>> outputs;
    for (const auto& set : drawn) outputs.push_back(evaluate(module, module.main(), set));
    inputs.push_back(stack(drawn));
    expected.push_back(stack(outputs));
  }
  const auto actual = run_circuit_batch(modules, choices, inputs, stall_seed);
  for (std::size_t i = 0; i < modules.size(); ++i) {
    const Equality equality = compare_samples(expected[i], actual[i]);
    EXPECT_TRUE(equality.equal()) << labels[i] << ": "
                                  << to_string(equality, "reference", "circuit") << "\n"
                                  << print_module(modules[i], true);
  }
}

TEST(Circuit, SampleCasesOfEveryPrimitive) {
  register_operators();
  std::vector<Module> modules;
  std::vector<std::string> labels;
  for (const Operator* op : operators().all()) {
    const Domain domain = op->traits().domain;
    if (domain != Domain::kInteger && domain != Domain::kMovement) continue;
    for (const SampleCase& sample : op->samples()) {
      if (!sample.error.empty()) continue;
      Module module = with_least_sizes(parse_module(sample.text));
      if (!check_dataflow(module).empty()) continue;
      modules.push_back(std::move(module));
      labels.emplace_back(op->name());
    }
  }
  EXPECT_GT(modules.size(), 60U);
  expect_equal(modules, labels, std::vector<DataflowChoices>(modules.size()), 4, 11);
}

// Where a bipolar operand is a wire and the other a number, sums start at a constant that differs
// with the weights.
TEST(Circuit, ProductsOfEveryPairOfFormats) {
  register_operators();
  RandomSequence random(CounterRandom(5, "products of formats"));
  std::vector<Module> modules;
  std::vector<std::string> labels;
  const std::vector<std::string> formats = {"bipolar", "uint2", "int2", "int5", "uint8"};
  for (const std::string& left : formats) {
    for (const std::string& right : formats) {
      const Shape shape = {6, 3};
      const Format format = Format::parse(right);
      const auto codes = (std::uint64_t{1} << (right == "bipolar" ? 1 : format.bits())) - 1;
      std::vector<std::int64_t> weights;
      for (std::int64_t i = 0; i < element_count(shape); ++i)
        weights.push_back(format.integer_of(random.bits() & codes));
      Module module;
      Builder builder(module, Builder::add_graph(module, "main"));
      const ValueId x = builder.input("x", {{1, 2, 6}, Format::parse(left)});
      const ValueId w = builder.constant(Tensor::from_integers(format, shape, weights), "w");
      builder.output(add_exact(builder, "IntMatMul", {x, w}));
      modules.push_back(std::move(module));
      labels.push_back(left + " x " + right);
    }
  }
  expect_equal(modules, labels, std::vector<DataflowChoices>(modules.size()), 4, 13);
}

TEST(Circuit, TheEmittedBenchBuildsAloneAndFindsAWrongBit) {
  register_operators();
  const Module module = random_lowered_module(3);
  const Plan plan = plan_dataflow(module, "test", random_foldings(module, 1));
  const test::TemporaryDir folder;
  for (const Artifact& file : CircuitTarget().emit(module, plan, "net"))
    write_file_atomic(folder / file.path, file.content);
  const auto make = [&](const std::string& stalls) {
    return run_process({"make", "-C", (folder / "").string(), "STALLS=" + stalls}, {});
  };
  for (const std::string stalls : {"0", "7"}) {
    const ProcessResult result = make(stalls);
    EXPECT_EQ(result.exit_code, 0) << result.output << result.error_output;
    EXPECT_NE(result.output.find("PASSED"), std::string::npos) << result.output;
  }
  std::string vectors = read_file(folder / "net_vectors.h");
  const auto first = vectors.find("\n  ", vectors.find("net_out0")) + 3;
  const auto end = vectors.find(',', first);
  const int byte = std::stoi(vectors.substr(first, end - first));
  vectors.replace(first, end - first, std::to_string(byte ^ 1));
  write_file_atomic(folder / "net_vectors.h", vectors);
  const ProcessResult wrong = make("0");
  EXPECT_NE(wrong.exit_code, 0);
  EXPECT_NE(wrong.output.find("output 0: beat 0 differs"), std::string::npos) << wrong.output;
}

TEST(Circuit, RandomModules) {
  register_operators();
  std::vector<Module> modules;
  std::vector<std::string> labels;
  std::vector<DataflowChoices> choices;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    modules.push_back(random_lowered_module(seed));
    choices.push_back(random_foldings(modules.back(), seed));
    labels.push_back("random " + std::to_string(seed));
  }
  expect_equal(modules, labels, choices, 5, 12);
}

}  // namespace
}  // namespace tandem
