#include "tandem/compress/weight_quantizer.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

WeightRules rules_of(int bits, RangeMethod method) {
  WeightRules rules;
  rules.format = Format::integer(bits, true);
  rules.method = method;
  return rules;
}

WeightRules per_tensor(int bits, RangeMethod method) {
  WeightRules rules = rules_of(bits, method);
  rules.granularity = parse_granularity("tensor");
  return rules;
}

Tensor random_weights(const Shape& shape) {
  std::mt19937 engine(11);
  std::normal_distribution<double> normal(0, 0.1);
  std::vector<double> values(static_cast<std::size_t>(element_count(shape)));
  for (double& v : values) v = normal(engine);
  return Tensor::from_reals(Format(), shape, values);
}

TEST(Weights, ErrorIsHalfAStepAtMost) {
  const Tensor weights = random_weights({6, 4, 3, 3});
  for (const int bits : {2, 4, 8, 16}) {
    const CodedWeights coded = quantize_weights(weights, 0, rules_of(bits, RangeMethod::kMinMax));
    EXPECT_EQ(coded.scales.shape(), (Shape{6, 1, 1, 1}));
    EXPECT_EQ(coded.codes.format(), Format::integer(bits, true));
    const std::int64_t greatest = (std::int64_t{1} << (bits - 1)) - 1;
    for (std::int64_t i = 0; i < weights.size(); ++i) {
      const double scale = coded.scales.real(i / 36);
      EXPECT_LE(std::abs(coded.codes.integer(i)), greatest);
      EXPECT_LE(std::abs(weights.real(i) - scale * static_cast<double>(coded.codes.integer(i))),
                0.5001 * scale);
    }
    for (std::int64_t channel = 0; channel < 6; ++channel) {
      std::int64_t largest = 0;
      for (std::int64_t i = 0; i < 36; ++i)
        largest = std::max(largest, std::abs(coded.codes.integer(channel * 36 + i)));
      EXPECT_EQ(largest, greatest) << "every channel uses its whole range";
    }
  }
}

TEST(Weights, ScalesFollowTheNamedAxis) {
  const Tensor weights =
      Tensor::from_reals(Format(), {2, 3}, std::vector<double>{1, 2, 3, -4, 5, -6});
  const CodedWeights columns = quantize_weights(weights, 1, rules_of(8, RangeMethod::kMinMax));
  EXPECT_EQ(columns.scales.shape(), (Shape{1, 3}));
  for (std::int64_t c = 0; c < 3; ++c)
    EXPECT_EQ(columns.scales.real(c),
              static_cast<double>(static_cast<float>(std::abs(weights.real(3 + c)) / 127)));
  EXPECT_EQ(quantize_weights(weights, 0, per_tensor(8, RangeMethod::kMinMax)).scales.shape(),
            Shape{});
}

TEST(Weights, MseScaleIsAsGoodAsBruteForce) {
  const Tensor weights = random_weights({1, 400});
  const auto error = [&](const CodedWeights& coded) {
    double sum = 0;
    for (std::int64_t i = 0; i < weights.size(); ++i) {
      const double back = coded.scales.real(0) * static_cast<double>(coded.codes.integer(i));
      sum += (weights.real(i) - back) * (weights.real(i) - back);
    }
    return sum;
  };
  for (const int bits : {2, 3, 4}) {
    const double found = error(quantize_weights(weights, 0, per_tensor(bits, RangeMethod::kMse)));
    const double widest =
        error(quantize_weights(weights, 0, per_tensor(bits, RangeMethod::kMinMax)));
    const double greatest = std::exp2(bits - 1) - 1;
    double least = widest;
    for (int i = 1; i <= 2000; ++i) {
      const double scale = 0.5 * i / 2000 / greatest;
      double sum = 0;
      for (std::int64_t k = 0; k < weights.size(); ++k) {
        const double code =
            std::clamp(std::nearbyint(weights.real(k) / scale), -greatest, greatest);
        sum += std::pow(weights.real(k) - code * scale, 2);
      }
      least = std::min(least, sum);
    }
    EXPECT_LE(found, 1.02 * least) << bits;
    EXPECT_LT(found, widest) << bits;
  }
}

TEST(Weights, AZeroChannelIsZero) {
  const Tensor weights = Tensor::from_reals(Format(), {2, 2}, std::vector<double>{0, 0, 1, -1});
  const CodedWeights coded = quantize_weights(weights, 0, rules_of(4, RangeMethod::kMse));
  EXPECT_EQ(coded.codes.to_integers(), (std::vector<std::int64_t>{0, 0, 7, -7}));
  EXPECT_EQ(coded.scales.real(0), 1);
}

// What Dequantize and Reshape make of coded weights.
struct Decoded {
  double real, code, scale, zero;
};

std::vector<Decoded> elements_of(const CodedWeights& coded) {
  const Shape& shape = coded.codes.shape();
  std::vector<Decoded> elements;
  for (std::int64_t i = 0; i < coded.codes.size(); ++i) {
    std::int64_t place = 0, left = i, stride = 1;
    for (std::size_t d = shape.size(); d-- > 0;) {
      const std::int64_t at = left % shape[d];
      left /= shape[d];
      if (coded.scales.shape().empty()) continue;
      if (coded.scales.shape()[d] != 1) {
        place += at * stride;
        stride *= shape[d];
      }
    }
    const double zero = coded.zeros.size() == 0 ? 0 : coded.zeros.real(place);
    const double code = coded.codes.real(i), scale = coded.scales.real(place);
    elements.push_back({(code - zero) * scale, code, scale, zero});
  }
  return elements;
}

std::vector<double> decoded(const CodedWeights& coded) {
  std::vector<double> reals;
  for (const Decoded& element : elements_of(coded)) reals.push_back(element.real);
  return reals;
}

// Every code is the nearest of its format to the weight in units of its scale.
TEST(Weights, CodesAreTheNearestInEveryFormatAndGranularity) {
  for (const std::int64_t axis : {0, 1}) {
    const Tensor weights = random_weights({24, 24});
    for (const char* format : {"int4", "uint4", "e4m3", "e5m2", "e2m1", "nf4", "ternary", "bipolar",
                               "pow2<4>", "khot<6,2>", "fixed<8,6>"}) {
      for (const char* granularity : {"tensor", "channel", "group:8", "group:9"}) {
        WeightRules rules;
        rules.format = Format::parse(format);
        rules.granularity = parse_granularity(granularity);
        const CodedWeights coded = quantize_weights(weights, axis, rules);
        EXPECT_EQ(coded.codes.format(), rules.format);
        EXPECT_EQ(coded.shape, weights.shape());
        const auto elements = elements_of(coded);
        const WeightCodec codec(rules.format);
        for (std::int64_t i = 0; i < weights.size(); ++i) {
          const auto& [real, code, scale, zero] = elements[static_cast<std::size_t>(i)];
          EXPECT_LE(std::abs(weights.real(i) - real), 0.5) << format << " " << granularity;
          EXPECT_EQ(code, codec.nearest(weights.real(i) / scale + zero))
              << format << " " << granularity;
        }
        if (std::string(granularity) == "group:9") {
          EXPECT_EQ(coded.scales.size(), 24 * 3) << "24 is no multiple of 9: groups of 8";
        }
      }
    }
  }
}

TEST(Weights, FinerScalesLoseLess) {
  const Tensor weights = random_weights({8, 128});
  const auto error_of = [&](const char* granularity, const char* scales) {
    WeightRules rules = rules_of(4, RangeMethod::kMinMax);
    rules.granularity = parse_granularity(granularity);
    rules.scales = parse_scale_rules(scales);
    const auto reals = decoded(quantize_weights(weights, 0, rules));
    double sum = 0;
    for (std::int64_t i = 0; i < weights.size(); ++i)
      sum += std::pow(weights.real(i) - reals[static_cast<std::size_t>(i)], 2);
    return sum;
  };
  EXPECT_LT(error_of("channel", "f32"), error_of("tensor", "f32"));
  EXPECT_LT(error_of("group:32", "f32"), error_of("channel", "f32"));
  EXPECT_LT(error_of("group:32", "f16"), error_of("group:32", "e8m0"));
}

// Each scale is a code times the unit of its neighbours, to the last bit, and near what it was.
TEST(Weights, NestedScalesAreCodesOfUnits) {
  const Tensor weights = random_weights({24, 96});
  for (const std::int64_t axis : {0, 1}) {
    for (const char* granularity : {"channel", "group:8"}) {
      for (const char* scales : {"uint8:4", "uint6:tensor", "e4m3:tensor", "e4m3:5", "int8:1000"}) {
        for (const char* format : {"int4", "uint4", "nf4"}) {
          WeightRules rules;
          rules.format = Format::parse(format);
          rules.granularity = parse_granularity(granularity);
          const CodedWeights plain = quantize_weights(weights, axis, rules);
          const std::int64_t plain_bits = coded_bits(24, 96, rules);
          rules.scales = parse_scale_rules(scales);
          EXPECT_EQ(name(rules.scales), scales);
          const CodedWeights nested = quantize_weights(weights, axis, rules);
          EXPECT_EQ(nested.scale_codes.format(), rules.scales.format);
          EXPECT_EQ(nested.scale_codes.size(), nested.scales.size());
          const std::int64_t each = nested.scale_codes.size() / nested.scale_units.size();
          EXPECT_LE(each, rules.scales.block > 0 ? rules.scales.block : nested.scales.size());
          EXPECT_GE(each, rules.scales.block > 0 ? 3 : nested.scales.size());
          const Shape& shape = nested.scale_codes.shape();
          const std::int64_t last = shape.size() == 3 ? shape[2] : 1;
          for (std::int64_t i = 0; i < nested.scales.size(); ++i) {
            const std::int64_t unit =
                nested.scale_units.size() == 1 ? 0 : i / last / each * last + i % last;
            const double product = nested.scale_codes.real(i) * nested.scale_units.real(unit);
            EXPECT_EQ(nested.scales.real(i), static_cast<float>(product));
            EXPECT_NEAR(nested.scales.real(i), plain.scales.real(i), 0.1 * plain.scales.real(i));
          }
          const auto elements = elements_of(nested);
          for (std::int64_t i = 0; i < weights.size(); ++i)
            EXPECT_NEAR(elements[static_cast<std::size_t>(i)].real, weights.real(i), 0.1);
          EXPECT_LT(coded_bits(24, 96, rules), plain_bits);
        }
      }
    }
  }
}

TEST(Weights, RefusesScalesThatCannotNest) {
  for (const char* text : {"f32:8", "uint8:1", "int16:8", "uint8:x", "fixed<8,2>:4", "nosuch:4"})
    EXPECT_THROW(parse_scale_rules(text), Error) << text;
  WeightRules rules = per_tensor(4, RangeMethod::kMinMax);
  rules.scales = parse_scale_rules("uint8:4");
  EXPECT_THROW(check_weight_rules(rules), Error);
}

TEST(Weights, RefusesWhatWeightsCannotHave) {
  const Tensor weights = random_weights({4, 4});
  const auto message_of = [&](const char* format) -> std::string {
    WeightRules rules;
    rules.format = Format::parse(format);
    try {
      quantize_weights(weights, 0, rules);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(message_of("log2<4>"), HasSubstr("has no negative codes"));
  EXPECT_THAT(message_of("f16"), HasSubstr("is not one of codes"));
  EXPECT_THAT(message_of("int17"), HasSubstr("codes have 2 to 16 bits"));
  EXPECT_THAT(message_of("fixed<4,8>"), HasSubstr("fewer fraction bits"));
  EXPECT_THROW(parse_granularity("group:1"), Error);
  EXPECT_THROW(parse_granularity("row"), Error);
  const Tensor bad = Tensor::from_reals(Format(), {1, 2}, std::vector<double>{1, HUGE_VAL});
  EXPECT_THROW(quantize_weights(bad, 0, {}), Error);
}

// A column whose input is large counts more, and errors that add up behind a mean count together.
TEST(WeightQuantizer, OutputErrorLooksAtInputs) {
  std::vector<double> rows;
  for (int i = 0; i < 64; ++i) rows.push_back(i == 0 ? 8 : std::sin(i * 1.7));
  WeightRules rules = rules_of(4, RangeMethod::kOutputError);
  const auto error = [&](const WeightGrids& grids, const ColumnInputs& inputs) {
    const WeightCodec codec(rules.format);
    double sum = 0, middle = 0;
    for (std::size_t c = 0; c < rows.size(); ++c) {
      const WeightGrid& grid = grids.at(0, static_cast<std::int64_t>(c));
      const double away = codec.nearest(rows[c] / grid.scale) * grid.scale - rows[c];
      sum += away * away * inputs.variance[c];
      middle += away * inputs.mean[c];
    }
    return sum + middle * middle;
  };
  ColumnInputs quiet{1, std::vector<double>(64, 0.0), std::vector<double>(64, 1.0)};
  quiet.variance[0] = 1e-4;  // the greatest weight hardly matters
  const WeightGrids by_output = choose_grids(rows, 64, rules, quiet);
  rules.method = RangeMethod::kMse;
  const WeightGrids by_weights = choose_grids(rows, 64, rules);
  EXPECT_LT(by_output.at(0, 0).scale, 0.5 * by_weights.at(0, 0).scale);
  EXPECT_LT(error(by_output, quiet), 0.5 * error(by_weights, quiet));
  rules.method = RangeMethod::kOutputError;
  const ColumnInputs shifted{1, std::vector<double>(64, 2.0), std::vector<double>(64, 1.0)};
  EXPECT_LE(error(choose_grids(rows, 64, rules, shifted), shifted), error(by_weights, shifted));
}

}  // namespace
}  // namespace tandem
