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

// Twin ranges as PTQ4ViT takes them: a share goes to the range that holds it. The best ratio.
double twin_error(const std::vector<double>& p) {
  double least = 1e9;
  for (int m = 0; m <= 19; ++m) {
    const double coarse = 1.0 / 8, fine = std::ldexp(coarse, -m);
    std::vector<double> q;
    for (const double x : p) {
      const double step = x < 8 * fine ? fine : coarse;
      q.push_back(std::min(std::nearbyint(x / step), 7.0) * step);
    }
    least = std::min(least, output_error(p, q));
  }
  return least;
}

// The same codes, each share to the nearest.
double nearest_twin_error(const std::vector<double>& p) {
  double least = 1e9;
  for (int m = 0; m <= 8; ++m) {
    const std::string format = "twin<4," + std::to_string(m) + ">";
    least = std::min(least, output_error(p, coded_with(p, format, 1)));
  }
  return least;
}

// The scale, from the greatest share down, whose output is nearest.
double half_logarithm_error(const std::vector<double>& p, double most) {
  double least = 1e9;
  for (int quarter = 0; quarter <= 16; ++quarter) {
    const double scale = most * std::exp2(-quarter / 4.0);
    least = std::min(least, output_error(p, coded_with(p, "logsqrt2<4,zero>", scale)));
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
  const double selected = twin_error(p), nearest = nearest_twin_error(p);
  report.within_share(of + "twin<4,m> by range", published[2], selected, 0.15);
  report.claim(of + "twin<4,m>, the nearest code", "-", std::to_string(nearest).substr(0, 6),
               nearest <= selected);
  report.within_share(of + "log2<4>", published[3], output_error(p, coded_with(p, "log2<4>", 1)),
                      0.15);
  report.within_share(of + "logsqrt2<4,zero>", published[4], half_logarithm_error(p, most), 0.15);
}

// Channels of lognormal deviations.
Activations lognormal_channels(std::uint64_t seed) {
  const CounterRandom random(seed, "spread");
  std::vector<double> deviations;
  for (std::size_t c = 0; c < 192; ++c) deviations.push_back(std::exp(random.normal(c)));
  return gaussian_channels(kTokens, deviations, seed);
}

struct ChannelErrors {
  int bits;
  double layer, factors, channel;
};

void channel_scales(StudyReport& report) {
  constexpr std::uint64_t kDraws = 7;
  constexpr double kTolerance = 0.15;
  std::vector<Activations> draws;
  for (std::uint64_t seed = 1; seed <= kDraws; ++seed) draws.push_back(lognormal_channels(seed));
  const auto text = [](double value) { return std::to_string(value).substr(0, 5); };
  // The greatest of lognormal channels, and with it the error, follows the draw: the published one
  // must lie in reach.
  const auto judge = [&](const std::string& what, double published, const auto& error_of) {
    std::vector<double> errors;
    for (const Activations& draw : draws) errors.push_back(error_of(draw));
    const auto [least, most] = std::minmax_element(errors.begin(), errors.end());
    report.claim(what, text(published) + " ± 15 %",
                 text(median(errors)) + " (" + text(*least) + " to " + text(*most) + ")",
                 published * (1 + kTolerance) >= *least && published * (1 - kTolerance) <= *most);
  };
  for (const ChannelErrors& row :
       {ChannelErrors{8, .045, .010, .007}, ChannelErrors{6, .163, .040, .026},
        ChannelErrors{4, .446, .150, .110}}) {
    const std::string of =
        "output error of lognormal channels, " + std::to_string(row.bits) + " bits, ";
    judge(of + "one scale", row.layer,
          [&](const Activations& a) { return layer_wise_error(a, row.bits); });
    judge(of + "factors up to 2^3", row.factors,
          [&](const Activations& a) { return factor_error(a, row.bits, 3); });
    judge(of + "per channel", row.channel,
          [&](const Activations& a) { return channel_wise_error(a, row.bits); });
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
