#pragma once

#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "tandem/graph/operator.h"
#include "tandem/ops/window.h"

namespace tandem {

// Internal to the room: where the windows of a convolution or pool lie in an image of bytes,
// channels last.
class CodeWindows {
 public:
  CodeWindows(const Shape& x, const Window& window);

  std::int64_t image_size() const { return image_size_; }
  std::int64_t pixels() const { return static_cast<std::int64_t>(origins_.size()); }  // of an image
  std::int64_t taps() const { return static_cast<std::int64_t>(taps_.size()); }
  const std::vector<std::int64_t>& offsets() const { return taps_; }  // relative to the origin
  std::int64_t origin(std::int64_t pixel) const {
    return origins_[static_cast<std::size_t>(pixel)];
  }
  // Whether the window of a pixel lies inside the image, and whether a tap of it does.
  bool is_inside(std::int64_t pixel) const { return inside_[static_cast<std::size_t>(pixel)] != 0; }
  bool has_tap(std::int64_t pixel, std::int64_t tap) const;
  // The taps of a pixel that lie inside the image, as those along the last axis, [first, last), of
  // the rows of taps for which has_row() is true.
  std::int64_t row_length() const { return row_length_; }
  bool has_row(std::int64_t pixel, std::int64_t row) const;
  std::pair<std::int64_t, std::int64_t> inside_of_row(std::int64_t pixel) const;
  // How many pixels from this one on lie inside, with their origins stride() apart.
  std::int64_t run_length(std::int64_t pixel) const {
    return run_lengths_[static_cast<std::size_t>(pixel)];
  }
  std::int64_t stride() const { return stride_; }

 private:
  std::size_t rank_;
  std::int64_t image_size_ = 1, stride_ = 0, row_length_ = 1;
  std::vector<std::int64_t> extents_;
  std::vector<std::int64_t> origins_, taps_;
  std::vector<std::int64_t> origin_at_, tap_at_;  // positions, [..][rank]
  std::vector<char> inside_;
  std::vector<std::int32_t> run_lengths_;
};

}  // namespace tandem
