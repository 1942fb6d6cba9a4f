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

TEST(Tensor, RealsGoThroughTheFormat) {
  const std::vector<double> values = {0.3, -1.0, 7.9, 100};
  const Tensor t = Tensor::from_reals(Format::parse("fixed<4,2>"), {4}, values);
  EXPECT_EQ(t.to_integers(), (std::vector<std::int64_t>{1, -4, 7, 7}));
  EXPECT_EQ(t.to_reals(), (std::vector<double>{0.25, -1.0, 1.75, 1.75}));
}

}  // namespace
}  // namespace tandem
