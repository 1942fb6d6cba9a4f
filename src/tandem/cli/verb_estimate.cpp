#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/cli/plan_options.h"
#include "tandem/cli/table.h"
#include "tandem/cli/verbs.h"

namespace tandem {
namespace {

std::string source_text(const Figure& figure) {
  std::string text(name(figure.source));
  if (figure.relative_uncertainty > 0) text += " ± " + percent(figure.relative_uncertainty);
  return text;
}

class EstimateVerb final : public Verb {
 public:
  std::string name() const override { return "estimate"; }
  std::string summary() const override {
    return "Estimate time, memory and area of a network on a device, without building anything";
  }
  std::string examples() const override {
    return "  tandem estimate network.onnx --device stm32f746 --input-coding x=uint8,1/255\n"
           "  tandem estimate lowered.tandem --device stm32f411 --minimise flash --json\n"
           "A real network is judged as tandem compress would recode it to 8 bits; what is assumed "
           "is\nnoted.";
  }
  void add_options(OptionTable& options) override {
    flags_.add_to(options, true);
    options.flag("--steps", steps_, "Show every step too");
  }

  VerbResult run(const CommonOptions&) override {
    const PlannedModel model = plan_model(flags_.request(), OnTrial::kAssume);
    const Estimate& estimate = model.planned.estimate;
    VerbResult result;
    result.json = Json::parse(to_json(model, flags_.model.path));
    TextTable totals({"figure", "value", "source"});
    for (const auto& [key, figure] : estimate.total)
      totals.add({key, readable(figure.value), source_text(figure)});
    result.text = concat(flags_.model.path, " on ", model.device.name, " (", model.device.title,
                         ")\n", totals.text());
    result.text += model.misfit;
    for (const std::string& note : model.notes) result.text += concat("note: ", note, "\n");
    if (steps_) result.text += "\n" + step_table(estimate);
    return result;
  }

 private:
  static std::string step_table(const Estimate& estimate) {
    std::vector<std::string> keys;
    for (const StepEstimate& step : estimate.steps)
      for (const auto& [key, figure] : step.figures)
        if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
    std::vector<std::string> header{"step"};
    header.insert(header.end(), keys.begin(), keys.end());
    TextTable table(header);
    for (const StepEstimate& step : estimate.steps) {
      std::vector<std::string> row{step.name};
      for (const std::string& key : keys) {
        const auto found = step.figures.find(key);
        row.push_back(found == step.figures.end() ? "" : readable(found->second.value));
      }
      table.add(row);
    }
    return table.text();
  }

  PlanFlags flags_;
  bool steps_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_estimate_verb() { return std::make_unique<EstimateVerb>(); }

}  // namespace tandem
