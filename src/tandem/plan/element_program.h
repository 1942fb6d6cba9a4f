#pragma once

#include <cstdint>
#include <map>
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

// By input of a node: whether one of `before`, nodes of the same group, computes it, so that it is
// there in a register.
std::vector<bool> register_inputs(const Graph& graph, const std::vector<ValueId>& base_of,
                                  std::span<const NodeId> before, const Node& node);

// Whether the operands of an element-wise node that are not in registers can be addressed in a
// nest: they advance by fixed strides.
bool fits_nest(const Module& module, const Graph& graph, const Node& node,
               const std::vector<bool>& in_register, const LoopExtents& nest);

// An expression of element-wise nodes, applied to one element: each operand is loaded, constant, or
// the result of a node before it, which no other node reads.
class ElementProgram {
 public:
  // Adds the arrays that the nodes need to `program`: inputs for what is loaded, constants for
  // what is not the same everywhere. `base_of` maps a value to the one whose memory it shares.
  ElementProgram(const Module& module, const Graph& graph, LoopProgram& program,
                 const std::vector<ValueId>& base_of, LoopExtents nest);

  // Says that apply() will compute quads, before nodes are added: scales are then held as Helium's
  // instructions take them.
  void expect_quads() { for_quads_ = true; }
  // Says which value, of what range, apply() is given in a register.
  void hand_over(ValueId base, IntegerRange range);
  // Prepares a node; nodes are added in order, the last one computes the result.
  void add(const Node& node);
  bool empty() const { return links_.empty(); }
  // Whether apply() can compute four elements along one axis of the nest at once: only sums,
  // differences, products, limits, and scales by upper words, all in 32 bits.
  bool takes_quads() const;

  // Appends the statements that compute the result at a position of the nest (one index for each
  // axis). `handed` is the value that hand_over() announced, if it did. With `quad_axis`, those of
  // this position and the three behind it along that axis, as one quad.
  Ranged apply(Statements& body, std::optional<Ranged> handed, std::span<const Expr> position,
               std::size_t quad_axis = kNone);

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
    std::vector<std::size_t> sources;  // by input: the register that holds it; kNone: loaded
    std::vector<Operand> operands;     // by input that is loaded
    Scaling scaling;
    IntegerRange range;  // of the result, proven
  };
  // The axes over which constants vary, and their rows at each point of those axes.
  struct Pattern {
    std::vector<std::int64_t> strides;              // of the compacted array, by axis of the nest
    std::vector<std::vector<std::int64_t>> points;  // by constant: offset of its row
  };

  bool takes_quads(const Link& link) const;
  std::int64_t factor_of(const UpperWordScale& scale) const;
  bool shifts_by_power(const UpperWordScale& scale) const;
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

  Ranged apply_link(ScalarCode& code, const Link& link, std::vector<Ranged>& registers,
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
  bool for_quads_ = false;
  std::size_t quad_axis_ = kNone;  // while apply() runs
  // What is held in registers, by number: what is handed over (if anything), results in order.
  std::vector<IntegerRange> register_ranges_;
  std::map<ValueId, std::size_t> register_of_;  // by base value
};

// Whether the nodes of a group behind the first can be computed by quads in a nest.
bool takes_quads(const Module& module, const Graph& graph, const std::vector<ValueId>& base_of,
                 const std::vector<NodeId>& nodes, const LoopExtents& nest);

// The name by which a program knows the array of a value that is computed; added where it is new.
std::string input_array(LoopProgram& program, const Graph& graph, ValueId base);

}  // namespace tandem
