#pragma once

#include <string>
#include <vector>

#include "tandem/plan/pipeline.h"
#include "tandem/plan/target.h"

namespace tandem {

// Lowered modules as synthesizable SystemVerilog: one module per stage of the plan's pipeline,
// joined by FIFOs with ready and valid, weights in memories initialised in the source. The same
// source is simulated (Verilator) and synthesised (Yosys).
//
// The top module `name` has clock aclk, synchronous reset aresetn (active low), for every input i
// of "main" an AXI-Stream s_axis_in<i>, for every output an AXI-Stream m_axis_out<i>, and
// `misframed`, which stays high once an input's tlast did not end a frame. tdata holds the plan's
// number of elements per beat in row-major order, the first in the lowest bits, packed without
// gaps and padded to whole bytes.
class CircuitTarget final : public Target {
 public:
  std::string name() const override { return "circuit"; }
  std::vector<Issue> check(const Module& module) const override;
  // <name>.sv, and a self-checking Verilator test bench that a user can build alone:
  // <name>_test.cpp, <name>_vectors.h and Makefile.
  Artifacts emit(const Module& module, const Plan& plan, const std::string& name) const override;
};

// The text of <name>.sv.
std::string verilog_of(const Pipeline& pipeline, const std::string& name);

// One AXI-Stream of the top module.
struct AxisPort {
  StreamId stream = kNone;
  Format format;
  std::int64_t lanes = 1, beats = 1;  // elements per beat, beats per frame

  std::int64_t bits() const { return lanes * format.bits(); }
  std::int64_t bytes() const { return (bits() + 7) / 8; }  // of tdata
};
std::vector<AxisPort> axis_inputs(const Pipeline& pipeline);
std::vector<AxisPort> axis_outputs(const Pipeline& pipeline);

}  // namespace tandem
