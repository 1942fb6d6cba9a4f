#pragma once

#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tandem/base/error.h"
#include "tandem/graph/builder.h"
#include "tandem/graph/operator.h"

namespace tandem {

// A real value known through integers of the lowered function. Either affine:
//   real = min(max(scale * integer + offset, low), high)
// or, when `table` is present, listed:
//   real = table[..., integer - min], min the least integer of the value's format.
// All tensors are f64 with the value's rank (dimensions 1 broadcast); a table has one more, last,
// axis with one entry per integer of the format. Affine scales may be of either sign, never zero.
//
// Element-wise reals stay deferred in this form until a Quantize turns them into one Rescale or
// Table, so no intermediate rounding is added by lowering.
struct CodedValue {
  ValueId integer = kNone;
  Tensor scale, offset;
  Tensor low, high;
  std::optional<Tensor> table;
};

struct LoweringOptions {
  // Widest multiplier of a Rescale in bits.
  int multiplier_bits = 31;
  // Extra fraction bits where deferred affine values of different scales are added.
  int alignment_bits = 12;
  // Element-wise functions are tabulated for integers of at most so many bits.
  int table_bits = 16;
};

// What an operator sees when it is lowered: its node in the real graph, and for every input its
// coded form in the lowered function, or its constant.
class LoweringSite {
 public:
  LoweringSite(const NodeView& source, Builder& lowered_builder, const LoweringOptions& lowering,
               std::vector<std::optional<CodedValue>> coded_inputs)
      : node(source),
        builder(lowered_builder),
        options(lowering),
        inputs(std::move(coded_inputs)) {}

  const NodeView& node;
  Builder& builder;
  const LoweringOptions& options;
  std::vector<std::optional<CodedValue>> inputs;  // nullopt: constant or absent

  // The coded form of an input; throws Error with the remedy when it is a real constant instead.
  const CodedValue& coded(std::size_t index) const;
  const Tensor* constant(std::size_t index) const { return node.constant(index); }
  Format integer_format(const CodedValue& value) const {
    return builder.type(value.integer).format;
  }
};

// One node that cannot be lowered: which, why, and how to mend it.
struct LoweringProblem {
  std::string node, op;
  std::string reason, remedy;
};

// All of them at once; the message has one line for each.
class LoweringError : public Error {
 public:
  explicit LoweringError(std::vector<LoweringProblem> problems);
  const std::vector<LoweringProblem>& problems() const { return problems_; }

 private:
  std::vector<LoweringProblem> problems_;
};

// Lowers every node of a real graph into the target's graph, given the coded form of its inputs.
// Nodes of constants are evaluated. Throws LoweringError with every node without integer form: what
// follows such a node is judged as if it were fed by 8-bit codes.
std::vector<CodedValue> lower_graph(const Module& source, GraphId graph, Builder& target,
                                    const LoweringOptions& options,
                                    std::span<const std::optional<CodedValue>> inputs);

}  // namespace tandem
