#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tandem/graph/module.h"
#include "tandem/plan/nest.h"
#include "tandem/plan/plan.h"

namespace tandem {

// A pipeline of streaming stages: what a plan for a dataflow machine stands for, in the detail
// that both the circuit and its cycle model are made from. Every value is a stream of beats; a
// beat holds `lanes` consecutive elements in row-major order, and a frame (one inference) is a
// fixed number of beats. Stages are joined by FIFOs whose state at the start of a cycle alone
// decides what happens in it.

using StageId = std::size_t;
using StreamId = std::size_t;

// A FIFO from one stage to one other. It takes a beat in every cycle in which it is not full and
// offers its oldest beat in every cycle in which it is not empty.
struct Stream {
  std::string name;
  ValueId value = kNone;  // whose elements flow here
  Format format;
  std::int64_t lanes = 1;
  std::int64_t beats = 1;     // per frame, as written
  std::int64_t capacity = 2;  // beats
  StageId from = kNone, to = kNone;
  // The reader takes every beat as so many narrower ones, lowest lanes first.
  std::int64_t narrow = 1;

  std::int64_t read_lanes() const { return lanes / narrow; }
  std::int64_t read_beats() const { return beats * narrow; }
  std::int64_t bits() const { return lanes * format.bits(); }
};

// The network's input or output number `port`, an AXI-Stream.
struct SourceStage {
  std::size_t port = 0;
};
struct SinkStage {
  std::size_t port = 0;
};

// Takes and forgets: an input of the network that nothing reads.
struct DropStage {};

// Repeats a constant frame for ever: one beat in every cycle in which it is taken.
struct ConstantStage {
  std::vector<std::int64_t> integers;
};

// Hands every beat to all outputs in the same cycle.
struct ForkStage {};

// Joins `ratio` beats into one wide one.
struct PackStage {
  std::int64_t ratio = 2;
};

// Takes run[0] beats of input 0, run[1] of input 1, ..., and starts again.
struct ConcatStage {
  std::vector<std::int64_t> run;
};

// Stores its input in a circular store of `depth` words (beats) and reads it in the order of the
// nest. A word is written in every cycle in which fewer than `depth` words are held; a beat is
// read as soon as its word is there.
struct MoveStage {
  Nest nest;
  std::int64_t frame = 0;  // words written per frame
  std::int64_t depth = 0;
  std::int64_t fill = 0;  // the integer outside of the bounds
  bool block_ram = false;
};

// Constants of a stage, by beat and lane; the beats repeat with a period.
struct LaneConstants {
  std::int64_t lanes = 1, period = 1;
  std::vector<std::int64_t> values;  // [period][lanes]

  bool all_equal() const;
  std::int64_t least() const;
  std::int64_t greatest() const;
};

enum class MapKind {
  kRescale,
  kClamp,
  kTable,
  kThreshold,
  kAdd,
  kSubtract,
  kSubtractFrom,
  kMultiply,
  kMax,
  kMin  // with a constant operand
};

// An element-wise function of one operand, in every lane.
struct MapOp {
  NodeId node = kNone;
  MapKind kind = MapKind::kClamp;
  Format in, out;
  IntegerRange input;  // what the operand can hold
  Rounding rounding = Rounding::kFloor;
  Overflow overflow = Overflow::kWrap;
  LaneConstants operand;           // multiplier, or the constant operand
  LaneConstants addend, shift;     // kRescale
  std::int64_t low = 0, high = 0;  // kClamp
  // kTable, kThreshold: rows of constants and the row that every element uses.
  std::vector<std::vector<std::int64_t>> rows;
  LaneConstants row;
  std::int64_t base = 0, step = 1;  // kThreshold
  bool dsp = false;                 // multiply in DSP blocks
};

// How a stage turns the elements of its inputs into one result per lane before its maps.
enum class HeadKind {
  kMaps,  // maps only
  kAdd,
  kSubtract,
  kMultiply,
  kMax,
  kMin,  // two streams, lane by lane
  kDot,  // sum of products with weights
  kSum,
  kGreatest,
  kArgMax  // over the inputs of a result
};
bool reduces(HeadKind head);

// Constant weights in the order of their use, and how that order repeats: each of `blocks` blocks
// of `block` words is used `repeats` times before the next one.
struct Weights {
  Format format;
  std::int64_t block = 1, blocks = 1, repeats = 1;
  std::vector<std::int64_t> integers;  // [blocks * block][pe * simd], or [..][1] when shared
  bool block_ram = false;
};

// A pipelined unit with `pe` results per beat. A reducing head combines `simd` operands per lane
// in each of `steps` beats; all lanes see the same operands where shared_operands is true.
struct ComputeStage {
  HeadKind head = HeadKind::kMaps;
  std::int64_t pe = 1, simd = 1, steps = 1;
  bool shared_operands = false;
  std::optional<Weights> weights;  // kDot; absent: input 1 carries them
  bool shared_weights = false;     // one weight for all lanes
  bool select_last = false;        // kArgMax
  bool dsp = false;                // products in DSP blocks
  Format left, right, result;      // of operands, weights or second operands, and head's results
  std::vector<MapOp> maps;
};

// A radix-2 divider for each lane, `bits` cycles per beat.
struct DivideStage {
  std::int64_t lanes = 1;
  int bits = 1;
  Format left, right, result;
  Rounding rounding = Rounding::kFloor;
};

// A digit-by-digit square root for each lane, `bits` cycles (the digits of the root) per beat.
struct SquareRootStage {
  std::int64_t lanes = 1;
  int bits = 1;
  Format operand, result;
};

using StageBody =
    std::variant<SourceStage, SinkStage, DropStage, ConstantStage, ForkStage, PackStage,
                 ConcatStage, MoveStage, ComputeStage, DivideStage, SquareRootStage>;

struct Stage {
  std::string name;           // an identifier, unique in the pipeline
  std::vector<NodeId> nodes;  // that it computes (or helps to compute)
  std::size_t step = kNone;   // of the plan
  std::string role;           // which of the step's stages: "core", "move0", "pack0", "fork0", ...
  StageBody body;
  std::vector<StreamId> inputs, outputs;
};

struct Pipeline {
  std::vector<Stage> stages;  // producers before consumers
  std::vector<Stream> streams;
};

// Name of the kind of a stage: "source", "move", "dot", "map", "divide", ...
std::string_view form_of(const Stage& stage);

// Registers between a stage's inputs and its output: beats that enter in cycle t can leave in
// cycle t + depth (0: in the same cycle).
int pipeline_depth(const ComputeStage& stage);
// The parts of that sum: the head's, and each map's.
int head_depth(const ComputeStage& stage);
int map_depth(const MapOp& map);

// Levels of a balanced tree that lie between two registers, and levels of a tree.
inline constexpr int kTreeLevelsPerRegister = 3;
int tree_levels(std::int64_t operands);

// How one product of a dot stage is made of logic: 1 operand of the adder tree (a sign change, a
// small table or a DSP block), or one shifted operand per bit of the narrower factor.
std::int64_t product_operands(const ComputeStage& stage);
// Sums of widths up to which a product is a table of its bits.
inline constexpr int kProductTableBits = 6;

// Whether the table of a map is read from block RAM rather than made of logic.
bool table_in_block_ram(const MapOp& map);

// Cycles that a stage which works digit by digit (a divider, a square root) is busy with one beat
// besides taking and handing it over; 0 for all others.
std::int64_t digit_cycles(const StageBody& body);

// One line per stage with its streams, for people and text tests.
std::string print_pipeline(const Pipeline& pipeline);

}  // namespace tandem
