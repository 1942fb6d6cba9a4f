#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/graph/attributes.h"
#include "tandem/graph/dim.h"
#include "tandem/numerics/format.h"
#include "tandem/tensor/tensor.h"

namespace tandem {

class Operator;

using ValueId = std::size_t;                                        // index into Graph::values
using NodeId = std::size_t;                                         // index into Graph::nodes
using GraphId = std::size_t;                                        // index into Module::graphs
using ConstantId = std::size_t;                                     // index into Module::constants
using StateId = std::size_t;                                        // index into Module::states
inline constexpr std::size_t kNone = static_cast<std::size_t>(-1);  // an absent optional input

struct TensorType {
  std::vector<Dim> shape;
  Format format;

  bool is_static() const;
  Shape static_shape() const;     // throws Error naming the symbol that must be bound
  std::string to_string() const;  // "int8[N,64]"
  friend bool operator==(const TensorType&, const TensorType&) = default;
};

TensorType type_of(const Tensor& tensor);

// How the integers of an input or output of a lowered function stand for reals:
// real = scale * integer + offset; both f64 and broadcastable to the value.
struct Coding {
  ConstantId scale = kNone;
  ConstantId offset = kNone;
};

struct Value {
  std::string name;  // unique in its graph
  TensorType type;
  NodeId producer = kNone;      // the node that computes it, or
  ConstantId constant = kNone;  // the constant it stands for, or
  StateId state = kNone;        // the state it reads (its value at the start of the run);
                                // none of the three: an input of the graph
};

struct Node {
  const Operator* op = nullptr;
  Attributes attributes;        // complete: defaults are filled in
  std::vector<ValueId> inputs;  // kNone where an optional input is absent
  std::vector<ValueId> outputs;
  std::vector<GraphId> bodies;
  std::string name;   // unique in its graph
  std::string scope;  // "stage2/block1"
};

// Writes a value to a state when the run ends.
struct StateUpdate {
  StateId state = kNone;
  ValueId value = kNone;
};

struct Graph {
  std::string name;
  std::vector<Value> values;
  std::vector<Node> nodes;  // in an order in which every value is computed before it is used
  std::vector<ValueId> inputs, outputs;
  std::vector<StateUpdate> updates;
  std::map<ValueId, Coding> codings;  // of inputs and outputs, in a lowered function
};

struct Constant {
  std::string name;  // unique in the module
  Tensor tensor;
};

enum class Lifetime { kModel, kStream, kRun };
std::string_view name(Lifetime lifetime);

struct State {
  std::string name;
  TensorType type;
  ConstantId initial = kNone;
  Lifetime lifetime = Lifetime::kStream;
};

struct Symbol {
  std::string name;
  std::int64_t min = 1;
  std::int64_t max = 1;
};

// A network: functions (graphs by name) that share constants, states and symbols.
// "main" is the inference.
struct Module {
  std::vector<Graph> graphs;
  std::map<std::string, GraphId> functions;
  std::vector<Constant> constants;
  std::vector<State> states;
  std::vector<Symbol> symbols;
  std::map<std::string, std::string> metadata;  // provenance: producer, preprocessing, ...

  Graph& function(std::string_view name);
  const Graph& function(std::string_view name) const;  // throws Error naming the functions
  const Graph& main() const { return function("main"); }
  Graph& main() { return function("main"); }

  ConstantId add_constant(Tensor tensor, const std::string& name);  // makes the name unique
};

// The constant that a value stands for, or nullptr.
const Tensor* constant_of(const Module& module, const Graph& graph, ValueId value);

// For every value the nodes that read it, in order.
std::vector<std::vector<NodeId>> consumers(const Graph& graph);

// A copy of the module with symbols replaced by integers within their bounds; every type is
// inferred anew. Throws Error naming an unknown symbol or a value out of bounds.
Module specialize(const Module& module, const std::map<std::string, std::int64_t>& symbols);

// Removes nodes, values and constants that no output, update or function needs, and states that
// nothing reads, with their updates.
void remove_unused(Module& module);

}  // namespace tandem
