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
// Larger circuits take Yosys more than some minutes.
constexpr double kMostLuts = 5000;

// Of the plans for all intervals those of at most kMostLuts, evenly spread from the slowest to the
// fastest of them; plans that the device is too small for serve as well.
std::vector<MappedDataflow> chosen_plans(const JudgedNetwork& network, const Device& device) {
  DataflowMapper mapper(device);
  std::vector<MappedDataflow> plans;
  for (const std::int64_t interval : mapper.intervals(network.lowered)) {
    MappedDataflow plan = mapper.map(network.lowered, interval);
    const bool small = plan.estimate.total.at("luts").value <= kMostLuts;
    if (small || plans.size() < kFoldings) plans.push_back(std::move(plan));
    if (!small && plans.size() >= kFoldings) break;
  }
  std::vector<MappedDataflow> chosen;
  for (std::size_t i = 0; i < std::min(kFoldings, plans.size()); ++i) {
    const std::size_t at = plans.size() <= kFoldings ? i : i * (plans.size() - 1) / (kFoldings - 1);
    chosen.push_back(std::move(plans[at]));
  }
  return chosen;
}

struct ConstantBits {
  double weights = 0, tables = 0;
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
    } else if (std::regex_search(line, match, word)) {
      word_bits = width();
    } else if (std::regex_search(line, match, array)) {
      (weights ? bits.weights : bits.tables) += width() * (std::stod(match[2]) + 1);
    } else if (weights && line.starts_with("  assign word = ")) {
      bits.weights += word_bits;
    }
  }
  return bits;
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
