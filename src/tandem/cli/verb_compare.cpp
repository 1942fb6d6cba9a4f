#include <algorithm>
#include <cmath>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/cli/network_options.h"
#include "tandem/cli/table.h"
#include "tandem/cli/verbs.h"
#include "tandem/graph/operator.h"
#include "tandem/verify/equality.h"
#include "tandem/verify/samples.h"

namespace tandem {
namespace {

// What one participant computed.
struct Outcome {
  std::string name;  // of the execution, or of the model
  std::unique_ptr<Execution> execution;
  const Module* module = nullptr;
  Samples inputs, outputs;
  bool is_float = false;
};

// Differences of all outputs, or of one layer.
struct Difference {
  std::int64_t compared = 0, differing = 0;
  double most = 0;

  void add(const Tensor& a, const Tensor& b, double tolerance) {
    for (std::int64_t i = 0; i < a.size(); ++i) {
      const double x = a.real(i), y = b.real(i);
      ++compared;
      if (x == y || (std::isnan(x) && std::isnan(y))) continue;
      const double difference = std::abs(x - y);
      if (!(difference <= tolerance)) ++differing;
      most = std::isnan(difference) ? difference : std::max(most, difference);
    }
  }
  Json json() const {
    return {
        {"compared_values", compared}, {"differing_values", differing}, {"max_difference", most}};
  }
};

class CompareVerb final : public Verb {
 public:
  std::string name() const override { return "compare"; }
  std::string summary() const override {
    return "Compare executions of a network, or two networks, value by value";
  }
  std::string examples() const override {
    return "  tandem compare network.onnx --executions reference,c,qemu --data mnist:DIR --limit "
           "100\n"
           "  tandem compare network.onnx lowered.tandem --data mnist:DIR --layers\n"
           "  tandem compare network.onnx --executions float,cpu --data random:4 --tolerance 1e-4\n"
           "Executions of integers must agree in every bit: a difference ends with exit code 1 "
           "and\n"
           "names the first layer that differs. float may take part; its outputs are coded as the\n"
           "integer network's, and codes that differ are counted. Two networks are compared as "
           "float\n"
           "where they are real and as reference where they are of integers, on the reals that "
           "their\n"
           "outputs stand for; values that differ by more than --tolerance end with exit code 1.\n"
           "float and cpu alone compute the reals of a network, within rounding: "
           "what\n"
           "differs is counted, and ends with exit code 1 where --tolerance says how much is too "
           "much.\n"
           "Of a network with states the samples are consecutive calls of one stream, which starts "
           "at\n"
           "the initial states in each execution.";
  }
  void add_options(OptionTable& options) override {
    model_.add_to(options);
    options.optional_positional("MODEL_B", other_, "A second network, instead of --executions");
    options.text("--executions", "A,B,...", executions_,
                 "Two or more of float, " + join(execution_names(), ", "));
    data_.add_to(options, true);
    options.flag("--layers", layers_, "Compare every layer too");
    options.number("--tolerance", tolerance_, "Greatest difference of reals that is none [0]");
    options.text("--device", "DEVICE", device_,
                 "What is planned for; a default of the kind that the execution needs");
    stalls_.add_to(options);
    codings_.add_to(options);
  }

  VerbResult run(const CommonOptions&) override {
    if (other_.empty() == executions_.empty())
      throw Error("tandem compare takes either --executions A,B,... or a second MODEL");
    if (stalls_.seed && executions_.empty())
      throw Error("--stalls is for --executions with circuit among them");
    if (tolerance_ && !(*tolerance_ >= 0)) throw Error("--tolerance must not be negative");
    return other_.empty() ? compare_executions_of_one() : compare_two();
  }

 private:
  // ---- Executions of one network ----

  std::vector<std::string> names() const {
    std::vector<std::string> known = execution_names(), names;
    known.insert(known.begin(), "float");
    for (const std::string& part : split(executions_, ',')) {
      const std::string name(trim(part));
      if (std::find(known.begin(), known.end(), name) == known.end())
        throw Error("no execution is called '", name, "'", suggestion(name, known));
      if (std::find(names.begin(), names.end(), name) != names.end())
        throw Error("--executions names ", name, " twice");
      names.push_back(name);
    }
    if (names.size() < 2) throw Error("--executions takes two or more, such as reference,c");
    return names;
  }

  // The device of an execution that has one.
  std::string device_for(const std::string& name) const {
    const bool has_device = name == "c" || name == "qemu" || name == "circuit";
    return device_of_execution(name, has_device ? device_ : "");
  }

  VerbResult compare_executions_of_one() {
    const std::vector<std::string> wanted = names();
    const std::uint64_t stall_seed = stalls_.seed_for(wanted);
    Module network = model_.load();
    const bool reals = std::ranges::all_of(wanted, [&](const std::string& name) {
      return computes_reals(name, network) && codings_.texts.empty();
    });
    if (reals) return compare_reals(std::move(network), wanted);
    if (tolerance_)
      throw Error(
          "--tolerance is for networks of reals; executions of integers agree in every bit");
    const PreparedNetwork prepared =
        prepare_network(std::move(network), data_.data_options(), codings_.codings(), true);
    const Module& lowered = *prepared.lowered;
    std::vector<Outcome> outcomes;
    for (const std::string& name : wanted) {
      Outcome outcome;
      outcome.name = name;
      outcome.is_float = name == "float";
      outcome.module = outcome.is_float ? &prepared.network : &lowered;
      outcome.inputs = outcome.is_float ? prepared.samples->reals(prepared.network)
                                        : prepared.samples->codes(lowered);
      outcome.execution = make_any_execution(name, *outcome.module, device_for(name), stall_seed);
      outcome.outputs = outcome.execution->run(outcome.inputs);
      // Of a network of integers, float computes codes already.
      if (outcome.is_float && !is_lowered(prepared.network)) {
        for (std::size_t i = 0; i < outcome.outputs.size(); ++i)
          outcome.outputs[i] = encoded_output(lowered, i, outcome.outputs[i]);
      }
      outcomes.push_back(std::move(outcome));
    }
    VerbResult result = started(*prepared.samples);
    TextTable table({"first", "second", "compared values", "differing", "max difference", "note"});
    Json pairs = Json::array();
    for (std::size_t a = 0; a < outcomes.size(); ++a)
      for (std::size_t b = a + 1; b < outcomes.size(); ++b)
        add_pair(lowered, outcomes[a], outcomes[b], pairs, table, result);
    result.json["pairs"] = pairs;
    result.text += table.text();
    if (layers_) add_execution_layers(lowered, outcomes, result);
    return result;
  }

  // Executions of the network's own reals agree within rounding.
  VerbResult compare_reals(Module read, const std::vector<std::string>& wanted) const {
    const PreparedNetwork prepared =
        prepare_network(std::move(read), data_.data_options(), {}, false);
    const Module network = for_one_sample(prepared.network);
    std::vector<Outcome> outcomes;
    for (const std::string& name : wanted) {
      Outcome outcome;
      outcome.name = name;
      outcome.is_float = true;
      outcome.module = &network;
      outcome.inputs = prepared.samples->reals(network);
      outcome.execution = make_any_execution(name, network, device_for(name));
      outcome.outputs = outcome.execution->run(outcome.inputs);
      outcomes.push_back(std::move(outcome));
    }
    VerbResult result = started(*prepared.samples);
    TextTable table({"first", "second", "compared values", "differing", "max difference"});
    const Difference difference = outputs_difference(outcomes[0], outcomes[1]);
    Json pair{{"first", outcomes[0].name}, {"second", outcomes[1].name}};
    pair.update(difference.json());
    pair["must_be_equal"] = false;
    result.json["pairs"] = Json::array({pair});
    table.add({outcomes[0].name, outcomes[1].name, grouped(difference.compared),
               grouped(difference.differing), shortest(difference.most)});
    result.text += table.text();
    if (tolerance_ && difference.differing > 0) result.exit_code = kFailed;
    if (layers_) add_model_layers(outcomes[0], outcomes[1], result);
    return result;
  }

  static void add_pair(const Module& lowered, Outcome& a, Outcome& b, Json& pairs, TextTable& table,
                       VerbResult& result) {
    const bool exact = !a.is_float && !b.is_float;
    const Equality equality = exact ? compare_executions(lowered, *a.execution, a.outputs,
                                                         *b.execution, b.outputs, a.inputs)
                                    : compare_samples(a.outputs, b.outputs);
    pairs.push_back({{"first", a.name},
                     {"second", b.name},
                     {"compared_values", equality.compared_values},
                     {"differing_values", equality.differing_values},
                     {"max_difference", equality.max_difference},
                     {"must_be_equal", exact}});
    std::string note = exact ? "" : "codes of the integer network";
    if (exact && equality.differing_values > 0) {
      result.exit_code = kFailed;
      pairs.back()["first_differing_sample"] = equality.sample;
      pairs.back()["first_differing_layer"] = equality.first_layer;
      note = concat("sample ", equality.sample,
                    equality.first_layer.empty() ? "" : ", first at " + equality.first_layer);
    }
    table.add({a.name, b.name, grouped(equality.compared_values),
               grouped(equality.differing_values), shortest(equality.max_difference), note});
  }

  // Every execution against the first one that computes integers.
  static void add_execution_layers(const Module& lowered, std::vector<Outcome>& outcomes,
                                   VerbResult& result) {
    const auto first = std::find_if(outcomes.begin(), outcomes.end(),
                                    [](const Outcome& outcome) { return !outcome.is_float; });
    Json layers = Json::array();
    for (auto other = first + 1; other < outcomes.end(); ++other) {
      if (other->is_float) continue;
      std::map<ValueId, Difference> differences;
      const std::int64_t count = other->outputs.front().shape()[0];
      for (std::int64_t sample = 0; sample < count; ++sample) {
        const auto a = first->execution->trace(samples_until(lowered, first->inputs, sample));
        const auto b = other->execution->trace(samples_until(lowered, other->inputs, sample));
        for (const auto& [value, tensor] : a)
          if (b.contains(value)) differences[value].add(tensor, b.at(value), 0);
      }
      if (differences.empty()) {
        throw Error("--layers: the execution ", other->name,
                    " shows no layers; leave it out or compare without --layers");
      }
      TextTable table({concat("layer (", first->name, ", ", other->name, ")"), "operator",
                       "compared values", "differing", "max difference"});
      for (const Node& node : lowered.main().nodes) {
        for (const ValueId value : node.outputs) {
          if (!differences.contains(value)) continue;
          const Difference& difference = differences.at(value);
          Json entry{{"first", first->name},
                     {"second", other->name},
                     {"layer", node.name},
                     {"value", lowered.main().values[value].name}};
          entry.update(difference.json());
          layers.push_back(entry);
          table.add({node.name, std::string(node.op->name()), grouped(difference.compared),
                     grouped(difference.differing), shortest(difference.most)});
        }
      }
      result.text += "\n" + table.text();
    }
    result.json["layers"] = layers;
  }

  // ---- Two networks ----

  VerbResult compare_two() const {
    Module first = model_.load();
    ModelOptions model_b = model_;
    model_b.path = other_;
    Module second = model_b.load();
    for (Module* module : {&first, &second})
      if (is_lowered(*module)) *module = lowered_network(*module);
    // Random samples must be codes of the integer network where there is one.
    const Module& asked = is_lowered(second) ? second : first;
    PreparedNetwork prepared =
        prepare_network(asked, data_.data_options(), codings_.codings(), false);
    Outcome a = outcome_of(model_.path, first, *prepared.samples);
    Outcome b = outcome_of(other_, second, *prepared.samples);
    VerbResult result = started(*prepared.samples);
    result.json["second_model"] = other_;
    const Difference difference = outputs_difference(a, b);
    Json pair{{"first", a.name}, {"second", b.name}};
    pair.update(difference.json());
    result.json["pairs"] = Json::array({pair});
    TextTable table({"first", "second", "compared values", "differing", "max difference"});
    table.add({a.name, b.name, grouped(difference.compared), grouped(difference.differing),
               shortest(difference.most)});
    result.text += table.text();
    if (difference.differing > 0) result.exit_code = kFailed;
    if (layers_) add_model_layers(a, b, result);
    return result;
  }

  // A real network as float, an integer one by its reference; outputs as reals.
  static Outcome outcome_of(const std::string& path, const Module& module,
                            const NetworkSamples& given) {
    const NetworkSamples samples(module, given.inputs());
    Outcome outcome;
    outcome.name = path;
    outcome.module = &module;
    outcome.is_float = !is_lowered(module);
    outcome.inputs = outcome.is_float ? samples.reals(module) : samples.codes(module);
    outcome.execution = make_any_execution(outcome.is_float ? "float" : "reference", module, "");
    outcome.outputs = outcome.execution->run(outcome.inputs);
    for (std::size_t i = 0; !outcome.is_float && i < outcome.outputs.size(); ++i)
      outcome.outputs[i] = decoded_output(module, i, outcome.outputs[i]);
    return outcome;
  }

  Difference outputs_difference(const Outcome& a, const Outcome& b) const {
    if (a.outputs.size() != b.outputs.size()) {
      throw Error("the networks have ", a.outputs.size(), " and ", b.outputs.size(),
                  " outputs; only networks with the same outputs are compared");
    }
    Difference difference;
    for (std::size_t i = 0; i < a.outputs.size(); ++i) {
      if (a.outputs[i].size() != b.outputs[i].size()) {
        throw Error("output ", i, " has the shape ", to_string(a.outputs[i].shape()), " in ",
                    a.name, " and ", to_string(b.outputs[i].shape()), " in ", b.name,
                    " (samples first); only networks with the same outputs are compared");
      }
      difference.add(a.outputs[i], b.outputs[i], tolerance_.value_or(0));
    }
    return difference;
  }

  // Layers are matched by the names of their values.
  void add_model_layers(const Outcome& a, const Outcome& b, VerbResult& result) const {
    if (a.is_float != b.is_float)
      throw Error(
          "--layers: the layers of a real network hold reals and those of an integer "
          "network integers; compare two networks of one kind");
    std::map<std::string, ValueId> in_b;
    const Graph &graph_a = a.module->main(), &graph_b = b.module->main();
    for (ValueId value = 0; value < graph_b.values.size(); ++value)
      in_b.emplace(graph_b.values[value].name, value);
    std::map<ValueId, Difference> differences;
    for (std::int64_t sample = 0; sample < a.outputs.front().shape()[0]; ++sample) {
      const auto seen_a = a.execution->trace(samples_until(*a.module, a.inputs, sample));
      const auto seen_b = b.execution->trace(samples_until(*b.module, b.inputs, sample));
      for (const auto& [value, tensor] : seen_a) {
        const auto twin = in_b.find(graph_a.values[value].name);
        if (twin == in_b.end() || !seen_b.contains(twin->second)) continue;
        const Tensor& other = seen_b.at(twin->second);
        if (other.size() == tensor.size())
          differences[value].add(tensor, other, tolerance_.value_or(0));
      }
    }
    if (differences.empty())
      throw Error("--layers: no value has the same name and size in both networks");
    Json layers = Json::array();
    TextTable table({"layer", "operator", "compared values", "differing", "max difference"});
    for (const Node& node : graph_a.nodes) {
      for (const ValueId value : node.outputs) {
        if (!differences.contains(value)) continue;
        const Difference& difference = differences.at(value);
        Json entry{{"layer", node.name}, {"value", graph_a.values[value].name}};
        entry.update(difference.json());
        layers.push_back(entry);
        table.add({node.name, std::string(node.op->name()), grouped(difference.compared),
                   grouped(difference.differing), shortest(difference.most)});
      }
    }
    result.json["layers"] = layers;
    result.text += concat("\n", table.text(), differences.size(), " of ", graph_a.nodes.size(),
                          " layers have a namesake of the same size in ", b.name, "\n");
  }

  VerbResult started(const NetworkSamples& samples) const {
    VerbResult result;
    result.json = {{"schema", "tandem-compare/1"},
                   {"model", model_.path},
                   {"samples", samples.count()},
                   {"data", data_.json(samples)}};
    result.text = concat(samples.count(), " samples of ", samples.inputs().front().name, "\n");
    return result;
  }

  ModelOptions model_;
  std::string other_, executions_, device_;
  DataFlags data_;
  CodingFlags codings_;
  StallFlag stalls_;
  bool layers_ = false;
  std::optional<double> tolerance_;
};

}  // namespace

std::unique_ptr<Verb> make_compare_verb() { return std::make_unique<CompareVerb>(); }

}  // namespace tandem
