#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/base/error.h"
#include "tandem/graph/module.h"

namespace tandem {

// One node that a reader or writer cannot take: which, why, and how to mend it.
struct RefusedNode {
  std::string node, op;
  std::string reason, remedy;
};

// All nodes of a model that cannot be read (or written), at once; the message has a
// line for each of the first thousand.
class RefusedModel : public Error {
 public:
  // `done` is what cannot be done with them: "read".
  RefusedModel(std::string_view source, std::string_view done, std::vector<RefusedNode> refused,
               std::optional<Module> rest = {}, std::vector<std::string> deciding_inputs = {});
  const std::vector<RefusedNode>& nodes() const { return nodes_; }
  // The model with stand-ins where refused nodes stood, for judging its other nodes; absent where
  // none is left.
  const std::optional<Module>& rest() const { return rest_; }
  // The inputs of the model whose values some refused node asked for: shapes depend on them.
  const std::vector<std::string>& deciding_inputs() const { return deciding_inputs_; }

 private:
  std::vector<RefusedNode> nodes_;
  std::optional<Module> rest_;
  std::vector<std::string> deciding_inputs_;
};

// Why one node cannot be taken: an Error with the remedy apart, collected by readers and writers.
class Refusal : public Error {
 public:
  Refusal(std::string_view reason, std::string remedy)
      : Error(reason), remedy_(std::move(remedy)) {}
  const std::string& remedy() const { return remedy_; }

 private:
  std::string remedy_;
};

}  // namespace tandem
