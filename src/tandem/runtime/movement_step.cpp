#include <cstring>
#include <map>

#include "tandem/base/error.h"
#include "tandem/plan/movement_map.h"
#include "tandem/runtime/step_program.h"

namespace tandem {
namespace {

// `count` elements of one source, side by side there and in the result.
struct Run {
  std::size_t source = 0;
  std::int64_t from = 0, to = 0, count = 0;
};

class MovementStep final : public StepProgram {
 public:
  MovementStep(const NodeView& node, std::size_t output, const MovementMap& map)
      : result_(node.node.outputs[output]) {
    const TensorType& type = node.graph.values[result_].type;
    bytes_ = static_cast<std::size_t>(storage_bytes(type.format.storage()));
    // Constants are read from an image of the whole result, at their own place. Elements that come
    // from elsewhere hold any integer of the format there (bipolar has no 0).
    std::vector<std::int64_t> integers(map.input.size(), type.format.integer_range().min);
    std::map<std::int32_t, std::size_t> slots;
    for (std::size_t i = 0; i < map.input.size(); ++i) {
      const std::int32_t input = map.input[i];
      const bool constant = input < 0;
      if (constant) integers[i] = map.offset[i];
      const auto [slot, is_new] = slots.emplace(input, sources_.size());
      if (is_new)
        sources_.push_back(constant ? kNone : node.node.inputs[static_cast<std::size_t>(input)]);
      append(slot->second, constant ? static_cast<std::int64_t>(i) : map.offset[i]);
    }
    if (slots.contains(-1))
      constants_ = Tensor::from_integers(type.format, type.static_shape(), integers);
  }

  void run(const Places& places, Scratch&) const override {
    std::byte* to = places.write[result_];
    for (const Run& run : runs_) {
      const ValueId source = sources_[run.source];
      const std::byte* from = source == kNone ? constants_.bytes().data() : places.read[source];
      const std::byte* first = from + static_cast<std::size_t>(run.from) * bytes_;
      std::byte* target = to + static_cast<std::size_t>(run.to) * bytes_;
      if (run.count == 1) {
        copy_one(first, target);
      } else {
        std::memcpy(target, first, static_cast<std::size_t>(run.count) * bytes_);
      }
    }
  }

 private:
  // The next element of the result.
  void append(std::size_t source, std::int64_t from) {
    std::int64_t to = 0;
    if (!runs_.empty()) {
      Run& last = runs_.back();
      if (last.source == source && last.from + last.count == from) {
        ++last.count;
        return;
      }
      to = last.to + last.count;
    }
    runs_.push_back({source, from, to, 1});
  }
  // Copies of a size that the compiler knows are single moves.
  void copy_one(const std::byte* from, std::byte* to) const {
    switch (bytes_) {
      case 1: *to = *from; return;
      case 2: std::memcpy(to, from, 2); return;
      case 4: std::memcpy(to, from, 4); return;
      default: std::memcpy(to, from, 8);
    }
  }

  ValueId result_;
  std::size_t bytes_ = 1;
  std::vector<ValueId> sources_;  // kNone: constants_
  std::vector<Run> runs_;
  Tensor constants_;
};

}  // namespace

std::unique_ptr<StepProgram> make_movement(const NodeView& node, std::size_t output) {
  const auto map = movement_map(node, output);
  if (!map) return nullptr;
  return std::make_unique<MovementStep>(node, output, *map);
}

}  // namespace tandem
