#include "tandem/tensor/tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem {
namespace {

TEST(Tensor, CopiesShareUntilWritten) {
  Tensor a =
      Tensor::from_integers(Format::parse("int8"), {2, 2}, std::vector<std::int64_t>{1, 2, 3, 4});
  const Tensor b = a;
  EXPECT_EQ(a.bytes().data(), b.bytes().data());
  a.mutable_data<std::int8_t>()[0] = 9;
  EXPECT_EQ(b.integer(0), 1);
  EXPECT_EQ(a.integer(0), 9);
  EXPECT_FALSE(a == b);
}

TEST(Tensor, BorrowsUntilWritten) {
  const auto kept = std::make_shared<std::vector<float>>(std::vector<float>{1, 2, 3});
  Tensor a = Tensor::borrowing(Format(), {3}, std::as_bytes(std::span<const float>(*kept)), kept);
  EXPECT_EQ(kept.use_count(), 2);
  EXPECT_EQ(a.data<float>().data(), kept->data());
  EXPECT_EQ(a.rows(1, 3).to_reals(), (std::vector<double>{2, 3}));
  const Tensor b = a.reshaped({1, 3});
  a.mutable_data<float>()[0] = 9;
  EXPECT_EQ(a.real(0), 9);
  EXPECT_EQ(b.real(0), 1);
  EXPECT_EQ(kept->front(), 1);
  EXPECT_EQ(kept.use_count(), 2);  // b's
  EXPECT_THROW(Tensor::borrowing(Format(), {4}, b.bytes(), kept), InternalError);
}

TEST(Tensor, RealsGoThroughTheFormat) {
  const std::vector<double> values = {0.3, -1.0, 7.9, 100};
  const Tensor t = Tensor::from_reals(Format::parse("fixed<4,2>"), {4}, values);
  EXPECT_EQ(t.to_integers(), (std::vector<std::int64_t>{1, -4, 7, 7}));
  EXPECT_EQ(t.to_reals(), (std::vector<double>{0.25, -1.0, 1.75, 1.75}));
}

}  // namespace
}  // namespace tandem
