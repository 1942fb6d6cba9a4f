#include "tandem/data/task.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

Tensor scores(const Shape& shape, const std::vector<double>& values) {
  return Tensor::from_reals(Format(), shape, values);
}

TEST(Top1, FindsTheFirstGreatestOfEachRow) {
  EXPECT_THAT(top1(scores({3, 3}, {1, 3, 2, 5, 5, 0, -1, -2, -1})), ElementsAre(1, 0, 0));
  EXPECT_THAT(top1(scores({2, 1, 2, 1}, {1, 3, 2, 0})), ElementsAre(1, 0));
}

TEST(Top1, TakesSingleScoresBySign) {
  EXPECT_THAT(top1(scores({3, 1}, {-1, 0, 2})), ElementsAre(0, 0, 1));
  EXPECT_THAT(top1(scores({2}, {3, -3})), ElementsAre(1, 0));
}

TEST(Accuracy, CountsOverBatches) {
  Accuracy accuracy;
  const std::vector<std::int64_t> first = {1, 1}, second = {0};
  accuracy.add(scores({2, 2}, {0, 1, 1, 0}), first);
  accuracy.add(scores({1, 2}, {1, 0}), second);
  EXPECT_EQ(accuracy.correct(), 2);
  EXPECT_EQ(accuracy.count(), 3);
  EXPECT_DOUBLE_EQ(accuracy.value(), 2.0 / 3);
}

TEST(Accuracy, RefusesLabelsThatAreNoClass) {
  Accuracy accuracy;
  const std::vector<std::int64_t> wrong = {2}, many = {0, 1};
  EXPECT_THAT(
      [&] {
        accuracy.add(scores({1, 2}, {0, 1}), wrong);
      },
      ThrowsMessage<Error>(HasSubstr("label 2")));
  EXPECT_THAT(
      [&] {
        accuracy.add(scores({1, 2}, {0, 1}), many);
      },
      ThrowsMessage<Error>(HasSubstr("1 rows for 2")));
}

}  // namespace
}  // namespace tandem
