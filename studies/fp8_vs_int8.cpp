// Eight bits spent on range or on precision.
#include <algorithm>
#include <array>
#include <cstdint>
#include <iomanip>
#include <sstream>
#include <string>
#include <vector>

#include "studies/methods.h"
#include "studies/noise.h"

namespace tandem {
namespace {

constexpr std::size_t kSamples = 200000;
constexpr std::uint64_t kDraws = 7;
constexpr std::array<const char*, 5> kFormats = {"int8", "e2m5", "e3m4", "e4m3finite",
                                                 "e5m2finite"};

struct Row {
  const char* numbers;
  std::array<double, 5> published;
  std::array<double, 5> tolerance;
};

std::vector<double> numbers_of(const std::string& which, std::uint64_t seed) {
  if (which != "outliers") return sample(which, kSamples, seed);
  // One in a thousand is twenty times as great.
  auto numbers = sample("gaussian", kSamples, seed);
  for (std::size_t i = 0; i < numbers.size(); i += 1000) numbers[i] *= 20;
  return numbers;
}

// What a format does to several draws.
struct Spread {
  double least = 0, middle = 0, most = 0;
};

Spread spread_of(const std::string& numbers, const char* format) {
  std::vector<double> all;
  for (std::uint64_t seed = 1; seed <= kDraws; ++seed) {
    const auto drawn = numbers_of(numbers, seed);
    all.push_back(sqnr(drawn, coded(drawn, format)));
  }
  const auto [least, most] = std::minmax_element(all.begin(), all.end());
  return {*least, median(all), *most};
}

std::string decibels(double value) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(1) << value;
  return text.str();
}

void run(StudyReport& report) {
  const std::array<double, 5> usual{0.5, 0.5, 0.5, 0.5, 0.5}, heavy{3, 3, 0.5, 0.5, 0.5};
  const std::array<Row, 4> rows = {Row{"uniform", {48.1, 44.4, 38.4, 32.2, 25.8}, usual},
                                   Row{"gaussian", {40.2, 42.5, 37.6, 31.6, 25.6}, usual},
                                   Row{"outliers", {21.5, 26.6, 37.5, 31.7, 25.7}, usual},
                                   Row{"t3", {16.5, 20.3, 35.5, 31.9, 25.7}, heavy}};
  for (const Row& row : rows) {
    std::array<double, 5> here{};
    for (std::size_t f = 0; f < kFormats.size(); ++f) {
      const Spread spread = spread_of(row.numbers, kFormats[f]);
      here[f] = spread.middle;
      // The published figure is that of one draw.
      const double published = row.published[f], tolerance = row.tolerance[f];
      report.claim(std::string("SQNR of ") + row.numbers + ", " + kFormats[f],
                   decibels(published) + " ± " + decibels(tolerance) + " dB",
                   decibels(spread.middle) + " dB (" + decibels(spread.least) + " to " +
                       decibels(spread.most) + ")",
                   published - tolerance <= spread.most && published + tolerance >= spread.least);
    }
    const auto best = [](const std::array<double, 5>& list) {
      return kFormats[static_cast<std::size_t>(std::max_element(list.begin(), list.end()) -
                                               list.begin())];
    };
    report.claim(std::string("best format for ") + row.numbers, best(row.published), best(here),
                 std::string(best(row.published)) == best(here));
  }
  report.note(
      "200,000 numbers, one scale of least squared error: median of seven draws, and the least and "
      "the most, in whose reach the published draw must lie; outliers: one in a thousand of "
      "the Gaussian numbers times 20; e4m3 and e5m2 with every code finite");
}

}  // namespace

Study fp8_vs_int8_study() {
  return {"fp8-vs-int8", "FP8 versus INT8 for efficient deep learning inference",
          "van Baalen et al., 2023 (arXiv 2303.17951)", run};
}

}  // namespace tandem
