#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "tandem/tensor/tensor.h"

namespace tandem {

// Samples along the first axis of an array that lies in memory, in a file or in a generator: they
// are read when they are asked for, so that a set of any size takes little memory. Copies share
// what they read from. Reads from several threads do not disturb each other.
class SampleRows {
 public:
  // The stored elements of rows [begin, end).
  using Read = std::function<Tensor(std::int64_t begin, std::int64_t end)>;

  SampleRows() : SampleRows(Tensor()) {}
  SampleRows(Tensor samples);  // NOLINT: a tensor holds its samples
  SampleRows(Format format, Shape shape, Read read);

  const Format& format() const { return format_; }
  const Shape& shape() const { return shape_; }
  std::int64_t rank() const { return static_cast<std::int64_t>(shape_.size()); }
  std::int64_t size() const { return element_count(shape_); }
  std::int64_t count() const { return shape_.empty() ? 0 : shape_.front(); }

  Tensor rows(std::int64_t begin, std::int64_t end) const;
  Tensor all() const { return rows(0, count()); }

  // Which sample of the source the one at `index` is, so that errors can name it.
  std::int64_t source_index(std::int64_t index) const {
    return indices_ ? (*indices_)[static_cast<std::size_t>(index)] : first_ + index;
  }

  // Views: samples [begin, end); those of a list of indices; the same elements as samples of
  // another shape; each sample in another format.
  SampleRows part(std::int64_t begin, std::int64_t end) const;
  SampleRows picked(const std::vector<std::int64_t>& indices) const;
  SampleRows reshaped(Shape shape) const;
  SampleRows converted(Format format) const;

 private:
  // Rows of the source, without conversion.
  Tensor source_rows(std::int64_t begin, std::int64_t end) const;

  Format format_;
  Shape shape_;
  std::shared_ptr<const Read> read_;
  std::int64_t first_ = 0;                                    // of the source, or
  std::shared_ptr<const std::vector<std::int64_t>> indices_;  // which rows of it
};

}  // namespace tandem
