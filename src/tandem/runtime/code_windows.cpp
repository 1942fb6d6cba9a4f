#include "tandem/runtime/code_windows.h"

namespace tandem {
namespace {

// Positions index * step + begin of a grid, row-major, and their elements in the image.
void list_grid(const std::vector<std::int64_t>& counts, const std::vector<std::int64_t>& steps,
               const std::vector<std::int64_t>& begins, const std::vector<std::int64_t>& strides,
               std::vector<std::int64_t>& positions, std::vector<std::int64_t>& elements) {
  std::vector<std::int64_t> at(counts.size(), 0);
  for (std::int64_t i = 0; i < element_count(counts); ++i) {
    std::int64_t element = 0;
    for (std::size_t d = 0; d < counts.size(); ++d) {
      const std::int64_t position = at[d] * steps[d] - begins[d];
      positions.push_back(position);
      element += position * strides[d];
    }
    elements.push_back(element);
    for (std::size_t d = counts.size(); d-- > 0;) {
      if (++at[d] < counts[d]) break;
      at[d] = 0;
    }
  }
}

}  // namespace

CodeWindows::CodeWindows(const Shape& x, const Window& window)
    : rank_(window.rank()), extents_(x.begin() + 1, x.end() - 1) {
  std::vector<std::int64_t> strides(rank_);
  image_size_ = x.back();
  for (std::size_t d = rank_; d-- > 0;) {
    strides[d] = image_size_;
    image_size_ *= extents_[d];
  }
  const auto output = window.output_extents(extents_);
  list_grid(output, window.strides, window.pads_begin, strides, origin_at_, origins_);
  list_grid(window.kernel, window.dilations, std::vector<std::int64_t>(rank_, 0), strides, tap_at_,
            taps_);
  stride_ = window.strides.back() * strides.back();
  row_length_ = window.kernel.back();
  for (std::size_t p = 0; p < origins_.size(); ++p) {
    bool inside = true;
    for (std::size_t d = 0; d < rank_; ++d) {
      const std::int64_t first = origin_at_[p * rank_ + d],
                         last = first + (window.kernel[d] - 1) * window.dilations[d];
      inside = inside && first >= 0 && last < extents_[d];
    }
    inside_.push_back(inside ? 1 : 0);
  }
  run_lengths_.assign(origins_.size(), 1);
  for (std::size_t p = origins_.size() - 1; p-- > 0;)
    if (inside_[p] != 0 && inside_[p + 1] != 0 && origins_[p + 1] - origins_[p] == stride_)
      run_lengths_[p] = run_lengths_[p + 1] + 1;
}

bool CodeWindows::has_tap(std::int64_t pixel, std::int64_t tap) const {
  for (std::size_t d = 0; d < rank_; ++d) {
    const std::int64_t position = origin_at_[static_cast<std::size_t>(pixel) * rank_ + d] +
                                  tap_at_[static_cast<std::size_t>(tap) * rank_ + d];
    if (position < 0 || position >= extents_[d]) return false;
  }
  return true;
}

bool CodeWindows::has_row(std::int64_t pixel, std::int64_t row) const {
  const auto origin = static_cast<std::size_t>(pixel) * rank_,
             tap = static_cast<std::size_t>(row * row_length_) * rank_;
  for (std::size_t d = 0; d + 1 < rank_; ++d) {
    const std::int64_t position = origin_at_[origin + d] + tap_at_[tap + d];
    if (position < 0 || position >= extents_[d]) return false;
  }
  return true;
}

std::pair<std::int64_t, std::int64_t> CodeWindows::inside_of_row(std::int64_t pixel) const {
  const std::int64_t origin = origin_at_[(static_cast<std::size_t>(pixel) + 1) * rank_ - 1];
  const auto at = [&](std::int64_t tap) {
    return origin + tap_at_[(static_cast<std::size_t>(tap) + 1) * rank_ - 1];
  };
  std::int64_t first = 0, last = row_length_;
  while (first < last && at(first) < 0) ++first;
  while (last > first && at(last - 1) >= extents_.back()) --last;
  return {first, last};
}

}  // namespace tandem
