#pragma once

#include "tandem/kernels/convolution.h"
#include "tandem/ops/window.h"

namespace tandem {

// A Conv of x [batch, channels, spatial...] by w [filters, channels / group, kernel...] over the
// last one or two spatial axes, as kernels take it; `window` is the node's, over all of them.
Convolution convolution_of(const NodeView& node, const Window& window, const Shape& x,
                           const Shape& w);

}  // namespace tandem
