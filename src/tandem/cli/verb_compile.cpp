#include <algorithm>
#include <filesystem>

#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/base/text.h"
#include "tandem/cli/planned.h"
#include "tandem/cli/table.h"
#include "tandem/cli/verbs.h"
#include "tandem/graph/printer.h"
#include "tandem/verify/equality.h"
#include "tandem/verify/reference_execution.h"

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
    options.required_text("-o,--output", "DIR", output_, "The folder of results");
    options.text("--name", "NAME", name_,
                 "Prefix of files and symbols; from the model's file by default");
    options.integer("--samples", samples_, "Random inputs that this host runs");
    options.integer("--machine-samples", machine_samples_,
                    "Random inputs that the simulated machine runs");
    options.integer("--seed", seed_, "Of the random inputs");
  }

  VerbResult run(const CommonOptions&) override {
    if (samples_ < 1 || machine_samples_ < 1)
      throw Error("--samples and --machine-samples must be at least 1");
    if (seed_ < 0) throw Error("--seed ", seed_, " is negative");
    if (name_.empty()) name_ = identifier(std::filesystem::path(flags_.model.path).stem().string());
    if (name_ != identifier(name_)) {
      throw Error("--name ", name_, ": names of symbols are letters, digits and '_', such as ",
                  identifier(name_));
    }
    const PlannedModel model = plan_model(flags_, OnTrial::kRefuse);
    OutputFolder folder(output_);
    const auto target = make_target(model.device);
    Artifacts files = target->emit(model.lowered, model.planned.plan, name_);
    for (Artifact& file : files) file.path = target->name() + "/" + file.path;
    files.push_back({name_ + ".tandem", print_module(model.lowered)});
    files.push_back({"estimate.json", to_json(model.planned.estimate)});
    VerbResult result;
    result.json = {{"schema", "tandem-compile/1"},
                   {"model", flags_.model.path},
                   {"device", model.device.name},
                   {"target", target->name()},
                   {"name", name_},
                   {"output", output_},
                   {"fits", model.fits}};
    const Json verification = prove(model, result);
    files.push_back({"verification.json", verification.dump(2) + "\n"});
    Json paths = Json::array();
    for (const Artifact& file : files) {
      const std::filesystem::path place = folder.path() / file.path;
      std::filesystem::create_directories(place.parent_path());
      write_file_atomic(place, file.content);
      paths.push_back(file.path);
    }
    folder.commit();
    result.json["files"] = paths;
    result.json["verification"] = verification;
    result.text = concat(files.size(), " files in ", output_, " for ", model.device.title, "\n",
                         model.misfit, result.text);
    return result;
  }

 private:
  // Runs the emitted sources with the very plan they were emitted from.
  Json prove(const PlannedModel& model, VerbResult& result) const {
    const DeviceTraits traits = device_traits(model.device);
    const NetworkSamples samples = random_samples(
        model.lowered, std::max(samples_, machine_samples_), static_cast<std::uint64_t>(seed_));
    const Samples inputs = samples.codes(model.lowered);
    ReferenceExecution reference(model.lowered);
    const Samples expected = reference.run(inputs);
    Json list = Json::array();
    bool equal = true;
    for (const auto& [name, count] : {std::pair(traits.host_execution, samples_),
                                      std::pair(traits.machine_execution, machine_samples_)}) {
      if (name.empty()) continue;
      ExecutionOptions options;
      options.device = model.device.path;
      options.plan = model.planned.plan;
      const auto execution = make_execution(name, model.lowered, options);
      const Samples some = first_of(inputs, count), wanted = first_of(expected, count);
      const Samples outputs = execution->run(some);
      const Equality equality =
          compare_executions(model.lowered, reference, wanted, *execution, outputs, some);
      list.push_back({{"execution", name},
                      {"samples", count},
                      {"compared_values", equality.compared_values},
                      {"differing_values", equality.differing_values},
                      {"max_difference", equality.max_difference},
                      {"first_differing_layer", equality.first_layer},
                      {"measured", execution->measured()}});
      result.text += to_string(equality, "reference", name) + "\n";
      equal = equal && equality.equal();
    }
    if (!equal) result.exit_code = kFailed;
    return {{"schema", "tandem-verification/1"},
            {"equal", equal},
            {"seed", seed_},
            {"executions", list}};
  }

  static Samples first_of(const Samples& samples, std::int64_t count) {
    Samples part;
    for (const Tensor& tensor : samples) part.push_back(tensor.rows(0, count));
    return part;
  }

  PlannedFlags flags_;
  std::string output_, name_;
  std::int64_t samples_ = 100, machine_samples_ = 10, seed_ = 1;
};

}  // namespace

std::unique_ptr<Verb> make_compile_verb() { return std::make_unique<CompileVerb>(); }

}  // namespace tandem
