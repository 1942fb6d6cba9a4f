#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tandem/kernels/convolution.h"
#include "tandem/kernels/real_lanes.h"

namespace tandem {

// Whether no number is infinite or NaN.
bool all_finite(const float* x, std::int64_t count);

// Weights [filters, channels, positions] in the order in which they are read: filters in panels of
// 32 (fewer in the last), of each one [positions, channels, filters of the panel].
void turn_to_panels(const float* w, std::int64_t filters, std::int64_t channels,
                    std::int64_t positions, float* to);

struct TileStep;

// Convolutions and products of f32 on the processor's tiles of bf16 (AMX), several times as fast as
// its vectors. An f32 number is exactly the sum of three bf16 numbers; of the nine products of two
// such sums the six greatest are added in f32, which errs no more than f32 sums of f32 products do
// (Henry, Tang, Heinecke: Leveraging the bfloat16 Artificial Intelligence Datatype For
// Higher-Precision Computations, 2019). Operands are split where they are used, in the cache.
class TileProduct {
 public:
  struct Options {
    // Elements from one image's right operand to the next one's; 0: all share one.
    std::int64_t right_stride = 0;
    // The right operand is constant and known to be finite.
    bool right_is_finite = false;
    bool right_in_panels = false;  // as turn_to_panels() writes it
    const float* bias = nullptr;   // by filter
    bool adds = false;             // what run_part() calls addend
    RealCall activation;           // kCopy for none
  };

  // `shape` has one group, and the processor has such tiles.
  TileProduct(const Convolution& shape, const Options& options);

  // Whether this processor has such tiles and they pay for a shape.
  static bool suits(const Convolution& shape, bool right_is_constant);

  // Channels last: x [batch, height, width, channels], addend and y [batch, out_height, out_width,
  // filters], right [kernel_height, kernel_width, channels, filters]. y may be the addend. The bits
  // do not depend on the number of threads.
  void run(const float* x, const float* right, const float* addend, float* y) const;

 private:
  struct Range {
    std::int64_t begin = 0, end = 0;
    std::int64_t size() const { return end - begin; }
  };
  struct Operands {
    const float *x, *right, *addend;
    float* y;
  };
  struct Part {
    Range images, rows, filters;  // rows of the output
  };
  // A position of the kernel: where its left operand begins in the split image, and the first row
  // of its right one. The image is split in phases, one for each position within a stride.
  struct Tap {
    std::int64_t phase = 0, row = 0, column = 0;
    std::int64_t right = 0;
  };
  struct Phase {
    std::int64_t row = 0, column = 0;
  };
  // How the output rows of a part lie in memory of the thread.
  struct Layout;
  // What one panel of filters is computed from.
  struct Work;

  std::int64_t step_count(const Work& work) const;
  TileStep step_of(const Work& work, std::int64_t index) const;
  const float* right_row(const Work& work, Range filters, std::int64_t row) const;
  std::int64_t right_pitch(Range filters) const;

  void find_taps();
  void cut(double operations);
  std::int64_t split_bytes(std::int64_t rows, std::int64_t blocks) const;
  Layout layout_of(const Part& part) const;
  bool split_image(const Work& work) const;
  // Of a panel of filters and a chunk of channels, from bias or partial sum to result.
  void split_steps(const Work& work, Range filters, std::int64_t first, std::int64_t count,
                   std::byte* to) const;
  void multiply(const Work& work, Range filters, const std::byte* split, float* sums) const;
  void multiply_plainly(const Work& work, Range filters, float* sums) const;
  void begin_sums(const Work& work, Range filters, Range positions, const float* bias,
                  float* sums) const;
  void end_sums(const Work& work, Range filters, Range positions, float* sums) const;
  template <typename Visit>
  void for_each_output(const Work& work, Range filters, Range positions, const Visit& visit) const;
  Work work_of(const Part& part, const Layout& layout, std::int64_t image,
               const Operands& operands) const;
  std::int64_t chunks(const Layout& layout) const;
  void take_chunk(Work& work, std::int64_t chunk, std::int64_t chunks) const;
  bool right_is_finite(const Work& work) const;
  void multiply_filters(const Work& work, Range filters, bool finite) const;
  void run_part(const Part& part, const Operands& operands) const;
  void run_rows(const Operands& operands) const;
  void run_filters(std::int64_t image, const Operands& operands) const;

  Convolution c_;
  Options options_;
  // Parts are ranges of filters that read one split image.
  bool shares_left_ = false;
  bool cuts_rows_ = false;  // parts are rows, one for each thread
  std::int64_t pitch_ = 0;  // positions from one output row to the next
  std::vector<Tap> taps_;
  std::vector<Phase> phases_;
  std::int64_t last_row_ = 0, last_column_ = 0;  // the greatest of a tap
  std::vector<Part> parts_;
};

}  // namespace tandem
