#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tandem {

// How codes of few bits lie in bytes: a small value that whoever packs hands to whoever reads.
//
// A code is split into planes, its lowest bits first ("4+2": the low four bits of all codes, then
// the high two). A plane whose width divides 8 has 8 / width fields in a byte. `lanes` bytes belong
// together: code i lies in byte i % lanes of them, in field (i / lanes) % fields. So with one lane
// neighbours share a byte, and with 32 lanes a vector of 32 bytes holds the codes 0..31 in its
// first fields, 32..63 in its second. Planes of other widths are a stream of bits and have one
// lane.
struct Packing {
  std::vector<int> planes;  // widths, lowest bits first; they add up to the width of a code
  int lanes = 1;
  bool high_first = false;  // the first field is the highest of its byte ("nibble order")

  static Packing dense(int bits);  // one plane; neighbours side by side, lowest bits first
  static Packing split(int bits, int lanes);  // planes of 8, 4, 2 and 1 bits

  // "4", "4/high", "4+2", "4+2x32": planes, lanes where there are several, nibble order.
  static Packing parse(std::string_view text);  // Error where it names no packing
  std::string name() const;

  int bits() const;                            // of a code, 1..16
  std::size_t bytes(std::size_t count) const;  // of `count` codes, all planes
  friend bool operator==(const Packing&, const Packing&) = default;
};

// Codes to bytes, plane after plane, each of whole vectors; what no code fills is zero.
// InternalError when a code has more bits than the packing.
std::vector<std::uint8_t> pack_bits(std::span<const std::uint16_t> codes, const Packing& packing);
// The same into as many bytes as they take.
void pack_bits(std::span<const std::uint16_t> codes, const Packing& packing,
               std::span<std::uint8_t> bytes);

// The first `count` codes. InternalError when there are fewer bytes than they take.
std::vector<std::uint16_t> unpack_bits(std::span<const std::uint8_t> bytes, std::size_t count,
                                       const Packing& packing);

}  // namespace tandem
