#include "python/bindings/module.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nanobind/ndarray.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>
#include <optional>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/base/threads.h"
#include "tandem/files/model_file.h"
#include "tandem/graph/printer.h"
#include "tandem/kernels/processor_rates.h"
#include "tandem/verify/host_bench.h"

#include "python/bindings/arguments.h"
#include "python/bindings/arrays.h"
#include "python/bindings/call.h"
#include "python/bindings/network.h"

namespace nb = nanobind;

namespace tandem::python {
namespace {

// What a module takes or gives, as Python sees it.
struct Port {
  std::string name;
  TensorType type;
  std::optional<Tensor> scale, offset;
};

std::optional<Tensor> constant_at(const Module& module, ConstantId id) {
  return id == kNone ? std::nullopt : std::optional(module.constants[id].tensor);
}

std::vector<Port> ports_of(const Module& module, const std::vector<ValueId>& ids) {
  const Graph& graph = module.main();
  std::vector<Port> ports;
  for (const ValueId id : ids) {
    Port port{graph.values[id].name, graph.values[id].type, {}, {}};
    if (const auto coding = graph.codings.find(id); coding != graph.codings.end()) {
      port.scale = constant_at(module, coding->second.scale);
      port.offset = constant_at(module, coding->second.offset);
    }
    ports.push_back(std::move(port));
  }
  return ports;
}

nb::object array_or_none(const std::optional<Tensor>& tensor) {
  return tensor ? array_of(*tensor) : nb::none();
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

std::vector<Tensor> inputs_of(const Network& network, nb::handle given) {
  if (!nb::isinstance<nb::dict>(given))
    throw Error("run() takes a dict of arrays by input name, such as {\"x\": array}");
  const auto arrays = nb::cast<nb::dict>(given);
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

nb::typed<nb::dict, nb::str, nb::ndarray<nb::numpy>> run(const Network& network,
                                                         const ArraysArgument& arrays,
                                                         const std::string& execution) {
  const std::vector<Tensor> inputs = inputs_of(network, arrays);
  std::vector<Tensor> outputs = without_gil([&] { return network.run(inputs, execution); });
  const Graph& graph = network.module().main();
  nb::dict results;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const std::string& name = graph.values[graph.outputs[i]].name;
    results[nb::str(name.c_str(), name.size())] = array_of(std::move(outputs[i]));
  }
  return results;
}

void check_runs(std::int64_t runs) {
  if (runs < 0)
    throw Error("runs = ", runs, ": give a positive number, or 0 for two seconds' worth");
}

nb::typed<nb::dict, nb::str, nb::any> bench_run(const Network& network,
                                                const ArraysArgument& arrays, std::int64_t runs) {
  check_runs(runs);
  const std::vector<Tensor> inputs = inputs_of(network, arrays);
  HostBench measured;
  without_gil([&] {
    network.with_kernels(inputs, [&](CpuExecution& kernels, const Samples& sample) {
      measured = bench(kernels, sample, runs);
    });
    return true;
  });
  nb::dict result;
  result["seconds"] = measured.seconds;
  result["operations"] = measured.operations;
  result["peak_operations_per_second"] = measured.peak;
  result["instructions"] = vector_extensions();
  return result;
}

nb::typed<nb::list, nb::dict> profile_run(const Network& network, const ArraysArgument& arrays,
                                          std::int64_t runs) {
  check_runs(runs);
  const std::vector<Tensor> inputs = inputs_of(network, arrays);
  std::vector<StepTime> steps;
  without_gil([&] {
    network.with_kernels(inputs, [&](CpuExecution& kernels, const Samples& sample) {
      steps = profile(kernels, sample, runs);
    });
    return true;
  });
  nb::list result;
  for (const StepTime& step : steps) {
    nb::dict entry;
    entry["name"] = step.name;
    entry["op"] = step.op;
    entry["followers"] = step.followers;
    entry["kernel"] = step.form;
    entry["seconds"] = step.seconds;
    entry["operations"] = step.operations;
    result.append(entry);
  }
  return result;
}

void bind_threads(nb::module_& module) {
  module.def("thread_count", &thread_count, "How many threads compute.");
  module.def(
      "set_thread_count",
      [](int count) {
        if (count < 1) throw Error("set_thread_count(", count, "): give at least 1");
        set_thread_count(count);
      },
      nb::arg("count"),
      "How many threads compute from now on, in the whole process; at first one for each "
      "processor. Results do not depend on it.");
}

}  // namespace

Module NetworkSource::read() const {
  return path.empty() ? read_model(view, "model in memory") : read_model(path);
}

NetworkSource source_of(nb::handle source) {
  if (nb::hasattr(source, "SerializeToString"))  // onnx.ModelProto
    return source_of(source.attr("SerializeToString")());
  NetworkSource result;
  if (nb::isinstance<nb::bytes>(source)) {
    const auto bytes = nb::borrow<nb::bytes>(source);
    result.bytes = bytes;
    result.view = ByteSpan(static_cast<const std::byte*>(bytes.data()), bytes.size());
    return result;
  }
  result.path = nb::cast<std::filesystem::path>(source);
  return result;
}

Network load(nb::handle source) {
  const NetworkSource from = source_of(source);
  return without_gil([&] { return Network(from.read(), from.name()); });
}

Network load_bound(const SourceArgument& source, const std::map<std::string, std::int64_t>& bind) {
  const Network network = load(source);
  if (bind.empty()) return network;
  try {
    return Network(specialize(network.module(), bind), network.source());
  } catch (const Error& error) {
    throw error.at(concat(network.source(), ": bind"));
  }
}

void bind_module(nb::module_& module) {
  nb::class_<Port>(module, "Port", "An input or output of a module.")
      .def_ro("name", &Port::name)
      .def_prop_ro(
          "shape", [](const Port& port) { return shape_of(port.type); },
          nb::sig("def shape(self) -> tuple[int | str, ...]"),
          "Sizes of the axes; the name of a symbol (\"N\") where a size may vary.")
      .def_prop_ro(
          "format", [](const Port& port) { return port.type.format.name(); },
          "Tandem's name of the elements' format: \"f32\", \"int8\", \"fixed<8,3>\".")
      .def_prop_ro(
          "dtype", [](const Port& port) { return dtype_of(port.type.format); },
          nb::sig("def dtype(self) -> numpy.dtype"),
          "The numpy.dtype in which run() takes or gives the elements. A format that NumPy lacks "
          "comes as the integers that it is stored as: fixed<8,3> as int8.")
      .def_prop_ro(
          "scale", [](const Port& port) { return array_or_none(port.scale); },
          nb::sig("def scale(self) -> numpy.ndarray | None"),
          "Of a module of integers: real = scale * integer + offset. None without a coding.")
      .def_prop_ro(
          "offset", [](const Port& port) { return array_or_none(port.offset); },
          nb::sig("def offset(self) -> numpy.ndarray | None"))
      .def("__repr__", [](const Port& port) {
        return concat("Port(", port.name, ": ", port.type.to_string(), ")");
      });

  nb::class_<Network>(module, "Module",
                      "A network: its function \"main\", with the constants and states it uses. "
                      "Immutable; threads may share it.")
      .def_prop_ro("inputs",
                   [](const Network& network) {
                     return ports_of(network.module(), network.module().main().inputs);
                   })
      .def_prop_ro("outputs",
                   [](const Network& network) {
                     return ports_of(network.module(), network.module().main().outputs);
                   })
      .def_prop_ro(
          "source", [](const Network& network) { return network.source(); },
          "The file it was read from; empty for one made in memory.")
      .def_prop_ro(
          "metadata", [](const Network& network) { return network.module().metadata; },
          "Where it comes from: producer, preprocessing and the like.")
      .def("run", &run, nb::arg("inputs"), nb::kw_only(), nb::arg("execution") = "auto",
           "Runs the network once: arrays by input name in, arrays by output name out.\n\n"
           "Arrays are NumPy's, or speak DLPack; contiguous ones are read in place. Their dtypes "
           "and shapes must be the declared ones (nothing is converted); shapes bind the symbols. "
           "Lists and numbers are read in the declared dtype. `execution` is \"cpu\", this CPU's "
           "kernels, prepared once for each shape of the inputs; \"reference\", the operators' "
           "definitions; or \"auto\", cpu where the kernels take all of the module. Both compute "
           "the same integers, and reals within rounding. States start at their initial values. "
           "Raises Error where an input is missing, unknown or of another type.")
      .def("bench", &bench_run, nb::arg("inputs"), nb::kw_only(), nb::arg("runs") = 0,
           "Times single runs on this CPU's kernels (about two seconds' worth unless `runs` says "
           "how many): \"seconds\" of each, ascending; \"operations\" of f32 in one run, the "
           "\"peak_operations_per_second\" that the threads reach in fused multiply-adds, and the "
           "vector \"instructions\" used.")
      .def("profile", &profile_run, nb::arg("inputs"), nb::kw_only(), nb::arg("runs") = 0,
           "Times each step of a run on this CPU's kernels, in their order: \"name\" and \"op\" "
           "of its node, the operators that run behind it (\"followers\"), \"kernel\", "
           "\"seconds\" on average and \"operations\".")
      .def(
          "text",
          [](const Network& network, bool elide) { return print_module(network.module(), elide); },
          nb::arg("elide") = false,
          "The module as text without loss, what a file .tandem holds; `elide` shortens large "
          "constants for people.")
      .def("__str__", [](const Network& network) { return print_module(network.module(), true); })
      .def("__repr__", [](const Network& network) {
        const Module& read = network.module();
        return concat("Module(", network.source(), ": ", read.main().nodes.size(), " nodes)");
      });

  bind_threads(module);
  module.def("load", &load_bound, nb::arg("source"), nb::kw_only(),
             nb::arg("bind") = std::map<std::string, std::int64_t>{},
             "Reads a network: the path of a file .onnx, .tflite or .tandem, or its bytes, or an "
             "onnx.ModelProto. `bind` replaces symbolic dimensions by numbers: {\"N\": 1}. Raises "
             "RefusedModel naming every node that cannot be read, and Error on a file that is no "
             "sound model.");
}

}  // namespace tandem::python
