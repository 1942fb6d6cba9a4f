#include "tandem/cli/network_options.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/device/device.h"
#include "tandem/verify/float_execution.h"

namespace tandem {
namespace {

// "0.5" or "1/255".
double parse_ratio(const std::string& text, const std::string& what) {
  const auto parts = split(text, '/');
  if (parts.size() > 2) throw Error(what, ": '", text, "' is neither a number nor a ratio");
  const double numerator = parse_real(parts[0], what);
  return parts.size() == 1 ? numerator : numerator / parse_real(parts[1], what);
}

}  // namespace

void DataFlags::add_to(OptionTable& options, bool required) {
  const std::string help = "mnist:DIR, cifar10:DIR, csv:FILE, npz:FILE or random:N";
  if (required) {
    options.required_text("--data", "SET", source, help);
  } else {
    options.text("--data", "SET", source, help);
  }
  options.text("--split", "train|test", split, "Which part of the set");
  options.integer("--limit", limit, "Take only the first so many samples");
  options.integer("--seed", seed, "Of random samples and of splits that the set does not say");
  options.text("--preprocess", "TEXT", preprocess,
               "How codes become reals, such as 'mean=0.5 std=0.25'");
}

DataOptions DataFlags::data_options() const {
  if (seed < 0) throw Error("--seed ", seed, " is negative");
  DataOptions options;
  options.source = source;
  options.split = split;
  options.limit = limit;
  options.seed = static_cast<std::uint64_t>(seed);
  options.preprocess = preprocess;
  check_data_options(options);
  return options;
}

Json DataFlags::json(const NetworkSamples& samples) const {
  return {{"source", source},
          {"split", split},
          {"seed", seed},
          {"preprocessing", samples.inputs().front().preprocessing}};
}

void add_options(OptionTable& options, TrainingOptions& training) {
  options.required_text("--data", "SET", training.source,
                        "mnist:DIR, cifar10:DIR, csv:FILE, npz:FILE or random:N");
  options.text("--preprocess", "TEXT", training.preprocess,
               "How codes become reals, such as 'mean=0.5 std=0.25'");
  options.integer("--calibration", training.calibration,
                  "Training samples that ranges are taken from");
  options.integer("--selection", training.selection,
                  "Further training samples, on which choices are compared");
  options.text("--split", "SPLIT", training.split, "The held-out part, for the reported accuracy");
  options.integer("--limit", training.limit, "Take only the first so many held-out samples");
  options.integer("--seed", training.seed, "Of the parts, and of all else that is drawn");
}

void CodingFlags::add_to(OptionTable& options) {
  options.list("--input-coding", "INPUT=FORMAT,SCALE[,OFFSET]", texts,
               "How an input arrives as integers (real = scale * integer + offset), such as "
               "x=uint8,1/255");
}

InputCodings CodingFlags::codings() const {
  InputCodings codings;
  for (const std::string& text : texts) {
    const auto equals = text.find('=');
    const auto parts = equals == std::string::npos ? std::vector<std::string>{}
                                                   : split(text.substr(equals + 1), ',');
    if (equals == 0 || parts.size() < 2 || parts.size() > 3)
      throw Error("--input-coding takes INPUT=FORMAT,SCALE or INPUT=FORMAT,SCALE,OFFSET, not '",
                  text, "'");
    const std::string name = text.substr(0, equals), what = "--input-coding " + name;
    InputCoding coding;
    try {
      coding.format = Format::parse(parts[0]);
    } catch (const Error& error) {
      throw error.at(what);
    }
    const Format f64 = Format::parse("f64");
    coding.scale = Tensor::scalar(parse_ratio(parts[1], what), f64);
    if (parts.size() == 3) coding.offset = Tensor::scalar(parse_ratio(parts[2], what), f64);
    if (!codings.emplace(name, coding).second) throw Error("--input-coding names ", name, " twice");
  }
  return codings;
}

void StallFlag::add_to(OptionTable& options) {
  options.integer("--stalls", seed,
                  "Lets the circuit's input and output stall at random, as this seed says");
}

std::uint64_t StallFlag::seed_for(const std::vector<std::string>& executions) const {
  if (!seed) return 0;
  if (*seed < 1) throw Error("--stalls ", *seed, ": give a positive seed");
  if (std::find(executions.begin(), executions.end(), "circuit") == executions.end())
    throw Error("--stalls is for the circuit; run the execution circuit");
  return static_cast<std::uint64_t>(*seed);
}

std::unique_ptr<Execution> make_any_execution(const std::string& name, const Module& module,
                                              const std::string& device, std::uint64_t stall_seed) {
  if (name == "float") {
    device_of_execution(name, device);
    return std::make_unique<FloatExecution>(module);
  }
  if (computes_reals(name, module)) return make_execution(name, for_one_sample(module));
  ExecutionOptions options;
  options.device = device_of_execution(name, device);
  options.stall_seed = stall_seed;
  return make_execution(name, module, options);
}

std::string device_of_execution(const std::string& name, const std::string& device) {
  std::string kind;
  if (name == "c" || name == "qemu") kind = "mcu";
  if (name == "circuit") kind = "dataflow_fpga";
  if (kind.empty()) {
    if (!device.empty())
      throw Error("--device ", device, " has no meaning for the execution ", name,
                  ", which runs on this machine");
    return "";
  }
  if (device.empty()) return default_device(kind);
  const Device found = find_device(device);
  if (found.kind() != kind) {
    throw Error("the execution ", name, " needs a device of kind ", kind, "; ", device, " is ",
                found.kind(), suggestion(device, device_names(kind)));
  }
  return device;
}

std::string percent(double share) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.2f %%", 100 * share);
  return text.data();
}

}  // namespace tandem
