#pragma once

#include <functional>
#include <vector>

#include "tandem/graph/builder.h"
#include "tandem/graph/module.h"
#include "tandem/graph/operator.h"

namespace tandem {

// Writes the function "main" of a module anew: the frame of the passes that rebuild a graph node by
// node. Symbols, metadata, constants, states and the inputs are there from the start; the pass adds
// what the nodes become; finish() adds the outputs, updates and codings.
class Rewriter {
 public:
  // `old` must outlive the rewriter.
  explicit Rewriter(const Module& old);

  const Module& old() const { return old_; }
  const Graph& old_graph() const { return old_.main(); }
  NodeView old_view(const Node& node) const { return {old_, old_graph(), node}; }
  Builder& builder() { return builder_; }

  // The new value that stands for an old one; kNone for kNone and for what is not written yet.
  ValueId at(ValueId old) const { return old == kNone ? kNone : values_[old]; }
  void set(ValueId old, ValueId now) { values_[old] = now; }

  // Appends a node like this one over other inputs; its results stand for the old ones.
  std::vector<ValueId> copy(const Node& node, std::vector<ValueId> inputs);
  // The same over what stands for its inputs.
  std::vector<ValueId> copy(const Node& node);

  // The new module. `end` is asked for the new value of each output and update; by default at().
  // Outputs keep their names.
  Module finish(const std::function<ValueId(ValueId)>& end);
  Module finish();

 private:
  // Calls a value as an old one was called; a computed one that is called so gives its name up.
  void rename(ValueId now, const std::string& name);
  void copy_codings();

  const Module& old_;
  Module new_;
  Builder builder_;
  std::vector<ValueId> values_;  // by old value
};

}  // namespace tandem
