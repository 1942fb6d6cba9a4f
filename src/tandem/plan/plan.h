#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tandem/graph/module.h"

namespace tandem {

// What the bytes of a buffer are for.
enum class BufferRole {
  kValue,    // a value between steps, or a FIFO between stages
  kScratch,  // of one step only
  kInput,
  kOutput,
  kState,    // what is kept from run to run; a run's old and new value lie at one place
  kWeights,  // constant operands of sums and element-wise operators
  kTable     // other constants: tables, thresholds, multipliers, offsets
};
std::string_view name(BufferRole role);

// In which order the elements of a value follow each other.
enum class Layout {
  kRowMajor,
  kChannelsLast  // axis 1 behind all others, which keep their order
};
// Steps in elements from one position of each axis to the next.
std::vector<std::int64_t> strides_of(const std::vector<std::int64_t>& shape, Layout layout);

// Whether the elements of this shape lie in the same order in all layouts.
bool has_one_order(const std::vector<std::int64_t>& shape);

// One value (or scratch, or constant) in one memory of the device.
struct Buffer {
  std::string name;
  BufferRole role = BufferRole::kValue;
  ValueId value = kNone;    // kNone: scratch of a step, rows of a value, a FIFO between stages
  std::string memory;       // a memory of the device: "sram", "flash", "bram", ...
  std::int64_t offset = 0;  // bytes from the start of that memory's region (of states: theirs)
  std::int64_t bytes = 0;
  int element_bits = 8;                       // bits per element as stored (packing)
  std::size_t first_step = 0, last_step = 0;  // lifetime, both inclusive
};

// Where the inputs and outputs of a function lie.
enum class IoPlace {
  kArena,  // among the values, as long as they are needed: a run may overwrite its inputs
  kCaller  // in memory of the caller, who hands over pointers
};
std::string_view name(IoPlace place);
// Throws Error naming both.
IoPlace parse_io_place(const std::string& text);

enum class StepKind { kRun, kMove, kFree, kRecompute };
std::string_view name(StepKind kind);

// One thing that a machine does: on a sequential machine the steps follow each other, on a
// pipeline they are stages that work at the same time.
struct Step {
  StepKind kind = StepKind::kRun;
  std::vector<NodeId> nodes;  // run as one: the first produces, the others are fused behind it
  std::string unit;           // a unit of the device
  std::string form;           // which kernel or stage template
  // Tile sizes and foldings by name: "pe", "simd", "fifo_depth", ...
  std::map<std::string, std::int64_t> tile;
  std::vector<std::size_t> reads, writes;  // indices of buffers
  // Bytes from the start of a buffer to the part of it that the step reads or writes, by index of
  // the buffer; it starts at the beginning of all others.
  std::map<std::size_t, std::int64_t> starts = {};
};
std::int64_t start_of(const Step& step, std::size_t buffer);

// How one function of a module runs on one device: what runs where and when, and which bytes lie
// where. The executor runs it, the emitter prints it, the cost models time it.
struct Plan {
  std::string device;
  std::string function = "main";
  IoPlace io = IoPlace::kCaller;
  std::string order;  // how the order of the steps was chosen, for people; empty: nothing to choose
  std::vector<Step> steps;
  std::vector<Buffer> buffers;
  std::vector<ValueId> channels_last = {};  // values in that layout; all others are row-major
  // Peak bytes and a lower bound of the peak, by memory.
  std::map<std::string, std::int64_t> peak_bytes, bound_bytes;
};

// The buffers of values that a step writes and no later one does: there they are complete.
std::vector<std::size_t> completed_values(const Plan& plan, std::size_t step);

// The bytes of the region in which the states of a plan lie, apart from its arena, with the byte
// that says whether they hold their initial values; 0 where there are none.
std::int64_t state_bytes(const Plan& plan);

// The bytes of inputs and outputs that the caller holds.
std::int64_t caller_bytes(const Plan& plan);

// The bytes of SRAM that a microcontroller needs: the arena, states, and what the caller holds.
std::int64_t sram_bytes(const Plan& plan);

// Whether a buffer shares the one region of memory in which the values of a plan lie.
bool in_arena(const Plan& plan, const Buffer& buffer);

// The plan as text for people and for text tests: one line per step, one per buffer.
std::string print_plan(const Module& module, const Plan& plan);

}  // namespace tandem
