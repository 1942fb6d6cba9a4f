#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/graph/module.h"

namespace tandem {

class Builder;
struct CodedValue;
class LoweringSite;

// One node in its surroundings: what an operator is asked about.
struct NodeView {
  const Module& module;
  const Graph& graph;
  const Node& node;

  std::size_t input_count() const { return node.inputs.size(); }
  bool has_input(std::size_t index) const;  // false for an absent optional input
  const TensorType& input(std::size_t index) const;
  const Tensor* constant(std::size_t index) const;  // nullptr when it is computed
  // Attributes are complete, so a missing one is an InternalError.
  std::int64_t integer(std::string_view attribute) const;
  double real(std::string_view attribute) const;
  const std::string& string(std::string_view attribute) const;
  Format format(std::string_view attribute) const;
  const std::vector<std::int64_t>& integers(std::string_view attribute) const;
  const std::vector<double>& reals(std::string_view attribute) const;
};

// What kind of operation, on which formats, how often.
enum class OperationKind {
  kMultiplyAccumulate,
  kMultiply,
  kAdd,
  kCompare,
  kDivide,
  kTranscendental,
  kTableLookup,
  kShift,
  kMove
};
std::string_view name(OperationKind kind);

struct OperationCount {
  OperationKind kind;
  Format left, right, result;  // operand and result formats (right unused: same as left)
  std::int64_t count = 0;
};

// Operations and bytes of one evaluation; bytes are those of unpacked codes rounded up to bits.
struct Work {
  std::vector<OperationCount> operations;
  std::int64_t input_bits = 0, constant_bits = 0, output_bits = 0;
  std::int64_t total(OperationKind kind) const;
};

// Where an operator stands with respect to the border between reals and coded numbers.
enum class Domain {
  kReal,      // sees only real numbers
  kInteger,   // sees only coded integers: one of the exact primitives
  kMovement,  // moves elements of any format
  kBorder,    // Quantize, Dequantize
  kIndex      // computes shapes, indices or booleans
};

struct Traits {
  Domain domain = Domain::kReal;
  bool elementwise = false;  // output element i depends on input elements i (broadcast) only
  bool in_place = false;     // output 0 may overwrite input 0 of the same size
  bool commutative = false;
};

// One alternative body of a composite operator ("step", "sequence", ...).
struct Form {
  std::string name;
};

// A sample node for the conformance tests and benchmarks: a graph in module text whose last node
// is the operator. `error` holds a part of the expected message where the case must be refused.
struct SampleCase {
  std::string text;
  std::string error;
};

// An operator, defined once: type rule, meaning, work, integer meaning.
class Operator {
 public:
  virtual ~Operator() = default;

  virtual std::string_view name() const = 0;
  virtual std::string_view description() const = 0;  // one sentence with shapes
  virtual Traits traits() const { return {}; }
  virtual std::vector<AttributeSpec> attributes() const { return {}; }
  // Number of inputs allowed; max = kNone for variadic.
  virtual std::size_t min_inputs() const { return 1; }
  virtual std::size_t max_inputs() const { return min_inputs(); }

  // Shapes and formats of the outputs; throws Error with a remedy. Called whenever a node is
  // built and by the verifier.
  virtual std::vector<TensorType> infer(const NodeView& node) const = 0;

  // The definition. Inputs are in node order (an empty Tensor of rank 1 for an absent one).
  // The default runs the first body.
  virtual std::vector<Tensor> evaluate(const NodeView& node, std::span<const Tensor> inputs) const;

  // Composites: forms and bodies. A body is built over inputs (absent ones kNone) whose types the
  // builder knows, static in evaluation where the node's are not, and returns the output values.
  virtual std::vector<Form> forms(const NodeView&) const { return {}; }
  virtual std::vector<ValueId> body(Builder&, const NodeView&, const Form&,
                                    std::span<const ValueId> inputs) const;

  virtual Work work(const NodeView& node) const;

  // Rewrites the real operator over coded inputs into integer primitives (see lowering.h).
  // nullopt: this operator has no integer meaning here; throws Error with a remedy where only
  // this node's parameters prevent it. The default lowers the first body of a composite.
  virtual std::optional<std::vector<CodedValue>> lower(LoweringSite& site) const;

  virtual std::vector<SampleCase> samples() const { return {}; }
};

// Type-checks a node that is about to be appended or that was read: counts inputs, completes the
// attributes, infers the outputs; every error starts with the operator and node name.
std::vector<TensorType> infer_checked(const Module& module, const Graph& graph, const Node& node);

}  // namespace tandem
