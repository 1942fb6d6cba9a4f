#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>

#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/base/text.h"
#include "tandem/base/threads.h"
#include "tandem/cli/network_options.h"
#include "tandem/cli/table.h"
#include "tandem/cli/verbs.h"
#include "tandem/data/task.h"
#include "tandem/files/numpy.h"
#include "tandem/graph/operator.h"
#include "tandem/kernels/processor_rates.h"
#include "tandem/verify/float_execution.h"
#include "tandem/verify/host_bench.h"

namespace tandem {
namespace {

class RunVerb final : public Verb {
 public:
  std::string name() const override { return "run"; }
  std::string summary() const override {
    return "Run a network: accuracy on a data set, results for arrays of a file, speed";
  }
  std::string examples() const override {
    return "  tandem run network.onnx --data mnist:DIR --execution reference\n"
           "  tandem run network.onnx --input in.npz --output out.npz\n"
           "  tandem run network.onnx --execution cpu --bench --threads 2\n"
           "  tandem run network.onnx --execution cpu --profile --profile-trace trace.json\n"
           "Executions: float is the graph as read, by the operators' definitions. cpu runs it on\n"
           "fast kernels, within rounding of float and with the same bits for any number of\n"
           "threads; codes of a quantized network by exact integers. The others run its integer "
           "form:\n"
           "reference (the definition), c (emitted C on this host), qemu (the same on an emulated\n"
           "microcontroller), circuit (the simulated circuit).\n"
           "--bench and --profile run the first sample again and again; where neither --data nor\n"
           "--input is given, reals drawn from [-1, 1] and integers 0. --bench says what share of\n"
           "this processor's fused multiply-adds the network reaches; a trace opens in Chrome's\n"
           "chrome://tracing or ui.perfetto.dev.\n"
           "Arrays are named after the network's inputs and outputs, samples along the first "
           "axis;\n"
           "their other axes say what symbolic sizes are;\n"
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
    options.integer("--threads", threads_, "How many threads compute; one for each processor");
    options.flag("--bench", bench_, "Time single runs (cpu)");
    options.integer("--runs", runs_,
                    "Runs of --bench and --profile on cpu; about two seconds' worth");
    options.flag("--profile", profile_, "Time every node (cpu, float, reference)");
    options.text("--profile-trace", "FILE.json", trace_, "Where --profile of cpu writes a trace");
    stalls_.add_to(options);
    codings_.add_to(options);
  }

  VerbResult run(const CommonOptions&) override {
    check_options();
    if (threads_) set_thread_count(static_cast<int>(*threads_));
    PreparedNetwork prepared = prepare();
    const bool lowers = prepared.lowered.has_value();
    const Module& module = lowers ? *prepared.lowered : prepared.network;
    const auto execution =
        make_any_execution(execution_, module, device_, stalls_.seed_for({execution_}));
    const Samples inputs = samples_of(prepared, module);
    const Samples outputs = execution->run(inputs);
    if (!output_.empty()) write_outputs(module, outputs, lowers);
    VerbResult result = describe(prepared.samples, *execution);
    if (prepared.samples && !prepared.samples->labels().empty())
      add_accuracy(module, outputs, prepared.samples->labels(), result);
    if (auto* cpu = dynamic_cast<CpuExecution*>(execution.get())) {
      if (bench_) add_bench(bench(*cpu, inputs, runs_.value_or(0)), result);
      if (profile_) add_profile(profile(*cpu, inputs, runs_.value_or(0)), result);
    } else if (profile_) {
      add_profile(module, inputs, result);
    }
    return result;
  }

 private:
  void check_options() const {
    const bool timed = execution_ == "cpu" && (bench_ || profile_);
    if (!input_.empty() && !data_.source.empty())
      throw Error("tandem run takes either --data SET or --input FILE.npz");
    if (input_.empty() && data_.source.empty() && !timed)
      throw Error(
          "tandem run takes either --data SET or --input FILE.npz; --execution cpu with "
          "--bench or --profile runs without");
    if (!input_.empty() && output_.empty() && !timed)
      throw Error("--input without --output: name the file for the results");
    if (input_.empty() && data_.source.empty() && !output_.empty())
      throw Error("--output without --input or --data: there is nothing to compute");
    stalls_.seed_for({execution_});
    check_timing();
    for (const std::string& file : {output_, trace_}) {
      if (file.empty()) continue;
      const auto folder = std::filesystem::path(file).parent_path();
      check_writable_folder(folder.empty() ? "." : folder);
    }
  }

  void check_timing() const {
    if (profile_ && execution_ != "float" && execution_ != "reference" && execution_ != "cpu")
      throw Error("--profile times the nodes of cpu, float and reference, not of ", execution_);
    if (bench_ && execution_ != "cpu")
      throw Error("--bench times the execution cpu, not ", execution_, "; add --execution cpu");
    if (!trace_.empty() && !(profile_ && execution_ == "cpu"))
      throw Error("--profile-trace is for --profile of the execution cpu");
    if (runs_ && !(execution_ == "cpu" && (bench_ || profile_)))
      throw Error("--runs is for --bench and --profile of the execution cpu");
    if (runs_ && *runs_ < 1) throw Error("--runs ", *runs_, ": give a positive number");
    constexpr std::int64_t kMostThreads = 1024;
    if (threads_ && (*threads_ < 1 || *threads_ > kMostThreads))
      throw Error("--threads ", *threads_, ": give a number from 1 to ", kMostThreads);
  }

  PreparedNetwork prepare() const {
    NamedTensors arrays;
    if (!input_.empty()) arrays = read_npz(input_);
    Module network = model_.load(arrays);
    // A coding of the inputs asks for integers.
    const InputCodings codings = codings_.codings();
    const bool lowers = !computes_reals(execution_, network) || !codings.empty();
    PreparedNetwork prepared =
        prepare_network(std::move(network), data_.data_options(), codings, lowers);
    if (!input_.empty()) {
      prepared.samples =
          samples_of_arrays(lowers ? *prepared.lowered : prepared.network, arrays, input_);
    }
    return prepared;
  }

  static Samples samples_of(const PreparedNetwork& prepared, const Module& module) {
    if (!prepared.samples) return plain_inputs(for_one_sample(module));
    return prepared.lowered ? prepared.samples->codes(module) : prepared.samples->reals(module);
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

  VerbResult describe(const std::optional<NetworkSamples>& given,
                      const Execution& execution) const {
    VerbResult result;
    const std::int64_t samples = given ? given->count() : 1;
    const double seconds = execution.measured().at("seconds");
    result.json = {{"schema", "tandem-run/1"}, {"model", model_.path},
                   {"execution", execution_},  {"device", device_of_execution(execution_, device_)},
                   {"samples", samples},       {"accuracy", nullptr},
                   {"seconds", seconds}};
    if (data_.given()) result.json["data"] = data_.json(*given);
    if (!input_.empty()) result.json["input"] = input_;
    if (!output_.empty()) result.json["output"] = output_;
    result.json["measured"] = execution.measured();
    const std::string device = device_of_execution(execution_, device_);
    result.text =
        concat(model_.path, ": ", execution_, device.empty() ? "" : " on " + device, ", ", samples,
               " samples in ", shortest(std::round(seconds * 1e3) / 1e3), " s\n");
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

  static void add_bench(const HostBench& measured, VerbResult& result) {
    constexpr double kMilli = 1e3, kGiga = 1e-9;
    const double share = measured.peak > 0 ? measured.rate() / measured.peak : 0;
    result.json["bench"] = {{"threads", thread_count()},
                            {"instructions", vector_extensions()},
                            {"runs", measured.seconds.size()},
                            {"least_seconds", measured.least()},
                            {"median_seconds", measured.median()},
                            {"operations", measured.operations},
                            {"operations_per_second", measured.rate()},
                            {"peak_operations_per_second", measured.peak},
                            {"share_of_peak", share}};
    result.text += concat("one run: median ", rounded(measured.median() * kMilli, 3), " ms, least ",
                          rounded(measured.least() * kMilli, 3), " ms (", measured.seconds.size(),
                          " runs, ", thread_count(), " threads, ", vector_extensions(), ")\n");
    if (measured.operations == 0) return;
    result.text +=
        concat(rounded(measured.operations * kGiga, 3), " GFLOP, ",
               rounded(measured.rate() * kGiga, 1), " GFLOP/s: ", percent(share), " of the ",
               rounded(measured.peak * kGiga, 1), " that fused multiply-adds reach here\n");
  }

  static std::string rounded(double value, int digits) {
    const double scale = std::pow(10, digits);
    return shortest(std::round(value * scale) / scale);
  }

  void add_profile(std::vector<StepTime> steps, VerbResult& result) const {
    if (!trace_.empty()) {
      write_file_atomic(trace_, chrome_trace(steps));
      result.json["profile_trace"] = trace_;
    }
    constexpr double kMilli = 1e3, kGiga = 1e-9;
    double total = 0;
    for (const StepTime& step : steps) total += step.seconds;
    std::ranges::stable_sort(steps, std::ranges::greater(), &StepTime::seconds);
    Json nodes = Json::array();
    TextTable table({"node", "operators", "kernel", "ms", "share", "GFLOP/s"});
    for (const StepTime& step : steps) {
      const double rate = step.seconds > 0 ? step.operations / step.seconds : 0;
      nodes.push_back({{"name", step.name},
                       {"op", step.op},
                       {"followers", step.followers},
                       {"kernel", step.form},
                       {"seconds", step.seconds},
                       {"operations_per_second", rate}});
      std::string operators = step.op;
      for (const std::string& follower : step.followers) operators += "+" + follower;
      table.add({step.name, operators, step.form, rounded(step.seconds * kMilli, 4),
                 percent(total > 0 ? step.seconds / total : 0), rounded(rate * kGiga, 1)});
    }
    result.json["profile"] = nodes;
    result.text += "\n" + table.text();
  }

  ModelOptions model_;
  DataFlags data_;
  CodingFlags codings_;
  StallFlag stalls_;
  std::string input_, output_, execution_ = "float", device_;
  std::string trace_;
  std::optional<std::int64_t> threads_, runs_;
  bool profile_ = false, bench_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_run_verb() { return std::make_unique<RunVerb>(); }

}  // namespace tandem
