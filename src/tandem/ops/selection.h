#pragma once

#include <optional>

#include "tandem/tensor/tensor.h"

namespace tandem {

// What a NonMaxSuppression keeps.
struct Suppression {
  std::int64_t most = 0;  // boxes of each class
  double overlap = 0;     // of a box with a better one, as a share of both, beyond which it goes
  std::optional<double> least_score;
  bool is_centered = false;  // corners are (x, y, width, height) of the middle
};

// The boxes kept of boxes [N,boxes,4] and scores [N,classes,boxes]: rows (image, class, box),
// int64 [selected,3], the best of each class first. Throws Error on other shapes and on NaN.
Tensor selected_boxes(const Tensor& boxes, const Tensor& scores, const Suppression& rule);

// The positions of elements that are not 0, int64 [rank,selected], in row-major order.
Tensor nonzero_positions(const Tensor& x);

}  // namespace tandem
