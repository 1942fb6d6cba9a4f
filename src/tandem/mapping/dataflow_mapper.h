#pragma once

#include <cstdint>
#include <vector>

#include "tandem/cost/estimate.h"
#include "tandem/device/device.h"
#include "tandem/graph/module.h"
#include "tandem/plan/plan.h"

namespace tandem {

// One plan of a network on a device of kind "dataflow_fpga".
struct MappedDataflow {
  Plan plan;
  Estimate estimate;
  std::int64_t wanted_interval = 0;  // cycles per inference that the foldings were chosen for
  bool fits = false;                 // within the usable share of every resource
};

struct DataflowMapOptions {
  // Work of sizing FIFOs and stores for each plan (see BufferOptions::work).
  std::int64_t buffer_work = 200'000'000;
  // Plans are made for intervals from the slowest useful one down, each this much shorter.
  double step = 2;
  std::size_t most = 12;  // plans
};

// The plan for one interval: for every node the folding of least cost whose unit needs at most so
// many cycles per inference (the fastest folding where none does). Costs of different resources are
// weighed by how scarce they are on the device. Throws Error listing every node that cannot be run.
MappedDataflow map_for_interval(const Module& module, const Device& device, std::int64_t interval,
                                const DataflowMapOptions& options = {});

// Plans from the smallest and slowest to the fastest one that fits (or the smallest alone, where
// none fits), each faster than the one before.
std::vector<MappedDataflow> dataflow_candidates(const Module& module, const Device& device,
                                                const DataflowMapOptions& options = {});

// The fastest of them that fits; where none does, the smallest.
MappedDataflow map_dataflow(const Module& module, const Device& device,
                            const DataflowMapOptions& options = {});

}  // namespace tandem
