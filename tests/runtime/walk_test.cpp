#include "tandem/runtime/walk.h"

#include <mutex>
#include <random>
#include <set>
#include <vector>

#include <gtest/gtest.h>

namespace tandem {
namespace {

using Offsets = std::vector<std::int64_t>;

// Where each element of a shape lies in each operand.
std::multiset<Offsets> offsets_of(const std::vector<std::int64_t>& shape,
                                  const std::vector<Offsets>& strides) {
  std::multiset<Offsets> all;
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) count *= extent;
  for (std::int64_t i = 0; i < count; ++i) {
    Offsets offsets(strides.size(), 0);
    std::int64_t rest = i;
    for (std::size_t d = shape.size(); d-- > 0; rest /= shape[d])
      for (std::size_t o = 0; o < strides.size(); ++o)
        offsets[o] += rest % shape[d] * strides[o][d];
    all.insert(offsets);
  }
  return all;
}

// Operands that are dense, repeat themselves along some axes, or lie in another order.
TEST(Walk, VisitsEachElementOnce) {
  std::mt19937_64 engine(5);
  const auto any = [&](std::int64_t least, std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(least, most)(engine);
  };
  int joined = 0;
  for (int round = 0; round < 400; ++round) {
    std::vector<std::int64_t> shape(static_cast<std::size_t>(any(1, 4)));
    for (std::int64_t& extent : shape) extent = any(0, 30) == 0 ? 0 : any(1, 9);
    std::vector<Offsets> strides(static_cast<std::size_t>(any(1, 3)), Offsets(shape.size(), 0));
    for (Offsets& operand : strides) {
      const bool is_turned = any(0, 4) == 0;
      std::int64_t step = 1;
      for (std::size_t i = 0; i < shape.size(); ++i) {
        const std::size_t d = is_turned ? i : shape.size() - 1 - i;
        if (any(0, 2) == 0) continue;  // it repeats itself along this axis
        operand[d] = step;
        step *= shape[d];
      }
    }
    const Walk walk(shape, strides);
    const auto expected = offsets_of(shape, strides);
    const std::int64_t block = any(1, 40), part = any(1, 60);
    std::multiset<Offsets> plain, together;
    std::mutex mutex;
    const auto note = [&](std::multiset<Offsets>& all, const std::int64_t* from, std::int64_t i,
                          const auto& offset) {
      Offsets offsets;
      for (std::size_t o = 0; o < strides.size(); ++o) offsets.push_back(from[o] + offset(o, i));
      const std::lock_guard lock(mutex);
      all.insert(offsets);
    };
    walk.visit(block, part, [&](const std::int64_t* from, std::int64_t count) {
      EXPECT_LE(count, block);
      for (std::int64_t i = 0; i < count; ++i)
        note(plain, from, i, [&](std::size_t o, std::int64_t k) { return k * walk.run_step(o); });
    });
    EXPECT_EQ(plain, expected);
    walk.visit_joined(block, part,
                      [&](const std::int64_t* from, std::int64_t length, std::int64_t runs) {
                        EXPECT_LE(length * runs, block);
                        for (std::int64_t i = 0; i < length * runs; ++i)
                          note(together, from, i, [&](std::size_t o, std::int64_t k) {
                            return runs > 1 && walk.repeats(o) ? k % length : k * walk.run_step(o);
                          });
                        const std::lock_guard lock(mutex);
                        joined += runs > 1 ? 1 : 0;
                      });
    EXPECT_EQ(together, expected);
  }
  EXPECT_GT(joined, 100);
}

}  // namespace
}  // namespace tandem
