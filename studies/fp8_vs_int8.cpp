// Eight bits spent on range or on precision.
#include <algorithm>
#include <array>
#include <string>

#include "studies/methods.h"
#include "studies/noise.h"

namespace tandem {
namespace {

constexpr std::size_t kSamples = 200000;
constexpr std::array<const char*, 5> kFormats = {"int8", "e2m5", "e3m4", "e4m3finite",
                                                 "e5m2finite"};

struct Row {
  const char* numbers;
  std::array<double, 5> published;
  std::array<double, 5> tolerance;
};

std::vector<double> numbers_of(const std::string& which) {
  if (which != "outliers") return sample(which, kSamples, 1);
  // One in a thousand is twenty times as great.
  auto numbers = sample("gaussian", kSamples, 1);
  for (std::size_t i = 0; i < numbers.size(); i += 1000) numbers[i] *= 20;
  return numbers;
}

void run(StudyReport& report) {
  const std::array<double, 5> usual{0.5, 0.5, 0.5, 0.5, 0.5}, heavy{3, 3, 0.5, 0.5, 0.5};
  const std::array<Row, 4> rows = {Row{"uniform", {48.1, 44.4, 38.4, 32.2, 25.8}, usual},
                                   Row{"gaussian", {40.2, 42.5, 37.6, 31.6, 25.6}, usual},
                                   Row{"outliers", {21.5, 26.6, 37.5, 31.7, 25.7}, usual},
                                   Row{"t3", {16.5, 20.3, 35.5, 31.9, 25.7}, heavy}};
  for (const Row& row : rows) {
    const auto numbers = numbers_of(row.numbers);
    std::array<double, 5> here{};
    for (std::size_t f = 0; f < kFormats.size(); ++f) {
      here[f] = sqnr(numbers, coded(numbers, kFormats[f]));
      report.within(std::string("SQNR of ") + row.numbers + ", " + kFormats[f], row.published[f],
                    here[f], row.tolerance[f], "dB");
    }
    const auto best = [](const std::array<double, 5>& list) {
      return kFormats[static_cast<std::size_t>(std::max_element(list.begin(), list.end()) -
                                               list.begin())];
    };
    report.claim(std::string("best format for ") + row.numbers, best(row.published), best(here),
                 std::string(best(row.published)) == best(here));
  }
  report.note(
      "200,000 numbers, one scale of least squared error; outliers: one in a thousand of "
      "the Gaussian numbers times 20; e4m3 and e5m2 with every code finite");
}

}  // namespace

Study fp8_vs_int8_study() {
  return {"fp8-vs-int8", "FP8 versus INT8 for efficient deep learning inference",
          "van Baalen et al., 2023 (arXiv 2303.17951)", run};
}

}  // namespace tandem
