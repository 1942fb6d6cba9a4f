#pragma once

#include <cstdint>

namespace tandem {

// Internal to the room: pixels times a panel of filters, their sums in registers.

// What one call of a kernel reads and writes. With lanes of 8 pixels have windows of any number of
// positions; with lanes of 16 they lie side by side and are windows themselves.
struct PanelWork {
  const float* const* channels = nullptr;  // of the first pixel; those of the next one behind them
  std::int64_t positions = 0;              // from pixel to pixel
  const float* x = nullptr;                // instead: the first pixel, of all its channels
  std::int64_t x_stride = 0;               // from pixel to pixel
  std::int64_t first_position = 0, last_position = 0, first_channel = 0, last_channel = 0;
  const float* weights = nullptr;
  const float* from = nullptr;    // what is added to: the bias, or sums so far
  std::int64_t from_stride = 0;   // from pixel to pixel
  const float* addend = nullptr;  // or none
  std::int64_t stride = 0;        // from pixel to pixel of addend and y
  std::int64_t filters = 0;       // of the panel that y has a place for (lanes of 16)
  float low = 0, high = 0;
  float* y = nullptr;
};
using PanelKernel = void (*)(const PanelWork&);

// Pixels whose sums are in registers together, of panels of `vectors` vectors.
std::int64_t most_panel_pixels(std::int64_t lanes, int vectors);

// For 1 to most_panel_pixels() pixels. x86-64 alone: with AVX2 and FMA for 8 lanes, with AVX-512
// for 16; InternalError elsewhere.
PanelKernel panel_kernel(std::int64_t lanes, std::int64_t pixels, int vectors);

}  // namespace tandem
