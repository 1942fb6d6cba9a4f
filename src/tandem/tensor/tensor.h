#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "tandem/base/error.h"
#include "tandem/numerics/format.h"

namespace tandem {

using Shape = std::vector<std::int64_t>;

// Number of elements; throws Error on a negative dimension or beyond 2^40 elements.
std::int64_t element_count(const Shape& shape);
std::string to_string(const Shape& shape);  // "[1,8,8]"
std::vector<std::int64_t> row_major_strides(const Shape& shape);
// NumPy's broadcasting of two shapes; throws Error naming both when they do not fit.
Shape broadcast_shapes(const Shape& a, const Shape& b);

// The storage type of C++ for a Storage value.
template <typename T>
constexpr Storage storage_of() {
  if constexpr (std::is_same_v<T, float>)
    return Storage::kF32;
  else if constexpr (std::is_same_v<T, double>)
    return Storage::kF64;
  else if constexpr (std::is_same_v<T, std::int8_t>)
    return Storage::kI8;
  else if constexpr (std::is_same_v<T, std::int16_t>)
    return Storage::kI16;
  else if constexpr (std::is_same_v<T, std::int32_t>)
    return Storage::kI32;
  else if constexpr (std::is_same_v<T, std::int64_t>)
    return Storage::kI64;
  else if constexpr (std::is_same_v<T, std::uint8_t>)
    return Storage::kU8;
  else if constexpr (std::is_same_v<T, std::uint16_t>)
    return Storage::kU16;
  else if constexpr (std::is_same_v<T, std::uint32_t>)
    return Storage::kU32;
  else {
    static_assert(std::is_same_v<T, std::uint64_t>);
    return Storage::kU64;
  }
}

// A dense row-major array of one format. Copies share the buffer; writing through
// mutable_data() first makes the buffer its own. Sub-byte formats take one storage element each:
// packing is a matter of the plan's buffers, not of tensors.
class Tensor {
 public:
  Tensor() : Tensor(Format(), Shape{0}) {}
  Tensor(Format format, Shape shape);  // zero-filled (zero bit pattern; bipolar: +1)

  // Values given as reals are encoded, values given as integers are exact integers of a uniform
  // format and must lie in its range (Error otherwise). Sizes must agree (InternalError).
  static Tensor from_reals(Format format, Shape shape, std::span<const double> values,
                           Rounding rounding = Rounding::kHalfEven,
                           Overflow overflow = Overflow::kSaturate);
  static Tensor from_integers(Format format, Shape shape, std::span<const std::int64_t> values);
  static Tensor scalar(double value, Format format = Format());  // rank 0

  template <typename T>
  static Tensor of(Format format, Shape shape, std::span<const T> stored);
  // Over stored elements that `owner` keeps, aligned for the storage type: copied when something
  // is written, not before. Sizes must agree (InternalError).
  static Tensor borrowing(Format format, Shape shape, std::span<const std::byte> bytes,
                          std::shared_ptr<const void> owner);

  const Format& format() const { return format_; }
  const Shape& shape() const { return shape_; }
  std::int64_t size() const { return size_; }
  std::int64_t rank() const { return static_cast<std::int64_t>(shape_.size()); }

  // The stored elements; T must be the format's storage type (InternalError otherwise).
  template <typename T>
  std::span<const T> data() const {
    check_storage(storage_of<T>());
    return {reinterpret_cast<const T*>(bytes_.get()), static_cast<std::size_t>(size_)};
  }
  template <typename T>
  std::span<T> mutable_data() {
    check_storage(storage_of<T>());
    own();
    return {reinterpret_cast<T*>(bytes_.get()), static_cast<std::size_t>(size_)};
  }
  std::span<const std::byte> bytes() const { return {bytes_.get(), byte_count()}; }
  std::span<std::byte> mutable_bytes() {
    own();
    return {bytes_.get(), byte_count()};
  }

  // Element by element or whole, in any format: decoded reals, exact integers (uniform formats).
  double real(std::int64_t index) const;
  std::int64_t integer(std::int64_t index) const;
  std::vector<double> to_reals() const;
  std::vector<float> to_floats() const;
  std::vector<std::int64_t> to_integers() const;

  Tensor reshaped(Shape shape) const;     // same elements; InternalError on another count
  Tensor converted(Format format) const;  // decode, then encode (half even, saturate)
  // Elements [begin, end) of the first axis (shares nothing).
  Tensor rows(std::int64_t begin, std::int64_t end) const;

  // Same format, shape and stored bits.
  friend bool operator==(const Tensor& a, const Tensor& b);

 private:
  void check_storage(Storage wanted) const;
  void own();
  std::size_t byte_count() const {
    return static_cast<std::size_t>(size_) *
           static_cast<std::size_t>(storage_bytes(format_.storage()));
  }
  Format format_;
  Shape shape_;
  std::int64_t size_ = 0;
  std::shared_ptr<std::byte[]> bytes_;
  bool is_borrowed_ = false;
};

// Calls `visit` with the storage type of a format: visit_storage(f, [&]<typename T>() {...}).
template <typename Visitor>
decltype(auto) visit_storage(Storage storage, Visitor&& visit) {
  switch (storage) {
    case Storage::kU8: return visit.template operator()<std::uint8_t>();
    case Storage::kU16: return visit.template operator()<std::uint16_t>();
    case Storage::kU32: return visit.template operator()<std::uint32_t>();
    case Storage::kU64: return visit.template operator()<std::uint64_t>();
    case Storage::kI8: return visit.template operator()<std::int8_t>();
    case Storage::kI16: return visit.template operator()<std::int16_t>();
    case Storage::kI32: return visit.template operator()<std::int32_t>();
    case Storage::kI64: return visit.template operator()<std::int64_t>();
    case Storage::kF32: return visit.template operator()<float>();
    case Storage::kF64: return visit.template operator()<double>();
  }
  throw InternalError("unknown storage");
}

template <typename T>
Tensor Tensor::of(Format format, Shape shape, std::span<const T> stored) {
  Tensor tensor(format, std::move(shape));
  ensure(stored.size() == static_cast<std::size_t>(tensor.size()), "element count of Tensor::of");
  auto to = tensor.mutable_data<T>();
  for (std::size_t i = 0; i < stored.size(); ++i) to[i] = stored[i];
  return tensor;
}

}  // namespace tandem
