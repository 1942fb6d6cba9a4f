#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tandem/device/device.h"
#include "tandem/plan/pipeline.h"

namespace tandem {

// The area of a pipeline on an FPGA with look-up tables of six inputs, part by part: a part is one
// module of the emitted circuit. What is counted follows from the structure of that module (adder
// bits, multiplexer bits, bits of tables that differ, ...); how many look-up tables such a feature
// costs after synthesis is a coefficient of the device, fitted by bench/cost/fit_dataflow_area.
struct AreaPart {
  std::string module;  // name of the emitted module without the network's prefix
  std::string form;    // of the costs: "rom", "lane", "move", "fifo_two", ...
  StageId stage = kNone;
  double instances = 1;
  std::map<std::string, double> features;  // of one instance
  double registers = 0;                    // flip-flops of one instance
  double block_rams = 0;                   // of 36 Kbit, of one instance
  double dsps = 0;
};
std::vector<AreaPart> area_parts(const Pipeline& pipeline);

struct Area {
  double luts = 0, flip_flops = 0, block_rams = 0, dsps = 0;
  Area& operator+=(const Area& other);
};

// With the costs of a unit of kind "dataflow_fpga". Throws Error where the costs lack a feature.
Area area_of(const AreaPart& part, const Unit& unit);
// By stage (its incoming FIFOs included); the last entry is the top module.
std::vector<Area> area_by_stage(const Pipeline& pipeline, const Unit& unit);

// Block RAMs of 36 Kbit for a memory of so many words, and look-up tables where it is made of
// distributed RAM. A ROM may hold several words side by side, chosen from by logic.
double block_rams_of(std::int64_t words, std::int64_t bits);
double rom_block_rams_of(std::int64_t words, std::int64_t bits);
double lut_ram_of(std::int64_t words, std::int64_t bits);
// DSP blocks of a signed product of so many bits each.
double dsps_of(int left_bits, int right_bits);

}  // namespace tandem
