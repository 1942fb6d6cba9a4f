#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tandem/tensor/tensor.h"

namespace tandem {

// Classification by the greatest output: what accuracy means everywhere.

// The index of the greatest element of each row of scores [N, classes...]; the first of equals. A
// single score per row ([N] or [N,1]) is a class of two: 1 where it is above 0.
std::vector<std::int64_t> top1(const Tensor& scores);

// Rows whose top1() is the label, counted over any number of batches.
class Accuracy {
 public:
  // Throws Error where a label is no class of the scores or the numbers of rows differ.
  void add(const Tensor& scores, std::span<const std::int64_t> labels);
  std::int64_t correct() const { return correct_; }
  std::int64_t count() const { return count_; }
  double value() const {
    return count_ == 0 ? 0 : static_cast<double>(correct_) / static_cast<double>(count_);
  }

 private:
  std::int64_t correct_ = 0, count_ = 0;
};

}  // namespace tandem
