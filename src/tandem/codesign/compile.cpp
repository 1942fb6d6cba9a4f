#include "tandem/codesign/compile.h"

#include <algorithm>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/base/text.h"
#include "tandem/graph/printer.h"
#include "tandem/verify/reference_execution.h"

namespace tandem {
namespace {

using Json = nlohmann::ordered_json;

Samples first_of(const Samples& samples, std::int64_t count) {
  Samples part;
  for (const Tensor& tensor : samples) part.push_back(tensor.rows(0, count));
  return part;
}

// Runs the emitted sources with the very plan they were emitted from.
std::vector<ProvedExecution> prove(const PlannedModel& model, const CompileRequest& request) {
  const DeviceTraits traits = device_traits(model.device);
  const NetworkSamples samples =
      random_samples(model.lowered, std::max(request.samples, request.machine_samples),
                     static_cast<std::uint64_t>(request.seed));
  const Samples inputs = samples.codes(model.lowered);
  ReferenceExecution reference(model.lowered);
  const Samples expected = reference.run(inputs);
  std::vector<ProvedExecution> proved;
  for (const auto& [name, count] : {std::pair(traits.host_execution, request.samples),
                                    std::pair(traits.machine_execution, request.machine_samples)}) {
    if (name.empty()) continue;
    ExecutionOptions options;
    options.device = model.device.path;
    options.plan = model.planned.plan;
    const auto execution = make_execution(name, model.lowered, options);
    const Samples some = first_of(inputs, count), wanted = first_of(expected, count);
    const Samples outputs = execution->run(some);
    proved.push_back(
        {name, count,
         compare_executions(model.lowered, reference, wanted, *execution, outputs, some),
         execution->measured()});
  }
  return proved;
}

Json verification_of(const CompileResult& result) {
  Json list = Json::array();
  for (const ProvedExecution& proved : result.executions) {
    list.push_back({{"execution", proved.execution},
                    {"samples", proved.samples},
                    {"compared_values", proved.equality.compared_values},
                    {"differing_values", proved.equality.differing_values},
                    {"max_difference", proved.equality.max_difference},
                    {"first_differing_layer", proved.equality.first_layer},
                    {"measured", proved.measured}});
  }
  return {{"schema", "tandem-verification/1"},
          {"equal", result.equal()},
          {"seed", result.seed},
          {"executions", list}};
}

}  // namespace

bool CompileResult::equal() const {
  return std::ranges::all_of(executions,
                             [](const ProvedExecution& proved) { return proved.equality.equal(); });
}

std::string symbol_name(const std::string& given, const std::string& model) {
  const std::string name =
      given.empty() ? identifier(std::filesystem::path(model).stem().string()) : given;
  if (name != identifier(name)) {
    throw Error("--name ", name, ": names of symbols are letters, digits and '_', such as ",
                identifier(name));
  }
  return name;
}

CompileResult compile_network(const CompileRequest& request) {
  if (request.samples < 1 || request.machine_samples < 1)
    throw Error("--samples and --machine-samples must be at least 1");
  if (request.seed < 0) throw Error("--seed ", request.seed, " is negative");
  CompileResult result;
  result.model = request.model;
  result.name = symbol_name(request.name, request.model);
  result.output = request.output;
  result.seed = request.seed;
  const PlannedModel model = plan_model(request.plan, OnTrial::kRefuse);
  result.device = model.device.name;
  result.device_title = model.device.title;
  result.fits = model.fits;
  result.misfit = model.misfit;
  OutputFolder folder(request.output);
  const auto target = make_target(model.device);
  result.target = target->name();
  Artifacts files = target->emit(model.lowered, model.planned.plan, result.name);
  for (Artifact& file : files) file.path = result.target + "/" + file.path;
  files.push_back({result.name + ".tandem", print_module(model.lowered)});
  files.push_back({"estimate.json", to_json(model.planned.estimate)});
  result.executions = prove(model, request);
  files.push_back({"verification.json", verification_of(result).dump(2) + "\n"});
  for (const Artifact& file : files) {
    const std::filesystem::path place = folder.path() / file.path;
    std::filesystem::create_directories(place.parent_path());
    write_file_atomic(place, file.content);
    result.files.push_back(file.path);
  }
  folder.commit();
  return result;
}

std::string to_json(const CompileResult& result) {
  const Json json{{"schema", "tandem-compile/1"},
                  {"model", result.model},
                  {"device", result.device},
                  {"target", result.target},
                  {"name", result.name},
                  {"output", result.output},
                  {"fits", result.fits},
                  {"files", result.files},
                  {"verification", verification_of(result)}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace tandem
