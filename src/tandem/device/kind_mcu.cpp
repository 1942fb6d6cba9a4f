#include "tandem/device/kind_mcu.h"

namespace tandem {

const UnitKind& mcu_kind() {
  static const UnitKind kind = {
      .name = "mcu",
      .description = "a microcontroller core: one instruction after the other",
      .keys = {{.name = "core",
                .description = "the processor core, which names its instruction set and timing",
                .is_text = true,
                .choices = {"cortex-m0plus", "cortex-m4", "cortex-m7", "cortex-m55"}},
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
