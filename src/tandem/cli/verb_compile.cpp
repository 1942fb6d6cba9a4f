#include "tandem/base/text.h"
#include "tandem/cli/plan_options.h"
#include "tandem/cli/verbs.h"
#include "tandem/codesign/compile.h"

namespace tandem {
namespace {

class CompileVerb final : public Verb {
 public:
  std::string name() const override { return "compile"; }
  std::string summary() const override {
    return "Write a network as C or SystemVerilog for a device, and prove that it computes the "
           "same";
  }
  std::string examples() const override {
    return "  tandem compile lowered.tandem --device stm32f746 -o project\n"
           "  tandem compile network.onnx --device stm32f411 --input-coding x=uint8,1/255 -o "
           "project\n"
           "The folder holds NAME.tandem (the network as integers, the authority), the sources "
           "with an\n"
           "example to build, estimate.json and verification.json. Random inputs (all minimum and "
           "all\n"
           "maximum among them) run through the sources on this host and on the simulated "
           "machine;\n"
           "where an output differs from the reference, the exit code is 1. Of a network with "
           "states "
           "they\n"
           "are consecutive calls of one stream; NAME_reset() starts a new one. On the board,\n"
           "NAME_selftest() is 0 where a few more runs equal the reference.";
  }
  void add_options(OptionTable& options) override {
    flags_.add_to(options, true);
    options.required_text("-o,--output", "DIR", request_.output, "The folder of results");
    options.text("--name", "NAME", request_.name,
                 "Prefix of files and symbols; from the model's file by default");
    options.integer("--samples", request_.samples, "Random inputs that this host runs");
    options.integer("--machine-samples", request_.machine_samples,
                    "Random inputs that the simulated machine runs");
    options.integer("--seed", request_.seed, "Of the random inputs");
  }

  VerbResult run(const CommonOptions&) override {
    request_.plan = flags_.request();
    request_.model = flags_.model.path;
    const CompileResult compiled = compile_network(request_);
    VerbResult result;
    result.json = Json::parse(to_json(compiled));
    result.exit_code = compiled.equal() ? kDone : kFailed;
    result.text = concat(compiled.files.size(), " files in ", compiled.output, " for ",
                         compiled.device_title, "\n", compiled.misfit);
    for (const ProvedExecution& proved : compiled.executions)
      result.text += to_string(proved.equality, "reference", proved.execution) + "\n";
    return result;
  }

 private:
  PlanFlags flags_;
  CompileRequest request_;
};

}  // namespace

std::unique_ptr<Verb> make_compile_verb() { return std::make_unique<CompileVerb>(); }

}  // namespace tandem
