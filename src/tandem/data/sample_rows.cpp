#include "tandem/data/sample_rows.h"

#include <algorithm>

#include "tandem/base/error.h"

namespace tandem {

SampleRows::SampleRows(Tensor samples)
    : format_(samples.format()),
      shape_(samples.shape()),
      read_(std::make_shared<const Read>(
          [samples = std::move(samples)](std::int64_t begin, std::int64_t end) {
            return samples.rows(begin, end);
          })) {}

SampleRows::SampleRows(Format format, Shape shape, Read read)
    : format_(format),
      shape_(std::move(shape)),
      read_(std::make_shared<const Read>(std::move(read))) {}

Tensor SampleRows::source_rows(std::int64_t begin, std::int64_t end) const {
  if (!indices_) return (*read_)(first_ + begin, first_ + end);
  const auto& indices = *indices_;
  std::optional<Tensor> result;
  std::size_t filled = 0;
  for (std::int64_t at = begin; at < end;) {
    // Rows that follow each other in the source are read at once.
    const std::int64_t from = indices[static_cast<std::size_t>(at)];
    std::int64_t length = 1;
    while (at + length < end && indices[static_cast<std::size_t>(at + length)] == from + length)
      ++length;
    const Tensor rows = (*read_)(from, from + length);
    if (length == end - begin) return rows;
    if (!result) {
      Shape shape = rows.shape();
      shape[0] = end - begin;
      result.emplace(rows.format(), shape);
    }
    const auto to = result->mutable_bytes().subspan(filled, rows.bytes().size());
    std::copy(rows.bytes().begin(), rows.bytes().end(), to.begin());
    filled += rows.bytes().size();
    at += length;
  }
  return result ? std::move(*result) : (*read_)(0, 0);
}

Tensor SampleRows::rows(std::int64_t begin, std::int64_t end) const {
  ensure(begin >= 0 && begin <= end && end <= count(), "rows of samples");
  Tensor rows = source_rows(begin, end);
  if (rows.format() != format_) rows = rows.converted(format_);
  Shape shape = shape_;
  shape[0] = end - begin;
  return rows.shape() == shape ? rows : rows.reshaped(shape);
}

SampleRows SampleRows::part(std::int64_t begin, std::int64_t end) const {
  ensure(begin >= 0 && begin <= end && end <= count(), "part of samples");
  SampleRows view = *this;
  view.shape_[0] = end - begin;
  if (indices_) {
    view.indices_ = std::make_shared<const std::vector<std::int64_t>>(indices_->begin() + begin,
                                                                      indices_->begin() + end);
  } else {
    view.first_ += begin;
  }
  return view;
}

SampleRows SampleRows::picked(const std::vector<std::int64_t>& indices) const {
  std::vector<std::int64_t> rows;
  for (const std::int64_t index : indices) {
    ensure(index >= 0 && index < count(), "index of a sample");
    rows.push_back(source_index(index));
  }
  SampleRows view = *this;
  view.shape_[0] = static_cast<std::int64_t>(indices.size());
  view.first_ = 0;
  view.indices_ = std::make_shared<const std::vector<std::int64_t>>(std::move(rows));
  return view;
}

SampleRows SampleRows::reshaped(Shape shape) const {
  ensure(!shape.empty() && shape.front() == count() && element_count(shape) == size(),
         "samples of another shape");
  SampleRows view = *this;
  view.shape_ = std::move(shape);
  return view;
}

SampleRows SampleRows::converted(Format format) const {
  SampleRows view = *this;
  view.format_ = format;
  return view;
}

}  // namespace tandem
