#pragma once

#include <cstdint>

namespace tandem {

// Sums of codes, before they are rescaled. Codes are bytes, unsigned or signed.

// to[i] = product * x[i] * y[i] + x_factor * x[i] + y_factor * y[i] + constant; the caller sees to
// it that no part of it, in the order x * (product * y + x_factor) + ..., leaves 32 bits.
struct PairTerms {
  std::int32_t product = 0, x_factor = 0, y_factor = 0, constant = 0;
};
void pair_codes(const PairTerms& terms, const std::uint8_t* x, bool x_signed, const std::uint8_t* y,
                bool y_signed, std::int64_t count, std::int32_t* to);

// to[i] = min(max(floor(x[i] * x_factor + y[i] * y_factor + constant), low), high), as a byte. All
// products and sums are multiples of one power of two and fit 53 bits, so doubles hold them
// exactly; their wholes fit 32 bits.
struct WidePairTerms {
  double x_factor = 0, y_factor = 0, constant = 0;
  std::int32_t low = 0, high = 255;
};
void wide_pair_codes(const WidePairTerms& terms, const std::uint8_t* x, bool x_signed,
                     const std::uint8_t* y, bool y_signed, std::int64_t count, std::uint8_t* to);

// to[i] = x[i] * factor[i] + addend[i]
void scale_codes(const std::uint8_t* x, bool x_signed, const std::int32_t* factor,
                 const std::int32_t* addend, std::int64_t count, std::int32_t* to);

// sum[i] += x[i]
void add_codes(const std::uint8_t* x, bool x_signed, std::int64_t count, std::int32_t* sum);

// to[i] = the greatest of x[offsets[t] + i] over at least one tap t
void greatest_codes(const std::uint8_t* x, bool is_signed, const std::int64_t* offsets,
                    std::int64_t taps, std::int64_t count, std::uint8_t* to);

}  // namespace tandem
