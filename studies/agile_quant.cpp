// Outliers in few channels, and factors of two that meet them.
#include <vector>

#include "studies/channels.h"
#include "studies/methods.h"

namespace tandem {
namespace {

void run(StudyReport& report) {
  constexpr std::size_t kChannels = 192, kOutliers = 6;
  std::vector<double> deviations(kChannels, 1);
  for (std::size_t i = 0; i < kOutliers; ++i) deviations[i * kChannels / kOutliers] = 16;
  const Activations activations = gaussian_channels(512, deviations, 5);
  report.within_share("output error, one scale, 8 bits", 0.045, layer_wise_error(activations, 8),
                      0.2);
  report.within_share("output error, one scale, 4 bits", 0.391, layer_wise_error(activations, 4),
                      0.2);
  report.within_share("output error, factors up to 2^3, 8 bits", 0.009,
                      factor_error(activations, 8, 3), 0.2);
  report.within_share("output error, factors up to 2^3, 4 bits", 0.151,
                      factor_error(activations, 4, 3), 0.2);
  report.note(
      "512 tokens of 192 Gaussian channels, six of them times 16; codes from both ends; "
      "the error of a product with Gaussian weights");
}

}  // namespace

Study agile_quant_study() {
  return {"agile-quant",
          "Agile-Quant: Activation-Guided Quantization for Faster Inference of LLMs on the Edge",
          "Shen et al., AAAI 2024 (arXiv 2312.05693)", run};
}

}  // namespace tandem
