#pragma once

#include <vector>

#include "tandem/graph/builder.h"
#include "tandem/graph/module.h"

namespace tandem {

// "main" written anew, node by node, into a module of its own: what a pass does that replaces some
// nodes and keeps the others. Types are inferred anew; names of values stay.
class GraphCopy {
 public:
  // Takes over inputs, constants and states of the module, which must outlive the copy.
  explicit GraphCopy(const Module& module);

  const Module& source() const { return source_; }
  const Graph& graph() const { return source_.main(); }
  Builder& builder() { return builder_; }

  // The new value of an old one; kNone where it is not written yet.
  ValueId value(ValueId old) const { return old == kNone ? kNone : values_[old]; }
  // From now on `made` stands for the old value, whose name it takes.
  void replace(ValueId old, ValueId made);
  // The node with its inputs replaced.
  void keep(const Node& node);

  // The module, with its outputs and updates, without what nothing reads.
  Module finish();

 private:
  const Module& source_;
  Module module_;
  Builder builder_;
  std::vector<ValueId> values_;  // by old value
};

}  // namespace tandem
