// Compares the estimates of C on microcontrollers with what the linker and QEMU say, for each plan
// that a search would consider. Prints one line of JSON for each quantity:
//   tandem_mcu_truth [NETWORK...]
#include <cstdlib>
#include <iostream>

#include "tandem/codesign/planning.h"
#include "tandem/ops/register.h"
#include "tandem/verify/network.h"
#include "tandem/verify/qemu_execution.h"

#include "bench/estimates/networks.h"

namespace tandem {
namespace {

// Pairs of figures of the estimate and of QemuExecution::measured().
constexpr std::pair<const char*, const char*> kQuantities[] = {
    {"weights_bytes", "weights_bytes"}, {"tables_bytes", "tables_bytes"},
    {"arena_bytes", "arena_bytes"},     {"io_bytes", "io_bytes"},
    {"code_bytes", "code_bytes"},       {"instructions", "instructions_per_run"}};

void compare_plans(const JudgedNetwork& network, const Device& device) {
  constexpr std::int64_t kSamples = 10;
  const Samples inputs = random_samples(network.lowered, kSamples, 1).codes(network.lowered);
  for (const PlannedNetwork& planned : plan_candidates(network.lowered, device)) {
    ExecutionOptions options;
    options.device = device.name;
    QemuExecution execution(network.lowered, planned.plan, options);
    execution.run(inputs);
    for (const auto& [predicted, measured] : kQuantities) {
      print_comparison(network.name, device.name, planned.choices.at("forms_for"), predicted,
                       planned.estimate.total.at(predicted).value,
                       execution.measured().at(measured));
    }
  }
}

void run(const std::vector<std::string>& only) {
  register_operators();
  for (const JudgedNetwork& network : judged_networks(only))
    for (const char* device : {"stm32f411", "stm32f746", "esp32c3"})
      compare_plans(network, find_device(device));
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
