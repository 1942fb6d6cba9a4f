#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace tandem {

// AVX2 multiplies bytes in pairs: vpmaddubsw adds two products of an unsigned and a signed byte in
// 16 bits and saturates, silently wrong for large weights. What is here proves from the weights
// where that cannot happen.

// Sixteen columns of weights over a reduction, cut into steps of four neighbouring elements: two
// pairs. Steps whose pairs are proven come in groups of which even the sums fit 16 bits, whatever
// the activations; the other steps are wide, and multiplied as words.
struct PairedPanel {
  static constexpr std::int64_t kColumns = 16, kQuad = 4;
  static constexpr std::size_t kMostLength = 4;

  // How many groups there are of kMostLength steps, of one less, and so on; the steps lie in this
  // order, the wide ones behind them.
  std::array<std::uint32_t, kMostLength> groups{};
  std::vector<std::uint32_t> offsets;      // of each step's elements in the reduction
  std::vector<std::int8_t> weights;        // of proven steps: [step][kColumns][kQuad]
  std::vector<std::int16_t> wide_weights;  // [step][elements 0 and 2, 1 and 3][kColumns][2]
  // Pairs of elements of the reduction, and those whose sum may saturate in some column.
  std::int64_t pairs = 0, unproven = 0;

  std::uint32_t wide_steps() const {
    return static_cast<std::uint32_t>(offsets.size() -
                                      weights.size() / static_cast<std::size_t>(kColumns * kQuad));
  }
};

// For the rows of a panel, `weights` [depth][kColumns] with depth a multiple of kQuad, and
// activations from 0 to `most` (at most 255). Steps without weights are left out.
PairedPanel pair_panel(std::span<const std::int8_t> weights, std::int64_t depth, int most);

// Whether no sum of products of these weights, each with an activation from 0 to `most`, nor any
// part of the sum, leaves 16 bits.
bool fits_16_bits(std::span<const std::int8_t> weights, int most);

}  // namespace tandem
