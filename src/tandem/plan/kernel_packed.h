#pragma once

#include <string>
#include <vector>

#include "tandem/graph/module.h"
#include "tandem/graph/operator.h"
#include "tandem/plan/element_program.h"

namespace tandem {

// Matrix products and convolutions of bytes by instructions that take several products at once. The
// windows of a few positions are first copied side by side into the scratch array "patch"; then
// blocks of columns are multiplied with them.
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
struct PackedProduct {
  std::int64_t columns = 0, taps = 0, rows = 0;
  bool signed_input = true;
  bool vectors = false;  // by vectors of 16 bytes (Helium's VMLADAVA) instead of pairs
  bool twin = false;
  bool direct = false;       // reads the input where it lies, without a patch
  bool interleaved = false;  // rows lie side by side in the patch, four taps of each at a time
  std::vector<std::int64_t> weights;  // [columns][taps]
  std::vector<std::int64_t> tap_of;   // by slot of the patch; -1: none
  std::int64_t block_columns = 0, block_rows = 0;

  // Numbers from one row of the patch to the next, and from four taps of a row to the next four.
  std::int64_t row_stride() const { return interleaved ? 4 : slots(); }
  std::int64_t word_stride() const { return interleaved ? 4 * block_rows : 4; }
  std::int64_t slots() const { return static_cast<std::int64_t>(tap_of.size()); }
  // Taps that are multiplied at once; the patch is filled up to whole ones.
  std::int64_t lanes() const { return vectors ? 16 : 4; }
  // Columns of a block where fewer are left than the form's.
  std::int64_t rest_columns() const { return vectors ? 1 : 2; }
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

// Appends the forms "pairs_CxP" and "vector_CxP" that a group can take: its first node multiplies
// bytes with constant bytes, its sums fit 32 bits, and what follows can be addressed by row and
// column.
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
