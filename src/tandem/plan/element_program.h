#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tandem/graph/module.h"
#include "tandem/plan/loop_program.h"
#include "tandem/plan/scalar_code.h"
#include "tandem/plan/upper_word_scale.h"

namespace tandem {

// The loops in which a step computes its result, outermost first: the elements of the result in
// row-major order. Their product is the number of elements.
using LoopExtents = std::vector<std::int64_t>;

// Strides by which a sequence (one entry for each element of the nest) advances with each axis,
// starting at its first entry; nullopt when it is not affine.
std::optional<std::vector<std::int64_t>> affine_strides(std::span<const std::int64_t> sequence,
                                                        const LoopExtents& nest);

// Whether the operands of an element-wise node can be addressed in a nest: those that are computed
// and those that are constant advance by fixed strides. `running` is the input that the steps
// before it hand over in a register (kNone: all are loaded).
bool fits_nest(const Module& module, const Graph& graph, const Node& node, std::size_t running,
               const LoopExtents& nest);

// A chain of element-wise nodes, each computed from the one before it, applied to one element.
class ElementProgram {
 public:
  // Adds the arrays that the chain needs to `program`: inputs for what is loaded, constants for
  // what is not the same everywhere. `base_of` maps a value to the one whose memory it shares.
  ElementProgram(const Module& module, const Graph& graph, LoopProgram& program,
                 const std::vector<ValueId>& base_of, LoopExtents nest);

  // Prepares a node; nodes are added in order. `running` as in fits_nest(); `x` is the range of the
  // running value, which the first node of a chain without one ignores.
  void add(const Node& node, std::size_t running, IntegerRange x = {});
  // Of the result of the nodes that were added.
  IntegerRange range() const { return links_.back().range; }
  bool empty() const { return links_.empty(); }

  // Appends the statements that turn the running value into the chain's result at a position of
  // the nest (one index for each axis).
  Ranged apply(Statements& body, std::optional<Ranged> running, std::span<const Expr> position);

 private:
  // Something that varies over the nest: the same everywhere, or elements of an array.
  struct Operand {
    std::string array;  // empty: the same everywhere
    Storage storage = Storage::kI8;
    IntegerRange range;
    std::vector<std::int64_t> strides;  // by axis of the nest, in rows of the array
    std::int64_t row = 1;               // elements of the array for each position
    std::vector<std::int64_t> values;   // of the row, where it is the same everywhere
  };
  // Multiplier, addend and shift of a Rescale, as they are computed with.
  struct Scaling {
    Operand multiplier, addend, shift;
    std::optional<UpperWordScale> upper;  // addend: its biases, shift: its shifts
    IntegerRange sum, rounded;            // of x * multiplier + addend, and of that over 2^shift
    Storage type = Storage::kI64;
    bool folded = false;  // the shift is the same everywhere, the addend holds the rounding
  };
  struct Link {
    const Node* node = nullptr;
    std::size_t running = kNone;
    std::vector<Operand> operands;  // by input; unused for the running one
    Scaling scaling;
    IntegerRange range;  // of the result, proven
  };
  // The axes over which constants vary, and their rows at each point of those axes.
  struct Pattern {
    std::vector<std::int64_t> strides;              // of the compacted array, by axis of the nest
    std::vector<std::vector<std::int64_t>> points;  // by constant: offset of its row
  };

  Pattern pattern_of(const Node& node, std::span<const std::size_t> inputs,
                     std::int64_t row_axes) const;
  Operand compacted(const Pattern& pattern, std::vector<std::int64_t> values, std::int64_t row,
                    const std::string& stem, ArrayRole role);
  Operand operand(const Node& node, std::size_t input);
  void prepare_rescale(Link& link, IntegerRange x);
  void limit_rescaled(Link& link);
  void prepare_table(Link& link);
  void prepare_threshold(Link& link, IntegerRange x);
  Expr index_of(const Operand& operand, std::span<const Expr> position) const;
  Ranged fetch(const Operand& operand, std::span<const Expr> position) const;

  Ranged apply_link(ScalarCode& code, const Link& link, std::optional<Ranged> running,
                    std::span<const Expr> position);
  Ranged apply_binary(ScalarCode& code, const Link& link, Ranged a, Ranged b);
  Ranged apply_rescale(ScalarCode& code, const Link& link, Ranged x,
                       std::span<const Expr> position);
  Ranged apply_upper_word(const Link& link, Ranged x, std::span<const Expr> position);
  Ranged apply_table(ScalarCode& code, const Link& link, Ranged x, std::span<const Expr> position);
  Ranged apply_threshold(ScalarCode& code, const Link& link, Ranged x,
                         std::span<const Expr> position);

  const Module& module_;
  const Graph& graph_;
  LoopProgram& program_;
  const std::vector<ValueId>& base_of_;
  LoopExtents nest_;
  std::vector<Link> links_;
};

// The name by which a program knows the array of a value that is computed; added where it is new.
std::string input_array(LoopProgram& program, const Graph& graph, ValueId base);

}  // namespace tandem
