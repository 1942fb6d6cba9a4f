#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/compress/quantizer.h"
#include "tandem/data/dataset.h"
#include "tandem/graph/module.h"

namespace tandem {

// Function-preserving changes of the scales of channels (transform/channel_seams.h) that make a
// network easier to recode.
//   equalize  channels between two products reach equally far in the weights of both; no data
//   smooth    s = max|x|^a / max|w|^(1-a) moves outliers of activations into the weights that read
//             them (Xiao et al., "SmoothQuant", 2023, equation 4); parameter a, 0.5
//   ptf       behind normalizations channels get factors 2^k, k in 0..K, by the least squared error
//             of their codes (Lin et al., "FQ-ViT", 2022, equations 6 to 8); parameter K, 3
//   repq      behind normalizations channels get the scale and zero point of their own quantizers,
//             moved into the normalization and its readers (Li et al., "RepQ-ViT", 2023, equations
//             8 to 12)
struct ChannelRewrite {
  enum class Kind { kEqualize, kSmooth, kPowerOfTwoFactors, kRepq };
  Kind kind = Kind::kEqualize;
  double parameter = 0;
};
// "equalize", "smooth:0.5", "ptf:3", "repq"; the parameter may be absent. Throws Error naming the
// nearest.
ChannelRewrite parse_channel_rewrite(std::string_view text);
std::string name(const ChannelRewrite& rewrite);

// Rewrites a prepared network; statistics of channels come from `calibration`, and quantizers of
// channels follow `activations`. Returns how many places changed. Throws Error where the network
// has none, and where ptf or repq are asked for codes that are no int or uint.
std::size_t rewrite_channels(Module& network, const ChannelRewrite& rewrite,
                             const DataSet& calibration, const QuantizerRules& activations);

}  // namespace tandem
