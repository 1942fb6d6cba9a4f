#include "tandem/verify/equality.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/graph/printer.h"
#include "tandem/ops/register.h"
#include "tandem/verify/samples.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr std::string_view kChain = R"(tandem-module 1
constant @w : int4[2,2] = [1,-2,3,4]
graph @main(%x : int4[1,2]) -> (%z, %y) {
  %w = constant @w
  %y : int9[1,2] = IntMatMul(%x, %w) {format = int9} "fc"
  %z : int5[1,2] = Clamp(%y) {format = int5, min = -9, max = 9} "limit"
}
)";

// The reference with one wrong value of one node.
class Broken final : public Execution {
 public:
  Broken(Module module, std::string node) : module_(std::move(module)), node_(std::move(node)) {
    inner_ = make_execution("reference", module_);
  }
  std::string name() const override { return "broken"; }
  std::map<ValueId, Tensor> trace(std::span<const Tensor> inputs) override {
    auto seen = inner_->trace(inputs);
    for (const Node& node : module_.main().nodes)
      if (node.name == node_) {
        auto values = seen.at(node.outputs[0]).to_integers();
        ++values[1];
        seen.at(node.outputs[0]) = Tensor::from_integers(seen.at(node.outputs[0]).format(),
                                                         seen.at(node.outputs[0]).shape(), values);
      }
    return seen;
  }

 protected:
  Samples compute(std::span<const Tensor> inputs) override { return inner_->run(inputs); }

 private:
  Module module_;
  std::string node_;
  std::unique_ptr<Execution> inner_;
};

class EqualityTest : public testing::Test {
 protected:
  void SetUp() override {
    register_operators();
    module_ = parse_module(kChain);
    inputs_ = {Tensor::from_integers(Format::parse("int4"), {2, 1, 2},
                                     std::vector<std::int64_t>{1, 2, 0, 0})};
  }
  Module module_;
  Samples inputs_;
};

TEST_F(EqualityTest, ReferenceRunsSampleBySample) {
  const Samples outputs = make_execution("reference", module_)->run(inputs_);
  ASSERT_EQ(outputs.size(), 2u);
  EXPECT_EQ(outputs[0].shape(), (Shape{2, 1, 2}));
  EXPECT_EQ(outputs[0].to_integers(), (std::vector<std::int64_t>{7, 6, 0, 0}));
}

TEST_F(EqualityTest, CountsDifferencesAndNamesTheFirst) {
  const auto reference = make_execution("reference", module_);
  const Samples right = reference->run(inputs_);
  EXPECT_TRUE(compare_samples(right, right).equal());
  EXPECT_EQ(compare_samples(right, right).compared_values, 8);
  Samples wrong = right;
  wrong[1] = Tensor::from_integers(Format::parse("int9"), {2, 1, 2},
                                   std::vector<std::int64_t>{7, 9, 1, 0});
  Broken broken(module_, "fc");
  const Equality equality = compare_executions(module_, *reference, right, broken, wrong, inputs_);
  EXPECT_EQ(equality.differing_values, 2);
  EXPECT_EQ(equality.max_difference, 3);
  EXPECT_EQ(equality.sample, 0);
  EXPECT_EQ(equality.output, 1);
  EXPECT_EQ(equality.index, 1);
  EXPECT_EQ(equality.first_layer, "IntMatMul 'fc', element 1 of [1,2]: 6 and 7");
  EXPECT_EQ(to_string(equality, "reference", "broken"),
            "reference != broken: 2 of 8 values differ, by up to 3; first in sample 0, output 1, "
            "element 1; first layer that differs: IntMatMul 'fc', element 1 of [1,2]: 6 and 7");
}

TEST_F(EqualityTest, AnEmptyComparisonIsNotEquality) {
  const Samples none = {Tensor(Format::parse("int4"), {0, 1, 2})};
  EXPECT_FALSE(compare_samples(none, none).equal());
}

TEST_F(EqualityTest, WrongInputsAreNamed) {
  const auto reference = make_execution("reference", module_);
  EXPECT_THAT([&] { reference->run({}); }, ThrowsMessage<Error>(HasSubstr("0 inputs given")));
  const Samples flat = {Tensor(Format::parse("int4"), {2, 2})};
  EXPECT_THAT([&] { reference->run(flat); },
              ThrowsMessage<Error>(HasSubstr("input 'x' takes samples of int4[1,2]")));
  EXPECT_THAT([&] { make_execution("referense", module_); },
              ThrowsMessage<Error>(HasSubstr("did you mean 'reference'?")));
}

TEST_F(EqualityTest, PackedSamplesReadBack) {
  const Graph& graph = module_.main();
  const std::string bytes = pack_samples(inputs_);
  EXPECT_EQ(bytes, std::string({1, 2, 0, 0}));
  EXPECT_EQ(unpack_samples(module_, graph.inputs, 2, bytes, "x")[0], inputs_[0]);
  EXPECT_THAT([&] { unpack_samples(module_, graph.inputs, 3, bytes, "x.bin"); },
              ThrowsMessage<Error>(HasSubstr("x.bin: 4 bytes of results where 6")));
  const Samples outputs = make_execution("reference", module_)->run(inputs_);
  EXPECT_EQ(unpack_samples(module_, graph.outputs, 2, pack_samples(outputs), "y"), outputs);
  EXPECT_EQ(stack({one_sample(outputs, 0), one_sample(outputs, 1)}), outputs);
}

}  // namespace
}  // namespace tandem
