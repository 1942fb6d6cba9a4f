#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "tandem/plan/pipeline.h"

namespace tandem {

struct YosysOptions {
  double timeout_seconds = 1800;
};

// What Yosys made of a circuit for 7-series FPGAs.
struct Synthesis {
  std::int64_t luts = 0;  // LUT1 to LUT6, and those that serve as memory or shift registers
  std::int64_t flip_flops = 0;
  double block_rams = 0;  // of 36 Kbit; one of 18 Kbit counts one half
  std::int64_t dsps = 0;
  std::int64_t latches = 0;
  std::map<std::string, std::int64_t> cells;  // by type, over the whole hierarchy
  // The cells and instances of every module, without those of the modules inside.
  using Modules = std::map<std::string, std::map<std::string, std::int64_t>>;
  Modules modules;
  double seconds = 0;
};

// Look-up tables that a cell occupies: LUTs, distributed RAMs, shift registers.
std::int64_t luts_of_cell(const std::string& cell);

// Runs `synth_xilinx -family xc7` on the text of a circuit with the given top module and counts the
// cells. Throws Error when Yosys fails or runs out of time.
Synthesis synthesize(const std::string& text, const std::string& top,
                     const YosysOptions& options = {});
Synthesis synthesize(const Pipeline& pipeline, const YosysOptions& options = {});

}  // namespace tandem
