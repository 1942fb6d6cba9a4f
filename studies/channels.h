#pragma once

#include <cstdint>
#include <vector>

namespace tandem {

// Activations [tokens][channels] whose output error under a product with random weights is studied.
struct Activations {
  std::int64_t tokens = 0, channels = 0;
  std::vector<double> values;
};

// Gaussian numbers with a standard deviation for each channel.
Activations gaussian_channels(std::int64_t tokens, const std::vector<double>& deviations,
                              std::uint64_t seed);

// How far the products with Gaussian weights [channels][channels] are off when activations become
// uint<bits> with a zero point: with one scale; with one scale times 2^k for each channel, k in
// 0..most (FQ-ViT's power-of-two factors); with a scale for each channel.
double layer_wise_error(const Activations& activations, int bits);
double factor_error(const Activations& activations, int bits, int most);
double channel_wise_error(const Activations& activations, int bits);

}  // namespace tandem
