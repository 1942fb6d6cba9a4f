#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "tandem/graph/operator.h"
#include "tandem/kernels/code_gemm.h"
#include "tandem/kernels/code_pairs.h"
#include "tandem/kernels/code_rescale.h"

namespace tandem {

// Internal to the room: nodes of a lowered function that run as one from codes of 8 bits to codes
// of 8 bits.

struct CodeGroup {
  std::string form;           // of host_plan.h
  std::vector<NodeId> nodes;  // ascending
};

// All groups of "main". `kept` are values that must be stored, besides those read elsewhere.
std::vector<CodeGroup> code_groups(const Module& module, const std::set<ValueId>& kept,
                                   const std::vector<std::vector<NodeId>>& readers);

// The integers of a constant in 8 signed bits: where they lie, if they are stored so, or as copies
// in `room`. They must fit.
std::span<const std::int8_t> signed_bytes(const Tensor& constant, std::vector<std::int8_t>& room);
// The constant weights of a convolution or product as one packed operand for each group.
std::vector<PackedCodes> packed_weights(const NodeView& head);

// What becomes of a sum: a Rescale that rounds down to codes.
struct CodeTail {
  std::vector<RescaleLine> lines;  // one, or one for each channel
  int left = 0;                    // of x * 2^left
  std::int32_t low = 0, high = 0;
  std::optional<std::array<std::uint8_t, 256>> table;  // of the codes' bytes

  RescaleLine line(std::int64_t channel) const {
    return lines[lines.size() == 1 ? 0 : static_cast<std::size_t>(channel)];
  }
  // One for each of so many channels.
  std::vector<RescaleLine> lines_of(std::int64_t channels) const {
    if (lines.size() > 1) return lines;
    return std::vector<RescaleLine>(static_cast<std::size_t>(channels), lines[0]);
  }
};

// Of the nodes of a group from its Rescale on; nullopt where a kernel cannot take them. Of codes
// themselves, which leave room to their left, factors may be larger than of sums.
std::optional<CodeTail> code_tail(const Module& module, const Graph& graph,
                                  const std::vector<NodeId>& nodes, bool of_codes = false);
// The position of the group's Rescale in its nodes; their number where there is none.
std::size_t rescale_of(const Graph& graph, const std::vector<NodeId>& nodes);

// A Table of codes as its bytes; nullopt where elements have tables of their own.
std::optional<std::array<std::uint8_t, 256>> byte_table(const NodeView& node);
// The same where each index of one axis may have its own: as many tables as that axis is long, for
// runs of `inner` elements each.
struct CodeTables {
  std::vector<std::array<std::uint8_t, 256>> tables;
  std::int64_t inner = 1;
};
std::optional<CodeTables> byte_tables(const NodeView& node);

// The sum that a Rescale reads, as a function of one or two values of codes.
struct CodePair {
  ValueId x = kNone, y = kNone;
  PairTerms terms;
  // A sum whose terms are too wide for PairTerms; `terms` is then not used.
  struct Wide {
    std::int64_t x_factor = 0, y_factor = 0, constant = 0;
  };
  std::optional<Wide> wide;
  std::vector<NodeId> nodes;  // those that nothing else reads
};
// A wide sum and the tail behind it as one; nullopt where doubles do not hold it.
std::optional<WidePairTerms> wide_terms(const CodePair::Wide& sum, const CodeTail& tail);
std::optional<CodePair> code_pair(const Module& module, const Graph& graph, ValueId sum,
                                  const std::set<ValueId>& kept,
                                  const std::vector<std::vector<NodeId>>& readers);

// A product of two matrices of computed codes: sum_k (a[i,k] - a_zero) * (b[k,j] - b_zero).
struct CodeOperand {
  ValueId codes = kNone;
  std::int64_t zero = 0;
};
struct CodeMatMul {
  CodeOperand a, b;
  std::vector<NodeId> nodes;  // those that nothing else reads
};
std::optional<CodeMatMul> code_matmul(const Module& module, const Graph& graph, NodeId product,
                                      const std::set<ValueId>& kept,
                                      const std::vector<std::vector<NodeId>>& readers);

// Whether a Quantize or Dequantize is one that code_borders.cpp runs: of bytes, with one scale.
bool is_code_border(const NodeView& node);

// Whether a value is stored as single bytes, and whether those are signed.
bool is_byte(const Format& format);
bool is_signed_byte(const Format& format);

}  // namespace tandem
