#include "tandem/plan/plan.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/graph/operator.h"

namespace tandem {

std::string_view name(StepKind kind) {
  switch (kind) {
    case StepKind::kRun: return "run";
    case StepKind::kMove: return "move";
    case StepKind::kFree: return "free";
    case StepKind::kRecompute: return "recompute";
  }
  return "?";
}

std::string_view name(BufferRole role) {
  switch (role) {
    case BufferRole::kValue: return "value";
    case BufferRole::kScratch: return "scratch";
    case BufferRole::kInput: return "input";
    case BufferRole::kOutput: return "output";
    case BufferRole::kState: return "state";
    case BufferRole::kWeights: return "weights";
    case BufferRole::kTable: return "table";
  }
  return "?";
}

std::string_view name(IoPlace place) { return place == IoPlace::kArena ? "arena" : "caller"; }

IoPlace parse_io_place(const std::string& text) {
  for (const IoPlace place : {IoPlace::kArena, IoPlace::kCaller})
    if (text == name(place)) return place;
  throw Error("inputs and outputs lie with the 'caller' or in the 'arena', not in '", text, "'",
              suggestion(text, {"arena", "caller"}));
}

std::vector<std::int64_t> strides_of(const std::vector<std::int64_t>& shape, Layout layout) {
  std::vector<std::int64_t> strides = row_major_strides(shape);
  if (layout == Layout::kRowMajor || shape.size() < 3) return strides;
  const std::int64_t channels = shape[1];
  strides[1] = 1;
  for (std::size_t d = 2; d < shape.size(); ++d) strides[d] *= channels;
  return strides;
}

bool has_one_order(const std::vector<std::int64_t>& shape) {
  if (shape.size() < 3) return true;
  std::int64_t positions = 1;
  for (std::size_t d = 2; d < shape.size(); ++d) positions *= shape[d];
  return shape[1] <= 1 || positions <= 1;
}

std::int64_t start_of(const Step& step, std::size_t buffer) {
  const auto found = step.starts.find(buffer);
  return found == step.starts.end() ? 0 : found->second;
}

std::vector<std::size_t> completed_values(const Plan& plan, std::size_t step) {
  std::vector<std::size_t> completed;
  for (const std::size_t write : plan.steps[step].writes) {
    if (plan.buffers[write].value == kNone) continue;
    const bool goes_on =
        std::any_of(plan.steps.begin() + static_cast<std::ptrdiff_t>(step) + 1, plan.steps.end(),
                    [&](const Step& later) {
                      return std::ranges::find(later.writes, write) != later.writes.end();
                    });
    if (!goes_on) completed.push_back(write);
  }
  return completed;
}

std::int64_t state_bytes(const Plan& plan) {
  std::int64_t end = 0, alignment = 1;
  for (const Buffer& buffer : plan.buffers) {
    if (buffer.role != BufferRole::kState) continue;
    end = std::max(end, buffer.offset + buffer.bytes);
    alignment = std::max<std::int64_t>(alignment, buffer.element_bits / 8);
  }
  return end == 0 ? 0 : (end + 1 + alignment - 1) / alignment * alignment;
}

std::int64_t caller_bytes(const Plan& plan) {
  std::int64_t bytes = 0;
  for (const Buffer& buffer : plan.buffers)
    if ((buffer.role == BufferRole::kInput || buffer.role == BufferRole::kOutput) &&
        !in_arena(plan, buffer))
      bytes += buffer.bytes;
  return bytes;
}

std::int64_t sram_bytes(const Plan& plan) {
  return plan.peak_bytes.at("sram") + state_bytes(plan) + caller_bytes(plan);
}

bool in_arena(const Plan& plan, const Buffer& buffer) {
  switch (buffer.role) {
    case BufferRole::kValue:
    case BufferRole::kScratch: return true;
    case BufferRole::kInput:
    case BufferRole::kOutput: return plan.io == IoPlace::kArena;
    case BufferRole::kState:
    case BufferRole::kWeights:
    case BufferRole::kTable: return false;
  }
  return false;
}

std::string print_plan(const Module& module, const Plan& plan) {
  const Graph& graph = module.function(plan.function);
  std::string text =
      concat("plan for ", plan.device, ", function ", plan.function,
             plan.io == IoPlace::kArena ? ", inputs and outputs in the arena\n" : "\n");
  if (!plan.order.empty()) text += concat("  order: ", plan.order, "\n");
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const Step& step = plan.steps[i];
    text += concat("  step ", i, ": ", name(step.kind));
    for (const NodeId id : step.nodes)
      text += concat(" ", graph.nodes[id].op->name(), " '", graph.nodes[id].name, "'");
    text += concat(" on ", step.unit, " form ", step.form);
    for (const auto& [key, value] : step.tile) text += concat(" ", key, "=", value);
    text += "\n";
  }
  for (const Buffer& buffer : plan.buffers) {
    text += concat("  buffer ", buffer.name, ": ", name(buffer.role), " in ", buffer.memory, " [",
                   buffer.offset, ",", buffer.offset + buffer.bytes, ") ", buffer.element_bits,
                   "-bit elements",
                   std::ranges::count(plan.channels_last, buffer.value) > 0 ? " channels last" : "",
                   ", steps ", buffer.first_step, "..", buffer.last_step, "\n");
  }
  for (const auto& [memory, bytes] : plan.peak_bytes) {
    text += concat("  peak ", memory, ": ", bytes, " bytes");
    if (const auto bound = plan.bound_bytes.find(memory); bound != plan.bound_bytes.end())
      text += concat(" (lower bound ", bound->second, ")");
    text += "\n";
  }
  if (const std::int64_t bytes = state_bytes(plan); bytes > 0)
    text += concat("  states: ", bytes, " bytes\n");
  return text;
}

}  // namespace tandem
