// Fits the costs of a microcontroller's core (devices/costs/<core>.toml) to a sweep of generated
// layers that are compiled and run under QEMU:
//   tandem_fit_mcu_costs CORE [CASES [OUTPUT]]
// Without OUTPUT the fit is printed and nothing is written.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <map>

#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/cost/loop_features.h"
#include "tandem/cost/mcu_cost.h"
#include "tandem/device/kind_mcu.h"
#include "tandem/ops/register.h"
#include "tandem/plan/mcu_plan.h"
#include "tandem/verify/network.h"
#include "tandem/verify/qemu_execution.h"
#include "tandem/verify/samples.h"

#include "bench/cost/least_squares.h"
#include "bench/cost/mcu_sweep.h"

namespace tandem {
namespace {

constexpr std::uint64_t kSeed = 20240;
constexpr std::size_t kNetworksPerFirmware = 100;

// One case as the models see it, and what it took.
struct Measured {
  std::size_t index = 0;  // in the sweep
  std::string family, form;
  LoopFeatures features;
  double instructions = 0, code_bytes = 0;
};

Plan plan_of(const SweepCase& sweep) {
  const Graph& graph = sweep.module.main();
  const McuGroups groups = group_nodes(sweep.module, graph);
  std::vector<std::string> forms;
  for (const std::vector<NodeId>& nodes : groups.groups) {
    const std::vector<std::string> known = kernel_forms(sweep.module, graph, groups.base_of, nodes);
    const bool has = std::ranges::find(known, sweep.form) != known.end();
    forms.push_back(has ? sweep.form : known.front());
  }
  // Each sample runs several times on the same inputs.
  return assemble_mcu_plan(sweep.module, "sweep", "core", groups, forms, IoPlace::kCaller);
}

std::vector<Measured> measure(std::span<const SweepCase> cases, const std::string& core) {
  std::vector<Plan> plans;
  std::vector<CNetwork> networks;
  std::vector<Measured> results;
  std::string input;
  constexpr std::int64_t kSamples = 4;
  for (const SweepCase& sweep : cases) plans.push_back(plan_of(sweep));
  for (std::size_t i = 0; i < cases.size(); ++i) {
    networks.push_back({&cases[i].module, &plans[i], concat("net", i)});
    input += pack_count(kSamples) +
             pack_samples(random_samples(cases[i].module, kSamples, i).codes(cases[i].module));
    Measured measured{0, cases[i].family, cases[i].form, {}, 0, 0};
    const StepFunctions functions = step_functions(cases[i].module, plans[i]);
    for (std::size_t step = 0; step < functions.programs.size(); ++step) {
      const LoopFeatures features = step_features(functions, step);
      for (std::size_t k = 0; k < kLoopFeatures; ++k) {
        measured.features.executed[k] += features.executed[k];
        measured.features.written[k] += features.written[k];
      }
    }
    results.push_back(measured);
  }
  const TemporaryFolder folder("costs");
  QemuOptions options;
  options.core = core;
  options.counted_runs = 4;
  const QemuProgram program = build_qemu_program(networks, folder.path().string(), options);
  const QemuRun run = run_qemu_program(program, input);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    results[i].instructions = run.instructions[i];
    results[i].code_bytes =
        static_cast<double>(linked_sizes(program.sections, plans[i], networks[i].name).code_bytes);
  }
  return results;
}

// What an instruction set suggests: instructions and bytes of Thumb-2 code, from which those of
// RV32 differ little. The fit may leave it where cases say otherwise; it decides what no case
// tells.
struct Prior {
  LoopFeature feature;
  double instructions, bytes;
};
constexpr Prior kPriors[] = {{LoopFeature::kSteps, 8, 20},
                             {LoopFeature::kLoops, 3, 8},
                             {LoopFeature::kIterations, 3, 8},
                             {LoopFeature::kOpenLoops, 6, 16},
                             {LoopFeature::kOpenIterations, 4, 10},
                             {LoopFeature::kBranches, 4, 12},
                             {LoopFeature::kLoads, 1, 3},
                             {LoopFeature::kStores, 1, 3},
                             {LoopFeature::kAddresses, 1, 4},
                             {LoopFeature::kPointers, 2, 6},
                             {LoopFeature::kAdvances, 1, 3},
                             {LoopFeature::kMoves, 1, 2},
                             {LoopFeature::kMultiplyAdds, 1, 4},
                             {LoopFeature::kMultiplies, 1, 4},
                             {LoopFeature::kAdds, 1, 3},
                             {LoopFeature::kLogic, 1, 4},
                             {LoopFeature::kCompares, 2, 6},
                             {LoopFeature::kSelects, 2.5, 8},
                             {LoopFeature::kSaturations, 1, 4},
                             {LoopFeature::kDivides, 1, 4},
                             {LoopFeature::kWideMultiplies, 1, 4},
                             {LoopFeature::kWideMultiplyAdds, 2, 8},
                             {LoopFeature::kLongMultiplies, 5, 18},
                             {LoopFeature::kLongAdds, 2, 7},
                             {LoopFeature::kLongLogic, 2, 6},
                             {LoopFeature::kLongShifts, 2, 8},
                             {LoopFeature::kVariableShifts, 9, 30},
                             {LoopFeature::kLongSelects, 6, 18},
                             {LoopFeature::kLongCompares, 4, 14},
                             {LoopFeature::kLongDivides, 150, 10},
                             {LoopFeature::kExtensions, 1, 4},
                             {LoopFeature::kLongMemory, 1, 4},
                             {LoopFeature::kCopies, 20, 14},
                             {LoopFeature::kCopiedBytes, 0.6, 1e-6},
                             {LoopFeature::kFills, 20, 12},
                             {LoopFeature::kFilledBytes, 0.4, 1e-6},
                             {LoopFeature::kSmallMoves, 2, 6},
                             {LoopFeature::kSmallWords, 2, 6},
                             {LoopFeature::kPairs, 1, 4},
                             {LoopFeature::kDots, 1, 4},
                             {LoopFeature::kVectorLoads, 1, 4},
                             {LoopFeature::kVectorStores, 1, 4},
                             {LoopFeature::kVectorDots, 1, 4},
                             {LoopFeature::kQuadMemory, 1, 4},
                             {LoopFeature::kQuadGathers, 1, 4},
                             {LoopFeature::kQuadOperations, 1, 4},
                             {LoopFeature::kQuadMoves, 1, 4},
                             {LoopFeature::kArguments, 2, 4},
                             {LoopFeature::kArrays, 1, 5},
                             {LoopFeature::kLargeConstants, 1, 4}};

bool is_of_vectors(LoopFeature feature) {
  return feature >= LoopFeature::kVectorLoads && feature <= LoopFeature::kQuadMoves;
}

// How many times as much the portable form of an instruction takes that a core lacks. Forms of
// words and vectors are then in no sweep, and no plan for speed takes them.
double without_instruction(LoopFeature feature, const std::string& core) {
  const CoreInstructions has = core_instructions(core);
  if (is_of_vectors(feature)) return has.vectors ? 1 : 40;
  if (feature == LoopFeature::kPairs || feature == LoopFeature::kDots)
    return has.packed_products ? 1 : 10;
  if (core != "cortex-m0plus") return 1;
  // Calls of the compiler's library.
  if (feature == LoopFeature::kWideMultiplies || feature == LoopFeature::kWideMultiplyAdds)
    return 20;
  return feature == LoopFeature::kDivides ? 50 : 1;
}

std::vector<double> priors(double Prior::*column, const std::string& core) {
  std::vector<double> result(kLoopFeatures, 0);
  for (const Prior& prior : kPriors)
    result[static_cast<std::size_t>(prior.feature)] =
        prior.*column * without_instruction(prior.feature, core);
  for (const double value : result) ensure(value > 0, "a feature without a prior");
  return result;
}

struct Fit {
  std::vector<double> weights;
  double typical_error = 0, high_error = 0;  // median and 90th percentile, of cases left out
};

double predicted(const FeatureVector& features, const std::vector<double>& weights) {
  double sum = 0;
  for (std::size_t k = 0; k < kLoopFeatures; ++k) sum += features[k] * weights[k];
  return sum;
}

// Every fifth case is left out of a first fit, whose errors on them are reported; the costs that
// are written come from all cases.
Fit fit(const std::vector<Measured>& cases, FeatureVector LoopFeatures::*features,
        double Measured::*truth, const std::vector<double>& priors, const std::string& what) {
  constexpr double kStiffness = 0.3, kOutlier = 0.1;
  std::vector<std::vector<double>> rows, all_rows;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const FeatureVector& counted = cases[i].features.*features;
    std::vector<double> row(counted.begin(), counted.end());
    for (double& value : row) value /= cases[i].*truth;
    all_rows.push_back(row);
    if (i % 5 != 0) rows.push_back(row);
  }
  const std::vector<double> held_out = relative_least_squares(rows, priors, kStiffness, kOutlier);
  std::vector<double> errors;
  std::map<std::string, std::vector<double>> by_family;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const double ratio = predicted(cases[i].features.*features, held_out) / (cases[i].*truth);
    by_family[cases[i].family + " " + cases[i].form].push_back(ratio);
    if (i % 5 == 0) errors.push_back(std::abs(ratio - 1));
    if (std::getenv("TANDEM_SWEEP_CASES") != nullptr)
      std::cout << "  case " << cases[i].index << " (" << cases[i].family << " " << cases[i].form
                << "): " << ratio << "\n";
  }
  std::ranges::sort(errors);
  Fit result{relative_least_squares(all_rows, priors, kStiffness, kOutlier),
             errors[errors.size() / 2], errors[errors.size() * 9 / 10]};
  std::cout << what << ": left-out cases differ by " << 100 * result.typical_error
            << " % (median), " << 100 * result.high_error << " % (90th percentile)\n";
  for (auto& [family, ratios] : by_family) {
    std::ranges::sort(ratios);
    std::cout << "  " << family << ": " << ratios.size() << " cases, predicted / measured "
              << ratios.front() << " .. " << ratios[ratios.size() / 2] << " .. " << ratios.back()
              << "\n";
  }
  return result;
}

bool is_riscv(const std::string& core) { return core.starts_with("rv32"); }

// Cycles beyond one for each instruction. Of Cortex-M from Arm's technical reference manuals (M4:
// pipelined loads and taken branches take one more, divisions up to 12; M7 issues up to two
// instructions at a time, of which dependent multiply-accumulate loops use about 1.4). The makers
// of RV32 parts publish none: assumed is a pipeline of four stages in order, in which a taken
// branch takes two more, a load that is used at once one, of every second load, and a division one
// a bit.
double cycles_beyond(LoopFeature feature, const std::string& core) {
  const bool riscv = is_riscv(core);
  switch (feature) {
    case LoopFeature::kLoads: return riscv ? 0.5 : 1;
    case LoopFeature::kLongMemory: return 1;
    case LoopFeature::kIterations:
    case LoopFeature::kBranches: return riscv ? 2 : 1;
    case LoopFeature::kStores: return core == "cortex-m0plus" ? 1 : 0;
    case LoopFeature::kDivides: return riscv ? 32 : 6;
    default: return 0;
  }
}

double cycles_of(LoopFeature feature, double instructions, const std::string& core) {
  double cycles = instructions + cycles_beyond(feature, core);
  if (core_instructions(core).vectors && is_of_vectors(feature))
    cycles *= 2;  // two beats of 64 bits
  if (feature == LoopFeature::kQuadGathers) cycles += 2;
  return core == "cortex-m7" ? cycles / 1.4 : cycles;
}

std::string number(double value) {
  std::ostringstream out;
  out.precision(4);
  out << value;
  return out.str();
}

std::string to_toml(const std::string& core, std::size_t cases, const Fit& instructions,
                    const Fit& code) {
  std::string text =
      concat("# Written by tandem_fit_mcu_costs ", core, " ", cases,
             " (bench/cost); edit the sweep, not this file.\n"
             "# instructions and code_bytes are fitted to generated layers compiled by ",
             qemu_machine(core).compiler.front(),
             "\n# 12.2 -O2 and counted under QEMU 7.2; cycles are instructions plus what ",
             is_riscv(core) ? "is assumed there" : "Arm's manuals add",
             ".\n"
             "schema = \"tandem-costs/1\"\n"
             "source = \"learned: generated sweep of ",
             cases, " layers under QEMU\"\n");
  const auto entry = [&](const std::string& form, std::string_view feature, double executed,
                         double cycles, double bytes) {
    text += concat("\n[[cost]]\nform = \"", form, "\"\nfeature = \"", feature,
                   "\"\ninstructions = ", number(executed), "\ncycles = ", number(cycles),
                   "\ncode_bytes = ", number(bytes), "\n");
  };
  for (std::size_t k = 0; k < kLoopFeatures; ++k) {
    const auto feature = static_cast<LoopFeature>(k);
    entry("loop_program", name(feature), instructions.weights[k],
          cycles_of(feature, instructions.weights[k], core), code.weights[k]);
  }
  entry("error", "relative", instructions.high_error, 2 * instructions.high_error, code.high_error);
  return text;
}

int run(const std::string& core, std::size_t count, const std::string& output) {
  register_operators();
  const std::vector<SweepCase> cases = mcu_sweep(kSeed, count, core_instructions(core));
  std::vector<Measured> measured;
  for (std::size_t i = 0; i < cases.size(); i += kNetworksPerFirmware) {
    const std::size_t batch = std::min(kNetworksPerFirmware, cases.size() - i);
    for (Measured& one : measure({cases.data() + i, batch}, core)) {
      one.index = measured.size();
      measured.push_back(one);
    }
    std::cout << "measured " << measured.size() << " of " << cases.size() << "\n" << std::flush;
  }
  // A layer that only moves a few bytes tells nothing at 40 instructions a tick.
  std::erase_if(measured, [](const Measured& m) { return m.instructions < 200; });
  const Fit instructions = fit(measured, &LoopFeatures::executed, &Measured::instructions,
                               priors(&Prior::instructions, core), "instructions");
  const Fit code = fit(measured, &LoopFeatures::written, &Measured::code_bytes,
                       priors(&Prior::bytes, core), "code bytes");
  for (std::size_t k = 0; k < kLoopFeatures; ++k)
    std::cout << "  " << name(static_cast<LoopFeature>(k)) << ": "
              << number(instructions.weights[k]) << " instructions, " << number(code.weights[k])
              << " bytes\n";
  if (!output.empty()) write_file_atomic(output, to_toml(core, count, instructions, code));
  return 0;
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) {
  if (argc < 2 || argc > 4) {
    std::cerr << "usage: tandem_fit_mcu_costs CORE [CASES [OUTPUT]]\n";
    return 2;
  }
  try {
    const std::size_t cases = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 1000;
    return tandem::run(argv[1], cases, argc > 3 ? argv[3] : "");
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
