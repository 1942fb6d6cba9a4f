#include "tandem/verify/c_execution.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/printer.h"
#include "tandem/graph/registry.h"
#include "tandem/ops/register.h"
#include "tandem/verify/equality.h"
#include "tandem/verify/samples.h"

#include "tests/support/random_module.h"
#include "tests/verify/varied_plans.h"

namespace tandem {
namespace {

void expect_equal(const std::vector<Module>& modules, const CBatchOptions& options) {
  std::vector<Samples> inputs;
  for (std::size_t i = 0; i < modules.size(); ++i)
    inputs.push_back(stack(random_inputs(modules[i], i, 20)));
  const std::vector<Samples> outputs = run_c_batch(modules, varied_plans(modules), inputs, options);
  for (std::size_t i = 0; i < modules.size(); ++i) {
    const Samples expected = make_execution("reference", modules[i])->run(inputs[i]);
    const Equality equality = compare_samples(expected, outputs[i]);
    EXPECT_TRUE(equality.equal()) << to_string(equality, "reference", "c") << "\n"
                                  << print_module(modules[i]);
  }
}

class CExecutionTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { register_operators(); }
};

TEST_F(CExecutionTest, EverySampleOfEveryPrimitiveEqualsTheReference) {
  std::vector<Module> modules;
  for (const Operator* op : operators().all()) {
    if (op->traits().domain != Domain::kInteger) continue;
    for (const SampleCase& sample : op->samples())
      if (sample.error.empty()) modules.push_back(parse_module(sample.text));
  }
  EXPECT_GE(modules.size(), 59u);
  expect_equal(modules, {.flags = {"-O1"}, .sanitize = true});
}

TEST_F(CExecutionTest, RandomModulesEqualTheReferenceWithoutUndefinedBehaviour) {
  std::vector<Module> modules;
  for (std::uint64_t seed = 0; seed < 40; ++seed) modules.push_back(random_lowered_module(seed));
  expect_equal(modules, {.flags = {"-O1"}, .sanitize = true});
}

}  // namespace
}  // namespace tandem
