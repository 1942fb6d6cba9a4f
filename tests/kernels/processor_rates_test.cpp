#include "tandem/kernels/processor_rates.h"

#include <gtest/gtest.h>

namespace tandem {
namespace {

// What holds on every machine and under every load, whatever the rates are.
TEST(ProcessorRates, AreThoseOfAProcessor) {
  const double hertz = clock_hertz(0.02);
  EXPECT_GT(hertz, 1e8);
  EXPECT_LT(hertz, 1e10);
  for (const Products products : {Products::kF32, Products::kI16, Products::kI8}) {
    const double rate = operations_per_second(products, 1, 0.02);
    EXPECT_GT(rate, 1e8);
    EXPECT_LT(rate, 1e13);
  }
  EXPECT_GT(read_bytes_per_second(16 << 10, 2, 0.02), 1e8);
  EXPECT_FALSE(vector_extensions().empty());
}

}  // namespace
}  // namespace tandem
