#include "tandem/data/batch.h"

#include <algorithm>
#include <cmath>

#include "tandem/base/error.h"
#include "tandem/ops/broadcast.h"

namespace tandem {
namespace {

Shape without_ones(const Shape& shape) {
  Shape rest;
  for (const std::int64_t extent : shape)
    if (extent != 1) rest.push_back(extent);
  return rest;
}

// [count, C, H, W] to [count, H, W, C].
Tensor channels_to_the_end(const Tensor& images) {
  const Shape& from = images.shape();
  const std::int64_t channels = from[1], pixels = from[2] * from[3];
  Tensor result(images.format(), {from[0], from[2], from[3], from[1]});
  visit_storage(images.format().storage(), [&]<typename T>() {
    const std::span<const T> source = images.data<T>();
    const std::span<T> to = result.mutable_data<T>();
    std::size_t next = 0;
    for (std::int64_t n = 0; n < from[0]; ++n)
      for (std::int64_t p = 0; p < pixels; ++p)
        for (std::int64_t c = 0; c < channels; ++c)
          to[next++] = source[static_cast<std::size_t>((n * channels + c) * pixels + p)];
  });
  return result;
}

}  // namespace

BatchLayout::BatchLayout(const DataSet& data, const TensorType& input) : data_(data) {
  const Shape sample = data.sample_shape();
  const bool has_batch =
      input.shape.size() > 1 || input.shape.empty() || !input.shape[0].is_constant();
  batch_axes_ = has_batch && !input.shape.empty() ? 1 : 0;
  if (batch_axes_ == 1 && input.shape[0].is_constant()) fixed_batch_ = input.shape[0].constant();
  if (batch_axes_ == 0) fixed_batch_ = 1;
  for (std::size_t d = batch_axes_; d < input.shape.size(); ++d)
    shape_.push_back(input.shape[d].constant());
  const bool same_count = element_count(shape_) == element_count(sample);
  const bool only_ones = without_ones(shape_) == without_ones(sample);
  const bool flat = without_ones(shape_).size() <= 1 || without_ones(sample).size() <= 1;
  if (same_count && (only_ones || flat)) return;
  channels_last_ = sample.size() == 3 && shape_ == Shape{sample[1], sample[2], sample[0]};
  if (!channels_last_) {
    throw Error("samples of ", data.name, " have the shape ", to_string(sample),
                " and do not fit the network's input ", input.to_string(),
                "; choose data of that shape");
  }
}

Tensor BatchLayout::codes(std::int64_t begin, std::int64_t end) const {
  Tensor rows = data_.samples.rows(begin, end);
  if (channels_last_) rows = channels_to_the_end(rows);
  Shape shape = shape_;
  if (batch_axes_ == 1)
    shape.insert(shape.begin(), end - begin);
  else if (end - begin != 1)
    throw Error("the network's input has no batch; give it one sample at a time");
  return rows.reshaped(shape);
}

Tensor BatchLayout::parameter(const std::vector<double>& values) const {
  const Format f64 = Format::parse("f64");
  if (values.size() == 1) return Tensor::scalar(values.front(), f64);
  const Shape sample = data_.sample_shape();
  const auto channels = static_cast<std::int64_t>(values.size());
  // Channels keep an axis of their own where the input has one; a flat input repeats each entry.
  Shape shape(shape_.size(), 1);
  if (channels_last_) {
    shape.back() = channels;
  } else if (shape_.size() == sample.size() && shape_.front() == channels) {
    shape.front() = channels;
  } else {
    const std::int64_t each = element_count(sample) / channels;
    std::vector<double> repeated;
    for (const double value : values)
      repeated.insert(repeated.end(), static_cast<std::size_t>(each), value);
    return Tensor::from_reals(f64, shape_, repeated);
  }
  return Tensor::from_reals(f64, shape, values);
}

std::vector<double> BatchLayout::real_values(const Tensor& codes) const {
  const Tensor scales = scale(), offsets = offset();
  const auto scale_at = broadcast_offsets(scales.shape(), codes.shape());
  const auto offset_at = broadcast_offsets(offsets.shape(), codes.shape());
  std::vector<double> values = codes.to_reals();
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = values[i] * scales.real(scale_at[i]) + offsets.real(offset_at[i]);
  return values;
}

Tensor BatchLayout::reals(std::int64_t begin, std::int64_t end, Format format) const {
  const Tensor batch = codes(begin, end);
  return Tensor::from_reals(format, batch.shape(), real_values(batch));
}

Tensor BatchLayout::coded(std::int64_t begin, std::int64_t end, const Format& format,
                          const Tensor& scale_of, const Tensor& offset_of) const {
  Tensor batch = codes(begin, end);
  if (batch.format() == format && scale_of == scale() && offset_of == offset()) return batch;
  const auto scale_at = broadcast_offsets(scale_of.shape(), batch.shape());
  const auto offset_at = broadcast_offsets(offset_of.shape(), batch.shape());
  std::vector<double> values = real_values(batch);
  const int exponent = format.is_uniform() ? format.exponent() : 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    // The coding speaks of the integer of a code; encode() of its value.
    const double integer = (values[i] - offset_of.real(offset_at[i])) / scale_of.real(scale_at[i]);
    values[i] = std::ldexp(integer, exponent);
  }
  return Tensor::from_reals(format, batch.shape(), values);
}

}  // namespace tandem
