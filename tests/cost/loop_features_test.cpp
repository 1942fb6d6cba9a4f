#include "tandem/cost/loop_features.h"

#include <gtest/gtest.h>

#include "tandem/graph/operator.h"
#include "tandem/graph/printer.h"
#include "tandem/ops/register.h"
#include "tandem/plan/kernel.h"

#include "tests/support/random_module.h"

namespace tandem {
namespace {

double executed(const LoopFeatures& features, LoopFeature feature) {
  return features.executed[static_cast<std::size_t>(feature)];
}
double written(const LoopFeatures& features, LoopFeature feature) {
  return features.written[static_cast<std::size_t>(feature)];
}

LoopFeatures count(Statements body) {
  LoopProgram program;
  program.body = std::move(body);
  return count_features(program);
}

Expr x_at(Expr index) { return load_expr("x", Storage::kI32, std::move(index)); }
const Expr kI = variable_expr("i"), kJ = variable_expr("j"), kV = variable_expr("v");

TEST(LoopFeatures, MultiplyByTheIterationsAroundThem) {
  const Statement store = store_statement("y", Storage::kI32, kI, x_at(kI) * x_at(kJ) + kV);
  const LoopFeatures features = count({for_statement("i", 10, {for_statement("j", 20, {store})})});
  EXPECT_EQ(executed(features, LoopFeature::kLoops), 1 + 10);
  EXPECT_EQ(written(features, LoopFeature::kLoops), 2);
  EXPECT_EQ(executed(features, LoopFeature::kIterations), 10 + 200);
  EXPECT_EQ(executed(features, LoopFeature::kMultiplyAdds), 200);
  EXPECT_EQ(executed(features, LoopFeature::kLoads), 400);
  EXPECT_EQ(executed(features, LoopFeature::kStores), 200);
  EXPECT_EQ(written(features, LoopFeature::kStores), 1);
  EXPECT_EQ(executed(features, LoopFeature::kAdds), 0);
}

TEST(LoopFeatures, CountBranchesByTheirShare) {
  const Statement store = store_statement("y", Storage::kI32, constant_expr(0), kV);
  const LoopFeatures features =
      count({for_statement("i", 100, {if_statement(kV, 0.25, {store, store}, {store})})});
  EXPECT_EQ(executed(features, LoopFeature::kBranches), 100);
  EXPECT_EQ(executed(features, LoopFeature::kStores), 25 * 2 + 75);
  EXPECT_EQ(written(features, LoopFeature::kStores), 3);
}

TEST(LoopFeatures, ShareAddressesAtFixedDistances) {
  const Expr sum = x_at(kI) + x_at(kI + constant_expr(1)) + x_at(kI + constant_expr(2)) + x_at(kJ);
  const LoopFeatures features = count({let_statement("s", sum)});
  EXPECT_EQ(executed(features, LoopFeature::kAddresses), 2);
  EXPECT_EQ(executed(features, LoopFeature::kLoads), 4);
}

TEST(LoopFeatures, SeeWhatOneInstructionDoes) {
  const auto clamped = [](std::int64_t low, std::int64_t high) {
    const Expr below = binary_expr(ExprOp::kLess, kV, constant_expr(low));
    const Expr w = variable_expr("w");
    const Expr above = binary_expr(ExprOp::kLess, constant_expr(high), w);
    return count({let_statement("w", select_expr(below, constant_expr(low), kV)),
                  let_statement("r", select_expr(above, constant_expr(high), w))});
  };
  EXPECT_EQ(executed(clamped(0, 255), LoopFeature::kSaturations), 1);
  EXPECT_EQ(executed(clamped(0, 255), LoopFeature::kSelects), 0);
  for (const auto& [low, high] : {std::pair{0, 200}, {1, 255}, {-128, 127}}) {
    EXPECT_EQ(executed(clamped(low, high), LoopFeature::kSaturations), 0);
    EXPECT_EQ(executed(clamped(low, high), LoopFeature::kSelects), 2);
  }
  const Expr bit = binary_expr(ExprOp::kAnd, binary_expr(ExprOp::kShiftRight, kV, constant_expr(5)),
                               constant_expr(1));
  EXPECT_EQ(executed(count({let_statement("b", bit)}), LoopFeature::kLogic), 1);
  const Expr sign = binary_expr(ExprOp::kLess, kV, constant_expr(0));
  EXPECT_EQ(executed(count({let_statement("b", sign)}), LoopFeature::kCompares), 0);
  const Expr compare = binary_expr(ExprOp::kLess, kV, constant_expr(1));
  EXPECT_EQ(executed(count({let_statement("b", compare)}), LoopFeature::kCompares), 1);
}

TEST(LoopFeatures, TellShortCopiesFromCalls) {
  const auto copied = [](std::int64_t bytes) {
    return count({copy_statement("y", kI, "x", kJ, Storage::kI8, bytes)});
  };
  EXPECT_EQ(executed(copied(64), LoopFeature::kCopies), 0);
  EXPECT_EQ(executed(copied(64), LoopFeature::kSmallWords), 16);
  EXPECT_EQ(written(copied(64), LoopFeature::kSmallWords), 4);  // a loop over 16 bytes
  EXPECT_EQ(executed(copied(7), LoopFeature::kSmallWords), 3);  // 4, 2 and 1 bytes
  EXPECT_EQ(executed(copied(65), LoopFeature::kCopies), 1);
  EXPECT_EQ(executed(copied(65), LoopFeature::kCopiedBytes), 65);
  EXPECT_EQ(written(copied(65), LoopFeature::kCopiedBytes), 0);
}

TEST(LoopFeatures, TellWidthsApart) {
  const Expr wide_v = convert_expr(kV, Storage::kI64);
  const LoopFeatures narrow = count({let_statement("p", wide_v * wide_v)});
  EXPECT_EQ(executed(narrow, LoopFeature::kWideMultiplies), 1);
  EXPECT_EQ(executed(narrow, LoopFeature::kExtensions), 0);
  const Expr long_v = variable_expr("l", Storage::kI64);
  EXPECT_EQ(executed(count({let_statement("p", long_v * wide_v)}), LoopFeature::kLongMultiplies),
            1);
  EXPECT_EQ(executed(count({let_statement("p", long_v + long_v)}), LoopFeature::kLongAdds), 1);
}

// Products of all kinds of instructions that a form executes.
double products_of(const LoopFeatures& features) {
  return executed(features, LoopFeature::kMultiplyAdds) +
         2 * executed(features, LoopFeature::kDots) +
         16 * executed(features, LoopFeature::kVectorDots);
}

// Every form of a product without padding multiplies as often as the operator says; those by words
// and vectors also what fills them up (at most 64 taps where there are 6), and the halves of twin
// weights twice.
TEST(LoopFeatures, FormsOfAProductMultiplyAsOftenAsTheOperator) {
  register_operators();
  for (const char* text : {R"(tandem-module 1
constant @w : int4[6,7] = [1,-2,3,4,5,-6,7,-8,0,1,2,3,1,-2,3,4,5,-6,7,1,2,3,4,5,6,7,-1,-2,-3,-4,-5,-6,-7,1,2,3,4,5,6,7,1,2]
graph @main(%x : int8[1,5,6]) -> (%y) {
  %w = constant @w
  %y : int17[1,5,7] = IntMatMul(%x, %w) {format = int17}
}
)",
                           R"(tandem-module 1
constant @w : int4[3,2,2,2] = [1,-2,3,4,5,-6,7,-8,1,1,2,3,1,-2,3,4,5,-6,7,1,2,3,4,5]
graph @main(%x : int8[1,6,5,2]) -> (%y) {
  %w = constant @w
  %y : int17[1,5,4,3] = IntConv(%x, %w) {format = int17}
}
)"}) {
    const Module module = parse_module(text);
    const Graph& graph = module.main();
    const McuGroups groups = group_nodes(module, graph);
    const Node& node = graph.nodes[groups.groups.front().front()];
    const auto products = static_cast<double>(
        node.op->work({module, graph, node}).total(OperationKind::kMultiplyAccumulate));
    const auto forms = kernel_forms(module, graph, groups.base_of, groups.groups.front());
    EXPECT_GE(forms.size(), 3u);
    for (const std::string& form : forms) {
      const LoopFeatures features =
          count_features(build_kernel(module, graph, groups.base_of, groups.groups.front(), form));
      const bool filled = form.starts_with("pairs") || form.starts_with("vector");
      EXPECT_GE(products_of(features), products) << form;
      // Multiply-adds of addresses are the odd ones out.
      const double most = form.starts_with("vector") ? 64.0 / 6 * 8 / 7 : 4;
      EXPECT_LT(products_of(features), (filled ? most : 1.2) * products) << form;
    }
  }
}

TEST(LoopFeatures, AreNeverNegativeAndWrittenWhereExecuted) {
  register_operators();
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const Module module = random_lowered_module(seed);
    const Graph& graph = module.main();
    const McuGroups groups = group_nodes(module, graph);
    for (const std::vector<NodeId>& nodes : groups.groups) {
      for (const std::string& form : kernel_forms(module, graph, groups.base_of, nodes)) {
        const LoopFeatures features =
            count_features(build_kernel(module, graph, groups.base_of, nodes, form));
        for (std::size_t k = 0; k < kLoopFeatures; ++k) {
          const auto feature = static_cast<LoopFeature>(k);
          EXPECT_GE(features.executed[k], 0) << name(feature) << " of " << form;
          EXPECT_GE(features.written[k], 0) << name(feature) << " of " << form;
          const bool is_bytes =
              feature == LoopFeature::kCopiedBytes || feature == LoopFeature::kFilledBytes;
          if (features.executed[k] > 0 && !is_bytes) {
            EXPECT_GT(features.written[k], 0) << name(feature) << " of " << form;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace tandem
