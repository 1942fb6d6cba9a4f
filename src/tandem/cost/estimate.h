#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tandem/device/source.h"
#include "tandem/graph/module.h"
#include "tandem/plan/plan.h"

namespace tandem {

struct Figure {
  double value = 0;
  Source source = Source::kAnalytic;
  double relative_uncertainty = 0;  // half-width of the expected interval, as a share of the value
};

inline Figure exact_figure(double value) { return {value, Source::kExact, 0}; }

// The figures of one step and of the whole. Keys carry their unit: "latency_cycles",
// "interval_cycles", "latency_seconds", "instructions", "energy_joules", "flash_bytes",
// "weights_bytes", "tables_bytes", "code_bytes", "sram_bytes", "arena_bytes", "arena_bound_bytes",
// "io_bytes", "luts", "flip_flops", "brams", "dsps", "multiply_accumulates".
using Figures = std::map<std::string, Figure>;

struct StepEstimate {
  std::string name;  // of the first node
  Figures figures;
};

struct Estimate {
  std::string device;
  Figures total;
  std::vector<StepEstimate> steps;
};

// The same as JSON text (schema "tandem-estimate/1").
std::string to_json(const Estimate& estimate);

}  // namespace tandem
