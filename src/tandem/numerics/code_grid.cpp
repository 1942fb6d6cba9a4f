#include "tandem/numerics/code_grid.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <mutex>
#include <string>

#include "tandem/base/error.h"

namespace tandem {
namespace {

constexpr int kMostListedBits = 16;

double cube(double x) { return x * x * x; }

// Where nearest rounding steps from `low` to `high`, its neighbour: half way, or where the format's
// own measure of distance says (logarithms).
double step_between(const Format& format, double low, double high) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const auto reaches = [&](double real) {
    return format.decode(format.encode(real, Rounding::kHalfEven, Overflow::kSaturateSymmetric)) >=
           high;
  };
  const double middle = low + (high - low) / 2;
  if (!reaches(std::nextafter(middle, -kInfinity)) && reaches(std::nextafter(middle, kInfinity)))
    return middle;
  double below = low, above = high;
  for (double at = middle; at > below && at < above; at = below + (above - below) / 2)
    (reaches(at) ? above : below) = at;
  return above;
}

}  // namespace

CodeGrid::CodeGrid(const Format& format) : format_(format) {
  if (format.bits() > kMostListedBits)
    throw Error("the codes of ", format.name(), " are too many to list; use at most ",
                kMostListedBits, " bits");
  for (const std::uint64_t code : format.codes()) {
    if (format.exact(code).kind == ExactValue::Kind::kFinite)
      values_.push_back(format.decode(code) + 0.0);  // -0 becomes 0
  }
  std::sort(values_.begin(), values_.end());
  values_.erase(std::unique(values_.begin(), values_.end()), values_.end());
  integral_.push_back(0);
  for (std::size_t i = 0; i + 1 < values_.size(); ++i) {
    steps_.push_back(step_between(format, values_[i], values_[i + 1]));
    const double from = i == 0 ? 0 : cube(steps_[i - 1] - values_[i]);
    integral_.push_back(integral_[i] + (cube(steps_[i] - values_[i]) - from) / 3);
  }
}

const CodeGrid& CodeGrid::of(const Format& format) {
  static std::mutex mutex;
  static std::map<std::string, CodeGrid> grids;
  const std::lock_guard lock(mutex);
  const std::string name = format.name();
  const auto known = grids.find(name);
  if (known != grids.end()) return known->second;
  return grids.emplace(name, CodeGrid(format)).first->second;
}

std::size_t CodeGrid::cell(double real) const {
  return static_cast<std::size_t>(std::lower_bound(steps_.begin(), steps_.end(), real) -
                                  steps_.begin());
}

double CodeGrid::nearest(double real) const {
  const std::size_t place = cell(real);
  if (place == steps_.size() || steps_[place] != real) return values_[place];
  return format_.decode(format_.encode(real, Rounding::kHalfEven, Overflow::kSaturateSymmetric)) +
         0.0;
}

std::size_t CodeGrid::rank(double real, Rounding rounding) const {
  constexpr double kSlack = 1e-11;
  if (real <= values_.front()) return 0;
  if (real >= values_.back()) return values_.size() - 1;
  const std::size_t place = cell(real);
  for (const std::size_t near : {place, place + 1}) {
    if (near == 0 || near > steps_.size()) continue;
    const double step = steps_[near - 1];
    if (std::abs(real - step) <= kSlack * std::abs(step)) real = step;
  }
  const double value =
      format_.decode(format_.encode(real, rounding, Overflow::kSaturateSymmetric)) + 0.0;
  const auto found = std::lower_bound(values_.begin(), values_.end(), value);
  ensure(found != values_.end() && *found == value, "a code that is not listed");
  return static_cast<std::size_t>(found - values_.begin());
}

double CodeGrid::error_integral(double real) const {
  if (real <= values_.front()) return cube(real - values_.front()) / 3;
  const std::size_t place = cell(real);
  const double from = place == 0 ? 0 : cube(steps_[place - 1] - values_[place]);
  return integral_[place] + (cube(real - values_[place]) - from) / 3;
}

}  // namespace tandem
