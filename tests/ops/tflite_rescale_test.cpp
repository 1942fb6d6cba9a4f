// The rescalings of TensorFlow Lite against their definitions, sum by sum.

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/base/random.h"
#include "tandem/graph/builder.h"
#include "tandem/graph/evaluate.h"
#include "tandem/numerics/fixed_point.h"
#include "tandem/ops/coded.h"
#include "tandem/ops/register.h"
#include "tandem/transform/lower.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

struct Case {
  Rescaling rescaling = Rescaling::kDoubleRounding;
  double ratio = 0.01;
  std::int64_t bias = 0, zero = 0;
  std::vector<std::int64_t> limits;
  int left_shift = 0;
};

constexpr int kSumBits = 20;

// codes = Quantize(Dequantize(sum + bias)), with the sum's unit as scale.
Module network(const Case& c) {
  Module module;
  Builder builder(module, Builder::add_graph(module, "main"));
  const ValueId x = builder.input("x", {{1, 4096}, Format::integer(kSumBits, true)});
  const auto scalar = [&](double value) { return builder.constant(Tensor::scalar(value, f64())); };
  const ValueId real =
      builder.add("Dequantize", {x, scalar(c.ratio), scalar(static_cast<double>(-c.bias))});
  const ValueId codes =
      builder.add("Quantize", {real, scalar(1), scalar(static_cast<double>(c.zero))},
                  {{"format", Format::integer(8, true)},
                   {"zero_added", std::string("after_rounding")},
                   {"limits", c.limits},
                   {"rescale", std::string(name(c.rescaling))},
                   {"left_shift", std::int64_t{c.left_shift}}});
  builder.output(codes);
  return module;
}

// As the kernels compute it.
std::int64_t by_definition(const Case& c, std::int64_t x) {
  const std::int64_t sum = x + c.bias;
  const QuantizedMultiplier m = quantize_multiplier(std::ldexp(c.ratio, -c.left_shift));
  std::int64_t result = 0;
  if (c.rescaling == Rescaling::kDoubleRounding) {
    const std::int64_t shifted = sum * (std::int64_t{1} << c.left_shift);
    result = multiply_rounding_twice(static_cast<std::int32_t>(shifted), m);
  } else if (c.rescaling == Rescaling::kSingleRounding) {
    const std::int64_t half = std::int64_t{1} << (30 - m.shift);
    result = (sum * m.multiplier + half) >> (31 - m.shift);
  } else {
    const std::int64_t reduced = (std::int64_t{m.multiplier} + (1 << 15)) >> 16;
    const std::int64_t half = std::int64_t{1} << (14 - m.shift);
    result = (sum * reduced + half) >> (15 - m.shift);
  }
  const std::int64_t low = c.limits.empty() ? -128 : c.limits[0],
                     high = c.limits.empty() ? 127 : c.limits[1];
  return std::clamp(result + c.zero, low, high);
}

class TfliteRescale : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { register_operators(); }

  // All sums near zero, where ties of both roundings lie close together, and random ones.
  static Tensor sums(const Case& c, std::uint64_t seed) {
    const CounterRandom random(seed, 2);
    const std::int64_t most = (std::int64_t{1} << (kSumBits - 1)) - 1;
    std::vector<std::int64_t> values;
    for (std::int64_t i = 0; i < 4096; ++i) {
      const bool near = i < 2048;
      const std::int64_t value =
          near ? i - 1024 - c.bias : random.integer(static_cast<std::uint64_t>(i), -most - 1, most);
      values.push_back(std::clamp(value, -most - 1, most));
    }
    return Tensor::from_integers(Format::integer(kSumBits, true), {1, 4096}, values);
  }

  static void expect_definition(const Case& c, std::uint64_t seed) {
    const Module lowered = lower(network(c));
    const Tensor x = sums(c, seed);
    const Tensor codes = evaluate(lowered, lowered.main(), std::vector<Tensor>{x}).front();
    for (std::int64_t i = 0; i < x.size(); ++i) {
      ASSERT_EQ(codes.integer(i), by_definition(c, x.integer(i)))
          << name(c.rescaling) << ", ratio " << c.ratio << ", sum " << x.integer(i) << " + "
          << c.bias << ", zero " << c.zero;
    }
  }
};

TEST_F(TfliteRescale, GivesTheKernelsCodes) {
  const CounterRandom random(7, 1);
  std::uint64_t next = 0;
  for (std::uint64_t i = 0; i < 200; ++i) {
    Case c;
    c.rescaling = static_cast<Rescaling>(random.integer(next++, 1, 3));
    c.ratio = std::exp2(static_cast<double>(random.integer(next++, -26000, 500)) / 1000);
    c.bias = random.integer(next++, -20000, 20000);
    c.zero = random.integer(next++, -128, 127);
    if (random.integer(next++, 0, 1) == 1) c.limits = {c.zero, 127};
    if (c.rescaling == Rescaling::kDoubleRounding && random.integer(next++, 0, 3) == 0)
      c.left_shift = static_cast<int>(random.integer(next++, 1, 10));
    expect_definition(c, i);
  }
}

// Biases at the end of 32 bits beside ratios that make nothing of them.
TEST_F(TfliteRescale, KeepsChannelsThatAreSwitchedOff) {
  for (const double ratio : {0x1p-31, 0x1.8p-32, 0x1p-30, 0x1.1p-29, 0x1p-36}) {
    for (const std::int64_t bias : {-(std::int64_t{1} << 30), std::int64_t{1} << 30}) {
      for (const std::int64_t zero : {-128, 3}) {
        Case c;
        c.ratio = ratio;
        c.bias = bias;
        c.zero = zero;
        expect_definition(c, 1);
      }
    }
  }
}

TEST_F(TfliteRescale, RefusesBiasesBesideTheUnit) {
  Module module = network({});
  for (Constant& constant : module.constants) {
    if (constant.tensor.real(0) == 0) constant.tensor = Tensor::scalar(0.3, f64());
  }
  EXPECT_THAT([&] { lower(module); }, ThrowsMessage<Error>(HasSubstr("no whole number")));
}

}  // namespace
}  // namespace tandem
