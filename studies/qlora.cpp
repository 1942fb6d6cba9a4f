// Four bits of weights in blocks of 64, and codes for the scales of the blocks.
#include <cmath>
#include <span>

#include "studies/methods.h"
#include "studies/noise.h"

namespace tandem {
namespace {

constexpr std::int64_t kRows = 1024, kColumns = 1024, kBlock = 64, kScaleBlock = 256;

// Nested scales: less their mean, in blocks of 256, in a format with an f32 scale for each block.
std::vector<double> nested(const std::vector<double>& scales, const char* format) {
  double mean = 0;
  for (const double scale : scales) mean += scale / static_cast<double>(scales.size());
  std::vector<double> centred;
  for (const double scale : scales) centred.push_back(scale - mean);
  auto result =
      coded_as_weights(centred, kScaleBlock, weight_rules(format, "channel", RangeMethod::kMinMax));
  for (double& scale : result) scale += mean;
  return result;
}

void run(StudyReport& report) {
  const auto weights = sample("gaussian", kRows * kColumns, 3);
  const auto noise = [&](const char* format) {
    return sqnr(weights, coded_as_weights(weights, kColumns,
                                          weight_rules(format, "group:64", RangeMethod::kMinMax)));
  };
  const double nf4 = noise("nf4");
  report.within("SQNR of Gaussian weights, nf4", 20.73, nf4, 0.1, "dB");
  report.within("SQNR of Gaussian weights, e2m1", 19.52, noise("e2m1"), 0.1, "dB");
  report.within("SQNR of Gaussian weights, int4", 19.36, noise("int4"), 0.1, "dB");
  report.within("SQNR of Gaussian weights, bnb_fp4", 18.28, noise("bnb_fp4"), 0.1, "dB");

  const WeightRules rules = weight_rules("nf4", "group:64", RangeMethod::kMinMax);
  WeightGrids grids = choose_grids({weights.begin(), weights.end()}, kColumns, rules);
  std::vector<double> scales;
  for (const WeightGrid& grid : grids.grids) scales.push_back(grid.scale);
  const WeightCodec codec(rules.format);
  for (const char* format : {"bnb_dynamic8", "e4m3"}) {
    const auto coded_scales = nested(scales, format);
    std::vector<double> decoded;
    double worst = 0, square = 0;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const double scale = coded_scales[i / kBlock];
      decoded.push_back(codec.nearest(weights[i] / scale) * scale);
    }
    for (std::size_t i = 0; i < scales.size(); ++i) {
      const double error = std::abs(coded_scales[i] / scales[i] - 1);
      worst = std::max(worst, error);
      square += error * error / static_cast<double>(scales.size());
    }
    const double loss = nf4 - sqnr(weights, decoded);
    report.claim(std::string("loss by scales in ") + format, "at most 0.02 dB",
                 std::to_string(loss).substr(0, 7) + " dB", loss <= 0.02);
    if (format == std::string("bnb_dynamic8"))
      report.claim("error of scales in bnb_dynamic8", "0.8 % at most, 0.2 % RMS",
                   std::to_string(100 * worst).substr(0, 4) + " %, " +
                       std::to_string(100 * std::sqrt(square)).substr(0, 4) + " %",
                   worst <= 0.009 && std::sqrt(square) <= 0.0025);
  }
  const std::int64_t blocks = kRows * kColumns / kBlock;
  const double bits = 4.0 * kRows * kColumns + 8.0 * static_cast<double>(blocks) +
                      32.0 * static_cast<double>(blocks) / kScaleBlock;
  report.within("bits per weight with nested scales", 4.127, bits / (kRows * kColumns), 0.001, "");
  report.note("1,048,576 weights in blocks of 64, scales from the greatest magnitude");
}

}  // namespace

Study qlora_study() {
  return {"qlora", "QLoRA: Efficient Finetuning of Quantized LLMs",
          "Dettmers et al., 2023 (arXiv 2305.14314)", run};
}

}  // namespace tandem
