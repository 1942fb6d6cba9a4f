#include "tandem/kernels/transpose.h"

#include <vector>

#include <gtest/gtest.h>

namespace tandem {
namespace {

TEST(Transpose, MovesEveryElementOnce) {
  for (const std::int64_t rows : {1, 2, 3, 4, 5, 16, 35}) {
    for (const std::int64_t columns : {1, 2, 3, 4, 7, 33, 100}) {
      for (const std::int64_t gap : {0, 3}) {
        const std::int64_t x_stride = columns + gap, y_stride = rows + gap;
        std::vector<std::uint32_t> x(static_cast<std::size_t>(rows * x_stride));
        for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<std::uint32_t>(i + 1);
        std::vector<std::uint32_t> y(static_cast<std::size_t>(columns * y_stride)), expected = y;
        for (std::int64_t r = 0; r < rows; ++r)
          for (std::int64_t c = 0; c < columns; ++c)
            expected[static_cast<std::size_t>(c * y_stride + r)] =
                x[static_cast<std::size_t>(r * x_stride + c)];
        transpose32(x.data(), x_stride, y.data(), y_stride, rows, columns);
        EXPECT_EQ(y, expected) << rows << " x " << columns << ", gap " << gap;
      }
    }
  }
}

template <typename Element>
void expect_turns() {
  for (const std::int64_t count : {0, 1, 7, 16, 58, 232}) {
    std::vector<Element> first, second, result(static_cast<std::size_t>(2 * count));
    for (std::int64_t i = 0; i < count; ++i) {
      first.push_back(static_cast<Element>(2 * i));
      second.push_back(static_cast<Element>(2 * i + 1));
    }
    interleave(first.data(), second.data(), count, result.data());
    for (std::size_t i = 0; i < result.size(); ++i) EXPECT_EQ(result[i], static_cast<Element>(i));
  }
}

TEST(Interleave, TwoRowsTakeTurns) {
  expect_turns<std::uint8_t>();
  expect_turns<std::uint16_t>();
  expect_turns<std::uint32_t>();
  expect_turns<std::uint64_t>();
}

}  // namespace
}  // namespace tandem
