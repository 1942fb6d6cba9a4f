#pragma once

#include <string>
#include <vector>

#include "tandem/plan/target.h"

namespace tandem {

// What stands around emitted networks in a firmware for a Cortex-M under QEMU: the start-up code,
// a linker script, and the harness' reading and writing through semihosting, with a timer that
// counts instructions.
struct ArmMachine {
  std::string core;     // "cortex-m4": -mcpu
  std::string machine;  // "mps2-an386": -machine
  std::int64_t flash_bytes = 0, sram_bytes = 0;
  std::int64_t vectors_address = 0, flash_address = 0, sram_address = 0x2000'0000;
  std::string options = {};  // of the compiler, beside -mcpu
  std::string timer;         // macros TIMER_START and TIMER_SINCE(value), and TIMER_VALUE
  double per_tick = 0;       // instructions in one tick of that timer, under -icount shift=0
};

// The QEMU machine for a core of a device file; Error where QEMU has none.
ArmMachine arm_machine(const std::string& core);

// startup.c, firmware.ld. The firmware reads "in.bin" and writes "out.bin" and, as 32-bit words,
// "counts.bin": the timer ticks that kCalibrationInstructions took, for each network the ticks of
// its counted runs, for each network their number; the bytes of stack that a function of
// kCalibrationStack bytes of variables took, for each network the most that a run took.
Artifacts arm_firmware(const ArmMachine& machine, std::size_t networks);
inline constexpr std::int64_t kCalibrationInstructions = 4'000'000;
inline constexpr std::int64_t kCalibrationStack = 256;

}  // namespace tandem
