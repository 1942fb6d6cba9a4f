#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tandem/plan/pipeline.h"
#include "tandem/plan/plan.h"
#include "tandem/plan/target.h"

namespace tandem {

// Planning for machines of kind "dataflow_fpga": every node of a lowered function becomes streaming
// stages that all work at the same time.

// How wide a node's unit is: `pe` results side by side, each from `simd` operands per cycle.
struct Folding {
  std::int64_t pe = 1, simd = 1;
  bool dsp = false;            // multiplications in DSP blocks instead of logic
  bool block_weights = false;  // constant weights in block RAM instead of logic
  friend bool operator==(const Folding&, const Folding&) = default;
};

// The legal values of a folding, ascending.
struct FoldingSpace {
  std::vector<std::int64_t> pe = {1}, simd = {1};
};

// Everything in "main" that such a machine cannot take.
std::vector<Issue> check_dataflow(const Module& module);

// The nodes of "main" that become stages, in order; constants and renamings do not.
std::vector<NodeId> dataflow_nodes(const Module& module);

FoldingSpace folding_space(const Module& module, NodeId node);

// Which foldings to use: nodes that are not named get 1 x 1. Inputs and outputs take
// `lanes` elements per beat where a number is given for their position.
struct DataflowChoices {
  std::map<NodeId, Folding> foldings;
  std::map<std::size_t, std::int64_t> input_lanes, output_lanes;
};

// A plan with one step per stage group: an element-wise node of the same width as the node before
// it, which nothing else reads, joins that node's step. Stores and FIFOs have the least size with
// which the pipeline runs through (see mapping/dataflow_buffers.h for sizes that sustain its rate).
// Throws Error when the module has issues or a folding is not legal.
//
// Step::form is the stage's form ("dot", "map", "source", ...). Step::tile holds "pe", "simd",
// "dsp<i>" where node i of the step multiplies in DSP blocks, "block_weights", and by the role of a
// stage within the step ("core", "move0", "pack_core0", "fork_core") "fifo_<role><port>",
// "store_<role>" and "block_<role>" (store in block RAM); sources and sinks have "port".
Plan plan_dataflow(const Module& module, const std::string& device,
                   const DataflowChoices& choices = {});

// The choices that a plan was made from (foldings of all its nodes, and lanes of its ports).
DataflowChoices choices_of(const Plan& plan);

// The stages and streams of a plan.
Pipeline build_pipeline(const Module& module, const Plan& plan);

// Writes the capacities and depths of a pipeline that was built from the plan back into it.
void set_capacities(Plan& plan, const Pipeline& pipeline);

}  // namespace tandem
