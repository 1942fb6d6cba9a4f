#include "tandem/tensor/tensor.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace tandem {
namespace {

constexpr std::int64_t kMostElements = std::int64_t{1} << 40;

// One stored element as a real number.
template <typename T>
double real_of(const Format& format, T stored) {
  if constexpr (std::is_floating_point_v<T>) {
    return static_cast<double>(stored);
  } else {
    if (format.is_uniform()) return std::ldexp(static_cast<double>(stored), format.exponent());
    return format.decode(static_cast<std::uint64_t>(stored));
  }
}

// A real number as a stored element.
template <typename T>
T stored_of(const Format& format, double value, Rounding rounding, Overflow overflow) {
  const std::uint64_t code = format.encode(value, rounding, overflow);
  if constexpr (std::is_same_v<T, double>)
    return std::bit_cast<double>(code);
  else if constexpr (std::is_same_v<T, float>)
    return std::bit_cast<float>(static_cast<std::uint32_t>(code));
  else if (format.is_uniform())
    return static_cast<T>(format.integer_of(code));
  else
    return static_cast<T>(code);
}

}  // namespace

std::int64_t element_count(const Shape& shape) {
  std::int64_t count = 1;
  bool is_empty = false;
  for (const std::int64_t extent : shape) {
    if (extent < 0) throw Error("shape ", to_string(shape), " has a negative dimension");
    if (extent == 0) {
      is_empty = true;
      continue;
    }
    if (extent > kMostElements / count)
      throw Error("shape ", to_string(shape), " has more than 2^40 elements");
    count *= extent;
  }
  return is_empty ? 0 : count;
}

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (std::size_t axis = 0; axis < shape.size(); ++axis)
    text += (axis > 0 ? "," : "") + std::to_string(shape[axis]);
  return text + "]";
}

std::vector<std::int64_t> row_major_strides(const Shape& shape) {
  std::vector<std::int64_t> strides(shape.size(), 1);
  for (std::size_t axis = shape.size(); axis-- > 1;)
    strides[axis - 1] = strides[axis] * shape[axis];
  return strides;
}

Shape broadcast_shapes(const Shape& a, const Shape& b) {
  const std::size_t rank = std::max(a.size(), b.size());
  Shape result(rank, 1);
  for (std::size_t i = 1; i <= rank; ++i) {
    const std::int64_t from_a = i <= a.size() ? a[a.size() - i] : 1;
    const std::int64_t from_b = i <= b.size() ? b[b.size() - i] : 1;
    if (from_a != from_b && from_a != 1 && from_b != 1)
      throw Error("shapes ", to_string(a), " and ", to_string(b), " do not broadcast: ", from_a,
                  " against ", from_b);
    result[rank - i] = from_a == 1 ? from_b : from_a;
  }
  return result;
}

Tensor::Tensor(Format format, Shape shape)
    : format_(format), shape_(std::move(shape)), size_(element_count(shape_)) {
  bytes_ = std::shared_ptr<std::byte[]>(new std::byte[byte_count()]());
  // Zero is no value of a format such as bipolar; every element then holds its code for zero.
  const bool has_zero = !format_.is_uniform() || format_.integer_of(format_.encode(0)) == 0;
  if (has_zero) return;
  visit_storage(format_.storage(), [&]<typename T>() {
    const T zero = stored_of<T>(format_, 0, Rounding::kHalfEven, Overflow::kSaturate);
    const std::span<T> elements = mutable_data<T>();
    std::fill(elements.begin(), elements.end(), zero);
  });
}

Tensor Tensor::from_reals(Format format, Shape shape, std::span<const double> values,
                          Rounding rounding, Overflow overflow) {
  Tensor tensor(format, std::move(shape));
  ensure(values.size() == static_cast<std::size_t>(tensor.size()), "element count of from_reals");
  visit_storage(format.storage(), [&]<typename T>() {
    const std::span<T> to = tensor.mutable_data<T>();
    if constexpr (std::is_floating_point_v<T>) {
      // The host's conversion is exact to nearest even; only NaN must be brought to the one code.
      if (rounding == Rounding::kHalfEven && overflow == Overflow::kSaturate) {
        std::transform(values.begin(), values.end(), to.begin(), [](double value) {
          return std::isnan(value) ? std::numeric_limits<T>::quiet_NaN() : static_cast<T>(value);
        });
        return;
      }
    }
    std::transform(values.begin(), values.end(), to.begin(),
                   [&](double value) { return stored_of<T>(format, value, rounding, overflow); });
  });
  return tensor;
}

Tensor Tensor::from_integers(Format format, Shape shape, std::span<const std::int64_t> values) {
  Tensor tensor(format, std::move(shape));
  ensure(format.is_uniform(), "from_integers needs a uniform format");
  ensure(values.size() == static_cast<std::size_t>(tensor.size()),
         "element count of from_integers");
  visit_storage(format.storage(), [&]<typename T>() {
    const std::span<T> to = tensor.mutable_data<T>();
    for (std::size_t i = 0; i < values.size(); ++i) {
      format.code_of(values[i]);  // throws Error outside the format
      to[i] = static_cast<T>(values[i]);
    }
  });
  return tensor;
}

Tensor Tensor::scalar(double value, Format format) {
  return from_reals(format, {}, std::span(&value, 1));
}

double Tensor::real(std::int64_t index) const {
  ensure(index >= 0 && index < size_, "element index out of bounds");
  return visit_storage(format_.storage(), [&]<typename T>() {
    return real_of(format_, data<T>()[static_cast<std::size_t>(index)]);
  });
}

std::int64_t Tensor::integer(std::int64_t index) const {
  ensure(format_.is_uniform(), "integer() needs a uniform format");
  ensure(index >= 0 && index < size_, "element index out of bounds");
  return visit_storage(format_.storage(), [&]<typename T>() {
    return static_cast<std::int64_t>(data<T>()[static_cast<std::size_t>(index)]);
  });
}

std::vector<double> Tensor::to_reals() const {
  std::vector<double> reals(static_cast<std::size_t>(size_));
  visit_storage(format_.storage(), [&]<typename T>() {
    const std::span<const T> from = data<T>();
    std::transform(from.begin(), from.end(), reals.begin(),
                   [&](T stored) { return real_of(format_, stored); });
  });
  return reals;
}

std::vector<float> Tensor::to_floats() const {
  std::vector<float> floats(static_cast<std::size_t>(size_));
  visit_storage(format_.storage(), [&]<typename T>() {
    const std::span<const T> from = data<T>();
    std::transform(from.begin(), from.end(), floats.begin(),
                   [&](T stored) { return static_cast<float>(real_of(format_, stored)); });
  });
  return floats;
}

std::vector<std::int64_t> Tensor::to_integers() const {
  ensure(format_.is_uniform(), "to_integers needs a uniform format");
  std::vector<std::int64_t> integers(static_cast<std::size_t>(size_));
  visit_storage(format_.storage(), [&]<typename T>() {
    const std::span<const T> from = data<T>();
    std::transform(from.begin(), from.end(), integers.begin(),
                   [](T stored) { return static_cast<std::int64_t>(stored); });
  });
  return integers;
}

Tensor Tensor::borrowing(Format format, Shape shape, std::span<const std::byte> bytes,
                         std::shared_ptr<const void> owner) {
  Tensor tensor;
  tensor.format_ = format;
  tensor.shape_ = std::move(shape);
  tensor.size_ = element_count(tensor.shape_);
  ensure(bytes.size() == tensor.byte_count(), "byte count of Tensor::borrowing");
  // Never written through: mutable access copies first.
  tensor.bytes_ = std::shared_ptr<std::byte[]>(std::const_pointer_cast<void>(std::move(owner)),
                                               const_cast<std::byte*>(bytes.data()));
  tensor.is_borrowed_ = true;
  return tensor;
}

Tensor Tensor::reshaped(Shape shape) const {
  ensure(element_count(shape) == size_, "reshaped: another number of elements");
  Tensor result = *this;
  result.shape_ = std::move(shape);
  return result;
}

Tensor Tensor::converted(Format format) const {
  if (format == format_) return *this;
  return from_reals(format, shape_, to_reals());
}

Tensor Tensor::rows(std::int64_t begin, std::int64_t end) const {
  ensure(rank() > 0 && begin >= 0 && begin <= end && end <= shape_[0], "rows out of bounds");
  Shape shape = shape_;
  shape[0] = end - begin;
  Tensor result(format_, std::move(shape));
  const std::size_t row = shape_[0] == 0 ? 0 : byte_count() / static_cast<std::size_t>(shape_[0]);
  std::ranges::copy(bytes().subspan(row * static_cast<std::size_t>(begin), result.byte_count()),
                    result.bytes_.get());
  return result;
}

bool operator==(const Tensor& a, const Tensor& b) {
  return a.format_ == b.format_ && a.shape_ == b.shape_ &&
         (a.bytes_ == b.bytes_ || std::ranges::equal(a.bytes(), b.bytes()));
}

void Tensor::check_storage(Storage wanted) const {
  if (wanted != format_.storage())
    throw InternalError(
        concat("elements of format ", format_.name(), " read or written as another storage type"));
}

void Tensor::own() {
  if (!is_borrowed_ && bytes_.use_count() == 1) return;
  const std::shared_ptr<std::byte[]> copy(new std::byte[byte_count()]);
  std::ranges::copy(bytes(), copy.get());
  bytes_ = copy;
  is_borrowed_ = false;
}

}  // namespace tandem
