#pragma once

#include <string>
#include <vector>

#include "tandem/graph/module.h"
#include "tandem/graph/operator.h"
#include "tandem/plan/element_program.h"

namespace tandem {

// Products of pairs: matrix products and convolutions of bytes on cores that multiply two pairs of
// 16-bit numbers and add both products to a sum in one instruction (Armv7E-M's SMLAD). The bytes of
// each window are first widened into the scratch array "patch", four at a time: a word of bytes
// 0 1 2 3 becomes the pairs (0, 2) and (1, 3), so the taps of the weights lie in that order too.
//
// Weights lie "twin" where they can: the weights a and b of two columns for one tap as the one
// 16-bit number 256 a + b. A product with it gives 256 A + B, one with its sign-extended low byte
// gives B, and A is an eighth of a word above: two columns for one widening. That is exact as long
// as A fits 24 bits, which the ranges of weights and input tell.
struct PairProduct {
  std::int64_t columns = 0, taps = 0, rows = 0;
  bool signed_input = true;
  bool twin = false;
  bool direct = false;                // reads the input where it lies, without a patch
  std::vector<std::int64_t> weights;  // [columns][taps]
  std::vector<std::int64_t> tap_of;   // by slot of the patch; -1: none
  std::int64_t block_columns = 0, block_rows = 0;

  std::int64_t slots() const { return static_cast<std::int64_t>(tap_of.size()); }
};

// Appends the forms "pairs_CxP" that a group can take: its first node multiplies bytes with
// constant bytes, its sums fit 32 bits, and what follows can be addressed by row and column.
void add_pair_forms(const Module& module, const Graph& graph, const std::vector<ValueId>& base_of,
                    const std::vector<NodeId>& nodes, std::vector<std::string>& forms);

// What these products and those of planes need: a format of bytes, weights that are signed bytes,
// sums of 32 bits.
bool is_bytes(const Format& format);
bool holds_bytes(const Tensor& weights);
bool has_word_sums(const NodeView& view);

// Rows (positions, over all images) and columns of the first node's result.
LoopExtents row_nest(const Graph& graph, const Node& first);

}  // namespace tandem
