#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace tandem {

// Sums to codes of 8 bits, exact:
//   code = min(max(floor((x * multiplier + addend) / 2^shift), low), high)
// with a multiplier, addend and shift for each channel.

struct RescaleLine {
  std::int64_t multiplier = 0;  // in 32 bits
  std::int64_t addend = 0;
  int shift = 32;  // 32 to 61

  friend bool operator==(const RescaleLine&, const RescaleLine&) = default;
};

class CodeRescale {
 public:
  static constexpr std::int64_t kLanes = 16;  // channels whose constants lie together
  struct alignas(64) Lanes {
    std::array<std::int32_t, 16> multiplier{};
    std::array<std::int64_t, 8> even_addend{}, odd_addend{};
    std::array<std::int64_t, 8> even_shift{}, odd_shift{};  // odd: less 32
    std::array<std::int32_t, 16> shift{};                   // less 32
  };

  CodeRescale() = default;
  // Of 32-bit sums x with |x * multiplier + addend| < 2^61.
  CodeRescale(std::span<const RescaleLine> channels, std::int32_t low, std::int32_t high);

  const Lanes& lanes(std::int64_t vector) const { return lanes_[static_cast<std::size_t>(vector)]; }
  std::int32_t low() const { return low_; }
  std::int32_t high() const { return high_; }

 private:
  std::vector<Lanes> lanes_;
  std::int32_t low_ = 0, high_ = 255;
};

// Codes of the channels [first, first + channels) of rows of sums, x_stride sums from row to row,
// of which a multiple of 16 channels is readable; `first` is a multiple of 16. Codes are stored as
// bytes, to_stride from row to row.
void rescale_codes(const CodeRescale& rescale, std::int64_t first, std::int64_t channels,
                   const std::int32_t* x, std::int64_t rows, std::int64_t x_stride,
                   std::uint8_t* to, std::int64_t to_stride);

// The same of `rows` rows of codes themselves, each times 2^left, at most 2^22. They lie side by
// side in `x` and `to`.
void rescale_bytes(const CodeRescale& rescale, std::int64_t channels, const std::uint8_t* x,
                   bool is_signed, int left, std::int64_t rows, std::uint8_t* to);

// to[i] = table[from[i]]; both may be one.
void map_codes(const std::uint8_t* from, std::int64_t count,
               const std::array<std::uint8_t, 256>& table, std::uint8_t* to);

}  // namespace tandem
