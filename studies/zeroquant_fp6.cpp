// Six bits of float with a scale per row beside integers in groups.
#include <array>
#include <string>

#include "studies/methods.h"
#include "studies/noise.h"

namespace tandem {
namespace {

constexpr std::int64_t kRows = 256, kColumns = 4096;

void run(StudyReport& report) {
  struct Row {
    const char* distribution;
    double fp6, int4, int6;
  };
  double least = 1e9, most = 0;
  for (const Row& row : {Row{"gaussian", 25.6, 20.0, 29.0}, Row{"laplace", 25.6, 17.7, 24.5},
                         Row{"t5", 25.6, 17.5, 21.7}, Row{"t3", 25.9, 15.8, 15.3}}) {
    const auto weights = sample(row.distribution, kRows * kColumns, 2);
    const auto noise = [&](const char* format, const char* granularity) {
      return sqnr(weights,
                  coded_as_weights(weights, kColumns,
                                   weight_rules(format, granularity, RangeMethod::kMinMax)));
    };
    const std::string of = std::string("SQNR of ") + row.distribution + " weights, ";
    const double fp6 = noise("e3m2", "channel");
    least = std::min(least, fp6);
    most = std::max(most, fp6);
    report.within(of + "e3m2 per row", row.fp6, fp6, 0.3, "dB");
    report.within(of + "uint4 in groups of 128", row.int4, noise("uint4", "group:128"),
                  row.distribution == std::string("t3") ? 1.0 : 0.3, "dB");
    report.within(of + "int6 per row", row.int6, noise("int6", "channel"),
                  row.distribution == std::string("t3") ? 1.5 : 0.5, "dB");
  }
  report.claim("e3m2 loses the same whatever the distribution", "within 0.3 dB",
               std::to_string(most - least).substr(0, 4) + " dB apart", most - least < 0.6);
  report.note(
      "256 x 4,096 weights, scales from the greatest magnitude (uint4: from both ends); the "
      "tolerance of integers under heavy tails is wider, since it follows the draw");
}

}  // namespace

Study zeroquant_fp6_study() {
  return {"zeroquant-fp6",
          "ZeroQuant(4+2): Redefining LLMs Quantization with a New FP6-Centric Strategy",
          "Wu et al., 2023 (arXiv 2312.08583)", run};
}

}  // namespace tandem
