#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/graph/builder.h"
#include "tandem/graph/evaluate.h"
#include "tandem/ops/movement.h"
#include "tandem/ops/register.h"

namespace tandem {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const Dim kBatch = Dim::symbol("N");

TEST(ReshapeAttribute, NamesDimensionsOfTheInputInsteadOfSymbols) {
  EXPECT_THAT(reshape_attribute({kBatch, 4, 6}, {kBatch, 24}), ElementsAre("d0", "24"));
  EXPECT_THAT(reshape_attribute({kBatch, 4}, {Dim(2) * kBatch, 2}), ElementsAre("2*d0", "2"));
  EXPECT_THAT(reshape_attribute({2, 3}, {6}), ElementsAre("6"));
  EXPECT_THAT(reshape_attribute({1}, {}), ElementsAre());
}

TEST(ReshapeAttribute, LeavesOneDimensionOpen) {
  EXPECT_THAT(reshape_attribute({Dim(6) * kBatch, 2}, {kBatch, 12}), ElementsAre("-1", "12"));
}

TEST(ReshapeAttribute, NamesTheSymbolsOfFurtherOpenDimensions) {
  const Dim length = Dim::symbol("L");
  EXPECT_THAT(reshape_attribute({kBatch * length, 2}, {kBatch, length, 2}),
              ElementsAre("-1", "{L}", "2"));
}

TEST(AddReshape, AddsNothingWhereTheShapeIsRight) {
  register_operators();
  Module module;
  module.symbols.push_back({"N", 1, 8});
  Builder builder(module, Builder::add_graph(module, "main"));
  const ValueId x = builder.input("x", {{kBatch, 2, 3}, Format()});
  EXPECT_EQ(add_reshape(builder, x, {kBatch, 2, 3}), x);
  const ValueId y = add_reshape(builder, x, {kBatch, 6}, "flat");
  EXPECT_EQ(builder.type(y).shape, (std::vector<Dim>{kBatch, 6}));
  EXPECT_EQ(builder.graph().nodes.size(), 1u);
}

TEST(TransposedTensor, MovesEveryElement) {
  const std::vector<std::int64_t> values = {0, 1, 2, 3, 4, 5};
  const Tensor x = Tensor::from_integers(Format::parse("int8"), {1, 2, 3}, values);
  const Tensor y = transposed_tensor(x, {2, 0, 1});
  EXPECT_EQ(y.shape(), (Shape{3, 1, 2}));
  EXPECT_THAT(y.to_integers(), ElementsAre(0, 3, 1, 4, 2, 5));
}

}  // namespace
}  // namespace tandem
