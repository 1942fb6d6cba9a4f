#pragma once

#include <cstdint>
#include <vector>

#include "tandem/kernels/convolution.h"
#include "tandem/kernels/real_lanes.h"

namespace tandem {

// Floats of a vector that the instruction set multiplies panels with.
std::int64_t panel_lanes();

// Filters whose sums are in registers together, in vectors of panel_lanes().
struct FilterPanel {
  std::int64_t first = 0, filters = 0;
  int vectors = 2;
  std::int64_t at = 0;  // of its weights, in filters that stand before, padded
};
// Panels of two vectors; the last may have one or three, and less filters than lanes.
std::vector<FilterPanel> filter_panels(std::int64_t filters, std::int64_t lanes);

// How weights lie that are turned to panels: filter f's of channel c at position p of the kernel at
// w[f * by_filter + c * by_channel + p * by_position].
struct WeightOrder {
  std::int64_t filters = 1, channels = 1, positions = 1;
  std::int64_t by_filter = 1, by_channel = 1, by_position = 1;

  friend bool operator==(const WeightOrder&, const WeightOrder&) = default;
};
// The floats that the panels take, and their weights: of each panel [position, channel, lane].
std::int64_t panel_floats(const WeightOrder& order);
void turn_to_filter_panels(const float* w, const WeightOrder& order, float* to);

// Convolutions of f32 with the vectors of AVX2 or AVX-512: the windows of a few pixels are
// multiplied with a panel of filters in registers, straight from the image, whose pixels' channels
// lie side by side. Bias, addend and clipping follow before anything is stored.
class PanelProduct {
 public:
  struct Options {
    const float* bias = nullptr;  // by filter
    bool adds = false;            // what run() calls addend
    RealCall activation;          // kCopy for none
    // Where `panels` is null: weights that each run turns to panels, which takes no memory of its
    // own and pays for many pixels.
    const float* weights = nullptr;
    WeightOrder order = {};
  };

  // `panels` as turn_to_filter_panels() writes them; they, or the weights, stay where they are.
  PanelProduct(const Convolution& shape, const float* panels, const Options& options);

  // Whether this processor has the instructions, which are AVX2 and FMA or AVX-512.
  static bool is_there();
  // And whether they pay for a shape: with AVX-512 one that has kernels of one position.
  static bool suits(const Convolution& shape);

  // Channels last: x [batch, height, width, channels], addend and y [batch, out_height, out_width,
  // filters]. y may be the addend. Parts that threads compute depend on the shape alone.
  void run(const float* x, const float* addend, float* y) const;

 private:
  struct Part {
    std::int64_t begin, end;              // pixels of the result, over all images
    std::size_t first_panel, last_panel;  // the one behind the last
  };
  // Where the windows of some pixels lie.
  struct Windows {
    std::int64_t begin, end;
    const float* x;                // all pixels
    const float* const* channels;  // [pixel][position], unless has_rows()
  };

  // Pixels are windows themselves.
  bool has_rows() const { return lanes_ == 16; }

  void cut();
  void run_part(const Part& part, const float* x, const float* addend, float* y) const;
  void find_windows(Windows& windows) const;
  // A part of the windows, by positions and channels; sums go on from chunk to chunk.
  struct Chunk {
    std::int64_t first_position, last_position, first_channel, last_channel;
    const float* weights;
    bool is_first = true, is_last = false;
  };
  const float* weights_at(std::size_t panel) const;
  const float* turned(std::size_t begin, std::size_t end) const;
  void run_panels(const Part& part, std::size_t begin, std::size_t end, const float* weights,
                  const float* x, const float* addend, float* y) const;
  void multiply(const Windows& windows, const FilterPanel& panel, const float* weights,
                const float* addend, float* y) const;
  void multiply_chunk(const Windows& windows, const FilterPanel& panel, const Chunk& chunk,
                      float* sums, const float* addend, float* y) const;
  void place(const float* sums, std::int64_t pixels, std::int64_t lanes, std::int64_t filters,
             const float* addend, float* y) const;

  Convolution c_;
  Options options_;
  float low_, high_;      // the activation where it clips
  bool applies_ = false;  // the activation does more
  const float* panels_;
  std::int64_t lanes_;
  std::vector<FilterPanel> order_;
  std::vector<float> bias_;     // with zeros where panels are padded
  std::vector<float> zeros_;    // what lies outside of the image
  std::int64_t positions_ = 1;  // of a window
  std::int64_t block_ = 6;      // pixels whose windows stay in the cache
  std::vector<Part> parts_;
};

}  // namespace tandem
