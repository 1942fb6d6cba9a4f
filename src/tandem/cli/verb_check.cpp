#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/cli/network_options.h"
#include "tandem/cli/verbs.h"
#include "tandem/codesign/check.h"

namespace tandem {
namespace {

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
    const CheckResult found =
        check_network({.target = target_, .device = device_, .codings = codings_.codings()},
                      [&] { return model_.load(); });
    VerbResult result;
    result.exit_code = found.ok() ? kDone : kInputAtFault;
    result.json = Json::parse(to_json(found, model_.path));
    const std::size_t count = found.issues.size();
    result.text = concat(model_.path, ": the target ", found.target,
                         count == 0   ? " takes it"
                         : count == 1 ? " cannot take 1 node:"
                                      : concat(" cannot take ", count, " nodes:"),
                         "\n");
    for (const Issue& issue : found.issues)
      result.text +=
          concat("  ", issue.op, " '", issue.node, "': ", issue.reason, "; ", issue.remedy, "\n");
    for (const std::string& note : found.notes) result.text += concat("note: ", note, "\n");
    return result;
  }

 private:
  ModelOptions model_;
  std::string target_, device_;
  CodingFlags codings_;
};

}  // namespace

std::unique_ptr<Verb> make_check_verb() { return std::make_unique<CheckVerb>(); }

}  // namespace tandem
