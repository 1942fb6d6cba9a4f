#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "tandem/files/tflite_model.h"
#include "tandem/graph/builder.h"

namespace tandem {

// Internal to the room: the resource variables of a model, which become states. A call reads the
// state until it assigns the variable; what it assigned is there when the next call starts.
class TfliteVariables {
 public:
  using Name = std::pair<std::string, std::string>;  // container, shared name

  // VAR_HANDLE: the tensor stands for the variable of that name.
  void name_handle(std::size_t tensor, Name name) { handles_[tensor] = std::move(name); }
  bool is_handle(std::size_t tensor) const { return handles_.contains(tensor); }
  // The variable for which a tensor stands; refused where it is no handle.
  const Name& named_by(const TfliteTensor& tensor) const;

  // What CALL_ONCE, READ_VARIABLE and ASSIGN_VARIABLE do. Refused: a variable that has no value yet
  // or gets one twice, and types or scales that disagree.
  void initialize(const Name& name, const TfliteTensor& constant);
  ValueId read(const Name& name, const TfliteTensor& result, Builder& builder);
  void assign(const Name& name, const TfliteTensor& tensor, ValueId value);

  // Adds what updates the states.
  void finish(Graph& graph) const;

 private:
  struct Variable {
    std::optional<TfliteTensor> type;  // the first tensor that was read from it or assigned to it
    std::optional<Tensor> initial;
    StateId state = kNone;
    ValueId value = kNone;  // what it holds at this place of a call
    bool is_assigned = false;
  };

  Variable& known(const Name& name, const TfliteTensor& tensor);

  std::map<std::size_t, Name> handles_;  // by tensor
  std::map<Name, Variable> variables_;
};

}  // namespace tandem
