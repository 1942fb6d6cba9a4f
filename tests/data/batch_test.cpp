#include "tandem/data/batch.h"

#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// `count` samples of the given shape with the codes 0, 1, 2, ... (modulo 256).
DataSet images(std::int64_t count, Shape sample, SampleCoding coding = {}) {
  DataSet data;
  data.name = "images";
  sample.insert(sample.begin(), count);
  std::vector<std::int64_t> codes(static_cast<std::size_t>(element_count(sample)));
  for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::int64_t>(i % 256);
  data.samples = Tensor::from_integers(Format::parse("uint8"), sample, codes);
  data.coding = std::move(coding);
  return data;
}

TensorType input(std::vector<Dim> shape) { return {std::move(shape), Format()}; }

TEST(BatchLayout, FitsShapesThatDifferInOnesOrAreFlat) {
  const DataSet data = images(3, {1, 4, 5});
  const Dim n = Dim::symbol("N");
  EXPECT_EQ(BatchLayout(data, input({n, 1, 4, 5})).codes(0, 2).shape(), (Shape{2, 1, 4, 5}));
  EXPECT_EQ(BatchLayout(data, input({n, 20})).codes(0, 3).shape(), (Shape{3, 20}));
  EXPECT_EQ(BatchLayout(data, input({1, 4, 5, 1})).codes(1, 2).shape(), (Shape{1, 4, 5, 1}));
  EXPECT_EQ(BatchLayout(data, input({1, 4, 5})).codes(1, 2).shape(), (Shape{1, 4, 5}));
  EXPECT_EQ(BatchLayout(images(3, {20}), input({n, 1, 4, 5})).codes(0, 1).shape(),
            (Shape{1, 1, 4, 5}));
  EXPECT_EQ(BatchLayout(images(3, {20}), input({20})).codes(2, 3).shape(), (Shape{20}));
  EXPECT_EQ(BatchLayout(data, input({n, 20})).codes(1, 2).to_integers(),
            data.samples.rows(1, 2).to_integers());
}

TEST(BatchLayout, KnowsTheBatch) {
  const DataSet data = images(3, {20});
  EXPECT_EQ(BatchLayout(data, input({Dim::symbol("N"), 20})).fixed_batch(), 0);
  EXPECT_EQ(BatchLayout(data, input({1, 20})).fixed_batch(), 1);
  EXPECT_EQ(BatchLayout(data, input({8, 20})).fixed_batch(), 8);
  const BatchLayout none(data, input({20}));
  EXPECT_EQ(none.fixed_batch(), 1);
  EXPECT_THAT([&] { none.codes(0, 2); }, ThrowsMessage<Error>(HasSubstr("one sample at a time")));
}

TEST(BatchLayout, TurnsImagesForChannelsLast) {
  const DataSet data = images(2, {3, 2, 2});
  const BatchLayout layout(data, input({1, 2, 2, 3}));
  EXPECT_THAT(layout.codes(0, 1).to_integers(), ElementsAre(0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11));
  EXPECT_THAT(layout.codes(1, 2).to_integers(),
              ElementsAre(12, 16, 20, 13, 17, 21, 14, 18, 22, 15, 19, 23));
}

TEST(BatchLayout, RefusesOtherShapesNamingBoth) {
  const DataSet data = images(1, {3, 4, 4});
  const auto message = AllOf(HasSubstr("images"), HasSubstr("[3,4,4]"), HasSubstr("f32[N,3,8,8]"));
  EXPECT_THAT(
      [&] {
        BatchLayout(data, input({Dim::symbol("N"), 3, 8, 8}));
      },
      ThrowsMessage<Error>(message));
  EXPECT_THAT(
      [&] {
        BatchLayout(data, input({1, 4, 3, 4}));
      },
      ThrowsMessage<Error>(HasSubstr("do not fit")));
}

// code / 255 rounded once to f32, which is what networks trained on such images saw.
TEST(BatchLayout, PixelsBecomeTheNearestFloats) {
  const DataSet data = images(1, {256}, {{1.0 / 255}, {0}});
  const Tensor reals = BatchLayout(data, input({1, 256})).reals(0, 1);
  for (int i = 0; i < 256; ++i)
    EXPECT_EQ(reals.data<float>()[static_cast<std::size_t>(i)], static_cast<float>(i) / 255.0F)
        << i;
}

TEST(BatchLayout, RealsFollowTheChannels) {
  const DataSet data = images(1, {2, 1, 2}, {{1, 10}, {0, -5}});
  EXPECT_THAT(BatchLayout(data, input({1, 2, 1, 2})).reals(0, 1).to_reals(),
              ElementsAre(0, 1, 15, 25));
  EXPECT_THAT(BatchLayout(data, input({1, 4})).reals(0, 1).to_reals(), ElementsAre(0, 1, 15, 25));
}

TEST(BatchLayout, CodesOfTheSameCodingAreTheCodesThemselves) {
  const DataSet data = images(1, {256}, {{1.0 / 255}, {0}});
  const BatchLayout layout(data, input({1, 256}));
  const Format uint8 = Format::parse("uint8");
  EXPECT_EQ(layout.coded(0, 1, uint8, layout.scale(), layout.offset()), layout.codes(0, 1));
  // A scale that went through f32 on its way changes no code.
  const Tensor narrow = Tensor::scalar(1.0F / 255.0F, Format::parse("f64"));
  EXPECT_EQ(layout.coded(0, 1, uint8, narrow, layout.offset()), layout.codes(0, 1));
}

TEST(BatchLayout, RecodesForAnotherCoding) {
  const DataSet data = images(1, {4}, {{0.5}, {-1}});  // reals -1, -0.5, 0, 0.5
  const BatchLayout layout(data, input({1, 4}));
  const Format f64 = Format::parse("f64");
  EXPECT_THAT(
      layout.coded(0, 1, Format::parse("int3"), Tensor::scalar(0.25, f64), Tensor::scalar(0, f64))
          .to_integers(),
      ElementsAre(-4, -2, 0, 2));
  EXPECT_THAT(
      layout
          .coded(0, 1, Format::parse("uint2"), Tensor::scalar(0.25, f64), Tensor::scalar(-0.5, f64))
          .to_integers(),
      ElementsAre(0, 0, 2, 3));
}

}  // namespace
}  // namespace tandem
