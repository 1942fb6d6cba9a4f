#include "tandem/device/kind_mcu.h"

#include <map>
#include <vector>

#include "tandem/base/error.h"
#include "tandem/base/text.h"

namespace tandem {
namespace {

const std::map<std::string, CoreInstructions>& cores() {
  static const std::map<std::string, CoreInstructions> kCores = {
      {"cortex-m0plus", {}},
      {"cortex-m4", {.packed_products = true}},
      {"cortex-m55", {.packed_products = true, .vectors = true}},
      {"cortex-m7", {.packed_products = true}},
      {"rv32imac", {.many_registers = true}},
      {"rv32imc", {.many_registers = true}}};
  return kCores;
}

std::vector<std::string> core_names() {
  std::vector<std::string> names;
  for (const auto& [name, instructions] : cores()) names.push_back(name);
  return names;
}

}  // namespace

CoreInstructions core_instructions(const std::string& core) {
  const auto found = cores().find(core);
  if (found == cores().end()) throw Error("no core '", core, "'", suggestion(core, core_names()));
  return found->second;
}

const UnitKind& mcu_kind() {
  static const UnitKind kind = {
      .name = "mcu",
      .description = "a microcontroller core: one instruction after the other",
      .keys = {{.name = "core",
                .description = "the processor core, which names its instruction set and timing",
                .is_text = true,
                .choices = core_names()},
               {.name = "active_milliwatts",
                .description = "power in milliwatts at the device's clock while computing"},
               {.name = "flash_wait_cycles",
                .description = "mean stall in clock cycles for each instruction fetched from "
                               "flash, after caches and prefetch"}},
      .memories = {"flash", "sram"},
      .cost_columns = {"instructions", "cycles", "code_bytes"},
      .default_device = "mps2-an386"};
  return kind;
}

}  // namespace tandem
