// Compares the estimates of circuits with the simulated circuit, the emitted text and what Yosys
// makes of it, in several foldings of every network. Prints one line of JSON for each quantity:
//   tandem_circuit_truth [NETWORK...]
// The time that Yosys takes goes to stderr.
#include <algorithm>
#include <iostream>
#include <regex>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/emit/verilog.h"
#include "tandem/mapping/dataflow_mapper.h"
#include "tandem/ops/register.h"
#include "tandem/plan/dataflow.h"
#include "tandem/verify/circuit_execution.h"
#include "tandem/verify/network.h"
#include "tandem/verify/yosys.h"

#include "bench/estimates/networks.h"

namespace tandem {
namespace {

constexpr const char* kDevice = "zynq-7020";
constexpr std::size_t kFoldings = 3;
// Beyond these Yosys takes many minutes: it maps larger circuits slowly, and it reads the words of
// memories one by one.
constexpr double kMostLuts = 5000, kMostWords = 8192;

struct ConstantBits {
  double weights = 0, tables = 0, words = 0;
};

// Of the memories of constants in an emitted text: arrays that an initial block fills, and single
// words.
ConstantBits constant_bits(const std::string& text) {
  static const std::regex array(
      R"(logic (?:\[(\d+):0\] )?(?:words|entries|limits_\d+) \[0:(\d+)\])");
  static const std::regex word(R"(output logic (?:\[(\d+):0\] )?word$)");
  ConstantBits bits;
  bool weights = false;
  double word_bits = 0;
  for (const std::string& line : split(text, '\n')) {
    std::smatch match;
    const auto width = [&] { return match[1].matched ? std::stod(match[1]) + 1 : 1; };
    if (line.starts_with("module ")) {
      weights = line.find("_weights ") != std::string::npos;
      word_bits = 0;
    } else if (line.starts_with("  output logic ") && std::regex_search(line, match, word)) {
      word_bits = width();
    } else if (line.starts_with("  logic ") && std::regex_search(line, match, array)) {
      const double words = std::stod(match[2]) + 1;
      (weights ? bits.weights : bits.tables) += width() * words;
      bits.words += words;
    } else if (weights && line.starts_with("  assign word = ")) {
      bits.weights += word_bits;
    }
  }
  return bits;
}

// How long Yosys takes for a plan, as a share of what is bearable.
double effort(const Module& lowered, const MappedDataflow& plan) {
  const std::string text = verilog_of(build_pipeline(lowered, plan.plan), "network");
  return std::max(plan.estimate.total.at("luts").value / kMostLuts,
                  constant_bits(text).words / kMostWords);
}

// Of the plans for all intervals those of bearable effort, or the least kFoldings of them, evenly
// spread from the slowest to the fastest; plans that the device is too small for serve as well.
std::vector<MappedDataflow> chosen_plans(const JudgedNetwork& network, const Device& device) {
  DataflowMapper mapper(device);
  std::vector<MappedDataflow> plans;
  std::vector<double> efforts;
  for (const std::int64_t interval : mapper.intervals(network.lowered)) {
    plans.push_back(mapper.map(network.lowered, interval));
    efforts.push_back(effort(network.lowered, plans.back()));
  }
  std::vector<double> sorted = efforts;
  std::ranges::sort(sorted);
  const double most = std::max(1.0, sorted.at(kFoldings - 1));
  std::vector<std::size_t> bearable;
  for (std::size_t i = 0; i < plans.size(); ++i)
    if (efforts[i] <= most) bearable.push_back(i);
  std::vector<MappedDataflow> chosen;
  for (std::size_t i = 0; i < kFoldings; ++i)
    chosen.push_back(std::move(plans[bearable[i * (bearable.size() - 1) / (kFoldings - 1)]]));
  return chosen;
}

class PlanComparison {
 public:
  PlanComparison(const JudgedNetwork& network, const MappedDataflow& mapped)
      : network_(network),
        mapped_(mapped),
        pipeline_(build_pipeline(network.lowered, mapped.plan)) {}

  void run() {
    compare_cycles();
    const ConstantBits constants = constant_bits(verilog_of(pipeline_, "network"));
    print("weights_bytes", constants.weights / 8);
    print("tables_bytes", constants.tables / 8);
    compare_area();
  }

 private:
  void print(const char* quantity, double measured) const {
    print_comparison(network_.name, kDevice, concat("interval ", mapped_.wanted_interval), quantity,
                     mapped_.estimate.total.at(quantity).value, measured);
  }

  // The mean interval of the last frames: longer than any period that was seen.
  void compare_cycles() {
    constexpr std::int64_t kSamples = 13, kFrames = 6;
    const Samples inputs = random_samples(network_.lowered, kSamples, 1).codes(network_.lowered);
    CircuitInputs samples;
    samples.inputs = inputs;
    for (const ValueId output : network_.lowered.main().outputs)
      samples.outputs.push_back(network_.lowered.main().values[output].type.static_shape());
    VerilatedCircuits circuits({{"network", pipeline_}});
    const CircuitRun run = circuits.run({samples}).front();
    print("latency_cycles", static_cast<double>(run.latency()));
    const auto& ends = run.frame_ends;
    print("interval_cycles", static_cast<double>(ends.back() - ends[ends.size() - 1 - kFrames]) /
                                 static_cast<double>(kFrames));
  }

  void compare_area() {
    const Synthesis synthesis = synthesize(pipeline_);
    ensure(synthesis.latches == 0, concat("latches in the circuit of ", network_.name));
    print("luts", static_cast<double>(synthesis.luts));
    print("flip_flops", static_cast<double>(synthesis.flip_flops));
    print("brams", synthesis.block_rams);
    print("dsps", static_cast<double>(synthesis.dsps));
    std::cerr << network_.name << ", interval " << mapped_.wanted_interval << ": Yosys took "
              << static_cast<std::int64_t>(synthesis.seconds) << " s\n";
  }

  const JudgedNetwork& network_;
  const MappedDataflow& mapped_;
  Pipeline pipeline_;
};

void run(const std::vector<std::string>& only) {
  register_operators();
  const Device device = find_device(kDevice);
  for (const JudgedNetwork& network : judged_networks(only))
    for (const MappedDataflow& mapped : chosen_plans(network, device))
      PlanComparison(network, mapped).run();
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) {
  try {
    tandem::run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
