#pragma once

#include <string>
#include <vector>

#include "tandem/plan/target.h"

namespace tandem {

// A machine that QEMU emulates, and what a firmware for it needs beside the emitted networks.
struct QemuMachine {
  std::string core;      // of device files: "cortex-m4"
  std::string emulator;  // "qemu-system-arm"
  std::string machine;   // "mps2-an386": -machine
  std::vector<std::string> emulator_options = {};
  std::vector<std::string> compiler;           // the program and the options that name the core
  std::vector<std::string> link_options = {};  // after the objects
  std::int64_t flash_bytes = 4 << 20, sram_bytes = 4 << 20;
  // The first 256 bytes of flash, where the core finds its vectors or its first instruction.
  std::int64_t vectors_address = 0;
  std::int64_t flash_address = 0, sram_address = 0;
  std::string startup = {};  // what only the architecture can say in startup.c: see firmware.cpp
  // The part of C's library that emitted C calls, for a compiler that comes without: its sources
  // are archived by `archiver` in libc.a.
  Artifacts library = {};
  std::string archiver = {};
  double per_tick = 0;  // instructions in one tick of the timer, under -icount shift=0
};

// The QEMU machine for a core of a device file; Error where QEMU has none.
QemuMachine qemu_machine(const std::string& core);

// Those of each architecture.
std::vector<QemuMachine> arm_machines();
std::vector<QemuMachine> riscv_machines();

// startup.c, firmware.ld, and the files of the library. The firmware reads "in.bin" and writes
// "out.bin" through semihosting and, as 32-bit words, "counts.bin": the timer ticks that
// kCalibrationInstructions took, for each network the ticks of its counted runs, for each network
// their number; the bytes of stack that a function of kCalibrationStack bytes of variables took,
// for each network the most that a run took.
Artifacts firmware(const QemuMachine& machine, std::size_t networks);
inline constexpr std::int64_t kCalibrationInstructions = 4'000'000;
inline constexpr std::int64_t kCalibrationStack = 256;

}  // namespace tandem
