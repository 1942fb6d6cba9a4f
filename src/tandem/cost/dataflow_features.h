#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "tandem/plan/pipeline.h"

namespace tandem {

// What the modules of a compute or move stage are made of, counted from its parameters. Internal to
// the room; names and meaning of the features match the emitted text (emit/verilog_*.cpp).

// A memory of constant words.
struct RomShape {
  std::int64_t words = 1, bits = 0;
  bool block_ram = false;
  double address_bits = 0;
  double table_luts = 0;        // for its bits that differ between words, each function once
  double output_registers = 0;  // of those bits
};
RomShape weights_rom(const ComputeStage& stage);
RomShape starts_rom(const ComputeStage& stage);
RomShape map_constants_rom(const MapOp& map, std::int64_t lanes);
RomShape constant_rom(const ConstantStage& stage, const Stream& output);

// Bits of the entries or thresholds of a map, as the memories of one lane hold them.
double map_table_bits(const MapOp& map);

struct MoveShape {
  double counter_bits = 0, track_bits = 0, compare_bits = 0, registers = 0;
};
MoveShape move_shape(const MoveStage& stage);

using FeatureAmounts = std::map<std::string, double>;

// One lane of a reducing head.
std::string lane_form(const ComputeStage& stage);
FeatureAmounts lane_features(const ComputeStage& stage);
double lane_registers(const ComputeStage& stage);
double lane_dsps(const ComputeStage& stage);

// One lane of a head of two streams.
FeatureAmounts pair_features(const ComputeStage& stage);
double pair_registers(const ComputeStage& stage);

// One lane of a map.
std::string map_form(const MapOp& map);
FeatureAmounts map_features(const MapOp& map);
double map_registers(const MapOp& map);
double map_dsps(const MapOp& map);
double map_block_rams(const MapOp& map);

// Two's complement bits that hold every integer of a format.
int signed_bits(Format format);
// Bits of a counter from 0 to `last`.
int counter_bits(std::int64_t last);

}  // namespace tandem
