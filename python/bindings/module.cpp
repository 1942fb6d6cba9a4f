#include "bindings/module.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/files/model_file.h"
#include "tandem/graph/printer.h"

#include "bindings/arrays.h"
#include "bindings/network.h"

namespace nb = nanobind;

namespace tandem::python {
namespace {

// What a module takes or gives, as Python sees it.
struct Port {
  std::string name;
  TensorType type;
};

std::vector<Port> ports_of(const Module& module, const std::vector<ValueId>& ids) {
  std::vector<Port> ports;
  for (const ValueId id : ids)
    ports.push_back({module.main().values[id].name, module.main().values[id].type});
  return ports;
}

// Integers, and the names of symbolic dimensions.
nb::tuple shape_of(const TensorType& type) {
  nb::list shape;
  for (const Dim& dim : type.shape) {
    if (dim.is_constant())
      shape.append(dim.constant());
    else
      shape.append(dim.to_string());
  }
  return nb::tuple(shape);
}

Network load(nb::handle source) {
  if (nb::hasattr(source, "SerializeToString"))  // onnx.ModelProto
    return load(source.attr("SerializeToString")());
  if (nb::isinstance<nb::bytes>(source)) {
    const auto bytes = nb::cast<nb::bytes>(source);
    const nb::gil_scoped_release released;
    return Network(read_model(ByteSpan(static_cast<const std::byte*>(bytes.data()), bytes.size()),
                              "model in memory"));
  }
  const auto path = nb::cast<std::filesystem::path>(source);
  const nb::gil_scoped_release released;
  return Network(read_model(path));
}

std::vector<Tensor> arguments_of(const Network& network, const nb::dict& arrays) {
  const Graph& graph = network.module().main();
  std::vector<Tensor> inputs;
  std::vector<std::string> names;
  for (const ValueId id : graph.inputs) {
    const Value& input = graph.values[id];
    names.push_back(input.name);
    const nb::str key(input.name.c_str(), input.name.size());
    if (!arrays.contains(key)) throw Error("input '", input.name, "' is missing");
    try {
      inputs.push_back(tensor_of(arrays[key], input.type.format));
    } catch (const Error& error) {
      throw error.at(concat("input '", input.name, "'"));
    }
  }
  for (const auto& [key, array] : arrays) {
    const std::string name = nb::cast<std::string>(nb::str(key));
    if (std::find(names.begin(), names.end(), name) == names.end())
      throw Error("the network has no input '", name, "'", suggestion(name, names));
  }
  return inputs;
}

nb::dict run(const Network& network, const nb::dict& arrays) {
  const std::vector<Tensor> inputs = arguments_of(network, arrays);
  std::vector<Tensor> outputs;
  {
    const nb::gil_scoped_release released;
    outputs = network.run(inputs);
  }
  const Graph& graph = network.module().main();
  nb::dict results;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const std::string& name = graph.values[graph.outputs[i]].name;
    results[nb::str(name.c_str(), name.size())] = array_of(std::move(outputs[i]));
  }
  return results;
}

}  // namespace

void bind_module(nb::module_& module) {
  nb::class_<Port>(module, "Port", "An input or output of a module.")
      .def_ro("name", &Port::name)
      .def_prop_ro(
          "shape", [](const Port& port) { return shape_of(port.type); },
          "Sizes of the axes; the name of a symbol (\"N\") where a size may vary.")
      .def_prop_ro(
          "format", [](const Port& port) { return port.type.format.name(); },
          "Tandem's name of the elements' format: \"f32\", \"int8\", \"fixed<8,3>\".")
      .def_prop_ro(
          "dtype", [](const Port& port) { return dtype_of(port.type.format); },
          "The numpy.dtype in which run() takes or gives the elements.")
      .def("__repr__", [](const Port& port) {
        return concat("Port(", port.name, ": ", port.type.to_string(), ")");
      });

  nb::class_<Network>(module, "Module", "A network: its function \"main\" with its constants.")
      .def_prop_ro("inputs",
                   [](const Network& network) {
                     return ports_of(network.module(), network.module().main().inputs);
                   })
      .def_prop_ro("outputs",
                   [](const Network& network) {
                     return ports_of(network.module(), network.module().main().outputs);
                   })
      .def("run", &run, nb::arg("inputs"),
           "Runs the network once: arrays by input name in, arrays by output name out. Shapes bind "
           "the symbols. A module of integers runs on this CPU's kernels where they take it, "
           "anything else by the operators' definitions; the two agree in every bit. States start "
           "at their initial values.")
      .def("__str__", [](const Network& network) { return print_module(network.module(), true); });

  module.def("load", &load, nb::arg("source"),
             "Reads a network: the path of a file .onnx, .tflite or .tandem, or its bytes, or an "
             "onnx.ModelProto.");
}

}  // namespace tandem::python
