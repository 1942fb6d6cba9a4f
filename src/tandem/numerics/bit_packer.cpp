#include "tandem/numerics/bit_packer.h"

#include <algorithm>
#include <charconv>
#include <numeric>

#include "tandem/base/error.h"
#include "tandem/base/text.h"

namespace tandem {
namespace {

constexpr int kWidestCode = 16, kWidestVector = 64;

bool divides_byte(int width) { return width <= 8 && 8 % width == 0; }

void require(const Packing& packing) {
  int bits = 0;
  for (const int width : packing.planes) {
    ensure(width >= 1, "a plane of a packing has no bits");
    ensure(packing.lanes == 1 || divides_byte(width), "a stream of bits has one lane");
    ensure(!packing.high_first || divides_byte(width), "a stream of bits has no fields to order");
    bits += width;
  }
  ensure(bits >= 1 && bits <= kWidestCode, "a packing of fewer than 1 or more than 16 bits");
  ensure(packing.lanes >= 1 && packing.lanes <= kWidestVector, "a packing of too many lanes");
}

std::size_t plane_bytes(int width, int lanes, std::size_t count) {
  const auto w = static_cast<std::size_t>(width), l = static_cast<std::size_t>(lanes);
  if (!divides_byte(width)) return (count * w + 7) / 8;
  const std::size_t vector = l * (8 / w);
  return (count + vector - 1) / vector * l;
}

// Calls visit(first, last, byte, shift) for runs of codes that lie in the same field of bytes side
// by side, of a plane whose width divides 8.
template <typename Visit>
void for_each_run(const Packing& packing, int width, std::size_t count, const Visit& visit) {
  const auto lanes = static_cast<std::size_t>(packing.lanes);
  const int fields = 8 / width;
  std::size_t byte = 0;
  for (std::size_t first = 0; first < count; byte += lanes) {
    for (int field = 0; field < fields && first < count; ++field, first += lanes) {
      const int place = packing.high_first ? fields - 1 - field : field;
      visit(first, std::min(first + lanes, count), byte, place * width);
    }
  }
}

int parse_width(std::string_view text, std::string_view whole) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 1)
    throw Error("'", whole,
                "' names no packing; write widths of planes, as \"4+2\", with lanes as ",
                "\"4+2x32\"");
  return number;
}

}  // namespace

Packing Packing::dense(int bits) { return {{bits}, 1, false}; }

Packing Packing::split(int bits, int lanes) {
  Packing packing{{}, lanes, false};
  for (int width = 8; width >= 1; width /= 2) {
    for (; bits >= width; bits -= width) packing.planes.push_back(width);
  }
  return packing;
}

Packing Packing::parse(std::string_view text) {
  Packing packing;
  std::string_view rest = text;
  if (rest.ends_with("/high")) {
    packing.high_first = true;
    rest.remove_suffix(5);
  }
  if (const auto at = rest.find('x'); at != std::string_view::npos) {
    packing.lanes = parse_width(rest.substr(at + 1), text);
    rest = rest.substr(0, at);
  }
  for (std::size_t at = 0; at != std::string_view::npos; rest.remove_prefix(at + 1)) {
    at = rest.find('+');
    packing.planes.push_back(parse_width(rest.substr(0, at), text));
    if (at == std::string_view::npos) break;
  }
  const bool fits = packing.bits() <= kWidestCode && packing.lanes <= kWidestVector;
  const bool has_fields = packing.lanes > 1 || packing.high_first;
  for (const int width : packing.planes)
    if (!fits || (has_fields && !divides_byte(width)))
      throw Error("packing '", text,
                  "': codes have at most 16 bits and vectors 64 lanes, and only ",
                  "planes of 1, 2, 4 or 8 bits have several lanes or a nibble order");
  return packing;
}

std::string Packing::name() const {
  std::string name;
  for (const int width : planes) name += concat(name.empty() ? "" : "+", width);
  if (lanes > 1) name += concat("x", lanes);
  return high_first ? name + "/high" : name;
}

int Packing::bits() const { return std::accumulate(planes.begin(), planes.end(), 0); }

std::size_t Packing::bytes(std::size_t count) const {
  std::size_t total = 0;
  for (const int width : planes) total += plane_bytes(width, lanes, count);
  return total;
}

void pack_bits(std::span<const std::uint16_t> codes, const Packing& packing,
               std::span<std::uint8_t> bytes) {
  require(packing);
  ensure(bytes.size() == packing.bytes(codes.size()), "packed codes take another number of bytes");
  std::fill(bytes.begin(), bytes.end(), std::uint8_t{0});
  unsigned all = 0;
  for (const std::uint16_t code : codes) all |= code;
  ensure(all >> packing.bits() == 0, "a code has more bits than its packing");
  std::uint8_t* plane = bytes.data();
  int from = 0;
  for (const int width : packing.planes) {
    const unsigned mask = (1U << width) - 1;
    const auto part = [&](std::size_t i) { return static_cast<unsigned>(codes[i] >> from) & mask; };
    if (divides_byte(width)) {
      for_each_run(packing, width, codes.size(),
                   [&](std::size_t first, std::size_t last, std::size_t byte, int shift) {
                     for (std::size_t i = first; i < last; ++i, ++byte)
                       plane[byte] = static_cast<std::uint8_t>(plane[byte] | part(i) << shift);
                   });
    } else {
      for (std::size_t i = 0; i < codes.size(); ++i) {
        for (int bit = 0; bit < width; ++bit) {
          const std::size_t at =
              i * static_cast<std::size_t>(width) + static_cast<std::size_t>(bit);
          const unsigned one = part(i) >> bit & 1U;
          plane[at / 8] = static_cast<std::uint8_t>(plane[at / 8] | one << at % 8);
        }
      }
    }
    plane += plane_bytes(width, packing.lanes, codes.size());
    from += width;
  }
}

std::vector<std::uint8_t> pack_bits(std::span<const std::uint16_t> codes, const Packing& packing) {
  std::vector<std::uint8_t> bytes(packing.bytes(codes.size()));
  pack_bits(codes, packing, bytes);
  return bytes;
}

std::vector<std::uint16_t> unpack_bits(std::span<const std::uint8_t> bytes, std::size_t count,
                                       const Packing& packing) {
  require(packing);
  ensure(bytes.size() >= packing.bytes(count), "fewer bytes than the packed codes take");
  std::vector<std::uint16_t> codes(count);
  const std::uint8_t* plane = bytes.data();
  int from = 0;
  const auto add = [&](std::size_t i, unsigned bits, int to) {
    codes[i] = static_cast<std::uint16_t>(codes[i] | bits << to);
  };
  for (const int width : packing.planes) {
    if (divides_byte(width)) {
      const unsigned mask = (1U << width) - 1;
      for_each_run(packing, width, count,
                   [&](std::size_t first, std::size_t last, std::size_t byte, int shift) {
                     for (std::size_t i = first; i < last; ++i, ++byte)
                       add(i, static_cast<unsigned>(plane[byte] >> shift) & mask, from);
                   });
    } else {
      for (std::size_t i = 0; i < count; ++i) {
        for (int bit = 0; bit < width; ++bit) {
          const std::size_t at =
              i * static_cast<std::size_t>(width) + static_cast<std::size_t>(bit);
          add(i, static_cast<unsigned>(plane[at / 8] >> at % 8) & 1U, from + bit);
        }
      }
    }
    plane += plane_bytes(width, packing.lanes, count);
    from += width;
  }
  return codes;
}

}  // namespace tandem
