#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace tandem {

// AVX2 multiplies bytes in pairs: vpmaddubsw adds two products of an unsigned and a signed byte in
// 16 bits and saturates, silently wrong for large weights. What is here proves from the weights
// where that cannot happen, and cuts a reduction so that it never does.

// Sixteen columns of weights over a reduction, cut into steps. A step multiplies four elements of
// the reduction, `picks` relative to `offset`, as two pairs; the sums of a group of steps fit 16
// bits, whatever the activations.
struct PairedPanel {
  static constexpr std::int64_t kColumns = 16, kBlock = 16;
  struct Step {
    std::uint32_t offset = 0;             // a multiple of kBlock
    std::array<std::uint8_t, 4> picks{};  // below kBlock
  };
  std::vector<Step> steps;
  std::vector<std::int8_t> weights;   // [steps][kColumns][4]
  std::vector<std::uint32_t> groups;  // steps of each
  // Pairs of elements of the reduction, and those whose sum may saturate in some column: their
  // elements are multiplied in steps of their own, beside zeros.
  std::int64_t pairs = 0, unproven = 0;
};

// Pairs the rows of a panel, `weights` [depth][kColumns] with depth a multiple of kBlock, anew
// within each block, large ones with small ones, so that as many pairs as it finds are proven for
// activations from 0 to `most` (at most 255).
PairedPanel pair_panel(std::span<const std::int8_t> weights, std::int64_t depth, int most);

// Whether no sum of products of these weights, each with an activation from 0 to `most`, nor any
// part of the sum, leaves 16 bits.
bool fits_16_bits(std::span<const std::int8_t> weights, int most);

}  // namespace tandem
