#pragma once

#include <cstdint>

#include "tandem/graph/module.h"
#include "tandem/plan/pipeline.h"
#include "tandem/plan/plan.h"

namespace tandem {

struct BufferOptions {
  // Cycles per frame that must be kept; 0: the least that the stages allow.
  double interval = 0;
  // Stage-cycles that may be simulated; buffers that were not reached by then stay generous.
  std::int64_t work = 400'000'000;
};

// Sizes every FIFO and store of a pipeline by simulation: first so generously that no stage waits
// for room, then one after the other down to the least size with which the pipeline still runs
// through, keeps the interval and is not later with its first frame. The pipeline of beats is
// determinate (a Kahn network with bounded channels), so a size that does not lock up in this
// simulation does not lock up under any stalls.
// Throws InternalError when the pipeline locks up with generous buffers.
void size_buffers(Pipeline& pipeline, const BufferOptions& options = {});

// The same for the pipeline of a plan; the sizes are written into the plan.
void size_buffers(const Module& module, Plan& plan, const BufferOptions& options = {});

}  // namespace tandem
