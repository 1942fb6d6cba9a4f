#include "tandem/ops/exponentials.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/graph/builder.h"
#include "tandem/graph/evaluate.h"
#include "tandem/numerics/rounding.h"
#include "tandem/ops/coded.h"
#include "tandem/ops/register.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// What every distance of 12 bits becomes.
std::vector<std::int64_t> results(double unit, Exponential how, int grid_bits) {
  Module module;
  Builder builder(module, Builder::add_graph(module, "main"));
  const ValueId x = builder.input("x", {{4096}, Format::integer(12, false)});
  const Node node;
  const NodeView view{module, builder.graph(), node};
  const LoweringOptions options;
  LoweringSite site(view, builder, options, {});
  builder.output(negative_exponentials(site, x, unit, 1, how, grid_bits));
  std::vector<std::int64_t> all;
  for (std::int64_t i = 0; i < 4096; ++i) all.push_back(i);
  const std::vector<Tensor> inputs{Tensor::from_integers(Format::integer(12, false), {4096}, all)};
  return evaluate(module, module.main(), inputs)[0].to_integers();
}

// I-ViT's own steps (int_exp_shift of its published code) on x = -d with a step of 2^-bits, twice
// as much so that halves are integers.
Int128 shift_oracle(std::int64_t d, int bits) {
  const Int128 one = Int128{1} << bits;
  const Int128 x = -Int128{d} + round_shift(-Int128{d}, 1, Rounding::kFloor) -
                   round_shift(-Int128{d}, 4, Rounding::kFloor);
  const Int128 whole = round_divide(x, -one, Rounding::kFloor);
  const Int128 rest = x + one * whole;  // in (-2^bits, 0]
  return whole > 15 ? 0 : (2 * one + rest) << static_cast<int>(15 - whole);
}

Int128 polynomial_oracle(std::int64_t d, int bits) {
  const Int128 period = round_real(std::ldexp(std::log(2.0), bits), Rounding::kCeiling),
               shift = round_real(std::ldexp(1.353, bits), Rounding::kFloor),
               constant = round_real(std::ldexp(0.344 / 0.3585, 2 * bits), Rounding::kFloor);
  const Int128 whole = d / period, rest = -(d % period);
  return whole > 15 ? 0
                    : ((rest + shift) * (rest + shift) + constant) << static_cast<int>(15 - whole);
}

class Exponentials : public testing::Test {
 protected:
  static void SetUpTestSuite() { register_operators(); }
};

TEST_F(Exponentials, EqualTheirDefinitionsOnAllInputsOfTwelveBits) {
  for (const int bits : {3, 5, 7, 10}) {
    const auto shifts = results(std::ldexp(1.0, -bits), Exponential::kShift, bits),
               polynomials = results(std::ldexp(1.0, -bits), Exponential::kPolynomial, bits);
    // Distances end a little beyond that at which the exponential is nothing.
    const std::int64_t farthest =
        (std::int64_t{1} << bits_for({0, static_cast<std::int64_t>(std::ldexp(12.0904, bits))})) -
        1;
    for (std::int64_t d = 0; d < 4096; ++d) {
      const auto i = static_cast<std::size_t>(d);
      const std::int64_t near = std::min(d, farthest);
      ASSERT_EQ(shifts[i], static_cast<std::int64_t>(shift_oracle(near, bits))) << bits << " " << d;
      ASSERT_EQ(polynomials[i], static_cast<std::int64_t>(polynomial_oracle(near, bits)))
          << bits << " " << d;
    }
  }
}

// The greatest relative error over eight nats.
double error_of(Exponential how, int input_bits, int grid_bits) {
  const double unit = std::ldexp(1.0, -input_bits);
  const auto found = results(unit, how, grid_bits);
  double most = 0;
  for (std::size_t i = 0; i < found.size() && static_cast<double>(i) * unit <= 8; ++i) {
    const double exact = std::exp(-static_cast<double>(i) * unit);
    const double share = static_cast<double>(found[i]) / static_cast<double>(found[0]);
    most = std::max(most, std::abs(share / exact - 1));
  }
  return most;
}

TEST_F(Exponentials, HaveThePublishedErrorsOnTheStepsOfTheirInput) {
  EXPECT_LE(error_of(Exponential::kShift, 3, 3), 0.15);
  EXPECT_LE(error_of(Exponential::kShift, 5, 5), 0.105);
  EXPECT_LE(error_of(Exponential::kShift, 7, 7), 0.095);
  EXPECT_LE(error_of(Exponential::kPolynomial, 7, 7), 0.03);
  EXPECT_GT(error_of(Exponential::kPolynomial, 5, 5), 0.3);
  EXPECT_LT(error_of(Exponential::kPolynomial, 5, 5), 0.36);
}

TEST_F(Exponentials, AreAsGoodOnTheGridWhateverTheirInput) {
  for (const int bits : {3, 5, 7}) {
    EXPECT_LE(error_of(Exponential::kShift, bits, kExponentialGrid), 0.095) << bits;
    EXPECT_LE(error_of(Exponential::kPolynomial, bits, kExponentialGrid), 0.01) << bits;
  }
}

TEST_F(Exponentials, HaveNames) {
  for (const std::string& text : exponential_names())
    EXPECT_EQ(name(parse_exponential(text)), text);
  EXPECT_THAT([] { parse_exponential("shfit"); }, ThrowsMessage<Error>(HasSubstr("shift")));
}

}  // namespace
}  // namespace tandem
