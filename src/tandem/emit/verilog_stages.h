#pragma once

#include <string>

#include "tandem/plan/pipeline.h"

namespace tandem::verilog {

// The modules of one stage, its own one (named `name`) last. Its ports are clk, rst, in<i>_data,
// in<i>_valid, in<i>_ready for every input stream and out<i>_... for every output. Stages and the
// cycle model of cost/dataflow_simulation.cpp follow the same rules.
std::string stage_module(const std::string& name, const Pipeline& pipeline, const Stage& stage);

std::string move_module(const std::string& name, const MoveStage& stage, Format stored,
                        const Stream& output);
std::string compute_module(const std::string& name, const Pipeline& pipeline, const Stage& stage,
                           const ComputeStage& compute);
std::string divide_module(const std::string& name, const DivideStage& stage);
std::string square_root_module(const std::string& name, const SquareRootStage& stage);

}  // namespace tandem::verilog
