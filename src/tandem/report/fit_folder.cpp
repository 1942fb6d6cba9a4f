#include "tandem/report/fit_folder.h"

#include <algorithm>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/base/interrupt.h"
#include "tandem/base/text.h"
#include "tandem/base/version.h"
#include "tandem/codesign/compile.h"
#include "tandem/report/report.h"

namespace tandem {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kDefaultAccuracyDrop = "1%";

std::vector<Limit> limits_of(const FitJob& job) {
  std::vector<std::string> known;
  std::vector<Limit> limits;
  for (const LimitOption& option : limit_options()) {
    known.push_back(option.option);
    const auto given = job.limits.find(option.option);
    std::string text = given == job.limits.end() ? "" : given->second;
    if (text.empty() && option.measure == "accuracy_drop") text = kDefaultAccuracyDrop;
    if (!text.empty()) limits.push_back(parse_limit(option, text));
  }
  for (const auto& [option, text] : job.limits)
    if (std::find(known.begin(), known.end(), option) == known.end())
      throw Error("there is no limit ", option, suggestion(option, known));
  return limits;
}

FitRequest request_of(const FitJob& job) {
  FitRequest request;
  request.objective = parse_objective(job.objective);
  request.limits = limits_of(job);
  if (job.machine_samples < 1)
    throw Error("--samples ", job.machine_samples, ": at least one sample is needed");
  request.machine_samples = job.machine_samples;
  request.device = find_device(job.device);
  request.mcu = job.mcu.request(request.device);
  request.network = job.network;
  request.model = std::filesystem::path(job.model).filename().string();
  request.name = symbol_name(job.name, job.model);
  if (job.data.selection == 0)
    throw Error("--selection 0: a search compares candidates on samples; give it some");
  TrainingSets sets = open_training(job.data, request.network);
  request.calibration = std::move(sets.calibration);
  request.selection = std::move(sets.selection);
  request.held_out = std::move(sets.held_out);
  request.seed = static_cast<std::uint64_t>(job.data.seed);
  request.data_options = {{"source", job.data.source}, {"held_out_split", job.data.split}};
  if (!job.data.preprocess.empty())
    request.data_options.emplace_back("preprocess", job.data.preprocess);
  if (job.data.limit) request.data_options.emplace_back("held_out_limit", concat(*job.data.limit));
  return request;
}

// The command line that asks for the same.
std::string command_of(const FitJob& job) {
  std::string text = concat("tandem fit ", job.model, " --device ", job.device, " --data ",
                            job.data.source, " --minimise ", job.objective);
  for (const LimitOption& option : limit_options()) {
    const auto given = job.limits.find(option.option);
    if (given != job.limits.end() && !given->second.empty())
      text += concat(" ", option.option, " ", given->second);
  }
  return text + concat(job.mcu.text(), " --seed ", job.data.seed);
}

std::string verdict(const FitRequest& request, const FitOutcome& outcome) {
  std::string text =
      concat("Least ", name(request.objective), " on ",
             request.device.title.empty() ? request.device.name : request.device.title);
  text += outcome.search.feasible ? " within the limits"
                                  : "; NO PLAN MEETS THE LIMITS, this is the nearest";
  return text +
         (outcome.equal() ? "; every execution computes the same bits." : "; EXECUTIONS DIFFER.");
}

ReportInput report_input(const FitJob& job, const FitRequest& request, const FitOutcome& outcome) {
  ReportInput input;
  input.title = concat(request.name, " on ", request.device.name);
  input.command = command_of(job);
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
    ReportInput::LayerChoice choice{layer.layer, layer.op, layer.weight_format, layer.result_format,
                                    std::nullopt};
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
                      {"data", job.data.source},
                      {"preprocessing", request.held_out.preprocessing},
                      {"calibration samples", concat(request.calibration.count())},
                      {"selection samples", concat(request.selection.count())},
                      {"seed", concat(request.seed)},
                      {"tandem", version()}};
  return input;
}

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

void add_limits(const FitOutcome& outcome, Json& json) {
  const SearchResult& search = outcome.search;
  Json limits = Json::array(), nearest = Json::array();
  for (std::size_t i = 0; i < outcome.limits.size(); ++i) {
    const Limit& limit = outcome.limits[i];
    const double value = search.measures.at(limit.measure);
    limits.push_back({{"option", limit.option},
                      {"bound", limit.bound},
                      {"reached", value},
                      {"met", limit.excess(value) == 0}});
    if (!limit.missing(value).empty()) limits.back()["missing_bytes"] = limit.missing_bytes(value);
    nearest.push_back({{"option", limit.option}, {"bound", search.feasible_limits[i].bound}});
  }
  json["limits"] = limits;
  if (!search.feasible) json["nearest_limits"] = nearest;
}

void write(const OutputFolder& folder, const std::string& path, const std::string& content) {
  const std::filesystem::path place = folder.path() / path;
  std::filesystem::create_directories(place.parent_path());
  write_file_atomic(place, content);
}

FitOutcome fit_or_keep(const FitRequest& request, const std::filesystem::path& kept) {
  const std::string subject = fit_subject(request);
  Measurements measurements;
  if (std::filesystem::exists(kept))
    measurements = Measurements::read(read_file(kept), subject, kept.string());
  try {
    return fit(request, measurements);
  } catch (const Interrupted&) {
    if (measurements.size() == 0) throw;
    write_file_atomic(kept, measurements.text(subject));
    throw Interrupted(concat("interrupted; what was measured is kept in ", kept.string(),
                             ", and the same command goes on from there"));
  }
}

}  // namespace

FittedFolder fit_into_folder(const FitJob& job) {
  FittedFolder fitted;
  fitted.request = request_of(job);
  fitted.model = job.model;
  fitted.output = job.output;
  OutputFolder folder(job.output);
  const std::filesystem::path kept = fitted.output + ".partial.json";
  fitted.outcome = fit_or_keep(fitted.request, kept);
  for (const Artifact& file : fit_files(fitted.request, fitted.outcome, &fitted.onnx_refusal))
    write(folder, file.path, file.content);
  write(folder, "report.html", report_html(report_input(job, fitted.request, fitted.outcome)));
  folder.commit();
  std::filesystem::remove(kept);
  return fitted;
}

std::string to_json(const FittedFolder& fitted) {
  const FitOutcome& outcome = fitted.outcome;
  const SearchResult& search = outcome.search;
  Json json{{"schema", "tandem-fit/1"},
            {"model", fitted.model},
            {"device", fitted.request.device.name},
            {"minimise", name(fitted.request.objective)},
            {"output", fitted.output},
            {"feasible", search.feasible},
            {"equal", outcome.equal()},
            {"variants", search.variants.size()},
            {"points", search.points},
            {"chosen", search.variants[search.best.variant].label},
            {"plan", outcome.planned.choices},
            {"measures", search.measures}};
  add_limits(outcome, json);
  json["executions"] = Json::array();
  for (const ExecutionResult& execution : outcome.executions)
    json["executions"].push_back(json_of(execution));
  if (!fitted.onnx_refusal.empty()) json["onnx_refusal"] = fitted.onnx_refusal;
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace tandem
