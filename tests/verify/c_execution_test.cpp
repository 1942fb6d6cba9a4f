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

namespace tandem {
namespace {

// Inputs that walk through the formats: all minima, all maxima, then a fixed scramble.
Samples scrambled(const Module& module, std::int64_t count) {
  std::vector<std::vector<Tensor>> samples;
  std::uint64_t word = 1;
  for (std::int64_t s = 0; s < count; ++s) {
    std::vector<Tensor> sample;
    for (const ValueId input : module.main().inputs) {
      const TensorType& type = module.main().values[input].type;
      std::vector<std::int64_t> values;
      const int bits = type.format.bits();
      const std::uint64_t mask = bits == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1;
      for (std::int64_t i = 0; i < element_count(type.static_shape()); ++i) {
        word = word * 6364136223846793005u + 1442695040888963407u;
        const IntegerRange range = type.format.integer_range();
        values.push_back(s == 0   ? range.min
                         : s == 1 ? range.max
                                  : type.format.integer_of((word >> 20) & mask));
      }
      sample.push_back(Tensor::from_integers(type.format, type.static_shape(), values));
    }
    samples.push_back(std::move(sample));
  }
  return stack(samples);
}

void expect_equal(const std::vector<Module>& modules, const CBatchOptions& options) {
  std::vector<Samples> inputs;
  for (const Module& module : modules) inputs.push_back(scrambled(module, 20));
  const std::vector<Samples> outputs = run_c_batch(modules, inputs, options);
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

}  // namespace
}  // namespace tandem
