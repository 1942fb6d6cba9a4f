#include "tandem/compress/weight_rounding.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/base/threads.h"
#include "tandem/kernels/gemm.h"
#include "tandem/solve/cholesky.h"

namespace tandem {

namespace {
constexpr std::array<WeightRounding, 4> kAllWeightRoundings = {
    WeightRounding::kNearest, WeightRounding::kGptq, WeightRounding::kAdaRound,
    WeightRounding::kDescent};
}

std::string_view name(WeightRounding rounding) {
  switch (rounding) {
    case WeightRounding::kNearest: return "nearest";
    case WeightRounding::kGptq: return "gptq";
    case WeightRounding::kAdaRound: return "adaround";
    case WeightRounding::kDescent: return "descent";
  }
  throw InternalError("unknown rounding of weights");
}

WeightRounding parse_weight_rounding(std::string_view text) {
  std::vector<std::string> names;
  for (const WeightRounding rounding : kAllWeightRoundings) {
    if (name(rounding) == text) return rounding;
    names.emplace_back(name(rounding));
  }
  throw Error("unknown rounding of weights '", text, "'", suggestion(text, names));
}

namespace {

// The rows of one group with their second moments.
struct RowGroup {
  std::int64_t first = 0, rows = 0, columns = 0;
  const double* moments = nullptr;  // [columns][columns]
};

std::vector<RowGroup> groups_of(std::int64_t rows, const InputMoments& moments) {
  std::vector<RowGroup> groups;
  const std::int64_t each = rows / moments.groups, columns = moments.columns;
  ensure(!moments.second.empty() || columns == 0, "rounding without the moments that it needs");
  for (std::int64_t g = 0; g < moments.groups; ++g)
    groups.push_back({g * each, each, columns, moments.second.data() + g * columns * columns});
  return groups;
}

class Rounder {
 public:
  Rounder(const std::vector<double>& rows, const WeightGrids& grids, const WeightCodec& codec)
      : rows_(rows), grids_(grids), codec_(codec), codes_(rows.size()) {}

  void nearest() {
    for (std::size_t i = 0; i < rows_.size(); ++i) codes_[i] = codec_.nearest(scaled(i, rows_[i]));
  }
  void gptq(const RowGroup& group);
  void adaround(const RowGroup& group);
  void descend(const RowGroup& group);
  std::vector<double> take() { return std::move(codes_); }

 private:
  std::size_t at(std::int64_t row, std::int64_t column) const {
    return static_cast<std::size_t>(row * grids_.columns + column);
  }
  const WeightGrid& grid(std::size_t i) const {
    return grids_.at(static_cast<std::int64_t>(i) / grids_.columns,
                     static_cast<std::int64_t>(i) % grids_.columns);
  }
  double scaled(std::size_t i, double real) const { return real / grid(i).scale + grid(i).zero; }
  double real(std::size_t i, double code) const { return (code - grid(i).zero) * grid(i).scale; }

  const std::vector<double>& rows_;
  const WeightGrids& grids_;
  const WeightCodec& codec_;
  std::vector<double> codes_;
};

// ---- GPTQ --------------------------------------------------------------------------------------

void Rounder::gptq(const RowGroup& group) {
  const auto n = static_cast<std::size_t>(group.columns);
  if (n == 0) return;
  std::vector<double> hessian(group.moments, group.moments + n * n);
  double mean = 0;
  for (std::size_t i = 0; i < n; ++i) mean += hessian[i * n + i] / static_cast<double>(n);
  if (!(mean > 0)) mean = 1;
  for (std::size_t i = 0; i < n; ++i) hessian[i * n + i] += 0.01 * mean;
  const std::vector<double> upper = inverse_cholesky(hessian, n);
  parallel_for(0, group.rows, 1, [&](std::int64_t from, std::int64_t to) {
    for (std::int64_t r = from; r < to; ++r) {
      std::vector<double> row(n);
      for (std::size_t c = 0; c < n; ++c) row[c] = rows_[at(group.first + r, 0) + c];
      for (std::size_t c = 0; c < n; ++c) {
        const std::size_t i = at(group.first + r, 0) + c;
        codes_[i] = codec_.nearest(scaled(i, row[c]));
        const double* factors = upper.data() + c * n;
        const double error = (row[c] - real(i, codes_[i])) / factors[c];
        for (std::size_t k = c + 1; k < n; ++k) row[k] -= error * factors[k];
      }
    }
  });
}

// ---- Coordinate descent ------------------------------------------------------------------------

void Rounder::descend(const RowGroup& group) {
  constexpr int kMostSweeps = 20;
  const auto n = static_cast<std::size_t>(group.columns);
  const double* h = group.moments;
  parallel_for(0, group.rows, 1, [&](std::int64_t from, std::int64_t to) {
    for (std::int64_t r = from; r < to; ++r) {
      const std::size_t start = at(group.first + r, 0);
      // slope = H d for the error d of the row.
      std::vector<double> slope(n);
      for (std::size_t c = 0; c < n; ++c) {
        const double error = real(start + c, codes_[start + c]) - rows_[start + c];
        if (error == 0) continue;
        for (std::size_t k = 0; k < n; ++k) slope[k] += error * h[c * n + k];
      }
      bool moved = true;
      for (int sweep = 0; moved && sweep < kMostSweeps; ++sweep) {
        moved = false;
        for (std::size_t c = 0; c < n; ++c) {
          const double curvature = h[c * n + c];
          if (!(curvature > 0)) continue;
          const std::size_t i = start + c;
          const double now = real(i, codes_[i]);
          // The minimum of the parabola along this weight, on the grid.
          const double code = codec_.nearest(scaled(i, now - slope[c] / curvature));
          const double step = real(i, code) - now;
          const double gain = step * (2 * slope[c] + step * curvature);
          if (step == 0 || !(gain < -1e-12 * curvature * step * step)) continue;
          codes_[i] = code;
          moved = true;
          for (std::size_t k = 0; k < n; ++k) slope[k] += step * h[c * n + k];
        }
      }
    }
  });
}

// ---- AdaRound ----------------------------------------------------------------------------------

// Learns for each weight a share h in [0, 1] between its lower and its upper neighbour; the
// rectified sigmoid and the annealed regularizer are those of the paper, the gradient of the output
// error is that of the quadratic form. Adam, with its usual constants.
class AdaRound {
 public:
  AdaRound(std::vector<float> weights, std::vector<float> lower, std::vector<float> upper,
           std::vector<float> hessian, std::int64_t rows, std::int64_t columns)
      : weights_(std::move(weights)),
        lower_(std::move(lower)),
        upper_(std::move(upper)),
        hessian_(std::move(hessian)),
        rows_(rows),
        columns_(columns),
        v_(weights_.size()),
        first_(weights_.size()),
        second_(weights_.size()) {
    for (std::size_t i = 0; i < v_.size(); ++i) {
      const float gap = upper_[i] - lower_[i];
      const float share = gap > 0 ? (weights_[i] - lower_[i]) / gap : 0;
      const float p = std::clamp((share - kLow) / (kHigh - kLow), 0.01F, 0.99F);
      v_[i] = -std::log(1 / p - 1);
    }
  }

  // Whether each weight goes up. Rows have nothing to do with each other, so that the bits do not
  // depend on how many of them are learned at a time.
  std::vector<bool> run() {
    constexpr std::int64_t kGrain = 8;
    parallel_for(0, rows_, kGrain, [&](std::int64_t from, std::int64_t to) {
      Block block(to - from, columns_);
      for (int step = 1; step <= kSteps; ++step) descend(step, from, block);
    });
    std::vector<bool> up;
    for (const float v : v_) up.push_back(share(1 + std::exp(-v)) >= 0.5F);
    return up;
  }

 private:
  static constexpr float kLow = -0.1F, kHigh = 1.1F;  // the rectified sigmoid's stretch
  static constexpr int kSteps = 400, kWarmUp = kSteps / 5;
  static constexpr float kRate = 0.03F, kWeight = 0.02F;

  // What a step computes for some rows.
  struct Block {
    Block(std::int64_t some_rows, std::int64_t columns)
        : rows(some_rows), inverses(static_cast<std::size_t>(some_rows * columns)) {
      error.resize(inverses.size());
      slope.resize(inverses.size());
    }
    std::int64_t rows;
    std::vector<float> inverses, error, slope;
  };

  // Of the inverse of a sigmoid, 1 + e^-v.
  static float share(float inverse) {
    return std::clamp((kHigh - kLow) / inverse + kLow, 0.0F, 1.0F);
  }

  void descend(int step, std::int64_t from, Block& block) {
    const std::size_t count = block.error.size(), start = static_cast<std::size_t>(from * columns_);
    for (std::size_t k = 0; k < count; ++k) {
      const std::size_t i = start + k;
      block.inverses[k] = 1 + std::exp(-v_[i]);
      block.error[k] = lower_[i] + (upper_[i] - lower_[i]) * share(block.inverses[k]) - weights_[i];
    }
    gemm({block.rows, columns_, columns_, columns_}, block.error.data(), hessian_.data(),
         block.slope.data());
    const float progress =
        std::clamp(static_cast<float>(step - kWarmUp) / (kSteps - kWarmUp), 0.0F, 1.0F);
    const float beta = 2 + 18 * (1 - progress);
    const float correction1 = 1 - std::pow(0.9F, static_cast<float>(step)),
                correction2 = 1 - std::pow(0.999F, static_cast<float>(step));
    for (std::size_t k = 0; k < count; ++k) {
      const std::size_t i = start + k;
      const float sigmoid = 1 / block.inverses[k], h = share(block.inverses[k]);
      if (h <= 0 || h >= 1) continue;  // the clamp has no slope
      const float stretched = (kHigh - kLow) * sigmoid * (1 - sigmoid);
      float pull = 0;
      if (step > kWarmUp) {
        const float side = 2 * h - 1;
        pull =
            kWeight * (-2 * beta * std::pow(std::abs(side), beta - 1) * (side < 0 ? -1.0F : 1.0F));
      }
      const float gradient = (block.slope[k] * (upper_[i] - lower_[i]) + pull) * stretched;
      first_[i] = 0.9F * first_[i] + 0.1F * gradient;
      second_[i] = 0.999F * second_[i] + 0.001F * gradient * gradient;
      v_[i] -= kRate * (first_[i] / correction1) / (std::sqrt(second_[i] / correction2) + 1e-8F);
    }
  }

  std::vector<float> weights_, lower_, upper_, hessian_;
  std::int64_t rows_, columns_;
  std::vector<float> v_, first_, second_;
};

void Rounder::adaround(const RowGroup& group) {
  const auto n = static_cast<std::size_t>(group.columns);
  const std::size_t count = n * static_cast<std::size_t>(group.rows), start = at(group.first, 0);
  if (count == 0) return;
  // In units in which the mean error of nearest rounding is about one: the regularizer has a scale.
  double energy = 0, gap = 0;
  std::vector<double> lower(count), upper(count);
  for (std::size_t i = 0; i < count; ++i) {
    const double code = scaled(start + i, rows_[start + i]);
    lower[i] = codec_.below(code);
    upper[i] = codec_.above(code);
    gap = std::max(gap, real(start + i, upper[i]) - real(start + i, lower[i]));
  }
  for (std::size_t c = 0; c < n; ++c) energy += group.moments[c * n + c] / static_cast<double>(n);
  const double unit = gap > 0 ? gap : 1, weight = energy > 0 ? energy : 1;
  std::vector<float> weights(count), low(count), high(count), hessian(n * n);
  for (std::size_t i = 0; i < count; ++i) {
    weights[i] = static_cast<float>(rows_[start + i] / unit);
    low[i] = static_cast<float>(real(start + i, lower[i]) / unit);
    high[i] = static_cast<float>(real(start + i, upper[i]) / unit);
  }
  for (std::size_t i = 0; i < n * n; ++i)
    hessian[i] = static_cast<float>(group.moments[i] / weight);
  const auto up = AdaRound(std::move(weights), std::move(low), std::move(high), std::move(hessian),
                           group.rows, group.columns)
                      .run();
  for (std::size_t i = 0; i < count; ++i) codes_[start + i] = up[i] ? upper[i] : lower[i];
}

}  // namespace

std::vector<double> round_weights(const std::vector<double>& rows, const WeightGrids& grids,
                                  const WeightCodec& codec, WeightRounding rounding,
                                  const InputMoments& moments) {
  Rounder rounder(rows, grids, codec);
  rounder.nearest();
  if (rounding == WeightRounding::kNearest || rows.empty()) return rounder.take();
  const std::int64_t count = static_cast<std::int64_t>(rows.size()) / grids.columns;
  ensure(grids.columns == moments.columns && count % moments.groups == 0,
         "moments of another layer");
  for (const RowGroup& group : groups_of(count, moments)) {
    if (rounding == WeightRounding::kAdaRound) {
      rounder.adaround(group);
      continue;
    }
    rounder.gptq(group);
    if (rounding == WeightRounding::kDescent) rounder.descend(group);
  }
  return rounder.take();
}

double output_error(const std::vector<double>& rows, const std::vector<double>& rounded,
                    const WeightGrids& grids, const InputMoments& moments) {
  const std::int64_t count = static_cast<std::int64_t>(rows.size()) / grids.columns;
  double sum = 0;
  for (const RowGroup& group : groups_of(count, moments)) {
    const auto n = static_cast<std::size_t>(group.columns);
    for (std::int64_t r = group.first; r < group.first + group.rows; ++r) {
      std::vector<double> error(n);
      for (std::size_t c = 0; c < n; ++c) {
        const auto i = static_cast<std::size_t>(r) * n + c;
        const WeightGrid& grid = grids.at(r, static_cast<std::int64_t>(c));
        error[c] = (rounded[i] - grid.zero) * grid.scale - rows[i];
      }
      for (std::size_t a = 0; a < n; ++a)
        for (std::size_t b = 0; b < n; ++b) sum += error[a] * error[b] * group.moments[a * n + b];
    }
  }
  return sum;
}

}  // namespace tandem
