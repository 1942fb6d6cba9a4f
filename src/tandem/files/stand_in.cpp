#include "tandem/files/stand_in.h"

#include "tandem/ops/movement.h"

namespace tandem {

std::optional<ValueId> spread_mean(Builder& builder, ValueId input, const TensorType& type) {
  const TensorType from = builder.type(input);
  if (!from.format.is_float() || !type.format.is_float() || type.shape.empty() ||
      from.shape.empty() || type.shape[0] != from.shape[0])
    return std::nullopt;
  std::vector<std::string> shape{"d0"};
  std::vector<Dim> column(type.shape.size(), Dim(1));
  column[0] = type.shape[0];
  for (std::size_t d = 1; d < type.shape.size(); ++d) {
    if (!type.shape[d].is_constant()) return std::nullopt;
    shape.push_back(std::to_string(type.shape[d].constant()));
  }
  ValueId mean = input;
  if (from.shape.size() > 1) {
    std::vector<std::int64_t> axes;
    for (std::size_t d = 1; d < from.shape.size(); ++d)
      axes.push_back(static_cast<std::int64_t>(d));
    mean = builder.add("ReduceMean", {input}, {{"axes", axes}, {"keepdims", std::int64_t{0}}});
  }
  return builder.add("Expand", {add_reshape(builder, mean, column)}, {{"shape", shape}});
}

std::optional<Module> rest_of(Module& module) {
  Graph& graph = module.main();
  std::vector<bool> read(graph.values.size());
  for (const Node& node : graph.nodes)
    for (const ValueId input : node.inputs)
      if (input != kNone) read[input] = true;
  for (const Node& node : graph.nodes)
    for (const ValueId output : node.outputs)
      if (!read[output]) graph.outputs.push_back(output);
  if (graph.outputs.empty()) return std::nullopt;
  remove_unused(module);
  return std::move(module);
}

}  // namespace tandem
