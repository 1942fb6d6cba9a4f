#pragma once

#include "tandem/cost/dataflow_simulation.h"
#include "tandem/cost/estimate.h"
#include "tandem/device/device.h"
#include "tandem/graph/module.h"
#include "tandem/plan/plan.h"

namespace tandem {

// The estimate of a plan on a device of kind "dataflow_fpga", without any tool:
//   latency_cycles, interval_cycles, latency_seconds, interval_seconds, rate_per_second
//                      simulated cycle by cycle (exact for the emitted circuit), at the device's
//                      clock
//   luts, flip_flops, brams, dsps
//                      from the structure of every stage; brams count 36 Kbit
//   bram_bytes         of the block RAMs in use
//   weights_bytes, tables_bytes, io_bytes
//                      exact: bits of constant weights, and of the memories that hold all other
//                      constants (once, however many lanes have a copy); bytes of the frames of all
//                      inputs and outputs as AXI beats
//   energy_joules      of one inference at full rate, from the device's two assumed powers
//   multiply_accumulates
// Steps carry their stages' luts, flip_flops, brams, dsps and busy_cycles per frame.
// Throws Error for a device of another kind, and where the plan's FIFOs are too small.
Estimate estimate_dataflow(const Module& module, const Plan& plan, const Device& device);
// The same where the pipeline of the plan was simulated already.
Estimate estimate_dataflow(const Module& module, const Plan& plan, const Device& device,
                           const Pipeline& pipeline, const SimulationResult& cycles);

// Half-width of the interval in which the look-up tables of most circuits lie.
inline constexpr double kLutUncertainty = 0.2;

}  // namespace tandem
