#pragma once

#include <string>

#include "tandem/emit/verilog.h"

namespace tandem {

// Appends one sample of [samples, ...] integers as the beats of a port, packed as on its tdata.
void append_beats(std::string& bytes, const AxisPort& port, const Tensor& samples,
                  std::int64_t sample);

// A self-checking test bench for <name>.sv: <name>_test.cpp (for Verilator), <name>_vectors.h with
// inputs (all minimum and all maximum first) and what the module computes of them, and a Makefile.
Artifacts verilog_bench(const Module& module, const Pipeline& pipeline, const std::string& name);

}  // namespace tandem
