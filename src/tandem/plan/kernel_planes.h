#pragma once

#include <string>
#include <vector>

#include "tandem/graph/operator.h"
#include "tandem/ops/window.h"

namespace tandem {

// Depthwise convolution of bytes a channel at a time: the channel's pixels, with their padding, are
// first copied into the scratch array "plane", as bytes, or as numbers of 16 bits of which
// neighbours along the last axis are multiplied in pairs; its weights stay in registers for the
// whole plane.
struct PlaneLayout {
  Window window;
  std::vector<std::int64_t> input, output;  // spatial extents
  std::vector<std::int64_t> padded;         // of the plane
  std::vector<std::int64_t> strides;        // of the plane, in elements
  std::vector<std::int64_t> kept;           // of the input; what no window reads is not copied
  std::vector<std::size_t> order;           // of the axes in the plane, the innermost one last
  std::int64_t channels = 0, images = 0;

  std::int64_t taps() const;
};

// What a plane's sums are made of: rows of the kernel along its last axis, one by one or in pairs
// and a rest.
struct PlaneWeights {
  struct Term {
    std::int64_t offset = 0;  // in the plane, from the window's first element
    std::string weight;       // the local that holds one weight, or a pair of them
    bool pair = false;
  };
  std::vector<Term> terms;
};

// With one spatial axis innermost.
PlaneLayout plane_of(const NodeView& view, std::size_t innermost);

// A convolution in which each channel has constant weights of its own, of bytes with sums of 32
// bits.
bool is_depthwise_of_bytes(const NodeView& view);

// Whether some window of a convolution or pooling leaves its input.
bool is_padded(const NodeView& view, const Window& window);

// Appends "plane_bytes" where a convolution is of that kind, and "plane", by pairs, where its last
// axis is not dilated.
void add_plane_form(const NodeView& view, std::vector<std::string>& forms);

// Appends the forms of such convolutions by quads, for groups whose other nodes take quads too:
// "plane_quads", four neighbours of one channel at a time from a plane of bytes, and
// "channel_quads", four channels at a time.
void add_quad_forms(const Module& module, const Graph& graph, const std::vector<ValueId>& base_of,
                    const std::vector<NodeId>& nodes, std::vector<std::string>& forms);

}  // namespace tandem
