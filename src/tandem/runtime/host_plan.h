#pragma once

#include <vector>

#include "tandem/graph/module.h"
#include "tandem/plan/plan.h"
#include "tandem/plan/target.h"

namespace tandem {

struct HostPlanOptions {
  // Runs element-wise nodes behind the node that feeds them, block by block, without a buffer
  // between them.
  bool fuse = true;
  // Gives every value memory of its own, so that all can be read after a run.
  bool keep_values = false;
};

// How the lowered function "main" runs on this processor, one sample at a time. Its one memory is
// "ram": values lie in one arena, inputs and outputs (one buffer each) with the
// caller, states apart: copies at the end write those of the next run. Steps of kind kRun have as
// form the kernel they use,
//   product16  product or convolution of 16-bit operands with 32-bit sums
//   product    the same with operands as wide as the lanes
//   depthwise  convolution with one filter per channel
//   window     pool, reduction, argmax
//   lanes      element by element
//   movement   data movement
//   alias      a movement that keeps every element in its place
// and in "lane_bits" (32 or 64) how wide they compute; the nodes after the first are element-wise
// or aliases and work on the first one's results block by block. Steps of kind kMove copy.
// Throws the issues of check_host() as one Error.
Plan plan_host(const Module& module, const HostPlanOptions& options = {});

// What this processor's kernels cannot run: nodes that are no integer primitives or movements,
// symbols that are not bound, states that do not live as long as a stream.
std::vector<Issue> check_host(const Module& module);

}  // namespace tandem
