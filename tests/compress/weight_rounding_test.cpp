#include "tandem/compress/weight_rounding.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "tandem/base/error.h"

namespace tandem {
namespace {

struct Layer {
  std::vector<double> rows;
  InputMoments moments;
};

// Rows of normal weights and the moments of correlated (or independent) inputs.
Layer layer_of(std::int64_t rows, std::int64_t columns, bool correlated, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<double> normal;
  Layer layer;
  for (std::int64_t i = 0; i < rows * columns; ++i) layer.rows.push_back(0.1 * normal(engine));
  layer.moments.columns = columns;
  layer.moments.count = 200;
  const auto n = static_cast<std::size_t>(columns);
  layer.moments.first.assign(n, 0);
  layer.moments.second.assign(n * n, 0);
  for (int v = 0; v < 200; ++v) {
    std::vector<double> x(n);
    const double common = normal(engine);
    for (std::size_t i = 0; i < n; ++i) x[i] = normal(engine) + (correlated ? 2 * common : 0);
    for (std::size_t a = 0; a < n; ++a) {
      layer.moments.first[a] += x[a];
      for (std::size_t b = 0; b < n; ++b)
        if (correlated || a == b) layer.moments.second[a * n + b] += x[a] * x[b];
    }
  }
  return layer;
}

double error_of(const Layer& layer, const char* format, WeightRounding rounding) {
  WeightRules rules;
  rules.format = Format::parse(format);
  const WeightGrids grids = choose_grids(layer.rows, layer.moments.columns, rules);
  const auto rounded =
      round_weights(layer.rows, grids, WeightCodec(rules.format), rounding, layer.moments);
  return output_error(layer.rows, rounded, grids, layer.moments);
}

TEST(WeightRounding, GptqWithADiagonalHessianIsNearest) {
  for (const char* format : {"int4", "uint3", "e2m1", "e4m3", "nf4", "ternary", "pow2<4>"}) {
    const Layer layer = layer_of(6, 20, false, 5);
    WeightRules rules;
    rules.format = Format::parse(format);
    const WeightGrids grids = choose_grids(layer.rows, 20, rules);
    const WeightCodec codec(rules.format);
    EXPECT_EQ(round_weights(layer.rows, grids, codec, WeightRounding::kGptq, layer.moments),
              round_weights(layer.rows, grids, codec, WeightRounding::kNearest, layer.moments))
        << format;
  }
}

TEST(WeightRounding, LosesLessInTheOutput) {
  for (const char* format : {"int3", "int4", "uint4", "e2m1", "nf4", "ternary"}) {
    const Layer layer = layer_of(16, 40, true, 9);
    const double nearest = error_of(layer, format, WeightRounding::kNearest);
    const double gptq = error_of(layer, format, WeightRounding::kGptq);
    EXPECT_LT(gptq, 0.6 * nearest) << format;
    EXPECT_LT(error_of(layer, format, WeightRounding::kAdaRound), 0.8 * nearest) << format;
    EXPECT_LE(error_of(layer, format, WeightRounding::kDescent), gptq) << format;
  }
}

// Against every choice of codes of a row of few weights.
TEST(WeightRounding, DescentIsNearTheBestOfAllCodes) {
  constexpr std::int64_t kColumns = 6;
  double found = 0, best = 0, nearest = 0;
  for (unsigned seed = 1; seed <= 12; ++seed) {
    const Layer layer = layer_of(1, kColumns, true, seed);
    WeightRules rules;
    rules.format = Format::parse("ternary");
    const WeightGrids grids = choose_grids(layer.rows, kColumns, rules);
    double least = std::numeric_limits<double>::infinity();
    for (int code = 0; code < 729; ++code) {
      std::vector<double> rounded;
      for (int left = code, i = 0; i < kColumns; ++i, left /= 3) rounded.push_back(left % 3 - 1);
      least = std::min(least, output_error(layer.rows, rounded, grids, layer.moments));
    }
    best += least;
    found += error_of(layer, "ternary", WeightRounding::kDescent);
    nearest += error_of(layer, "ternary", WeightRounding::kNearest);
  }
  EXPECT_GE(found, best * (1 - 1e-12));
  EXPECT_LT(found, 1.1 * best);
  EXPECT_GT(nearest, 1.15 * best);
}

TEST(WeightRounding, GroupsHaveTheirOwnMoments) {
  Layer first = layer_of(4, 9, true, 1);
  const Layer second = layer_of(4, 9, true, 2);
  WeightRules rules;
  rules.format = Format::parse("int3");
  const WeightCodec codec(rules.format);
  const auto alone = [&](const Layer& layer) {
    return round_weights(layer.rows, choose_grids(layer.rows, 9, rules), codec,
                         WeightRounding::kGptq, layer.moments);
  };
  std::vector<double> wanted = alone(first);
  for (const double code : alone(second)) wanted.push_back(code);
  Layer joint = first;
  joint.moments.groups = 2;
  for (const double w : second.rows) joint.rows.push_back(w);
  for (const double m : second.moments.second) joint.moments.second.push_back(m);
  EXPECT_EQ(alone(joint), wanted);
}

TEST(WeightRounding, NamesItsMethods) {
  EXPECT_EQ(parse_weight_rounding("gptq"), WeightRounding::kGptq);
  EXPECT_THROW(parse_weight_rounding("gtpq"), Error);
}

}  // namespace
}  // namespace tandem
