#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tandem/graph/module.h"

namespace tandem {

// A value of "main" whose channels can be scaled without changing what the network computes: the
// node that makes it takes the inverse into its constants, and all its readers are products with
// constant weights, which take the factor. Between the two may lie a Relu, sums with constants and
// data movement.
struct ChannelSeam {
  ValueId value = kNone;
  NodeId producer = kNone;  // LayerNormalization, RMSNormalization or a product
  struct Between {
    NodeId node = kNone;
    std::size_t axis = 0;  // of the channels in what it reads
  };
  std::vector<Between> between;  // from the producer to the value
  std::size_t axis = 0;          // of the value's channels
  std::int64_t channels = 0;
  bool takes_shift = false;  // whether channels can be moved as well
  // Products that read the value, each once.
  std::vector<NodeId> readers;
};

std::vector<ChannelSeam> channel_seams(const Module& network);

// Makes the value (value - shift) / scale for each channel, and its readers undo it. Scales are
// positive; an empty `shift` means zeros, and only seams that take shifts may have others.
// The network computes the same up to rounding. Node and value numbers stay valid, and nodes may be
// added.
void rescale_channels(Module& network, const ChannelSeam& seam, std::span<const double> scale,
                      std::span<const double> shift = {});

// The greatest magnitude of each channel's constants: of the producer's weights and, over all
// readers, of the weights that the channel meets.
std::vector<double> producer_reach(const Module& network, const ChannelSeam& seam);
std::vector<double> reader_reach(const Module& network, const ChannelSeam& seam);

// Cross-layer equalization (Nagel et al., "Data-Free Quantization Through Weight Equalization and
// Bias Correction", 2019): channels between two products get scales sqrt(r1 r2) / r2, so that both
// have the same reach, until none changes by more than 0.1 %. Returns how many seams it changed.
std::size_t equalize_layers(Module& network);

}  // namespace tandem
