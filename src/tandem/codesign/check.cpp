#include "tandem/codesign/check.h"

#include <algorithm>
#include <memory>

#include <nlohmann/json.hpp>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/codesign/trial.h"
#include "tandem/device/device.h"
#include "tandem/emit/c_target.h"
#include "tandem/emit/verilog.h"
#include "tandem/files/refused.h"
#include "tandem/graph/lowering.h"
#include "tandem/runtime/cpu_target.h"

namespace tandem {
namespace {

std::unique_ptr<Target> target_called(const std::string& name) {
  if (name == "c") return std::make_unique<CTarget>();
  if (name == "circuit") return std::make_unique<CircuitTarget>();
  if (name == "cpu") return std::make_unique<CpuTarget>();
  throw Error("there is no target '", name, "'", suggestion(name, {"c", "circuit", "cpu"}));
}

// The target that sources for a kind of device are emitted for.
std::string target_of_kind(const std::string& kind) {
  if (kind == "mcu") return "c";
  if (kind == "dataflow_fpga") return "circuit";
  if (kind == "host_cpu") return "cpu";
  throw Error("devices of kind ", kind,
              " have no target; use a device of kind mcu, dataflow_fpga or host_cpu");
}

void judge(const Module& network, const Target& target, const InputCodings& codings,
           CheckResult& result) {
  const auto unknown = unknown_operators(network);
  result.issues.insert(result.issues.end(), unknown.begin(), unknown.end());
  try {
    const TrialLowering trial = lower_on_trial(network, codings);
    result.recoded = trial.recoded;
    result.notes = trial.notes;
    for (const Issue& issue : target.check(trial.lowered)) {
      const auto is_known = [&](const Issue& other) { return other.node == issue.node; };
      if (std::ranges::none_of(unknown, is_known)) result.issues.push_back(issue);
    }
  } catch (const LoweringError& error) {
    for (const LoweringProblem& problem : error.problems())
      if (problem.op != "Opaque")
        result.issues.push_back({problem.node, problem.op, problem.reason, problem.remedy});
  }
}

}  // namespace

CheckResult check_network(const CheckRequest& request, const std::function<Module()>& read) {
  if (!request.target.empty() && !request.device.empty())
    throw Error("tandem check takes either --target or --device");
  CheckResult result;
  result.device = request.device;
  result.target = request.target.empty() ? "c" : request.target;
  if (!request.device.empty()) result.target = target_of_kind(find_device(request.device).kind());
  const auto target = target_called(result.target);
  try {
    judge(read(), *target, request.codings, result);
  } catch (const RefusedModel& refused) {
    for (const RefusedNode& node : refused.nodes())
      result.issues.push_back({node.node, node.op, node.reason, node.remedy});
    if (!refused.rest()) return result;
    try {
      judge(*refused.rest(), *target, request.codings, result);
    } catch (const Error& error) {
      result.notes.push_back(concat("the other nodes could not be judged: ", error.what()));
    }
  }
  return result;
}

std::string to_json(const CheckResult& result, const std::string& model) {
  using Json = nlohmann::ordered_json;
  Json issues = Json::array();
  for (const Issue& issue : result.issues) {
    issues.push_back({{"node", issue.node},
                      {"op", issue.op},
                      {"reason", issue.reason},
                      {"remedy", issue.remedy}});
  }
  const Json json{{"schema", "tandem-check/1"}, {"model", model},
                  {"target", result.target},    {"device", result.device},
                  {"recoded", result.recoded},  {"ok", result.ok()},
                  {"notes", result.notes},      {"issues", issues}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace tandem
