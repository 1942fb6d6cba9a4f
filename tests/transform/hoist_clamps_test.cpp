#include "tandem/transform/hoist_clamps.h"

#include <gtest/gtest.h>

#include "tandem/graph/operator.h"
#include "tandem/graph/verifier.h"

#include "tests/support/networks.h"

namespace tandem {
namespace {

using test::NetworkMaker;
using test::relative_difference;

TEST(HoistClamps, MovesRectifiersBeforeMaxPools) {
  NetworkMaker maker;
  ValueId x = maker.conv("conv", maker.input("x", {2, 8, 8}), 4, 3);
  x = maker.unary("Relu", "relu", maker.max_pool("pool2", maker.max_pool("pool1", x)));
  const Module network = maker.finish(x);
  Module hoisted = network;
  hoist_clamps(hoisted);
  verify(hoisted);
  EXPECT_EQ(relative_difference(network, hoisted, maker.random({3, 2, 8, 8})), 0);
  const Graph& graph = hoisted.main();
  ASSERT_EQ(graph.nodes.size(), 4U);
  EXPECT_EQ(graph.nodes[1].name, "relu");
  EXPECT_EQ(graph.nodes[2].name, "pool1");
  EXPECT_EQ(graph.nodes[3].name, "pool2");
  EXPECT_EQ(graph.values[graph.outputs[0]].name, "relu") << "outputs keep their names";
}

TEST(HoistClamps, LeavesPoolsThatOthersRead) {
  NetworkMaker maker;
  const ValueId pool = maker.max_pool("pool", maker.input("x", {2, 4, 4}));
  const Module network = maker.finish(maker.add("sum", maker.unary("Relu", "relu", pool), pool));
  Module hoisted = network;
  hoist_clamps(hoisted);
  EXPECT_EQ(hoisted.main().nodes[0].name, "pool");
}

}  // namespace
}  // namespace tandem
