#include "python/bindings/program.h"

#include <algorithm>
#include <mutex>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/files/onnx_program.h"

#include "python/bindings/arguments.h"
#include "python/bindings/arrays.h"
#include "python/bindings/call.h"
#include "python/bindings/module.h"

namespace nb = nanobind;

namespace tandem::python {
namespace {

// One caller at a time: a run may read the model anew.
struct Program {
  explicit Program(OnnxProgram read) : program(std::move(read)) {}
  OnnxProgram program;
  std::mutex running;
};

std::vector<Tensor> inputs_of(const OnnxProgram& program, nb::handle given) {
  if (!nb::isinstance<nb::dict>(given))
    throw Error("run() takes a dict of arrays by input name, such as {\"x\": array}");
  const auto arrays = nb::cast<nb::dict>(given);
  std::vector<Tensor> inputs;
  for (const std::string& name : program.inputs()) {
    const nb::str key(name.c_str(), name.size());
    if (!arrays.contains(key)) throw Error("input '", name, "' is missing");
    try {
      inputs.push_back(tensor_of(arrays[key], Format()));
    } catch (const Error& error) {
      throw error.at(concat("input '", name, "'"));
    }
  }
  for (const auto& [key, array] : arrays) {
    const std::string name = nb::cast<std::string>(nb::str(key));
    if (std::ranges::find(program.inputs(), name) == program.inputs().end())
      throw Error("the model has no input '", name, "'", suggestion(name, program.inputs()));
  }
  return inputs;
}

nb::typed<nb::dict, nb::str, nb::ndarray<nb::numpy>> run_program(Program& self,
                                                                 const ArraysArgument& arrays) {
  const std::vector<Tensor> inputs = inputs_of(self.program, arrays);
  std::vector<std::string> names;
  std::vector<Tensor> outputs = without_gil([&] {
    const std::scoped_lock lock(self.running);
    const Graph& graph = self.program.network(inputs).main();
    for (const ValueId output : graph.outputs) names.push_back(graph.values[output].name);
    return self.program.run(inputs);
  });
  nb::dict results;
  for (std::size_t i = 0; i < outputs.size(); ++i)
    results[nb::str(names[i].c_str(), names[i].size())] = array_of(std::move(outputs[i]));
  return results;
}

}  // namespace

void bind_program(nb::module_& module) {
  nb::class_<Program>(
      module, "OnnxProgram",
      "An ONNX model whose shapes may depend on the values of its inputs (a Reshape to a shape "
      "that "
      "is fed): such inputs are bound, that is the model is read anew for each set of their "
      "values. Where none is, it is what load() reads.")
      .def(
          "__init__",
          [](Program* self, const SourceArgument& source) {
            const NetworkSource from = source_of(source);
            new (self) Program(without_gil([&] {
              return from.path.empty()
                         ? OnnxProgram({from.view.begin(), from.view.end()}, "model in memory")
                         : OnnxProgram(from.path);
            }));
          },
          nb::arg("source"), "A path, bytes, or an onnx.ModelProto.")
      .def_prop_ro(
          "inputs", [](const Program& self) { return self.program.inputs(); },
          "The names of the inputs, in the order of the file.")
      .def_prop_ro(
          "bound",
          [](const Program& self) {
            const auto& names = self.program.bound();
            return std::vector<std::string>(names.begin(), names.end());
          },
          "The names of the inputs that had to be bound so far.")
      .def("run", &run_program, nb::arg("inputs"),
           "Arrays by input name in, arrays by output name out, by the operators' definitions. "
           "Raises what load() raises where the model cannot be read for such inputs.");
}

}  // namespace tandem::python
