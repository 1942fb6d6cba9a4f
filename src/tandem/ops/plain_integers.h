#pragma once

#include <cstdint>

#include "tandem/ops/binary.h"
#include "tandem/ops/support.h"

namespace tandem {

// Integers that a graph computes with as they are (indices, counts, pixels), as against codes that
// stand for reals. Arithmetic on them is modulo 2^bits, as in C and NumPy. Internal to the room.

// int8, int16, int32, int64, uint8, uint16, uint32 and uint63.
bool is_plain_integer(const Format& format);

// The one format of all inputs that are present, float or plain integer; throws Error otherwise.
Format require_numbers(const NodeView& node);
Format require_number(const NodeView& node, std::size_t input);

// The one plain integer format of all inputs that are present; throws Error otherwise.
Format require_plain_integers(const NodeView& node);

// Sum, difference, product and power modulo 2^64; truncating quotient. Throw Error on a division by
// zero.
std::int64_t wrapped_sum(std::int64_t a, std::int64_t b);
std::int64_t wrapped_difference(std::int64_t a, std::int64_t b);
std::int64_t wrapped_product(std::int64_t a, std::int64_t b);
std::int64_t wrapped_power(std::int64_t base, std::int64_t exponent);
std::int64_t truncated_quotient(std::int64_t a, std::int64_t b);
// a - b * quotient, with the sign of b (of a where `follows_dividend`).
std::int64_t remainder(std::int64_t a, std::int64_t b, bool follows_dividend);

// The same integers as int64.
Tensor widened(const Tensor& integers);
// Integers of int64 modulo 2^bits in a uniform format; uint63 holds half of uint64 and throws Error
// for what lies in the other half.
Tensor wrapped(const Tensor& wide, const Format& format);

// result[i] = function(a[i], b[i]) in int64, then modulo 2^bits in the format of a.
template <typename Function>
Tensor map_integer_pairs(const Tensor& a, const Tensor& b, const Function& function) {
  return wrapped(
      map_pairs<std::int64_t, std::int64_t>(widened(a), widened(b), index_format(), function),
      a.format());
}

// result[i] = function(x[i]) in int64, then modulo 2^bits in the format of x.
template <typename Function>
Tensor map_integers(const Tensor& x, const Function& function) {
  Tensor wide = widened(x);
  for (std::int64_t& value : wide.mutable_data<std::int64_t>()) value = function(value);
  return wrapped(wide, x.format());
}

}  // namespace tandem
