// The files of a result.
#include <nlohmann/json.hpp>

#include "tandem/base/error.h"
#include "tandem/base/version.h"
#include "tandem/codesign/fit.h"
#include "tandem/codesign/network_task.h"
#include "tandem/codesign/planning.h"
#include "tandem/files/onnx_reader.h"
#include "tandem/files/onnx_writer.h"
#include "tandem/graph/equality.h"
#include "tandem/graph/printer.h"
#include "tandem/verify/network.h"

namespace tandem {
namespace {

using Json = nlohmann::ordered_json;

Json json_of(const std::vector<Limit>& limits, const Measures& measures) {
  Json list = Json::array();
  for (const Limit& limit : limits) {
    const double value = measures.at(limit.measure);
    list.push_back({{"option", limit.option},
                    {"measure", limit.measure},
                    {"bound", limit.bound},
                    {"at_least", limit.at_least},
                    {"reached", value},
                    {"met", limit.excess(value) == 0},
                    {"missing_bytes", limit.missing_bytes(value)}});
  }
  return list;
}

Json json_of(const FitOutcome& outcome, const CompressRecipe& recipe) {
  Json layers = Json::array();
  for (const RecodedLayer& layer : outcome.layers) {
    Json entry{{"layer", layer.layer}, {"op", layer.op}};
    if (!layer.weight_format.empty()) entry["weights"] = layer.weight_format;
    if (!layer.result_format.empty()) {
      entry["result"] = layer.result_format;
      entry["scale"] = layer.scale;
      entry["zero"] = layer.zero;
    }
    for (const auto& [bits, noise] : layer.noise)
      entry["noise_when_narrowed"][concat(bits, " bits")] = noise;
    layers.push_back(entry);
  }
  Json json{{"method", name(recipe.activations.method)},
            {"weight_method", name(recipe.weights.method)},
            {"granularity", name(recipe.weights.granularity)}};
  if (recipe.activations.method == RangeMethod::kPercentile)
    json["percentile"] = recipe.activations.percentile;
  json["layers"] = layers;
  return json;
}

// Every choice, and all that they followed from.
std::string lock_text(const FitRequest& request, const FitOutcome& outcome) {
  const SearchResult& search = outcome.search;
  const Variant& variant = search.variants[search.best.variant];
  Json data = Json::object();
  for (const auto& [name, text] : request.data_options) data[name] = text;
  data["preprocessing"] = request.held_out.preprocessing;
  data["calibration_samples"] = request.calibration.count();
  data["selection_samples"] = request.selection.count();
  Json lock{{"schema", "tandem-lock/1"},
            {"tandem", version()},
            {"name", request.name},
            {"model", request.model},
            {"subject", fit_subject(request)},
            {"device", request.device.name},
            {"minimise", name(request.objective)},
            {"seed", request.seed},
            {"data", data},
            {"limits", json_of(outcome.limits, search.measures)},
            {"feasible", search.feasible},
            {"points", search.points},
            {"variants", search.variants.size()},
            {"chosen", variant.label}};
  if (!outcome.layers.empty()) lock["recipe"] = json_of(outcome, variant.recipe);
  lock["plan"] = outcome.planned.choices;
  Json steps = Json::array();
  for (const Step& step : outcome.planned.plan.steps) {
    if (step.kind != StepKind::kRun || step.nodes.empty()) continue;
    steps.push_back({{"node", outcome.lowered.main().nodes[step.nodes.front()].name},
                     {"form", step.form},
                     {"tile", step.tile}});
  }
  lock["steps"] = steps;
  lock["measures"] = search.measures;
  lock["lowered"] = content_hash(print_module(outcome.lowered));
  return lock.dump(2) + "\n";
}

std::string verification_text(const FitOutcome& outcome) {
  Json list = Json::array();
  for (const ExecutionResult& result : outcome.executions) {
    Json entry{{"execution", result.execution},
               {"samples", result.samples},
               {"accuracy", result.accuracy}};
    if (result.equality.compared_values > 0) {
      entry["compared_values"] = result.equality.compared_values;
      entry["differing_values"] = result.equality.differing_values;
      entry["max_difference"] = result.equality.max_difference;
      entry["must_be_equal"] = result.must_be_equal;
      if (result.must_be_equal && !result.equality.first_layer.empty())
        entry["first_layer"] = result.equality.first_layer;
    }
    list.push_back(entry);
  }
  const Json json{
      {"schema", "tandem-verification/1"}, {"equal", outcome.equal()}, {"executions", list}};
  return json.dump(2) + "\n";
}

// The recoded network as ONNX, where that says the same integers.
std::string onnx_bytes(const FitRequest& request, const FitOutcome& outcome, std::string* refusal) {
  try {
    const std::string source = request.name + ".onnx";
    if (is_lowered(outcome.recoded))
      throw Error("the network was given as integers, which ONNX does not express");
    const std::string bytes = write_onnx(outcome.recoded, source).bytes;
    const Module read = read_onnx(std::as_bytes(std::span(bytes)), source);
    const auto codings = codings_of_samples(read, request.selection);
    const auto unlike = difference(outcome.lowered, lowered_network(read, codings));
    if (!unlike) return bytes;
    *refusal = "read back and lowered it is another network: " + *unlike;
  } catch (const Error& error) {
    *refusal = error.what();
  }
  return "";
}

}  // namespace

Artifacts fit_files(const FitRequest& request, const FitOutcome& outcome,
                    std::string* onnx_refusal) {
  Artifacts files;
  files.push_back({request.name + ".tandem", print_module(outcome.lowered)});
  if (std::string bytes = onnx_bytes(request, outcome, onnx_refusal); !bytes.empty())
    files.push_back({request.name + ".onnx", std::move(bytes)});
  files.push_back({"plan.txt", print_plan(outcome.lowered, outcome.planned.plan)});
  files.push_back({"estimate.json", to_json(outcome.planned.estimate)});
  files.push_back({"lock.json", lock_text(request, outcome)});
  files.push_back({"verification.json", verification_text(outcome)});
  const auto target = make_target(request.device);
  for (Artifact& artifact : target->emit(outcome.lowered, outcome.planned.plan, request.name)) {
    artifact.path = outcome.target + "/" + artifact.path;
    files.push_back(std::move(artifact));
  }
  return files;
}

}  // namespace tandem
