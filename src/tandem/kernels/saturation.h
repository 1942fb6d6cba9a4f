#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tandem {

// AVX2 multiplies bytes in pairs: vpmaddubsw adds two products of an unsigned and a signed byte in
// 16 bits and saturates, silently wrong for large weights. What is here pairs weights so that this
// provably cannot happen.

// Sixteen columns of weights over a reduction, cut into windows of 16 neighbouring elements. Within
// a window each pair of columns j and j + 8 takes the elements in an order of its own, in steps of
// four; in this order no sum of a step leaves 16 bits, whatever the activations, nor does the sum
// of both steps of a double one. Where no order does, a window has more steps than it would need,
// in which elements stand alone.
struct PairedPanel {
  static constexpr std::int64_t kColumns = 16, kQuad = 4, kWindow = 16;
  static constexpr std::size_t kStepBytes = 96;  // the order, then the weights of all columns

  std::uint32_t doubles = 0, singles = 0;  // steps in twos, which come first, and alone
  std::vector<std::uint32_t> offsets;      // of the window in the reduction, for each of those
  // Of each step: for column j < 8 and i < 4 at 4 j + i, where in the window element i lies (0x80:
  // nowhere); at 32 + 4 j + i, for all j, its weight.
  std::vector<std::int8_t> steps;

  // Of an operand that is computed: steps of four neighbouring elements, multiplied as words.
  std::vector<std::uint32_t> wide_offsets;
  std::vector<std::int16_t> wide_weights;  // [step][elements 0 and 2, 1 and 3][kColumns][2]
};

// For the rows of a panel, `weights` [depth][kColumns] with depth a multiple of kWindow, and
// activations from 0 to `most` (at most 255). Windows without weights are left out.
PairedPanel pair_panel(std::span<const std::int8_t> weights, std::int64_t depth, int most);

}  // namespace tandem
