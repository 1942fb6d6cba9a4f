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
  // The order of the elements of each value; empty: all row-major. See prepare_for_host().
  std::vector<Layout> layouts = {};
};

// How the function "main" runs on this processor, one sample at a time. Its one memory is
// "ram": values lie in one arena, inputs and outputs (one buffer each) with the
// caller, states apart: copies at the end write those of the next run. Steps of kind kRun have as
// form the kernel they use; on integers
//   product16  product or convolution of 16-bit operands with 32-bit sums
//   product    the same with operands as wide as the lanes
//   depthwise  convolution with one filter per channel
//   window     pool, reduction, argmax
//   lanes      element by element
//   movement   data movement
//   alias      a movement that keeps every element in its place
// from codes of 8 bits to codes of 8 bits, by the instructions that the processor has for them
//   code_convolution, code_product, code_depthwise  with constant weights
//   code_matmul  a product of two computed operands
//   code_pair    a sum or product of two values, or of one with one code for each channel
//   code_mean    the sum of all pixels
//   code_rescale  codes to codes by a factor and an addend for each channel
//   code_table, code_pool  an element-wise function; a maximum pool
//   code_border  reals to codes, or codes to reals
// and in "lane_bits" (32 or 64) how wide they compute; the nodes after the first are element-wise
// or aliases and work on the first one's results block by block. On f32
//   dense_convolution, dense_product  on the processor's tiles or by oneDNN, with what follows in
//                its epilogue
//   decode_product  a product of few rows with constant codes, which stay packed and are decoded
//                in registers; "weight_bits", "group" and "rows" tell how
//   packed       the Dequantize of such codes, which does not run
//   real_lanes   element-wise nodes, block by block
//   real_pool    a pooling of images that lie channels last
//   recurrent    LSTM and GRU, step by step
//   real_rows    Softmax and normalization along the last axis
//   trees        an ensemble of decision trees
//   arg_extreme  ArgMax and ArgMin
// and on all others
//   definition   the operator's own evaluation
// Steps of kind kMove copy.
// Throws the issues of check_host() as one Error. Data must decide no size
// (transform/data_sizes.h).
Plan plan_host(const Module& module, const HostPlanOptions& options = {});

// What this processor cannot run: symbols that are not bound, states that do not live as long as a
// stream.
std::vector<Issue> check_host(const Module& module);

}  // namespace tandem
