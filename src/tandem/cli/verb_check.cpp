#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/cli/network_options.h"
#include "tandem/cli/trial.h"
#include "tandem/cli/verbs.h"
#include "tandem/emit/c_target.h"
#include "tandem/emit/verilog.h"
#include "tandem/files/onnx_reader.h"
#include "tandem/graph/lowering.h"
#include "tandem/graph/operator.h"
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
  throw Error("devices of kind ", kind,
              " have no target; use a device of kind mcu or dataflow_fpga");
}

// What was found, and on which form of the network.
struct Findings {
  std::vector<Issue> issues;
  bool recoded = false;  // the network is real: judged as `tandem compress` would recode it
  std::vector<std::string> notes;  // what was assumed, or not judged
};

class CheckVerb final : public Verb {
 public:
  std::string name() const override { return "check"; }
  std::string summary() const override {
    return "Say what a target cannot take of a network, node by node, with the remedy";
  }
  std::string examples() const override {
    return "  tandem check network.onnx --target circuit\n"
           "  tandem check network.onnx --device stm32f746 --json\n"
           "Nothing is emitted or run. All that is found is named at once, and ends with exit code "
           "2.\n"
           "A network of reals is judged as tandem compress would recode it to 8 bits.";
  }
  void add_options(OptionTable& options) override {
    model_.add_to(options);
    options.text("--target", "c|circuit|cpu", target_, "What the network shall become [c]");
    options.text("--device", "DEVICE", device_, "The machine, instead of --target");
    codings_.add_to(options);
  }

  VerbResult run(const CommonOptions&) override {
    if (!target_.empty() && !device_.empty())
      throw Error("tandem check takes either --target or --device");
    if (!device_.empty()) target_ = target_of_kind(find_device(device_).kind());
    if (target_.empty()) target_ = "c";
    const auto target = target_called(target_);
    const Findings findings = find_issues(*target);
    VerbResult result;
    result.exit_code = findings.issues.empty() ? kDone : kInputAtFault;
    Json issues = Json::array();
    for (const Issue& issue : findings.issues) {
      issues.push_back({{"node", issue.node},
                        {"op", issue.op},
                        {"reason", issue.reason},
                        {"remedy", issue.remedy}});
      result.text +=
          concat("  ", issue.op, " '", issue.node, "': ", issue.reason, "; ", issue.remedy, "\n");
    }
    result.json = {{"schema", "tandem-check/1"},  {"model", model_.path},
                   {"target", target_},           {"device", device_},
                   {"recoded", findings.recoded}, {"ok", findings.issues.empty()},
                   {"notes", findings.notes},     {"issues", issues}};
    const std::size_t count = findings.issues.size();
    result.text = concat(model_.path, ": the target ", target_,
                         count == 0   ? " takes it"
                         : count == 1 ? " cannot take 1 node:"
                                      : concat(" cannot take ", count, " nodes:"),
                         "\n", result.text);
    for (const std::string& note : findings.notes) result.text += concat("note: ", note, "\n");
    return result;
  }

 private:
  Findings find_issues(const Target& target) const {
    Findings findings;
    try {
      judge(model_.load(), target, findings);
    } catch (const RefusedModel& refused) {
      for (const RefusedNode& node : refused.nodes())
        findings.issues.push_back({node.node, node.op, node.reason, node.remedy});
      if (!refused.rest()) return findings;
      try {
        judge(*refused.rest(), target, findings);
      } catch (const Error& error) {
        findings.notes.push_back(concat("the other nodes could not be judged: ", error.what()));
      }
    }
    return findings;
  }

  void judge(const Module& network, const Target& target, Findings& findings) const {
    try {
      const TrialLowering trial = lower_on_trial(network, codings_.codings());
      findings.recoded = trial.recoded;
      findings.notes = trial.notes;
      const auto issues = target.check(trial.lowered);
      findings.issues.insert(findings.issues.end(), issues.begin(), issues.end());
    } catch (const LoweringError& error) {
      for (const LoweringProblem& problem : error.problems())
        findings.issues.push_back({problem.node, problem.op, problem.reason, problem.remedy});
    }
  }

  ModelOptions model_;
  std::string target_, device_;
  CodingFlags codings_;
};

}  // namespace

std::unique_ptr<Verb> make_check_verb() { return std::make_unique<CheckVerb>(); }

}  // namespace tandem
