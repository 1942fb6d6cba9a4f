#include "tandem/data/sample_rows.h"

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem {
namespace {

using ::testing::ElementsAre;

Tensor numbers(std::int64_t count) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < count * 2; ++i) values.push_back(static_cast<double>(i));
  return Tensor::from_reals(Format::parse("f64"), {count, 2}, values);
}

TEST(SampleRows, ViewsReadTheSourceWhereTheyLie) {
  const SampleRows all(numbers(6));
  EXPECT_EQ(all.all(), numbers(6));
  const SampleRows part = all.part(2, 5);
  EXPECT_THAT(part.rows(1, 2).to_reals(), ElementsAre(6, 7));
  const SampleRows picked = part.picked({2, 0, 1, 2});
  EXPECT_THAT(picked.all().to_reals(), ElementsAre(8, 9, 4, 5, 6, 7, 8, 9));
  EXPECT_THAT(picked.part(1, 3).all().to_reals(), ElementsAre(4, 5, 6, 7));
  EXPECT_EQ(picked.source_index(0), 4);
  EXPECT_EQ(part.source_index(0), 2);
  EXPECT_EQ(picked.rows(2, 2).size(), 0);
  const SampleRows other = picked.reshaped({4, 1, 2}).converted(Format());
  EXPECT_EQ(other.rows(0, 1).shape(), (Shape{1, 1, 2}));
  EXPECT_EQ(other.rows(0, 1).format(), Format());
}

TEST(SampleRows, ReadsNoMoreThanIsAskedFor) {
  std::vector<std::pair<std::int64_t, std::int64_t>> read;
  const Tensor source = numbers(10);
  const SampleRows rows(source.format(), source.shape(), [&](std::int64_t begin, std::int64_t end) {
    read.emplace_back(begin, end);
    return source.rows(begin, end);
  });
  const SampleRows picked = rows.picked({3, 4, 5, 1, 9});
  EXPECT_TRUE(read.empty());
  picked.rows(0, 4);
  EXPECT_THAT(read, ElementsAre(std::pair(3, 6), std::pair(1, 2)));
}

}  // namespace
}  // namespace tandem
