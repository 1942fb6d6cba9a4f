#include <filesystem>
#include <optional>

#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/base/interrupt.h"
#include "tandem/base/text.h"
#include "tandem/base/version.h"
#include "tandem/cli/network_options.h"
#include "tandem/cli/options.h"
#include "tandem/cli/planned.h"
#include "tandem/cli/table.h"
#include "tandem/cli/training_options.h"
#include "tandem/cli/verbs.h"
#include "tandem/codesign/fit.h"
#include "tandem/graph/operator.h"
#include "tandem/report/report.h"

namespace tandem {
namespace {

Json json_of(const ExecutionResult& result) {
  Json json{
      {"execution", result.execution}, {"samples", result.samples}, {"accuracy", result.accuracy}};
  if (result.equality.compared_values > 0) {
    json["compared_values"] = result.equality.compared_values;
    json["differing_values"] = result.equality.differing_values;
    json["max_difference"] = result.equality.max_difference;
  }
  return json;
}

class FitVerb final : public Verb {
 public:
  std::string name() const override { return "fit"; }
  std::string summary() const override {
    return "Recode a network for a device, plan it, emit it, and prove what was emitted";
  }
  std::string examples() const override {
    return "  tandem fit digits.onnx --data npz:digits.npz --device stm32f746 -o digits_f746\n"
           "  tandem fit digits.onnx --data npz:digits.npz --device stm32f411 --minimise flash "
           "\\\n      --max-accuracy-drop 2% --max-latency 5ms -o digits_f411";
  }

  void add_options(OptionTable& options) override {
    model_.add_to(options);
    options.required_text("--device", "DEVICE", device_,
                          "A device by name (tandem list devices) or the path of its file");
    data_.add_to(options);
    options.text("--minimise", "WHAT", objective_, "latency, energy, sram, flash or area");
    limits_.resize(limit_options().size());
    for (std::size_t i = 0; i < limits_.size(); ++i) {
      const LimitOption& option = limit_options()[i];
      options.text(option.option, option.kind, limits_[i], option.help);
    }
    options.integer("--samples", samples_,
                    "Held-out samples that the simulated machine runs (QEMU, Verilator)");
    mcu_.add_to(options);
    options.text("--name", "NAME", name_, "Of files and symbols; from the model's file by default");
    options.required_text("-o,--output", "DIR", output_, "The folder of results");
  }

  VerbResult run(const CommonOptions&) override {
    const FitRequest request = make_request();
    OutputFolder folder(output_);
    const std::filesystem::path kept = output_ + ".partial.json";
    const std::string subject = fit_subject(request);
    Measurements measurements;
    if (std::filesystem::exists(kept))
      measurements = Measurements::read(read_file(kept), subject, kept.string());
    FitOutcome outcome;
    try {
      outcome = fit(request, measurements);
    } catch (const Interrupted&) {
      if (measurements.size() == 0) throw;
      write_file_atomic(kept, measurements.text(subject));
      throw Interrupted(concat("interrupted; what was measured is kept in ", kept.string(),
                               ", and the same command goes on from there"));
    }
    std::string onnx_refusal;
    const Artifacts files = fit_files(request, outcome, &onnx_refusal);
    for (const Artifact& file : files) write(folder, file.path, file.content);
    write(folder, "report.html", report_html(report(request, outcome)));
    folder.commit();
    std::filesystem::remove(kept);
    return describe(request, outcome, onnx_refusal);
  }

 private:
  static void write(const OutputFolder& folder, const std::string& path,
                    const std::string& content) {
    const std::filesystem::path place = folder.path() / path;
    std::filesystem::create_directories(place.parent_path());
    write_file_atomic(place, content);
  }

  FitRequest make_request() const {
    FitRequest request;
    request.objective = parse_objective(objective_);
    request.limits = given_limits();
    if (samples_ < 1) throw Error("--samples ", samples_, ": at least one sample is needed");
    request.machine_samples = samples_;
    request.device = find_device(device_);
    request.mcu = mcu_.request(request.device);
    request.network = model_.load();
    request.model = std::filesystem::path(model_.path).filename().string();
    request.name =
        name_.empty() ? identifier(std::filesystem::path(model_.path).stem().string()) : name_;
    if (request.name != identifier(request.name)) {
      throw Error("--name ", request.name,
                  ": names of symbols are letters, digits and '_', such as ",
                  identifier(request.name));
    }
    TrainingSets sets = data_.open(request.network);
    request.calibration = std::move(sets.calibration);
    request.selection = std::move(sets.selection);
    request.held_out = std::move(sets.held_out);
    request.seed = static_cast<std::uint64_t>(data_.seed);
    request.data_options = {{"source", data_.source}, {"held_out_split", data_.split}};
    if (!data_.preprocess.empty())
      request.data_options.emplace_back("preprocess", data_.preprocess);
    if (data_.limit) request.data_options.emplace_back("held_out_limit", concat(*data_.limit));
    return request;
  }

  std::vector<Limit> given_limits() const {
    std::vector<Limit> limits;
    for (std::size_t i = 0; i < limits_.size(); ++i) {
      const LimitOption& option = limit_options()[i];
      std::string text = limits_[i];
      // A search without a bound on accuracy would take the fewest bits there are.
      if (text.empty() && option.measure == "accuracy_drop") text = kDefaultAccuracyDrop;
      if (!text.empty()) limits.push_back(parse_limit(option, text));
    }
    return limits;
  }

  std::string command() const {
    std::string text = concat("tandem fit ", model_.path, " --device ", device_, " --data ",
                              data_.source, " --minimise ", objective_);
    for (std::size_t i = 0; i < limits_.size(); ++i)
      if (!limits_[i].empty()) text += concat(" ", limit_options()[i].option, " ", limits_[i]);
    return text + concat(mcu_.text(), " --seed ", data_.seed);
  }

  static std::string verdict(const FitRequest& request, const FitOutcome& outcome) {
    std::string text =
        concat("Least ", tandem::name(request.objective), " on ",
               request.device.title.empty() ? request.device.name : request.device.title);
    text += outcome.search.feasible ? " within the limits"
                                    : "; NO PLAN MEETS THE LIMITS, this is the nearest";
    return text +
           (outcome.equal() ? "; every execution computes the same bits." : "; EXECUTIONS DIFFER.");
  }

  ReportInput report(const FitRequest& request, const FitOutcome& outcome) const {
    ReportInput input;
    input.title = concat(request.name, " on ", request.device.name);
    input.command = command();
    input.verdict = verdict(request, outcome);
    input.succeeded = outcome.search.feasible && outcome.equal();
    input.lowered = &outcome.lowered;
    input.plan = &outcome.planned.plan;
    input.device = &request.device;
    input.estimate = &outcome.planned.estimate;
    for (const ExecutionResult& result : outcome.executions) {
      input.accuracy.push_back({result.execution, result.samples, result.accuracy,
                                result.equality.compared_values, result.equality.differing_values,
                                result.must_be_equal});
    }
    for (const RecodedLayer& layer : outcome.layers) {
      ReportInput::LayerChoice choice{layer.layer, layer.op, layer.weight_format,
                                      layer.result_format, std::nullopt};
      if (!layer.noise.empty()) {
        input.narrowed_bits = layer.noise.begin()->first;
        choice.sensitivity = layer.noise.begin()->second;
      }
      input.choices.push_back(std::move(choice));
    }
    for (const Limit& limit : outcome.limits) {
      const double value = outcome.search.measures.at(limit.measure);
      input.limits.push_back(
          {limit.option, limit.text(limit.bound), limit.text(value), limit.excess(value) == 0});
    }
    input.provenance = {{"model", request.model},
                        {"data", data_.source},
                        {"preprocessing", request.held_out.preprocessing},
                        {"calibration samples", concat(request.calibration.count())},
                        {"selection samples", concat(request.selection.count())},
                        {"seed", concat(request.seed)},
                        {"tandem", version()}};
    return input;
  }

  VerbResult describe(const FitRequest& request, const FitOutcome& outcome,
                      const std::string& onnx_refusal) const {
    const SearchResult& search = outcome.search;
    VerbResult result;
    result.json = {{"schema", "tandem-fit/1"},
                   {"model", model_.path},
                   {"device", request.device.name},
                   {"minimise", tandem::name(request.objective)},
                   {"output", output_},
                   {"feasible", search.feasible},
                   {"equal", outcome.equal()},
                   {"variants", search.variants.size()},
                   {"points", search.points},
                   {"chosen", search.variants[search.best.variant].label},
                   {"plan", outcome.planned.choices},
                   {"measures", search.measures}};
    result.text = concat(search.feasible ? "chosen of " : "nearest of ", search.points,
                         " points: ", search.variants[search.best.variant].label, "\n");
    add_limits(outcome, result);
    add_executions(outcome, result);
    if (!onnx_refusal.empty()) {
      result.json["onnx_refusal"] = onnx_refusal;
      result.text += concat("no ", request.name, ".onnx: ", onnx_refusal, "\n");
    }
    result.text += concat("wrote ", output_, search.feasible ? "" : " (labelled infeasible)", "\n");
    result.exit_code = search.feasible && outcome.equal() ? kDone : kFailed;
    return result;
  }

  static void add_limits(const FitOutcome& outcome, VerbResult& result) {
    const SearchResult& search = outcome.search;
    TextTable table({"limit", "bound", "reached", ""});
    Json limits = Json::array(), nearest = Json::array();
    for (std::size_t i = 0; i < outcome.limits.size(); ++i) {
      const Limit &limit = outcome.limits[i], &feasible = search.feasible_limits[i];
      const double value = search.measures.at(limit.measure);
      const bool met = limit.excess(value) == 0;
      const std::string missing = limit.missing(value);
      table.add({limit.option, limit.text(limit.bound), limit.text(value),
                 met               ? "met"
                 : missing.empty() ? "MISSED"
                                   : concat("MISSED: ", missing)});
      limits.push_back(
          {{"option", limit.option}, {"bound", limit.bound}, {"reached", value}, {"met", met}});
      if (!missing.empty()) limits.back()["missing_bytes"] = limit.missing_bytes(value);
      nearest.push_back({{"option", limit.option}, {"bound", feasible.bound}});
    }
    result.json["limits"] = limits;
    result.text += table.text();
    if (search.feasible) return;
    result.json["nearest_limits"] = nearest;
    std::vector<std::string> moved;
    for (std::size_t i = 0; i < outcome.limits.size(); ++i) {
      const Limit& limit = search.feasible_limits[i];
      if (limit.bound != outcome.limits[i].bound)
        moved.push_back(concat(limit.option, " ", limit.text(limit.bound)));
    }
    result.text +=
        concat("no plan meets the limits; the nearest that are met: ", join(moved, ", "), "\n");
  }

  static void add_executions(const FitOutcome& outcome, VerbResult& result) {
    TextTable table({"execution", "samples", "accuracy", "output values", "differing"});
    Json executions = Json::array();
    std::string differences;
    for (const ExecutionResult& execution : outcome.executions) {
      const Equality& equality = execution.equality;
      const bool compared = equality.compared_values > 0;
      table.add({execution.execution, grouped(execution.samples), percent(execution.accuracy),
                 compared ? grouped(equality.compared_values) : "",
                 compared ? grouped(equality.differing_values) : ""});
      executions.push_back(json_of(execution));
      if (execution.must_be_equal && !equality.equal())
        differences += to_string(equality, "reference", execution.execution) + "\n";
    }
    result.json["executions"] = executions;
    result.text += table.text() + differences;
  }

  static constexpr const char* kDefaultAccuracyDrop = "1%";
  ModelOptions model_;
  TrainingFlags data_;
  McuFlags mcu_;
  std::string device_, objective_ = "latency", name_, output_;
  std::vector<std::string> limits_;
  std::int64_t samples_ = 100;
};

}  // namespace

std::unique_ptr<Verb> make_fit_verb() { return std::make_unique<FitVerb>(); }

}  // namespace tandem
