#pragma once

#include <string>
#include <vector>

#include "tandem/graph/module.h"
#include "tandem/graph/operator.h"
#include "tandem/plan/element_program.h"

namespace tandem {

// How the taps of bytes are multiplied.
enum class PackedUnit {
  kBytes,   // one by one
  kPairs,   // two at once (Armv7E-M's SMLAD)
  kVectors  // 16 at once (Helium's VMLADAVA)
};

// The bytes of a word.
inline constexpr std::int64_t kWordTaps = 4;

struct PackedBlock;

// Matrix products and convolutions of bytes, a tile of positions and columns at a time. The windows
// of a few positions are first copied side by side into the scratch array "patch"; then blocks of
// columns are multiplied with them.
//
// Bytes: for cores with registers for the sums of a large tile, in which each load of a weight or
// an input serves several products.
//
// Pairs: matrix products and convolutions of bytes on cores that multiply two pairs of
// 16-bit numbers and add both products to a sum in one instruction (Armv7E-M's SMLAD). The bytes of
// each window are first widened into the scratch array "patch", four at a time: a word of bytes
// 0 1 2 3 becomes the pairs (0, 2) and (1, 3), so the taps of the weights lie in that order too.
//
// Weights lie "twin" where they can: the weights a and b of two columns for one tap as the one
// 16-bit number 256 a + b. A product with it gives 256 A + B, one with its sign-extended low byte
// gives B, and A is an eighth of a word above: two columns for one widening. That is exact as long
// as A fits 24 bits, which the ranges of weights and input tell.
//
// Narrow: weights of 4 or 2 bits share bytes with those of the next words of taps: byte j of a word
// or vector holds the weights of its place in 2 or 4 of them, the first one lowest. Shifted to the
// top of its byte, a weight is 16 or 64 times itself, and so is the sum, as long as it fits a word.
struct PackedProduct {
  std::int64_t columns = 0, taps = 0, rows = 0;
  bool signed_input = true;
  PackedUnit unit = PackedUnit::kPairs;
  bool twin = false;
  int bits = 8;              // of a stored weight: 8, or 4 or 2 where they are narrow
  bool direct = false;       // reads the input where it lies, without a patch
  bool interleaved = false;  // rows lie side by side in the patch, four taps of each at a time
  std::vector<std::int64_t> weights;  // [columns][taps]
  std::vector<std::int64_t> tap_of;   // by slot of the patch; -1: none
  std::int64_t block_columns = 0, block_rows = 0;

  // Numbers from one row of the patch to the next, and from taps of a row that are multiplied at
  // once to the next ones.
  std::int64_t row_stride() const { return interleaved ? 4 : slots(); }
  std::int64_t word_stride() const { return interleaved ? 4 * block_rows : lanes(); }
  std::int64_t slots() const { return static_cast<std::int64_t>(tap_of.size()); }
  // Taps that are multiplied at once; the patch is filled up to whole ones.
  std::int64_t lanes() const {
    return unit == PackedUnit::kBytes ? 1 : unit == PackedUnit::kPairs ? kWordTaps : 16;
  }
  // Steps of so many taps in one iteration of the innermost loop.
  std::int64_t unrolled_steps(const PackedBlock& block) const;
  // Words of taps whose weights share bytes; columns whose weights share a number.
  std::int64_t words_together() const { return 8 / bits; }
  std::int64_t shared() const { return twin ? 2 : words_together(); }
  // Columns of a block where fewer are left than the form's.
  std::int64_t rest_columns() const { return unit == PackedUnit::kPairs ? 2 : 1; }
};

// Columns of some rows that are computed together.
struct PackedBlock {
  std::string source;  // the array that holds the taps of the rows, from `start` on
  Expr start, first_row, column;
  std::int64_t rows = 0, columns = 0;
  std::int64_t finished_columns = 0;  // the others are no columns of the result

  std::size_t sum(std::int64_t row, std::int64_t c) const {
    return static_cast<std::size_t>(c * rows + row);
  }
};

// Appends the forms "bytes_CxP", "pairs_CxP" and "vector_CxP" that a group can take, and
// "pairs4_CxP" and the like for weights of 4 or 2 bits: its first node multiplies bytes with
// constant bytes, its sums fit 32 bits, and what follows can be addressed by row and column.
void add_packed_forms(const Module& module, const Graph& graph, const std::vector<ValueId>& base_of,
                      const std::vector<NodeId>& nodes, std::vector<std::string>& forms);

// What these products and those of planes need: a format of bytes, weights that are signed bytes,
// sums of 32 bits.
bool is_bytes(const Format& format);
bool holds_bytes(const Tensor& weights);
bool has_word_sums(const NodeView& view);

// Rows (positions, over all images) and columns of the first node's result.
LoopExtents row_nest(const Graph& graph, const Node& first);

}  // namespace tandem
