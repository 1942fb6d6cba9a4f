#include "tandem/transform/exact_sums.h"

#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "tandem/graph/evaluate.h"
#include "tandem/ops/register.h"

namespace tandem {
namespace {

// Every pair of codes: the sum as primitives in unlimited integers, beside the real sum.
struct Case {
  double x_scale, y_scale, scale;
  std::int64_t x_zero, y_zero, zero;
  bool is_signed;
};

void expect_exact(const Case& given, std::int64_t& ties) {
  Module module;
  Builder builder(module, Builder::add_graph(module, "main"));
  const Format format = Format::integer(8, given.is_signed);
  const IntegerRange range = format.integer_range();
  const ValueId x = builder.input("x", {{256, 1}, format}),
                y = builder.input("y", {{1, 256}, format});
  const SumCodes codes{format, given.scale, given.zero, range.min, range.max};
  const auto offset = [](double scale, std::int64_t zero) {
    return -scale * static_cast<double>(zero);
  };
  const auto sum =
      add_exact_sum(builder, {x, given.x_scale, offset(given.x_scale, given.x_zero)},
                    {y, given.y_scale, offset(given.y_scale, given.y_zero)}, codes, "sum");
  ASSERT_TRUE(sum.has_value());
  builder.output(*sum);
  std::vector<std::int64_t> all(256);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = range.min + static_cast<std::int64_t>(i);
  const std::vector inputs{Tensor::from_integers(format, {256, 1}, all),
                           Tensor::from_integers(format, {1, 256}, all)};
  const auto computed = evaluate(module, module.main(), inputs)[0].to_integers();
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t j = 0; j < all.size(); ++j) {
      const long double real = (static_cast<long double>(given.x_scale) *
                                    static_cast<long double>(all[i] - given.x_zero) +
                                static_cast<long double>(given.y_scale) *
                                    static_cast<long double>(all[j] - given.y_zero)) /
                               static_cast<long double>(given.scale);
      if (real - std::floor(real) == 0.5L) ++ties;
      const auto code = static_cast<std::int64_t>(std::nearbyint(real)) + given.zero;
      ASSERT_EQ(computed[i * all.size() + j], std::clamp(code, range.min, range.max))
          << all[i] << " + " << all[j];
    }
  }
}

TEST(ExactSums, RoundAsTheRealsForEveryPair) {
  register_operators();
  std::mt19937_64 engine(5);
  const auto scale = [&] {
    return static_cast<double>(std::exp(std::uniform_real_distribution<float>(-5, 0)(engine)));
  };
  const auto any = [&](std::int64_t least, std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(least, most)(engine);
  };
  std::int64_t ties = 0;
  for (int round = 0; round < 12; ++round) {
    const bool is_signed = round % 2 == 0;
    const auto zero = [&] { return is_signed ? any(-128, 127) : any(0, 255); };
    expect_exact(
        {scale(), round % 3 == 0 ? -scale() : scale(), scale(), zero(), zero(), zero(), is_signed},
        ties);
  }
}

// Half of the sums of these lie between two codes.
TEST(ExactSums, RoundTiesToTheEvenCode) {
  register_operators();
  for (const std::int64_t zero : {0, 3, 128}) {
    std::int64_t ties = 0;
    expect_exact({0.25, 0.25, 0.5, 7, 128, zero, false}, ties);
    EXPECT_GT(ties, 10'000);
  }
}

}  // namespace
}  // namespace tandem
