#include <algorithm>
#include <cmath>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/base/random.h"
#include "tandem/graph/builder.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/printer.h"
#include "tandem/ops/register.h"
#include "tandem/transform/lower.h"
#include "tandem/verify/network.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::Throws;
using ::testing::ThrowsMessage;

using Reals = std::vector<double>;

enum class Kind { kLayer, kRms, kGroup };

struct Normalized {
  Kind kind = Kind::kLayer;
  std::string format;
  std::int64_t count = 8;  // elements that are normalized together
  double scale = 0.05, zero = 0, epsilon = 1e-5;
};

constexpr std::int64_t kRows = 4;

// x as codes -> normalization with scale 1 and bias 0, so that outputs are the normalized numbers.
Module normalized_network(const Normalized& c) {
  Module module;
  Builder builder(module, Builder::add_graph(module, "main"));
  const bool group = c.kind == Kind::kGroup;
  const std::vector<Dim> shape =
      group ? std::vector<Dim>{1, kRows * 2, c.count / 2} : std::vector<Dim>{1, kRows, c.count};
  const ValueId x = builder.input("x", {shape, Format()});
  const ValueId s = builder.constant(Tensor::scalar(c.scale)),
                z = builder.constant(Tensor::scalar(c.zero));
  const ValueId q = builder.add("Quantize", {x, s, z}, {{"format", Format::parse(c.format)}}, "q");
  const ValueId d = builder.add("Dequantize", {q, s, z}, {}, "d");
  const auto filled = [&](double value) {
    const Shape of{group ? kRows * 2 : c.count};
    return builder.constant(
        Tensor::from_reals(Format(), of, Reals(static_cast<std::size_t>(of[0]), value)));
  };
  Attributes attributes{{"epsilon", c.epsilon}};
  std::vector<ValueId> inputs{d, filled(1)};
  std::string op = "RMSNormalization";
  if (c.kind != Kind::kRms) {
    op = group ? "GroupNormalization" : "LayerNormalization";
    inputs.push_back(filled(0));
  }
  if (group) attributes["num_groups"] = std::int64_t{kRows};
  builder.output(builder.add(op, inputs, attributes, "norm"));
  return module;
}

// Rows of codes: random, narrow, all equal, and equal but for one.
std::vector<std::int64_t> codes_of(const Normalized& c, std::uint64_t seed) {
  const IntegerRange range = Format::parse(c.format).integer_range();
  RandomSequence random(seed, "codes");
  std::vector<std::int64_t> codes;
  for (std::int64_t row = 0; row < kRows; ++row) {
    const std::int64_t middle = random.integer(range.min, range.max);
    const std::int64_t outlier = random.integer(0, c.count - 1);
    for (std::int64_t i = 0; i < c.count; ++i) {
      std::int64_t code = middle;
      if (row == 0) code = random.integer(range.min, range.max);
      if (row == 1) code = middle + random.integer(-2, 2);
      if (row == 2 && seed % 2 == 1) code = middle + (i == outlier ? 1 : 0);
      if (row == 3 && i == outlier) code = random.integer(0, 1) == 0 ? range.min : range.max;
      codes.push_back(std::clamp(code, range.min, range.max));
    }
  }
  return codes;
}

// In double, and the standard deviation in steps of the codes.
struct ExactRow {
  Reals normalized;
  double deviation = 0;
};
ExactRow exact_row(const Normalized& c, const std::int64_t* codes) {
  ExactRow row;
  double mean = 0, power = 0;
  for (std::int64_t i = 0; i < c.count; ++i) mean += static_cast<double>(codes[i]);
  mean /= static_cast<double>(c.count);
  if (c.kind == Kind::kRms) mean = c.zero;
  for (std::int64_t i = 0; i < c.count; ++i)
    power += std::pow(static_cast<double>(codes[i]) - mean, 2);
  row.deviation = std::sqrt(power / static_cast<double>(c.count) +
                            c.epsilon / static_cast<double>(static_cast<float>(c.scale)) /
                                static_cast<double>(static_cast<float>(c.scale)));
  for (std::int64_t i = 0; i < c.count; ++i)
    row.normalized.push_back(
        row.deviation == 0 ? 0 : (static_cast<double>(codes[i]) - mean) / row.deviation);
  return row;
}

class LowerNormalize : public testing::TestWithParam<Kind> {
 protected:
  static void SetUpTestSuite() { register_operators(); }
};
INSTANTIATE_TEST_SUITE_P(Kinds, LowerNormalize,
                         testing::Values(Kind::kLayer, Kind::kRms, Kind::kGroup));

// |result - y| <= |y| / root + 2^-16, the root being n * deviation * 2^k, floored. For codes of 8
// bits 2^k is at least 2^(14 - log2(n - 1) / 2); for wider ones it is what fits beside them.
void expect_near(const Normalized& c) {
  const Module lowered = lower(normalized_network(c));
  ASSERT_TRUE(is_lowered(lowered));
  const int bits = Format::parse(c.format).bits();
  const double n = static_cast<double>(c.count);
  const double wanted = std::ceil(14 - std::log2(std::max(1.0, n - 1)) / 2);
  const double places = bits <= 8 ? std::max(0.0, wanted) : 0.0;
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    const auto codes = codes_of(c, seed);
    const Value& input = lowered.main().values[lowered.main().inputs[0]];
    Shape shape;
    for (const Dim& dim : input.type.shape) shape.push_back(dim.constant());
    const std::vector<Tensor> inputs{Tensor::from_integers(input.type.format, shape, codes)};
    const Tensor results = decoded_output(lowered, 0, evaluate(lowered, lowered.main(), inputs)[0]);
    for (std::int64_t row = 0; row < kRows; ++row) {
      const ExactRow exact = exact_row(c, codes.data() + row * c.count);
      const double root = std::max(1.0, n * exact.deviation * std::exp2(places) - 1);
      for (std::int64_t i = 0; i < c.count; ++i) {
        const double y = exact.normalized[static_cast<std::size_t>(i)];
        ASSERT_NEAR(results.real(row * c.count + i), y, std::abs(y) / root + 0x1p-16 + 1e-9)
            << c.format << " n = " << c.count << " row " << row << " seed " << seed;
      }
    }
  }
}

TEST_P(LowerNormalize, IsNearTheRealOneForCodesOfAnyWidth) {
  for (const std::int64_t count : {2, 8, 192, 768}) {
    for (const double epsilon : {0.0, 1e-5, 1.0}) {
      for (const char* format : {"int8", "int4", "int13", "int16"})
        expect_near({GetParam(), format, count, 0.05, 0, epsilon});
      for (const char* format : {"uint8", "uint16"})
        expect_near({GetParam(), format, count, 0.003, 100, epsilon});
    }
  }
}

// A sum of 20 bits is rounded to 17 first.
TEST_P(LowerNormalize, WideSumsAreRounded) {
  const Normalized c{GetParam(), "int20", 64, 1e-4, 0, 1e-5};
  const Module lowered = lower(normalized_network(c));
  const auto codes = codes_of(c, 3);
  const Value& input = lowered.main().values[lowered.main().inputs[0]];
  Shape shape;
  for (const Dim& dim : input.type.shape) shape.push_back(dim.constant());
  const std::vector<Tensor> inputs{Tensor::from_integers(input.type.format, shape, codes)};
  const Tensor results = decoded_output(lowered, 0, evaluate(lowered, lowered.main(), inputs)[0]);
  const ExactRow exact = exact_row(c, codes.data());  // the row that fills the range
  for (std::int64_t i = 0; i < c.count; ++i)
    EXPECT_NEAR(results.real(i), exact.normalized[static_cast<std::size_t>(i)], 2e-4);
}

TEST_F(LowerNormalize, NegativeAndVaryingScalesAreLowered) {
  const Module module = parse_module(R"(tandem-module 1
constant @s : f32[] = [0.05]
constant @f : f32[4] = [-1,2,-0.5,3]
constant @b : f32[4] = [0.1,-2,0,4]
constant @n : f32[] = [-1]
graph @main(%x : f32[2,4]) -> (%y, %z) {
  %s = constant @s
  %f = constant @f
  %b = constant @b
  %n = constant @n
  %q : int8[2,4] = Quantize(%x, %s) {format = int8}
  %d : f32[2,4] = Dequantize(%q, %s)
  %m : f32[2,4] = Mul(%d, %f)
  %a : f32[2,4] = Add(%m, %b)
  %y : f32[2,4] = LayerNormalization(%a, %f, %b)
  %o : f32[2,4] = Mul(%d, %n)
  %z : f32[2,4] = RMSNormalization(%o, %f)
}
)");
  const Module lowered = lower(module);
  const Tensor codes = Tensor::from_integers(
      Format::parse("int8"), {2, 4}, std::vector<std::int64_t>{5, -9, 127, 3, -128, 0, 7, 1});
  std::vector<double> reals;
  for (const std::int64_t code : codes.to_integers())
    reals.push_back(0.05 * static_cast<double>(code));
  const std::vector<Tensor> inputs{codes}, real_inputs{Tensor::from_reals(Format(), {2, 4}, reals)};
  const auto wanted = evaluate(module, module.main(), real_inputs);
  const auto results = evaluate(lowered, lowered.main(), inputs);
  for (std::size_t output = 0; output < 2; ++output) {
    const Tensor decoded = decoded_output(lowered, output, results[output]);
    for (std::int64_t i = 0; i < 8; ++i)
      EXPECT_NEAR(decoded.real(i), wanted[output].real(i), 2e-3) << output << " " << i;
  }
}

TEST_F(LowerNormalize, RefusesStatisticsAndAnEpsilonBeyondItsCodes) {
  Module module = normalized_network({Kind::kLayer, "int16", 8, 1e-9, 0, 1.0});
  EXPECT_THAT([&] { lower(module); }, ThrowsMessage<Error>(HasSubstr("is too great beside codes")));
  module = parse_module(R"(tandem-module 1
constant @s : f32[] = [0.05]
graph @main(%x : f32[2,4], %g : f32[4]) -> (%y, %m) {
  %s = constant @s
  %q : int8[2,4] = Quantize(%x, %s) {format = int8}
  %d : f32[2,4] = Dequantize(%q, %s)
  %h : int8[4] = Quantize(%g, %s) {format = int8}
  %e : f32[4] = Dequantize(%h, %s)
  %y : f32[2,4], %m : f32[2,1], %i : f32[2,1] = LayerNormalization(%d, %e) {statistics = 1}
}
)");
  EXPECT_THAT([&] { lower(module); }, ThrowsMessage<Error>(HasSubstr("statistics")));
}

}  // namespace
}  // namespace tandem
