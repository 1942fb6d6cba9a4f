#include "tandem/compress/histogram.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "tandem/base/error.h"

namespace tandem {
namespace {

// Below every step that matters for f32 numbers, so that the final width depends on the numbers
// alone and not on the order in which they came.
constexpr double kLeastWidth = 0x1p-120;

}  // namespace

Histogram::Histogram(int bins) : width_(kLeastWidth), bins_(static_cast<std::size_t>(bins)) {
  ensure(bins >= 2, "a histogram of fewer than two bins");
}

double Histogram::low_edge(std::size_t bin) const {
  return static_cast<double>(first_ + static_cast<std::int64_t>(bin)) * width_;
}

void Histogram::reach(double value) {
  const double low = std::min(value, min_), high = std::max(value, max_);
  const auto count = static_cast<std::int64_t>(bins_.size());
  double width = width_;
  while (std::floor(high / width) - std::floor(low / width) >= static_cast<double>(count))
    width *= 2;
  // Indices at the new width; a bin i of the old width falls into floor(i / ratio).
  const auto first = static_cast<std::int64_t>(std::floor(low / width));
  if (width == width_ && first == first_) return;
  const int shift = std::ilogb(width / width_);
  std::vector<std::int64_t> merged(bins_.size());
  for (std::size_t i = 0; i < bins_.size(); ++i) {
    if (bins_[i] == 0) continue;
    const std::int64_t old = first_ + static_cast<std::int64_t>(i);
    const std::int64_t index = shift < 62 ? old >> shift : (old < 0 ? -1 : 0);
    merged[static_cast<std::size_t>(index - first)] += bins_[i];
  }
  bins_ = std::move(merged);
  width_ = width;
  first_ = first;
}

void Histogram::add(double value, std::int64_t times) {
  if (!std::isfinite(value)) throw Error("a calibration value is ", value);
  if (times == 0) return;
  count_ += times;
  if (value == 0) {
    zeros_ += times;
    return;
  }
  const double place = std::floor(value / width_) - static_cast<double>(first_);
  if (!(place >= 0 && place < static_cast<double>(bins_.size()))) {
    reach(value);
    const double moved = std::floor(value / width_) - static_cast<double>(first_);
    bins_[static_cast<std::size_t>(moved)] += times;
  } else {
    bins_[static_cast<std::size_t>(place)] += times;
  }
  min_ = std::min(min_, value);
  max_ = std::max(max_, value);
}

void Histogram::add(std::span<const float> values) {
  float low = 0, high = 0;
  bool finite = true;
  for (const float value : values) {
    low = std::min(low, value);
    high = std::max(high, value);
    finite &= std::abs(value) <= std::numeric_limits<float>::max();
  }
  if (!finite) {
    const auto bad = std::ranges::find_if(values, [](float v) { return !std::isfinite(v); });
    throw Error("a calibration value is ", *bad);
  }
  // Room for all at once, so that the loop has nothing to decide.
  if (low < min_) reach(static_cast<double>(low));
  min_ = std::min(min_, static_cast<double>(low));
  if (high > max_) reach(static_cast<double>(high));
  max_ = std::max(max_, static_cast<double>(high));
  const double inverse = 1 / width_;  // exact: a power of two
  std::int64_t zeros = 0;
  for (const float value : values) {
    const double place = static_cast<double>(value) * inverse;
    auto index = static_cast<std::int64_t>(place);
    index -= static_cast<double>(index) > place ? 1 : 0;
    ++bins_[static_cast<std::size_t>(index - first_)];
    zeros += value == 0 ? 1 : 0;
  }
  bins_[static_cast<std::size_t>(-first_)] -= zeros;
  zeros_ += zeros;
  count_ += static_cast<std::int64_t>(values.size());
}

void Histogram::add(const Tensor& reals) {
  if (reals.format().storage() == Storage::kF32)
    add(reals.data<float>());
  else
    for (const double value : reals.to_reals()) add(value);
}

double Histogram::quantile(double p) const {
  if (count_ == 0) return 0;
  const double wanted = std::clamp(p, 0.0, 1.0) * static_cast<double>(count_);
  double below = 0;
  for (std::size_t i = 0; i < bins_.size(); ++i) {
    // Zeros lie at the left edge of the bin that begins there.
    if (first_ + static_cast<std::int64_t>(i) == 0) {
      below += static_cast<double>(zeros_);
      if (below >= wanted && zeros_ > 0) return 0;
    }
    const auto here = static_cast<double>(bins_[i]);
    if (here > 0 && below + here >= wanted) {
      const double share = std::max(0.0, wanted - below) / here;
      return std::clamp(low_edge(i) + share * width_, min_, max_);
    }
    below += here;
  }
  return max_;
}

double Histogram::magnitude_quantile(double p) const {
  if (count_ == 0) return 0;
  const double wanted = std::clamp(p, 0.0, 1.0) * static_cast<double>(count_);
  double below = static_cast<double>(zeros_);
  if (below >= wanted) return 0;
  const auto at = [&](std::int64_t index) {
    const std::int64_t place = index - first_;
    return place < 0 || place >= static_cast<std::int64_t>(bins_.size())
               ? 0.0
               : static_cast<double>(bins_[static_cast<std::size_t>(place)]);
  };
  const double largest = std::max(max_, -min_);
  for (std::int64_t i = 0; static_cast<double>(i) * width_ <= largest; ++i) {
    const double here = at(i) + at(-1 - i);
    if (here > 0 && below + here >= wanted) {
      const double share = std::max(0.0, wanted - below) / here;
      return std::min(largest, (static_cast<double>(i) + share) * width_);
    }
    below += here;
  }
  return largest;
}

double Histogram::kurtosis() const {
  if (count_ == 0) return 0;
  const auto total = static_cast<double>(count_);
  // Moments about zero; the numbers of a bin lie evenly in it.
  std::array<double, 5> moments{1, 0, 0, 0, 0};
  for (std::size_t i = 0; i < bins_.size(); ++i) {
    if (bins_[i] == 0) continue;
    const double low = std::max(low_edge(i), min_), high = std::min(low_edge(i + 1), max_);
    const double share = static_cast<double>(bins_[i]) / total;
    for (int k = 1; k <= 4; ++k) {
      const double mean =
          high > low ? (std::pow(high, k + 1) - std::pow(low, k + 1)) / ((k + 1) * (high - low))
                     : std::pow(low, k);
      moments[static_cast<std::size_t>(k)] += share * mean;
    }
  }
  const double mean = moments[1];
  const double variance = moments[2] - mean * mean;
  if (!(variance > 0)) return 0;
  const double fourth = moments[4] - 4 * mean * moments[3] + 6 * mean * mean * moments[2] -
                        3 * mean * mean * mean * mean;
  return fourth / (variance * variance);
}

}  // namespace tandem
