#include <cstring>
#include <map>

#include "tandem/base/error.h"
#include "tandem/plan/movement_map.h"
#include "tandem/runtime/step_program.h"

namespace tandem {
namespace {

struct Loop {
  std::int64_t repeat = 1, from = 0, to = 0;  // how often, and how far apart in elements
};

// `count` elements of one source, side by side there and in the result, again and again. Few of
// these say how all elements of a transposition or a concatenation move.
struct Nest {
  std::size_t source = 0;
  std::int64_t from = 0, to = 0, count = 0;
  Loop inner, outer;
};

// The nests of one source from its elements in the order of the result.
class NestMaker {
 public:
  void add(std::size_t source, std::int64_t from, std::int64_t to, std::vector<Nest>& done) {
    if (run_.count > 0 && run_.from + run_.count == from && run_.to + run_.count == to) {
      ++run_.count;
      return;
    }
    finish_run(done);
    run_ = {source, from, to, 1, {}, {}};
  }
  void finish(std::vector<Nest>& done) {
    finish_run(done);
    finish_series(done);
    if (nest_.count > 0) done.push_back(nest_);
  }

 private:
  // Whether `next` is the loop's next repetition; a first one decides how far they are apart.
  static bool extend(Loop& loop, const Nest& first, const Nest& next) {
    const std::int64_t from = next.from - first.from, to = next.to - first.to;
    if (loop.repeat == 1) {
      loop = {2, from, to};
      return true;
    }
    if (from != loop.repeat * loop.from || to != loop.repeat * loop.to) return false;
    ++loop.repeat;
    return true;
  }
  void finish_run(std::vector<Nest>& done) {
    if (run_.count == 0) return;
    if (series_.count == run_.count && extend(series_.inner, series_, run_)) return;
    finish_series(done);
    series_ = run_;
  }
  void finish_series(std::vector<Nest>& done) {
    if (series_.count == 0) return;
    const Loop &mine = nest_.inner, &its = series_.inner;
    const bool is_alike = nest_.count == series_.count && mine.repeat == its.repeat &&
                          mine.from == its.from && mine.to == its.to;
    if (is_alike && extend(nest_.outer, nest_, series_)) return;
    if (nest_.count > 0) done.push_back(nest_);
    nest_ = series_;
  }

  Nest run_, series_, nest_;
};

// Copies of a size that the compiler knows are single moves; the longer loop goes inside.
template <typename Element>
void move_single(const Nest& nest, const std::byte* from, std::byte* to) {
  constexpr auto kBytes = static_cast<std::int64_t>(sizeof(Element));
  const bool swaps = nest.inner.repeat < nest.outer.repeat;
  const Loop outer = swaps ? nest.inner : nest.outer, inner = swaps ? nest.outer : nest.inner;
  for (std::int64_t o = 0; o < outer.repeat; ++o) {
    const std::byte* source = from + (nest.from + o * outer.from) * kBytes;
    std::byte* target = to + (nest.to + o * outer.to) * kBytes;
    for (std::int64_t i = 0; i < inner.repeat; ++i) {
      std::memcpy(target, source, sizeof(Element));
      source += inner.from * kBytes;
      target += inner.to * kBytes;
    }
  }
}

void move_runs(const Nest& nest, std::size_t element, const std::byte* from, std::byte* to) {
  const auto bytes = static_cast<std::size_t>(nest.count) * element;
  const auto width = static_cast<std::int64_t>(element);
  for (std::int64_t o = 0; o < nest.outer.repeat; ++o)
    for (std::int64_t i = 0; i < nest.inner.repeat; ++i)
      std::memcpy(to + (nest.to + o * nest.outer.to + i * nest.inner.to) * width,
                  from + (nest.from + o * nest.outer.from + i * nest.inner.from) * width, bytes);
}

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
    std::vector<NestMaker> makers;  // by source
    for (std::size_t i = 0; i < map.input.size(); ++i) {
      const std::int32_t input = map.input[i];
      const bool constant = input < 0;
      if (constant) integers[i] = map.offset[i];
      const auto [slot, is_new] = slots.emplace(input, sources_.size());
      if (is_new) {
        sources_.push_back(constant ? kNone : node.node.inputs[static_cast<std::size_t>(input)]);
        makers.emplace_back();
      }
      const auto to = static_cast<std::int64_t>(i);
      makers[slot->second].add(slot->second, constant ? to : map.offset[i], to, nests_);
    }
    for (NestMaker& maker : makers) maker.finish(nests_);
    if (slots.contains(-1))
      constants_ = Tensor::from_integers(type.format, type.static_shape(), integers);
  }

  void run(const Places& places, Scratch&) const override {
    std::byte* to = places.write[result_];
    for (const Nest& nest : nests_) {
      const ValueId source = sources_[nest.source];
      const std::byte* from = source == kNone ? constants_.bytes().data() : places.read[source];
      if (nest.count > 1)
        move_runs(nest, bytes_, from, to);
      else if (bytes_ == 1)
        move_single<std::uint8_t>(nest, from, to);
      else if (bytes_ == 2)
        move_single<std::uint16_t>(nest, from, to);
      else if (bytes_ == 4)
        move_single<std::uint32_t>(nest, from, to);
      else
        move_single<std::uint64_t>(nest, from, to);
    }
  }

 private:
  ValueId result_;
  std::size_t bytes_ = 1;
  std::vector<ValueId> sources_;  // kNone: constants_
  std::vector<Nest> nests_;
  Tensor constants_;
};

}  // namespace

std::unique_ptr<StepProgram> make_movement(const NodeView& node, std::size_t output) {
  const auto map = movement_map(node, output);
  if (!map) return nullptr;
  return std::make_unique<MovementStep>(node, output, *map);
}

}  // namespace tandem
