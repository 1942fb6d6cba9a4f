#pragma once

#include "tandem/data/dataset.h"

namespace tandem {

// Samples in the shape of a network's input. A sample of another shape fits where it has as many
// elements and differs only in dimensions of extent 1 or in being flat; images [C,H,W] are turned
// for an input [N,H,W,C].
class BatchLayout {
 public:
  // `input` is the type of the network's input, its first dimension the batch (1, N, ...) or none.
  // Throws Error naming both shapes where samples do not fit.
  BatchLayout(const DataSet& data, const TensorType& input);

  // Samples that one evaluation takes: 0 where the batch is symbolic, so that any number does.
  std::int64_t fixed_batch() const { return fixed_batch_; }

  // Codes of the samples [begin, end) in the input's shape.
  Tensor codes(std::int64_t begin, std::int64_t end) const;
  // The reals they stand for, rounded once to the given float format.
  Tensor reals(std::int64_t begin, std::int64_t end, Format format = Format()) const;
  // Codes of another coding (real = scale * integer + offset, f64 tensors that broadcast to the
  // input): the very codes of the set where both codings are the same, else rounded to nearest even
  // and saturated.
  Tensor coded(std::int64_t begin, std::int64_t end, const Format& format, const Tensor& scale,
               const Tensor& offset) const;
  // The set's own coding as tensors that broadcast to the input.
  Tensor scale() const { return parameter(data_.coding.scale); }
  Tensor offset() const { return parameter(data_.coding.offset); }

 private:
  Tensor parameter(const std::vector<double>& values) const;
  std::vector<double> real_values(const Tensor& codes) const;

  const DataSet& data_;
  Shape shape_;                 // of one sample in the input
  std::size_t batch_axes_ = 1;  // 1, or 0 where the input has no axis of samples
  std::int64_t fixed_batch_ = 0;
  bool channels_last_ = false;  // images are turned from [C,H,W] to [H,W,C]
};

}  // namespace tandem
