#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>

#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/base/text.h"
#include "tandem/cli/network_options.h"
#include "tandem/cli/table.h"
#include "tandem/cli/verbs.h"
#include "tandem/data/task.h"
#include "tandem/files/numpy.h"
#include "tandem/graph/operator.h"
#include "tandem/verify/float_execution.h"

namespace tandem {
namespace {

class RunVerb final : public Verb {
 public:
  std::string name() const override { return "run"; }
  std::string summary() const override {
    return "Run a network on a data set and count what it gets right, or on arrays of a file";
  }
  std::string examples() const override {
    return "  tandem run network.onnx --data mnist:DIR --execution reference\n"
           "  tandem run network.onnx --input in.npz --output out.npz\n"
           "Executions: float is the graph as read. The others run its integer form: reference\n"
           "(the definition), cpu (fast kernels), c (emitted C on this host), qemu (the same on "
           "an\n"
           "emulated microcontroller), circuit (the simulated circuit).\n"
           "Arrays are named after the network's inputs and outputs, samples along the first "
           "axis;\n"
           "one whose values decide shapes (the shape of a Reshape) holds for all samples, whole;\n"
           "integer executions take integers as codes and reals as reals, and write both: NAME\n"
           "holds reals, NAME.codes the integers. Of a network with states the samples are "
           "consecutive\n"
           "calls of one stream, which starts at the initial states.";
  }
  void add_options(OptionTable& options) override {
    model_.add_to(options);
    data_.add_to(options, false);
    options.text("--input", "FILE.npz", input_, "Arrays to run on, instead of --data");
    options.text("--output", "FILE.npz", output_, "Where the outputs go");
    options.text("--execution", "NAME", execution_, "float, " + join(execution_names(), ", "));
    options.text("--device", "DEVICE", device_,
                 "What is planned for; a default of the kind that the execution needs");
    options.flag("--profile", profile_, "Time every node (float and reference)");
    stalls_.add_to(options);
    codings_.add_to(options);
  }

  VerbResult run(const CommonOptions&) override {
    check_options();
    const bool lowers = execution_ != "float";
    PreparedNetwork prepared = prepare(lowers);
    const Module& module = lowers ? *prepared.lowered : prepared.network;
    const NetworkSamples& samples = *prepared.samples;
    const Samples inputs = lowers ? samples.codes(module) : samples.reals(module);
    const auto execution =
        make_any_execution(execution_, module, device_, stalls_.seed_for({execution_}));
    const Samples outputs = execution->run(inputs);
    if (!output_.empty()) write_outputs(module, outputs, lowers);
    VerbResult result = describe(samples, *execution);
    if (!samples.labels().empty()) add_accuracy(module, outputs, samples.labels(), result);
    if (profile_) add_profile(module, inputs, result);
    return result;
  }

 private:
  void check_options() const {
    if (input_.empty() == data_.source.empty())
      throw Error("tandem run takes either --data SET or --input FILE.npz");
    if (!input_.empty() && output_.empty())
      throw Error("--input without --output: name the file for the results");
    stalls_.seed_for({execution_});
    if (profile_ && execution_ != "float" && execution_ != "reference")
      throw Error("--profile times the nodes of float and reference, not of ", execution_);
    if (!output_.empty()) {
      const auto folder = std::filesystem::path(output_).parent_path();
      check_writable_folder(folder.empty() ? "." : folder);
    }
  }

  PreparedNetwork prepare(bool lowers) const {
    if (input_.empty())
      return prepare_network(model_.load(), data_.data_options(), codings_.codings(), lowers);
    NamedTensors arrays = read_npz(input_);
    PreparedNetwork prepared =
        prepare_network(model_.load(arrays), data_.data_options(), codings_.codings(), lowers);
    prepared.samples =
        samples_of_arrays(lowers ? *prepared.lowered : prepared.network, arrays, input_);
    return prepared;
  }

  // The array of every input; an array for none of them is refused.
  static NetworkSamples samples_of_arrays(const Module& module, const NamedTensors& arrays,
                                          const std::string& source) {
    const Graph& graph = module.main();
    std::vector<std::string> names;
    std::vector<DataSet> sets;
    for (const ValueId id : graph.inputs) {
      const Value& input = graph.values[id];
      names.push_back(input.name);
      DataSet set;
      set.name = concat(source, ": array '", input.name, "'");
      set.samples = find_array(arrays, input.name, source);
      if (set.samples.format().is_integer() && graph.codings.contains(id)) {
        const Coding& coding = graph.codings.at(id);
        set.coding = {module.constants[coding.scale].tensor.to_reals(),
                      module.constants[coding.offset].tensor.to_reals()};
      }
      sets.push_back(std::move(set));
    }
    for (const auto& [name, tensor] : arrays) {
      if (std::find(names.begin(), names.end(), name) == names.end())
        throw Error(source, ": the network has no input '", name, "'", suggestion(name, names));
    }
    return NetworkSamples(module, std::move(sets));
  }

  void write_outputs(const Module& module, const Samples& outputs, bool lowered) const {
    const Graph& graph = module.main();
    NamedTensors arrays;
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const std::string& name = graph.values[graph.outputs[i]].name;
      // [samples, 1, ...] as the batch that it would be.
      Shape shape = outputs[i].shape();
      if (shape.size() > 1 && shape[1] == 1) shape.erase(shape.begin() + 1);
      const Tensor flat = outputs[i].reshaped(shape);
      if (!lowered) {
        arrays.emplace_back(name, flat);
        continue;
      }
      arrays.emplace_back(name, decoded_output(module, i, outputs[i]).reshaped(shape));
      arrays.emplace_back(name + ".codes", flat);
    }
    const auto bytes = write_npz(arrays);
    write_file_atomic(output_, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }

  VerbResult describe(const NetworkSamples& samples, const Execution& execution) const {
    VerbResult result;
    const double seconds = execution.measured().at("seconds");
    result.json = {
        {"schema", "tandem-run/1"},   {"model", model_.path},
        {"execution", execution_},    {"device", device_of_execution(execution_, device_)},
        {"samples", samples.count()}, {"accuracy", nullptr},
        {"seconds", seconds}};
    if (data_.given()) result.json["data"] = data_.json(samples);
    if (!input_.empty()) result.json["input"] = input_;
    if (!output_.empty()) result.json["output"] = output_;
    result.json["measured"] = execution.measured();
    const std::string device = device_of_execution(execution_, device_);
    result.text =
        concat(model_.path, ": ", execution_, device.empty() ? "" : " on " + device, ", ",
               samples.count(), " samples in ", shortest(std::round(seconds * 1e3) / 1e3), " s\n");
    for (const auto& [name, value] : execution.measured())
      if (name != "seconds") result.text += concat("  ", name, ": ", shortest(value), "\n");
    return result;
  }

  static void add_accuracy(const Module& module, const Samples& outputs,
                           const std::vector<std::int64_t>& labels, VerbResult& result) {
    const bool lowered = is_lowered(module);
    const Tensor scores = lowered ? decoded_output(module, 0, outputs[0]) : outputs[0];
    Accuracy accuracy;
    accuracy.add(scores, labels);
    result.json["accuracy"] = accuracy.value();
    result.json["correct"] = accuracy.correct();
    result.text += concat("accuracy ", percent(accuracy.value()), " (", accuracy.correct(), " of ",
                          accuracy.count(), ")\n");
  }

  static void add_profile(const Module& module, const Samples& inputs, VerbResult& result) {
    const std::vector<double> seconds = seconds_per_node(module, inputs);
    const double total = std::accumulate(seconds.begin(), seconds.end(), 0.0);
    const Graph& graph = module.main();
    std::vector<std::size_t> order(seconds.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return seconds[a] > seconds[b]; });
    Json nodes = Json::array();
    TextTable table({"node", "operator", "seconds", "share"});
    for (const std::size_t id : order) {
      const Node& node = graph.nodes[id];
      nodes.push_back({{"name", node.name}, {"op", node.op->name()}, {"seconds", seconds[id]}});
      table.add({node.name, std::string(node.op->name()),
                 shortest(std::round(seconds[id] * 1e6) / 1e6),
                 percent(total > 0 ? seconds[id] / total : 0)});
    }
    result.json["profile"] = nodes;
    result.text += "\n" + table.text();
  }

  ModelOptions model_;
  DataFlags data_;
  CodingFlags codings_;
  StallFlag stalls_;
  std::string input_, output_, execution_ = "float", device_;
  bool profile_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_run_verb() { return std::make_unique<RunVerb>(); }

}  // namespace tandem
