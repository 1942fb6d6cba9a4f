#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tandem/graph/operator.h"
#include "tandem/kernels/dense.h"
#include "tandem/kernels/real_lanes.h"
#include "tandem/plan/plan.h"

namespace tandem {

// Internal to the room: what this processor's kernels know of nodes on reals. What they do not know
// is evaluated by its definition.

// A convolution or matrix product of f32 that oneDNN computes: weights (and bias) are constants, or
// constant codes that are decoded.
bool is_dense_convolution(const NodeView& node);
bool is_dense_product(const NodeView& node, bool right_is_packed = false);

// An element-wise node of f32 as a call on lanes; its operands in the order of the call. Constant
// limits of Clip are in the call.
struct LaneCall {
  RealCall call;
  std::vector<ValueId> operands;
};
std::optional<LaneCall> lane_call(const NodeView& node);

// The activation that a dense call can apply to its result, where this node is one of it.
std::optional<Epilogue> activation_of(const NodeView& node);

// The mean over all spatial axes of images [N,C,spatial...]: GlobalAveragePool, or a ReduceMean.
bool is_global_average(const NodeView& node);

// Softmax, LayerNormalization or a reduction of f32 along the last axes, with constant parameters.
bool is_row_operator(const NodeView& node);

// An LSTM or GRU of f32 with constant weights and the functions that it has by default; without
// lengths, peepholes and limits.
bool is_recurrent_layer(const NodeView& node);

// A TreeEnsemble of f32 or f64 with constant trees, fewer than 2^28 nodes and leaves.
bool is_packed_ensemble(const NodeView& node);

// ArgMax or ArgMin of f32.
bool is_arg_extreme(const NodeView& node);

// What follows a dense node in its step: an addition of a value of its shape, an activation.
// `nodes` are the nodes behind it, in order.
struct Followers {
  std::vector<NodeId> nodes;
  ValueId addend = kNone;
  Epilogue epilogue;
  ValueId result = kNone;
};
Followers followers_of(const Module& module, const Graph& graph, const std::vector<NodeId>& nodes);

// Whether all values of a node are f32 and their shapes are bound.
bool is_f32(const NodeView& node);
bool has_f32_result(const NodeView& node);

}  // namespace tandem
