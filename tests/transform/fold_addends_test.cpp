#include "tandem/transform/fold_addends.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tandem/graph/verifier.h"

#include "tests/support/networks.h"

namespace tandem {
namespace {

using test::NetworkMaker;
using test::operators_of;
using Names = std::vector<std::string>;

// Folds a copy and checks that it computes the same; its operators.
Names folded_addends(NetworkMaker& maker, const Module& network, Shape sample) {
  Module result = network;
  fold_addends(result);
  verify(result);
  EXPECT_EQ(result.main().values[result.main().outputs[0]].name,
            network.main().values[network.main().outputs[0]].name);
  sample.insert(sample.begin(), 3);
  EXPECT_LT(test::relative_difference(network, result, maker.random(sample)), 1e-5);
  return operators_of(result);
}

TEST(FoldAddends, IntoBiases) {
  for (const bool bias : {false, true}) {
    NetworkMaker maker;
    ValueId x = maker.conv("conv", maker.input("x", {3, 6, 5}), 4, 3, 1, bias);
    x = maker.add("first", x, maker.constant({1, 4, 1, 1}, -1, 1));
    x = maker.add("second", maker.constant({4, 1, 1}, -1, 1), x);
    x = maker.gemm("gemm", maker.reshape_flat("flat", x), 5);
    x = maker.add("third", x, maker.constant({5}, -1, 1));
    x = maker.add("fourth", x, maker.constant({1, 5}, -1, 1));
    EXPECT_EQ(folded_addends(maker, maker.finish(x), {3, 6, 5}),
              (Names{"Conv", "Reshape", "Gemm"}));
  }
}

TEST(FoldAddends, IntoOtherAddends) {
  NetworkMaker maker;
  ValueId x = maker.matmul("product", maker.input("x", {7}), 5);
  x = maker.add("first", x, maker.constant({5}, -1, 1));
  x = maker.add("second", x, maker.constant({1, 5}, -1, 1));
  const Names operators = folded_addends(maker, maker.finish(x), {7});
  EXPECT_EQ(std::ranges::count(operators, "Add"), 1);
}

// Where an earlier node is called as the output is, as after a correction of the last product.
TEST(FoldAddends, OutputsKeepTheirNames) {
  NetworkMaker maker;
  ValueId x = maker.matmul("logits", maker.input("x", {7}), 5);
  x = maker.add("corrected", x, maker.constant({5}, -1, 1));
  Module network = maker.finish(x);
  Graph& main = network.main();
  std::swap(main.values[main.outputs[0]].name, main.values[main.nodes[0].outputs[0]].name);
  ASSERT_EQ(main.values[main.outputs[0]].name, "logits");
  folded_addends(maker, network, {7});
}

TEST(FoldAddends, LeavesWhatIsNoBias) {
  NetworkMaker maker;
  const ValueId conv = maker.conv("conv", maker.input("x", {3, 4, 4}), 3, 3);
  const ValueId by_place = maker.add("by_place", conv, maker.constant({1, 1, 4, 4}, -1, 1));
  EXPECT_EQ(folded_addends(maker, maker.finish(by_place), {3, 4, 4}), (Names{"Conv", "Add"}));

  NetworkMaker other;
  const ValueId product = other.gemm("gemm", other.input("x", {4}), 4);
  const ValueId sum = other.add("sum", product, other.constant({4}, -1, 1));
  const ValueId both = other.add("both", sum, product);  // the product is read twice
  EXPECT_EQ(folded_addends(other, other.finish(both), {4}), (Names{"Gemm", "Add", "Add"}));
}

}  // namespace
}  // namespace tandem
