#include "tandem/cost/estimate.h"

#include <nlohmann/json.hpp>

namespace tandem {

namespace {

nlohmann::ordered_json json_of(const Figures& figures) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const auto& [key, figure] : figures) {
    json[key] = {{"value", figure.value},
                 {"source", name(figure.source)},
                 {"relative_uncertainty", figure.relative_uncertainty}};
  }
  return json;
}

}  // namespace

std::string to_json(const Estimate& estimate) {
  nlohmann::ordered_json json;
  json["schema"] = "tandem-estimate/1";
  json["device"] = estimate.device;
  json["total"] = json_of(estimate.total);
  json["steps"] = nlohmann::ordered_json::array();
  for (const StepEstimate& step : estimate.steps)
    json["steps"].push_back({{"name", step.name}, {"figures", json_of(step.figures)}});
  return json.dump(2);
}

}  // namespace tandem
