// Codes for what softmax gives, and scales for channels of many sizes.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "tandem/base/random.h"
#include "tandem/numerics/code_grid.h"

#include "studies/channels.h"
#include "studies/methods.h"
#include "studies/noise.h"

namespace tandem {
namespace {

constexpr std::size_t kTokens = 197, kHead = 64;

// Rows of softmax over Gaussian logits.
std::vector<double> probabilities(double deviation) {
  const CounterRandom random(6, "logits");
  std::vector<double> p(kTokens * kTokens);
  for (std::size_t r = 0; r < kTokens; ++r) {
    double sum = 0;
    for (std::size_t c = 0; c < kTokens; ++c) {
      const std::size_t i = r * kTokens + c;
      p[i] = std::exp(deviation * random.normal(i));
      sum += p[i];
    }
    for (std::size_t c = 0; c < kTokens; ++c) p[r * kTokens + c] /= sum;
  }
  return p;
}

// The error of products with Gaussian values.
double output_error(const std::vector<double>& exact, const std::vector<double>& approximate) {
  const CounterRandom random(6, "values");
  const auto product = [&](const std::vector<double>& p) {
    std::vector<double> y(kTokens * kHead);
    for (std::size_t r = 0; r < kTokens; ++r)
      for (std::size_t k = 0; k < kTokens; ++k)
        for (std::size_t c = 0; c < kHead; ++c)
          y[r * kHead + c] += p[r * kTokens + k] * random.normal(k * kHead + c);
    return y;
  };
  return relative_error(product(exact), product(approximate));
}

std::vector<double> coded_with(const std::vector<double>& p, const std::string& format,
                               double scale) {
  const CodeGrid& grid = CodeGrid::of(Format::parse(format));
  std::vector<double> result;
  for (const double x : p) result.push_back(grid.nearest(x / scale) * scale);
  return result;
}

// The ratio of ranges whose output is nearest.
double twin_error(const std::vector<double>& p) {
  double least = 1e9;
  for (int m = 0; m <= 8; ++m) {
    const std::string format = "twin<4," + std::to_string(m) + ">";
    least = std::min(least, output_error(p, coded_with(p, format, 1)));
  }
  return least;
}

void softmax_codes(StudyReport& report, double deviation, const std::vector<double>& published) {
  const auto p = probabilities(deviation);
  const double most = *std::max_element(p.begin(), p.end());
  const std::string of = "attention error at logits of deviation " +
                         std::to_string(static_cast<int>(deviation)) + ", 4 bits, ";
  report.within_share(of + "uint4 over [0,1]", published[0],
                      output_error(p, coded_with(p, "uint4", 1.0 / 15)), 0.15);
  report.within_share(of + "uint4 over [0,max]", published[1],
                      output_error(p, coded_with(p, "uint4", most / 15)), 0.15);
  report.within_share(of + "twin<4,m>", published[2], twin_error(p), 0.15);
  report.within_share(of + "log2<4>", published[3], output_error(p, coded_with(p, "log2<4>", 1)),
                      0.15);
  report.within_share(of + "logsqrt2<4> of the greatest", published[4],
                      output_error(p, coded_with(p, "logsqrt2<4>", most)), 0.15);
}

void channel_scales(StudyReport& report) {
  const CounterRandom random(7, "spread");
  std::vector<double> deviations;
  for (std::size_t c = 0; c < 192; ++c) deviations.push_back(std::exp(random.normal(c)));
  const Activations a = gaussian_channels(kTokens, deviations, 8);
  struct Row {
    int bits;
    double layer, factors, channel;
  };
  for (const Row& row :
       {Row{8, .045, .010, .007}, Row{6, .163, .040, .026}, Row{4, .446, .150, .110}}) {
    const std::string of =
        "output error of lognormal channels, " + std::to_string(row.bits) + " bits, ";
    report.within_share(of + "one scale", row.layer, layer_wise_error(a, row.bits), 0.15);
    report.within_share(of + "factors up to 2^3", row.factors, factor_error(a, row.bits, 3), 0.15);
    report.within_share(of + "per channel", row.channel, channel_wise_error(a, row.bits), 0.15);
  }
}

void run(StudyReport& report) {
  softmax_codes(report, 1, {0.87, 0.46, 0.36, 0.21, 0.11});
  softmax_codes(report, 3, {0.15, 0.15, 0.11, 0.21, 0.11});
  channel_scales(report);
  report.note(
      "197 tokens, heads of 64; channels: 192, standard deviations exp(N(0,1)), codes from "
      "both ends");
}

}  // namespace

Study vit_quant_survey_study() {
  return {"vit-quant-survey",
          "Model Quantization and Hardware Acceleration for Vision Transformers: A Survey",
          "Du et al., 2024 (arXiv 2405.00314)", run};
}

}  // namespace tandem
