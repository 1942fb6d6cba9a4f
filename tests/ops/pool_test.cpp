#include "tandem/ops/pool.h"

#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/graph/builder.h"
#include "tandem/graph/evaluate.h"
#include "tandem/ops/register.h"

namespace tandem {
namespace {

using testing::ElementsAre;
using Integers = std::vector<std::int64_t>;

// One pooling over x [1,1,extent].
struct Pooled {
  Pooled(std::string_view op, std::int64_t extent, const Attributes& attributes) {
    register_operators();
    Builder builder(module, Builder::add_graph(module, "main"));
    builder.output(builder.add(op, {builder.input("x", {{1, 1, extent}, Format()})}, attributes));
  }
  NodeView node() const { return {module, module.main(), module.main().nodes[0]}; }
  Module module;
};

TEST(PoolWindow, RoundsUpWithMorePaddingAtTheEnd) {
  const Pooled pool(
      "MaxPool", 6,
      {{"kernel", Integers{3}}, {"strides", Integers{2}}, {"ceil_mode", std::int64_t{1}}});
  const Window window = pool_window(pool.node(), {6});
  EXPECT_THAT(window.pads_end, ElementsAre(1));
  EXPECT_THAT(window.output_extents({6}), ElementsAre(3));
}

// Four elements in steps of two: a third window would begin behind the last element.
TEST(PoolWindow, DropsAWindowThatBeginsBehindTheInput) {
  const Pooled pool(
      "MaxPool", 4,
      {{"kernel", Integers{1}}, {"strides", Integers{2}}, {"ceil_mode", std::int64_t{1}}});
  EXPECT_THAT(pool_window(pool.node(), {4}).output_extents({4}), ElementsAre(2));
}

// Windows of 3 in steps of 2 over [pad] a b c d e f [what ceil_mode adds]: {pad a b}, {b c d},
// {d e f}; then {f, added, added}, of which only f is real.
TEST(AverageDivisors, CountDeclaredPaddingButNotWhatRoundingUpAdds) {
  const Attributes common = {{"kernel", Integers{3}},
                             {"strides", Integers{2}},
                             {"pads", Integers{1, 1}},
                             {"ceil_mode", std::int64_t{1}}};
  const Pooled without("AveragePool", 6, common);
  EXPECT_THAT(average_divisors(without.node(), {6}), ElementsAre(2, 3, 3, 1));
  Attributes counted = common;
  counted["count_include_pad"] = std::int64_t{1};
  const Pooled with("AveragePool", 6, counted);
  EXPECT_THAT(average_divisors(with.node(), {6}), ElementsAre(3, 3, 3, 2));
}

TEST(MaxPool, ANanWinsInItsWindowsOnly) {
  const Pooled pool("MaxPool", 4, {{"kernel", Integers{2}}});
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> values = {1, nan, 3, 2};
  const auto y = evaluate(pool.module, pool.module.main(),
                          std::vector{Tensor::from_reals(Format(), {1, 1, 4}, values)});
  EXPECT_TRUE(std::isnan(y[0].real(0)));
  EXPECT_TRUE(std::isnan(y[0].real(1)));
  EXPECT_EQ(y[0].real(2), 3);
}

}  // namespace
}  // namespace tandem
