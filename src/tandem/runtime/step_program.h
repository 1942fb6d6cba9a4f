#pragma once

#include <any>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "tandem/graph/operator.h"

namespace tandem {

// Internal to the room: what one step of a host plan is when it is ready to run.

// Where the values of the function lie during a run, by ValueId; null where a value has no memory
// or, for inputs, must not be written.
struct Places {
  std::vector<const std::byte*> read;
  std::vector<std::byte*> write;
};

// Working memory of one thread, kept between runs.
class Scratch {
 public:
  // Room for `count` elements in slot `slot`; the content of earlier calls is lost when it grows.
  template <typename T>
  T* take(std::size_t slot, std::int64_t count) {
    if (slots_.size() <= slot) slots_.resize(slot + 1);
    const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
    if (slots_[slot].size() < bytes) slots_[slot].resize(bytes);
    return reinterpret_cast<T*>(slots_[slot].data());
  }

  // An object that belongs to `owner`, made when it is first asked for.
  template <typename T>
  T& object(const void* owner) {
    std::any& held = objects_[owner];
    if (!held.has_value()) held = T{};
    return *std::any_cast<T>(&held);
  }

 private:
  std::vector<std::vector<std::byte>> slots_;
  std::map<const void*, std::any> objects_;
};

// The slots, so that parts of a step do not take each other's memory.
enum ScratchSlot : std::size_t {
  kLanesSlot,
  kOperandSlot,
  kRowsSlot,
  kImageSlot,
  kSumsSlot,
  kPackedSlot
};

class StepProgram {
 public:
  virtual ~StepProgram() = default;
  virtual void run(const Places& places, Scratch& scratch) const = 0;
};

// Produces the elements [begin, begin + count) of a step's first result as lanes.
template <typename Lane>
class Head {
 public:
  virtual ~Head() = default;
  // Ranges that produce() is called with begin and end at multiples of this, or at the end.
  virtual std::int64_t granularity() const { return 1; }
  // Called once before the ranges of a run.
  virtual void start(const Places&, Scratch&) const {}
  virtual void produce(const Places& places, Scratch& scratch, std::int64_t begin,
                       std::int64_t count, Lane* to) const = 0;
};

// Changes the elements [begin, begin + count) in place.
template <typename Lane>
class Follower {
 public:
  virtual ~Follower() = default;
  virtual void apply(const Places& places, Scratch& scratch, std::int64_t begin, std::int64_t count,
                     Lane* x) const = 0;
};

// The head of a node by the form that the plan chose.
template <typename Lane>
std::unique_ptr<Head<Lane>> make_head(const NodeView& node, std::string_view form);
// The operand of an element-wise node that is loaded first: a computed one, of the result's shape
// where there is such a one.
std::size_t lead_operand(const NodeView& node);
// The node applied to its operand `lead`; the other operands are constants or values in memory.
template <typename Lane>
std::unique_ptr<Follower<Lane>> make_follower(const NodeView& node, std::size_t lead);
// One result of a movement, from memory to memory; null where what moves depends on data.
std::unique_ptr<StepProgram> make_movement(const NodeView& node, std::size_t output);

// Heads that live in files of their own: products (IntMatMul, IntConv), and windows (pools,
// reductions, IntArgMax).
template <typename Lane>
std::unique_ptr<Head<Lane>> make_product_head(const NodeView& node, std::string_view form);
template <typename Lane>
std::unique_ptr<Head<Lane>> make_window_head(const NodeView& node);

}  // namespace tandem
