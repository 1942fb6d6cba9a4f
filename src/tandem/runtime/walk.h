#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

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
  }

  std::int64_t run_length() const { return extents_.back(); }
  std::int64_t run_step(std::size_t operand) const { return steps_.back()[operand]; }
  std::int64_t runs() const { return runs_; }

  // visit(offsets, count): parts of runs of at most `block` elements, which begin `offsets`
  // elements into each operand. About `part` elements are one part of the work.
  template <typename Visit>
  void visit(std::int64_t block, std::int64_t part, const Visit& visit) const {
    const std::int64_t length = run_length();
    if (runs_ == 1) {
      const std::int64_t grain = std::max(part / block, std::int64_t{1}) * block;
      parallel_for(0, length, grain, [&](std::int64_t from, std::int64_t to) {
        std::vector<std::int64_t> offsets(operands_);
        for (std::int64_t i = from; i < to; i += block) {
          for (std::size_t o = 0; o < operands_; ++o) offsets[o] = i * run_step(o);
          visit(offsets.data(), std::min(block, to - i));
        }
      });
      return;
    }
    const std::int64_t grain = std::max(part / length, std::int64_t{1});
    parallel_for(0, runs_, grain, [&](std::int64_t from, std::int64_t to) {
      std::vector<std::int64_t> offsets(operands_), start(operands_);
      std::vector<std::int64_t> index = start_of(from, start);
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
  std::vector<std::int64_t> start_of(std::int64_t run, std::vector<std::int64_t>& start) const {
    std::vector<std::int64_t> index(extents_.size() - 1);
    for (std::size_t d = index.size(); d-- > 0;) {
      index[d] = run % extents_[d];
      run /= extents_[d];
      for (std::size_t o = 0; o < operands_; ++o) start[o] += index[d] * steps_[d][o];
    }
    return index;
  }
  void advance(std::vector<std::int64_t>& index, std::vector<std::int64_t>& start) const {
    for (std::size_t d = index.size(); d-- > 0;) {
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
};

// How many elements of cheap work are one part.
inline constexpr std::int64_t kPartElements = std::int64_t{1} << 15;

}  // namespace tandem
