#include "tandem/compress/channel_rewrites.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tandem/base/error.h"
#include "tandem/base/progress.h"
#include "tandem/base/text.h"
#include "tandem/base/threads.h"
#include "tandem/compress/histogram.h"
#include "tandem/compress/measure.h"
#include "tandem/compress/observed_network.h"
#include "tandem/graph/operator.h"
#include "tandem/transform/channel_seams.h"

namespace tandem {

ChannelRewrite parse_channel_rewrite(std::string_view text) {
  const auto colon = text.find(':');
  const std::string kind(text.substr(0, colon));
  const auto parameter = [&](double usual, double least, double most) {
    if (colon == std::string_view::npos) return usual;
    const double value = parse_real(text.substr(colon + 1), concat("--rewrite ", kind));
    if (!(value >= least && value <= most))
      throw Error("--rewrite ", text, ": the parameter lies in [", least, ",", most, "]");
    return value;
  };
  using Kind = ChannelRewrite::Kind;
  if (kind == "smooth") return {Kind::kSmooth, parameter(0.5, 0, 1)};
  if (kind == "ptf") return {Kind::kPowerOfTwoFactors, std::round(parameter(3, 0, 8))};
  if (colon != std::string_view::npos && (kind == "equalize" || kind == "repq"))
    throw Error("--rewrite ", text, ": ", kind, " has no parameter");
  if (kind == "equalize") return {Kind::kEqualize, 0};
  if (kind == "repq") return {Kind::kRepq, 0};
  throw Error("unknown rewrite '", text, "'",
              suggestion(kind, {"equalize", "smooth", "ptf", "repq"}));
}

std::string name(const ChannelRewrite& rewrite) {
  switch (rewrite.kind) {
    case ChannelRewrite::Kind::kEqualize: return "equalize";
    case ChannelRewrite::Kind::kSmooth: return concat("smooth:", shortest(rewrite.parameter));
    case ChannelRewrite::Kind::kPowerOfTwoFactors: return concat("ptf:", rewrite.parameter);
    case ChannelRewrite::Kind::kRepq: return "repq";
  }
  throw InternalError("unknown rewrite");
}

namespace {

constexpr int kChannelBins = 512;

// The distribution of each channel of the values at seams.
class ChannelStatistics {
 public:
  ChannelStatistics(const Module& network, const std::vector<ChannelSeam>& seams,
                    const DataSet& calibration) {
    std::vector<ValueId> values;
    for (const ChannelSeam& seam : seams) {
      values.push_back(seam.value);
      channels_.emplace_back(static_cast<std::size_t>(seam.channels), Histogram(kChannelBins));
    }
    ObservedNetwork running(network, values);
    const auto take = [&](const std::vector<std::vector<Tensor>>& seen) {
      parallel_for(
          0, static_cast<std::int64_t>(seams.size()), 1, [&](std::int64_t from, std::int64_t to) {
            for (auto i = static_cast<std::size_t>(from); i < static_cast<std::size_t>(to); ++i)
              for (const Tensor& sample : seen[i]) add(seams[i], channels_[i], sample);
          });
    };
    Progress progress("gathering channels", calibration.count());
    for_each_batch(network, calibration, [&](std::span<const Tensor> inputs) {
      running.run(inputs, take);
      progress.advance(inputs.front().shape().empty() ? 1 : inputs.front().shape()[0]);
    });
  }

  const std::vector<Histogram>& of(std::size_t seam) const { return channels_[seam]; }

 private:
  static void add(const ChannelSeam& seam, std::vector<Histogram>& channels, const Tensor& tensor) {
    const std::int64_t stride = row_major_strides(tensor.shape())[seam.axis];
    const auto values = tensor.to_floats();
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::int64_t channel = static_cast<std::int64_t>(i) / stride % seam.channels;
      channels[static_cast<std::size_t>(channel)].add(static_cast<double>(values[i]));
    }
  }

  std::vector<std::vector<Histogram>> channels_;
};

double reach(const Histogram& channel) { return std::max(-channel.min(), channel.max()); }

struct ChannelLine {
  std::vector<double> scale, shift;
};

ChannelLine smoothed(const Module& network, const ChannelSeam& seam,
                     const std::vector<Histogram>& channels, double alpha) {
  const auto weights = reader_reach(network, seam);
  ChannelLine line;
  for (std::size_t c = 0; c < channels.size(); ++c) {
    const double x = reach(channels[c]);
    const bool has_both = x > 0 && weights[c] > 0;
    line.scale.push_back(has_both ? std::pow(x, alpha) / std::pow(weights[c], 1 - alpha) : 1);
  }
  return line;
}

ChannelLine with_factors(const std::vector<Histogram>& channels, int most,
                         const QuantizerRules& activations) {
  double low = 0, high = 0;
  for (const Histogram& channel : channels) {
    low = std::min(low, channel.min());
    high = std::max(high, channel.max());
  }
  const Quantizer base =
      quantizer_over(std::ldexp(low, -most), std::ldexp(high, -most), activations);
  ChannelLine line;
  for (const Histogram& channel : channels) {
    double least = std::numeric_limits<double>::infinity();
    int best = 0;
    for (int k = 0; k <= most; ++k) {
      Quantizer tried = base;
      tried.scale = std::ldexp(base.scale, k);
      const double error = squared_error(channel, tried);
      if (error < least) best = k;
      least = std::min(least, error);
    }
    line.scale.push_back(std::ldexp(1.0, best));
  }
  return line;
}

ChannelLine reparameterized(const std::vector<Histogram>& channels, bool takes_shift,
                            QuantizerRules activations) {
  if (!takes_shift) activations.symmetric = true;
  std::vector<Quantizer> own;
  double scale = 0, zero = 0;
  for (const Histogram& channel : channels) {
    own.push_back(choose_quantizer(channel, activations));
    scale += own.back().scale / static_cast<double>(channels.size());
    zero += static_cast<double>(own.back().zero) / static_cast<double>(channels.size());
  }
  zero = std::nearbyint(zero);
  ChannelLine line;
  for (std::size_t c = 0; c < own.size(); ++c) {
    // A channel that is constant zero has no scale of its own.
    const double ratio = reach(channels[c]) > 0 ? own[c].scale / scale : 1;
    line.scale.push_back(ratio);
    const double steps = reach(channels[c]) > 0 ? zero - static_cast<double>(own[c].zero) : 0;
    line.shift.push_back(ratio * scale * steps);
  }
  if (!takes_shift) line.shift.clear();
  return line;
}

}  // namespace

std::size_t rewrite_channels(Module& network, const ChannelRewrite& rewrite,
                             const DataSet& calibration, const QuantizerRules& activations) {
  using Kind = ChannelRewrite::Kind;
  if (rewrite.kind == Kind::kEqualize) {
    const std::size_t count = equalize_layers(network);
    if (count == 0) throw Error("--rewrite equalize: no two products follow each other");
    return count;
  }
  const bool of_codes = rewrite.kind != Kind::kSmooth;
  if (of_codes && !is_affine(activations.format))
    throw Error("--rewrite ", name(rewrite),
                " chooses zero points and steps of int or uint codes, "
                "not of ",
                activations.format.name());
  std::vector<ChannelSeam> seams = channel_seams(network);
  const auto is_norm = [&](const ChannelSeam& seam) {
    return network.main().nodes[seam.producer].op->name().ends_with("Normalization");
  };
  if (of_codes) std::erase_if(seams, [&](const ChannelSeam& seam) { return !is_norm(seam); });
  if (seams.empty())
    throw Error(
        "--rewrite ", name(rewrite), ": the network has no ", of_codes ? "normalization" : "value",
        " whose channels can be scaled: its readers must be products with constant weights");
  const ChannelStatistics statistics(network, seams, calibration);
  for (std::size_t i = 0; i < seams.size(); ++i) {
    const auto& channels = statistics.of(i);
    ChannelLine line;
    if (rewrite.kind == Kind::kSmooth)
      line = smoothed(network, seams[i], channels, rewrite.parameter);
    if (rewrite.kind == Kind::kPowerOfTwoFactors)
      line = with_factors(channels, static_cast<int>(rewrite.parameter), activations);
    if (rewrite.kind == Kind::kRepq)
      line = reparameterized(channels, seams[i].takes_shift, activations);
    rescale_channels(network, seams[i], line.scale, line.shift);
  }
  remove_unused(network);
  return seams.size();
}

}  // namespace tandem
