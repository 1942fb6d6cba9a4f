#include "tandem/base/text.h"
#include "tandem/cli/network_options.h"
#include "tandem/cli/options.h"
#include "tandem/cli/plan_options.h"
#include "tandem/cli/table.h"
#include "tandem/cli/verbs.h"
#include "tandem/report/fit_folder.h"

namespace tandem {
namespace {

// Why a file is missing: the first of its reasons.
std::string shortened(std::string_view reasons) {
  const std::vector<std::string> lines = split(reasons, '\n');
  if (lines.size() <= 2) return std::string(reasons);
  return concat(lines[0], "\n", lines[1], "\n  and ", lines.size() - 2, " more (all with --json)");
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
    options.required_text("--device", "DEVICE", job_.device,
                          "A device by name (tandem list devices) or the path of its file");
    tandem::add_options(options, job_.data);
    options.text("--minimise", "WHAT", job_.objective, "latency, energy, sram, flash or area");
    limits_.resize(limit_options().size());
    for (std::size_t i = 0; i < limits_.size(); ++i) {
      const LimitOption& option = limit_options()[i];
      options.text(option.option, option.kind, limits_[i], option.help);
    }
    options.integer("--samples", job_.machine_samples,
                    "Held-out samples that the simulated machine runs (QEMU, Verilator)");
    tandem::add_options(options, job_.mcu);
    options.text("--name", "NAME", job_.name,
                 "Of files and symbols; from the model's file by default");
    options.required_text("-o,--output", "DIR", job_.output, "The folder of results");
  }

  VerbResult run(const CommonOptions&) override {
    for (std::size_t i = 0; i < limits_.size(); ++i)
      if (!limits_[i].empty()) job_.limits[limit_options()[i].option] = limits_[i];
    job_.network = model_.load();
    job_.model = model_.path;
    return describe(fit_into_folder(job_));
  }

 private:
  static VerbResult describe(const FittedFolder& fitted) {
    const SearchResult& search = fitted.outcome.search;
    VerbResult result;
    result.json = Json::parse(to_json(fitted));
    result.text = concat(search.feasible ? "chosen of " : "nearest of ", search.points,
                         " points: ", search.variants[search.best.variant].label, "\n");
    add_limits(fitted.outcome, result);
    add_executions(fitted.outcome, result);
    if (!fitted.onnx_refusal.empty())
      result.text +=
          concat("no ", fitted.request.name, ".onnx: ", shortened(fitted.onnx_refusal), "\n");
    result.text +=
        concat("wrote ", fitted.output, search.feasible ? "" : " (labelled infeasible)", "\n");
    result.exit_code = fitted.succeeded() ? kDone : kFailed;
    return result;
  }

  static void add_limits(const FitOutcome& outcome, VerbResult& result) {
    const SearchResult& search = outcome.search;
    TextTable table({"limit", "bound", "reached", ""});
    for (std::size_t i = 0; i < outcome.limits.size(); ++i) {
      const Limit& limit = outcome.limits[i];
      const double value = search.measures.at(limit.measure);
      const bool met = limit.excess(value) == 0;
      const std::string missing = limit.missing(value);
      table.add({limit.option, limit.text(limit.bound), limit.text(value),
                 met               ? "met"
                 : missing.empty() ? "MISSED"
                                   : concat("MISSED: ", missing)});
    }
    result.text += table.text();
    if (search.feasible) return;
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
    std::string differences;
    for (const ExecutionResult& execution : outcome.executions) {
      const Equality& equality = execution.equality;
      const bool compared = equality.compared_values > 0;
      table.add({execution.execution, grouped(execution.samples), percent(execution.accuracy),
                 compared ? grouped(equality.compared_values) : "",
                 compared ? grouped(equality.differing_values) : ""});
      if (execution.must_be_equal && !equality.equal())
        differences += to_string(equality, "reference", execution.execution) + "\n";
    }
    result.text += table.text() + differences;
  }

  ModelOptions model_;
  FitJob job_;
  std::vector<std::string> limits_;
};

}  // namespace

std::unique_ptr<Verb> make_fit_verb() { return std::make_unique<FitVerb>(); }

}  // namespace tandem
