#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "tandem/base/error.h"
#include "tandem/base/threads.h"

namespace tandem {

// Internal to the room: a walk over a shape in runs along which every operand advances by a
// constant step, axes that all operands pass evenly being one. The walk is cut into parts by the
// shape alone, and the parts run on all threads.
class Walk {
 public:
  // `strides` by operand and axis, in elements; the last axis is the innermost.
  Walk(const std::vector<std::int64_t>& shape,
       const std::vector<std::vector<std::int64_t>>& strides)
      : operands_(strides.size()) {
    for (std::size_t d = 0; d < shape.size(); ++d) {
      if (shape[d] == 1) continue;
      std::vector<std::int64_t> steps;
      for (const auto& operand : strides) steps.push_back(operand[d]);
      bool merges = !extents_.empty();
      for (std::size_t i = 0; merges && i < operands_; ++i)
        merges = steps_.back()[i] == steps[i] * shape[d];
      if (merges) {
        extents_.back() *= shape[d];
        steps_.back() = steps;
      } else {
        extents_.push_back(shape[d]);
        steps_.push_back(steps);
      }
    }
    if (extents_.empty()) {
      extents_.push_back(1);
      steps_.emplace_back(operands_, 0);
    }
    for (std::size_t d = 0; d + 1 < extents_.size(); ++d) runs_ *= extents_[d];
    joins_ = extents_.size() >= 2;
    for (std::size_t o = 0; o < operands_ && joins_; ++o)
      joins_ = run_step(o) == 1 && (plane_step(o) == 0 || plane_step(o) == run_length());
    ensure(operands_ <= kMostOperands && extents_.size() <= kMostAxes,
           "a walk has too many operands or axes");
  }

  std::int64_t run_length() const { return extents_.back(); }
  std::int64_t run_step(std::size_t operand) const { return steps_.back()[operand]; }
  std::int64_t runs() const { return runs_; }

  // Of two operands, a source and a result: whether the two innermost axes change places, so that
  // planes are transposed. A plane has plane_rows() runs.
  bool turns() const {
    return extents_.size() >= 2 && steps_.back()[1] == 1 && steps_.back()[0] != 1 &&
           steps_[extents_.size() - 2][0] == 1;
  }
  // Whether planes have two rows, whose elements take turns in the result.
  bool interleaves() const {
    return extents_.size() >= 2 && plane_rows() == 2 && run_step(0) == 1 && run_step(1) == 2 &&
           plane_step(1) == 1;
  }
  std::int64_t plane_rows() const { return extents_[extents_.size() - 2]; }
  std::int64_t plane_step(std::size_t operand) const {
    return steps_[extents_.size() - 2][operand];
  }
  std::int64_t planes() const { return runs_ / plane_rows(); }
  std::array<std::int64_t, 2> plane_offsets(std::int64_t plane) const {
    std::array<std::int64_t, 2> offsets{};
    for (std::size_t d = extents_.size() - 2; d-- > 0;) {
      for (std::size_t o = 0; o < offsets.size(); ++o)
        offsets[o] += plane % extents_[d] * steps_[d][o];
      plane /= extents_[d];
    }
    return offsets;
  }

  // Whether an operand is the same run again and again where visit_joined() joins some.
  bool repeats(std::size_t operand) const { return joins_ && plane_step(operand) == 0; }

  // visit(offsets, length, runs): like visit(), of as many short runs at a time as a block holds
  // where each operand repeats itself or goes on from run to run.
  template <typename Visit>
  void visit_joined(std::int64_t block, std::int64_t part, const Visit& visit) const {
    const std::int64_t length = run_length();
    if (length * runs_ == 0) return;  // of an empty operand
    const std::int64_t most = block / length;
    if (!joins_ || most < 2)
      return this->visit(block, part, [&](const std::int64_t* offsets, std::int64_t count) {
        visit(offsets, count, std::int64_t{1});
      });
    const std::size_t axis = extents_.size() - 2;
    const std::int64_t grain = std::max(part / length, std::int64_t{1});
    parallel_for(0, runs_, grain, [&](std::int64_t from, std::int64_t to) {
      Offsets start{};
      Index index = start_of(from, start);
      for (std::int64_t run = from; run < to;) {
        const std::int64_t runs = std::min({most, extents_[axis] - index[axis], to - run});
        visit(start.data(), length, runs);
        run += runs;
        index[axis] += runs - 1;
        for (std::size_t o = 0; o < operands_; ++o) start[o] += (runs - 1) * plane_step(o);
        advance(index, start);
      }
    });
  }

  // visit(offsets, count): parts of runs of at most `block` elements, which begin `offsets`
  // elements into each operand. About `part` elements are one part of the work.
  template <typename Visit>
  void visit(std::int64_t block, std::int64_t part, const Visit& visit) const {
    const std::int64_t length = run_length();
    if (length * runs_ == 0) return;  // of an empty operand
    if (runs_ == 1) {
      const std::int64_t grain = std::max(part / block, std::int64_t{1}) * block;
      parallel_for(0, length, grain, [&](std::int64_t from, std::int64_t to) {
        Offsets offsets;
        for (std::int64_t i = from; i < to; i += block) {
          for (std::size_t o = 0; o < operands_; ++o) offsets[o] = i * run_step(o);
          visit(offsets.data(), std::min(block, to - i));
        }
      });
      return;
    }
    const std::int64_t grain = std::max(part / length, std::int64_t{1});
    parallel_for(0, runs_, grain, [&](std::int64_t from, std::int64_t to) {
      Offsets offsets, start{};
      Index index = start_of(from, start);
      for (std::int64_t run = from; run < to; ++run) {
        for (std::int64_t i = 0; i < length; i += block) {
          for (std::size_t o = 0; o < operands_; ++o) offsets[o] = start[o] + i * run_step(o);
          visit(offsets.data(), std::min(block, length - i));
        }
        advance(index, start);
      }
    });
  }

 private:
  // Of bounded size, so that a walk takes no memory.
  static constexpr std::size_t kMostOperands = 20, kMostAxes = 32;
  using Offsets = std::array<std::int64_t, kMostOperands>;
  using Index = std::array<std::int64_t, kMostAxes>;

  Index start_of(std::int64_t run, Offsets& start) const {
    Index index{};
    for (std::size_t d = extents_.size() - 1; d-- > 0;) {
      index[d] = run % extents_[d];
      run /= extents_[d];
      for (std::size_t o = 0; o < operands_; ++o) start[o] += index[d] * steps_[d][o];
    }
    return index;
  }
  void advance(Index& index, Offsets& start) const {
    for (std::size_t d = extents_.size() - 1; d-- > 0;) {
      for (std::size_t o = 0; o < operands_; ++o) start[o] += steps_[d][o];
      if (++index[d] < extents_[d]) return;
      for (std::size_t o = 0; o < operands_; ++o) start[o] -= extents_[d] * steps_[d][o];
      index[d] = 0;
    }
  }

  std::size_t operands_;
  std::vector<std::int64_t> extents_;
  std::vector<std::vector<std::int64_t>> steps_;  // by axis and operand
  std::int64_t runs_ = 1;
  bool joins_ = false;
};

// How many elements of cheap work are one part.
inline constexpr std::int64_t kPartElements = std::int64_t{1} << 15;

}  // namespace tandem
