#include "tandem/ops/plain_integers.h"

#include <limits>

namespace tandem {
namespace {

constexpr int kWord = 64;

std::uint64_t bits_of(std::int64_t value) { return static_cast<std::uint64_t>(value); }

// The low bits of a word as an integer of a format.
std::int64_t low_bits(std::int64_t value, int bits, bool is_signed) {
  if (bits == kWord) return value;
  const std::uint64_t low = bits_of(value) & ((std::uint64_t{1} << bits) - 1);
  const bool negative = is_signed && (low >> (bits - 1) & 1) != 0;
  return static_cast<std::int64_t>(negative ? low | ~std::uint64_t{0} << bits : low);
}

Error no_number(const NodeView& node, std::size_t input) {
  return Error("input ", input, " is ", node.input(input).to_string(),
               " where a number belongs; put a Dequantize before it (coded numbers) or a Cast "
               "(booleans, integers of other widths than 8, 16, 32, 64)");
}

}  // namespace

bool is_plain_integer(const Format& format) {
  if (!format.is_integer()) return false;
  const int bits = format.bits();
  return bits == 8 || bits == 16 || bits == 32 || (bits == kWord && format.is_signed()) ||
         (bits == kWord - 1 && !format.is_signed());
}

Format require_number(const NodeView& node, std::size_t input) {
  const Format format = node.input(input).format;
  if (!format.is_float() && !is_plain_integer(format)) throw no_number(node, input);
  return format;
}

Format require_numbers(const NodeView& node) {
  const Format format = require_number(node, 0);
  for (std::size_t i = 1; i < node.input_count(); ++i) {
    if (node.has_input(i) && require_number(node, i) != format) {
      throw Error("input ", i, " is ", node.input(i).format.name(), " but input 0 is ",
                  format.name(), "; put a Cast before one of them");
    }
  }
  return format;
}

Format require_plain_integers(const NodeView& node) {
  const Format format = require_numbers(node);
  if (format.is_float()) {
    throw Error("input 0 is ", node.input(0).to_string(),
                " where integers belong; put a Cast before it");
  }
  return format;
}

std::int64_t wrapped_sum(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(bits_of(a) + bits_of(b));
}

std::int64_t wrapped_difference(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(bits_of(a) - bits_of(b));
}

std::int64_t wrapped_product(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(bits_of(a) * bits_of(b));
}

std::int64_t truncated_quotient(std::int64_t a, std::int64_t b) {
  if (b == 0) throw Error("integer ", a, " is divided by zero");
  return b == -1 ? wrapped_difference(0, a) : a / b;
}

std::int64_t remainder(std::int64_t a, std::int64_t b, bool follows_dividend) {
  if (b == 0) throw Error("integer ", a, " is divided by zero");
  if (b == -1) return 0;
  const std::int64_t rest = a % b;
  return !follows_dividend && rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

// Negative exponents give the real power rounded toward zero.
std::int64_t wrapped_power(std::int64_t base, std::int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) throw Error("integer 0 is raised to the power ", exponent);
    const bool odd = (bits_of(exponent) & 1) != 0;
    return base == 1 ? 1 : base == -1 ? (odd ? -1 : 1) : 0;
  }
  std::int64_t result = 1;
  for (; exponent > 0; exponent >>= 1) {
    if ((exponent & 1) != 0) result = wrapped_product(result, base);
    base = wrapped_product(base, base);
  }
  return result;
}

Tensor widened(const Tensor& integers) {
  if (integers.format() == index_format()) return integers;
  Tensor wide(index_format(), integers.shape());
  visit_storage(integers.format().storage(), [&]<typename T>() {
    const auto from = integers.data<T>();
    const auto to = wide.mutable_data<std::int64_t>();
    for (std::size_t i = 0; i < to.size(); ++i) to[i] = static_cast<std::int64_t>(from[i]);
  });
  return wide;
}

Tensor wrapped(const Tensor& wide, const Format& format) {
  if (format == index_format()) return wide;
  const bool is_half = format.is_integer() && !format.is_signed() && format.bits() == kWord - 1;
  const int bits = is_half ? kWord : format.bits();
  Tensor result(format, wide.shape());
  visit_storage(format.storage(), [&]<typename T>() {
    const auto from = wide.data<std::int64_t>();
    const auto to = result.mutable_data<T>();
    for (std::size_t i = 0; i < to.size(); ++i) {
      const std::int64_t value = low_bits(from[i], bits, format.is_signed());
      if (is_half && value < 0)
        throw Error("an unsigned integer is ", bits_of(value), ", beyond the range of ",
                    format.name(), "; compute in a narrower or a signed type");
      to[i] = static_cast<T>(value);
    }
  });
  return result;
}

}  // namespace tandem
