#include "tandem/base/file.h"
#include "tandem/base/text.h"
#include "tandem/base/threads.h"
#include "tandem/cli/table.h"
#include "tandem/cli/verbs.h"
#include "tandem/runtime/measure_host.h"

namespace tandem {
namespace {

class MeasureVerb final : public Verb {
 public:
  std::string name() const override { return "measure"; }
  std::string summary() const override {
    return "Measure this processor and write it as a device, on which networks can be estimated";
  }
  std::string examples() const override {
    return "  tandem measure -o host.toml\n"
           "  tandem estimate network.onnx --device host.toml --steps\n"
           "  tandem run network.onnx --execution cpu --bench\n"
           "It takes about a minute. What else runs at the same time is measured too.";
  }
  void add_options(OptionTable& options) override {
    options.required_text("-o,--output", "FILE", output_, "The device file, .toml");
    options.integer("--threads", threads_, "Cores to use (all)");
    options.integer("--rounds", rounds_, "Networks of each kind that costs are fitted to");
    options.integer("--seed", seed_, "Of the small networks that costs are fitted to");
  }

  VerbResult run(const CommonOptions&) override {
    const std::filesystem::path path = output_;
    if (path.extension() != ".toml") throw Error("-o ", output_, ": a device file ends in .toml");
    if (threads_ && (*threads_ < 1 || *threads_ > 1024))
      throw Error("--threads ", *threads_, ": take 1 to 1024");
    if (rounds_ < 1 || rounds_ > 1000) throw Error("--rounds ", rounds_, ": take 1 to 1000");
    if (seed_ < 0) throw Error("--seed ", seed_, ": it must not be negative");
    if (threads_) set_thread_count(static_cast<int>(*threads_));
    check_writable_folder(std::filesystem::absolute(path).parent_path());
    const Device device = measure_host({.name = path.stem().string(),
                                        .seed = static_cast<std::uint64_t>(seed_),
                                        .rounds = static_cast<int>(rounds_)});
    write_file_atomic(path, to_toml(device));
    return describe(device);
  }

 private:
  VerbResult describe(const Device& device) const {
    const Unit& unit = device.unit();
    VerbResult result;
    result.json = {{"schema", "tandem-measure/1"},
                   {"output", output_},
                   {"title", device.title},
                   {"clock_hertz", device.clock.hertz},
                   {"instruction_set", unit.text("instruction_set")},
                   {"numbers", unit.numbers}};
    TextTable rates({"rate", "", "per core"});
    rates.add({"clock", concat(readable(device.clock.hertz / 1e9), " GHz"), ""});
    for (const std::string format : {"f32", "i16", "i8"}) {
      const double rate = unit.number(format + "_operations_per_second");
      rates.add({format, concat(readable(rate * unit.number("cores") / 1e9), " GOP/s"),
                 concat(readable(rate / 1e9), " GOP/s")});
    }
    Json memories = Json::array();
    for (const Memory& memory : device.memories) {
      rates.add({memory.name, concat(readable(memory.bytes_per_second / 1e9), " GB/s"),
                 concat(readable(memory.bytes_per_second / unit.number("cores") / 1e9), " GB/s")});
      memories.push_back({{"name", memory.name},
                          {"bytes", memory.bytes},
                          {"bytes_per_second", memory.bytes_per_second}});
    }
    result.json["memories"] = memories;
    TextTable errors({"form", "relative error", "on all cores"});
    Json forms = Json::object();
    for (const Cost& cost : unit.costs) {
      if (cost.feature != "relative_error") continue;
      errors.add({cost.form, percent(cost.per.at("seconds_one_core")),
                  percent(cost.per.at("seconds_all_cores"))});
      forms[cost.form] = cost.per.at("seconds_all_cores");
    }
    result.json["relative_errors"] = forms;
    result.text = concat(device.title, " (", unit.text("instruction_set"), ")\n", rates.text(),
                         "\n", errors.text(), "wrote ", output_, "\n");
    return result;
  }

  std::string output_;
  std::optional<std::int64_t> threads_;
  std::int64_t rounds_ = 12, seed_ = 1;
};

}  // namespace

std::unique_ptr<Verb> make_measure_verb() { return std::make_unique<MeasureVerb>(); }

}  // namespace tandem
