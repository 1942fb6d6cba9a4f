#include "tandem/files/tflite_variables.h"

#include <algorithm>

#include "tandem/base/text.h"
#include "tandem/files/tflite_import.h"

namespace tandem {
namespace {

std::string label_of(const TfliteVariables::Name& name) {
  return concat("the variable ", quote(name.second));
}

TfliteVariables::Name name_of(const TfliteOperator& op) {
  const auto* options = op.record->builtin_options_as<tflite::VarHandleOptions>();
  if (options == nullptr) TfliteNode::refuse("its options are missing", "convert the model again");
  return {text_of(options->container()), text_of(options->shared_name())};
}

}  // namespace

const TfliteVariables::Name& TfliteVariables::named_by(const TfliteTensor& tensor) const {
  const auto found = handles_.find(tensor.index);
  if (found == handles_.end()) {
    TfliteNode::refuse(concat(tensor.to_string(), " is no handle that VAR_HANDLE made"),
                       "read and assign variables where their handles are made");
  }
  return found->second;
}

TfliteVariables::Variable& TfliteVariables::known(const Name& name, const TfliteTensor& tensor) {
  Variable& variable = variables_[name];
  if (!variable.type) variable.type = tensor;
  const TfliteTensor& type = *variable.type;
  if (type.shape != tensor.shape || type.format != tensor.format ||
      type.quantization != tensor.quantization) {
    TfliteNode::refuse(concat(label_of(name), " holds ", type.to_string(), " and ",
                              tensor.to_string(), ", which differ in type or scale"),
                       "keep tensors of one type, scale and zero point in a variable");
  }
  return variable;
}

void TfliteVariables::initialize(const Name& name, const TfliteTensor& constant) {
  Variable& variable = known(name, constant);
  if (variable.initial || variable.value != kNone) {
    TfliteNode::refuse(concat(label_of(name), " has a value already"),
                       "initialize each variable once, before it is read or assigned");
  }
  variable.initial = constant_of(constant);
}

ValueId TfliteVariables::read(const Name& name, const TfliteTensor& result, Builder& builder) {
  Variable& variable = known(name, result);
  if (variable.value != kNone) return variable.value;
  if (!variable.initial) {
    TfliteNode::refuse(
        concat(label_of(name), " is read before it has a value"),
        "assign a constant to it in the subgraph of a CALL_ONCE, or before it is read");
  }
  Module& module = builder.module();
  std::string unique = name.second.empty() ? "variable" : name.second;
  while (std::ranges::find(module.states, unique, &State::name) != module.states.end())
    unique += "_";
  variable.state = module.states.size();
  module.states.push_back({unique, type_of(*variable.initial),
                           module.add_constant(*variable.initial, unique + ".initial"),
                           Lifetime::kStream});
  return variable.value = builder.read_state(variable.state);
}

void TfliteVariables::assign(const Name& name, const TfliteTensor& tensor, ValueId value) {
  Variable& variable = known(name, tensor);
  if (variable.is_assigned) {
    TfliteNode::refuse(concat(label_of(name), " is assigned twice in a call"),
                       "assign it once, with what it holds when the next call starts");
  }
  variable.is_assigned = true;
  variable.value = value;
}

void TfliteVariables::finish(Graph& graph) const {
  for (const auto& [name, variable] : variables_)
    if (variable.state != kNone && variable.is_assigned)
      graph.updates.push_back({variable.state, variable.value});
}

// ---- The operators -----------------------------------------------------------------------------

namespace {

void var_handle(TfliteNode& node) {
  const TfliteTensor& result = node.handle_result();
  if (result.type != tflite::TensorType::RESOURCE)
    TfliteNode::refuse(concat("its result ", result.to_string(), " is no resource"),
                       "convert the model again");
  node.variables().name_handle(result.index, name_of(node.record()));
}

void read_variable(TfliteNode& node) {
  const auto& name = node.variables().named_by(node.handle(0));
  node.set(node.variables().read(name, node.output(), node.builder()));
}

void assign_variable(TfliteNode& node) {
  const auto& name = node.variables().named_by(node.handle(0));
  node.variables().assign(name, node.input(1), node.value(1));
}

// The subgraph that runs before the first call may do no more than give variables constants.
void call_once(TfliteNode& node) {
  const auto index = node.options<tflite::CallOnceOptions>().init_subgraph_index();
  const TfliteModel graph = subgraph_of(node.model(), index);
  TfliteVariables handles;
  for (const TfliteOperator& op : graph.operators) {
    const auto tensor = [&](const std::vector<int>& list, std::size_t at) -> const TfliteTensor& {
      if (at >= list.size() || list[at] < 0)
        TfliteNode::refuse(concat("its subgraph ", index, " has an operator that lacks tensors"),
                           "convert the model again");
      return graph.tensors[static_cast<std::size_t>(list[at])];
    };
    const std::string_view kind = tflite_operator_name(op.code);
    if (kind == "VAR_HANDLE") {
      handles.name_handle(tensor(op.outputs, 0).index, name_of(op));
      continue;
    }
    const bool assigns = kind == "ASSIGN_VARIABLE" && tensor(op.inputs, 1).is_constant() &&
                         tensor(op.inputs, 1).obstacle.empty();
    if (!assigns) {
      TfliteNode::refuse(concat("its subgraph ", index, " does more than assigning constants (",
                                kind.empty() ? "an unknown operator" : kind, ")"),
                         "initialize variables with constants");
    }
    node.variables().initialize(handles.named_by(tensor(op.inputs, 0)), tensor(op.inputs, 1));
  }
}

}  // namespace

void add_tflite_variable_handlers(TfliteHandlers& handlers) {
  handlers["VAR_HANDLE"] = var_handle;
  handlers["READ_VARIABLE"] = read_variable;
  handlers["ASSIGN_VARIABLE"] = assign_variable;
  handlers["CALL_ONCE"] = call_once;
}

}  // namespace tandem
