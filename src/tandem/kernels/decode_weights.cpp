#include "tandem/kernels/decode_weights.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "tandem/base/error.h"
#include "tandem/base/threads.h"

namespace tandem {
namespace {

const Format& f16() {
  static const Format format = Format::parse("f16");
  return format;
}

std::size_t scale_bytes(ScaleKind kind) {
  switch (kind) {
    case ScaleKind::kF32: return 4;
    case ScaleKind::kF16:
    case ScaleKind::kBf16: return 2;
    case ScaleKind::kNested: return 1;
  }
  throw InternalError("unknown kind of scale");
}

// The code's bits as those of an f16: sign, exponent and mantissa moved to their places.
double f16_of(unsigned code, int bits, int exponent_bits) {
  const unsigned top = code << (16 - bits);
  const unsigned magnitude = (top & 0x7fffU) >> (5 - exponent_bits);
  return f16().decode((top & 0x8000U) | magnitude);
}

bool is_number(const Format& format, std::uint64_t code) {
  // Ternary's fourth code stands for nothing.
  if (format.name() == "ternary" && code == 2) return false;
  return std::isfinite(format.decode(code));
}

std::optional<CodeDecoder> integer_decoder(const Format& format) {
  if (!format.is_uniform() || format.is_boolean()) return std::nullopt;
  const IntegerRange range = format.integer_range();
  if (range.max - range.min > 255) return std::nullopt;
  for (const std::uint64_t code : format.codes())  // not bipolar, which has no 0
    if (is_number(format, code) && format.integer_of(code) % 2 == 0) {
      CodeDecoder decoder;
      decoder.kind = CodeDecoder::Kind::kInteger;
      const auto width = static_cast<unsigned>(range.max - range.min);
      decoder.bits = std::max(1, static_cast<int>(std::bit_width(width)));
      decoder.zero = static_cast<int>(-range.min);
      decoder.unit = std::ldexp(1.0F, format.exponent());
      for (unsigned i = 0; i <= width; ++i) decoder.stands_for_number[i] = true;
      return decoder;
    }
  return std::nullopt;
}

// By comparison of all codes with those of f16.
std::optional<CodeDecoder> float_decoder(const Format& format) {
  const int bits = format.bits();
  if (!format.is_float() || bits < 5 || bits > 8) return std::nullopt;
  for (int exponent_bits = 1; exponent_bits <= std::min(5, bits - 2); ++exponent_bits) {
    CodeDecoder decoder;
    decoder.kind = CodeDecoder::Kind::kFloat;
    decoder.bits = bits;
    decoder.exponent_bits = exponent_bits;
    const double unit = format.decode(1) / f16_of(1, bits, exponent_bits);
    decoder.unit = static_cast<float>(unit);
    bool same = decoder.unit == unit;
    for (const std::uint64_t code : format.codes()) {
      decoder.stands_for_number[code] = is_number(format, code);
      same = same && (!decoder.stands_for_number[code] ||
                      unit * f16_of(static_cast<unsigned>(code), bits, exponent_bits) ==
                          format.decode(code));
    }
    if (same) return decoder;
  }
  return std::nullopt;
}

std::optional<CodeDecoder> table_decoder(const Format& format) {
  if (format.bits() > 4 || format.is_boolean()) return std::nullopt;
  CodeDecoder decoder;
  decoder.kind = CodeDecoder::Kind::kTable;
  decoder.bits = 4;
  for (const std::uint64_t code : format.codes()) {
    if (!is_number(format, code)) continue;
    const double real = format.decode(code);
    decoder.stands_for_number[code] = true;
    decoder.table[code] = static_cast<float>(real);
    if (decoder.table[code] != real) return std::nullopt;
  }
  return decoder;
}

}  // namespace

float CodeDecoder::real(unsigned code) const {
  switch (kind) {
    case Kind::kInteger: return unit * static_cast<float>(static_cast<int>(code) - zero);
    case Kind::kFloat: return unit * static_cast<float>(f16_of(code, bits, exponent_bits));
    case Kind::kTable: return table[code];
  }
  throw InternalError("unknown kind of decoder");
}

std::optional<CodeDecoder> decoder_of(const Format& format) {
  if (format.bits() > 8) return std::nullopt;
  if (auto decoder = integer_decoder(format)) return decoder;
  if (auto decoder = table_decoder(format)) return decoder;
  return float_decoder(format);
}

bool DecodeWeights::takes_group(std::int64_t group, std::int64_t depth, ScaleKind kind) {
  if (group < 1 || depth % group != 0) return false;
  if (kind == ScaleKind::kNested) return group == 16 && depth % kSuperGroup == 0;
  return group == depth || group % kDecodeTile == 0;
}

int DecodeWeights::place(CodeDecoder::Kind kind, int row, int k) {
  // Half the rows after the other, in steps of four positions: 32 bytes.
  const int step = row / 8 * 8 * kDecodeTile + k / 4 * 32, within = k % 4;
  row %= 8;
  switch (kind) {
    // Four codes of a row side by side: the bytes of a lane of 32 bits.
    case CodeDecoder::Kind::kInteger: return step + 4 * row + within;
    // Eight rows side by side, which become eight lanes of f16.
    case CodeDecoder::Kind::kFloat: return step + 8 * within + row;
    // Four rows in either half of a vector, as unpacking bytes to 32 bits wants them.
    case CodeDecoder::Kind::kTable: return step + row / 4 * 16 + 4 * within + row % 4;
  }
  throw InternalError("unknown kind of decoder");
}

DecodeWeights::DecodeWeights(const DecodeSource& source)
    : decoder_(source.decoder),
      packing_(Packing::split(source.decoder.bits, 32)),
      rows_(source.rows),
      depth_(source.depth),
      group_(source.group == source.depth ? padded_depth() : source.group),
      scale_kind_(source.scale_kind) {
  ensure(rows_ >= 1 && depth_ >= 1, "packed weights without elements");
  ensure(takes_group(source.group, depth_, scale_kind_), "weights in groups that no kernel takes");
  const auto scales = static_cast<std::size_t>(rows_ * (depth_ / source.group));
  ensure(source.codes.size() == static_cast<std::size_t>(rows_ * depth_) &&
             source.scales.size() == scales &&
             (source.zeros.empty() || source.zeros.size() == scales),
         "packed weights: codes, scales or zeros of another shape");
  const bool nested = scale_kind_ == ScaleKind::kNested;
  ensure(!nested ||
             source.super_scales.size() == static_cast<std::size_t>(rows_ * depth_ / kSuperGroup),
         "packed weights: scales of scales of another shape");
  ensure((source.zeros.empty() && !nested) || decoder_.kind == CodeDecoder::Kind::kInteger,
         "zero points or nested scales of codes that are not integers");
  pack_codes(source);
  pack_scales(source);
}

void DecodeWeights::pack_codes(const DecodeSource& source) {
  const std::int64_t tiles = padded_depth() / kDecodeTile,
                     tile_bytes = kDecodePanel * kDecodeTile / 8 * decoder_.bits;
  const std::int64_t total = panels() * tiles * tile_bytes;
  codes_ = static_cast<std::uint8_t*>(memory_.take(static_cast<std::size_t>(total)));
  bytes_ += total;
  std::vector<std::size_t> places;
  for (int r = 0; r < kDecodePanel; ++r)
    for (int k = 0; k < kDecodeTile; ++k)
      places.push_back(static_cast<std::size_t>(place(decoder_.kind, r, k)));
  parallel_for(0, panels(), 1, [&](std::int64_t from, std::int64_t to) {
    std::vector<std::uint16_t> codes(places.size());
    for (std::int64_t at = from * tiles; at < to * tiles; ++at) {
      std::ranges::fill(codes, std::uint16_t{0});
      const std::int64_t row = at / tiles * kDecodePanel, column = at % tiles * kDecodeTile;
      const std::int64_t count = std::min<std::int64_t>(kDecodeTile, depth_ - column);
      for (std::int64_t r = 0; r < kDecodePanel && row + r < rows_; ++r) {
        const std::uint8_t* given = source.codes.data() + (row + r) * depth_ + column;
        bool are_numbers = true;
        for (std::int64_t k = 0; k < count; ++k) {
          are_numbers = are_numbers && decoder_.stands_for_number[given[k]];
          codes[places[static_cast<std::size_t>(r * kDecodeTile + k)]] = given[k];
        }
        ensure(are_numbers, "a code of a weight stands for no number");
      }
      const std::span<std::uint8_t> tile(codes_ + at * tile_bytes,
                                         static_cast<std::size_t>(tile_bytes));
      pack_bits(codes, packing_, tile);
    }
  });
}

void DecodeWeights::pack_scales(const DecodeSource& source) {
  const std::int64_t given = depth_ / source.group;
  const auto count = static_cast<std::size_t>(panels() * kDecodePanel * given);
  const std::size_t bytes = scale_bytes(scale_kind_);
  scales_ = static_cast<std::byte*>(memory_.take(count * bytes));
  std::memset(scales_, 0, count * bytes);
  bytes_ += static_cast<std::int64_t>(count * bytes);
  static const Format bf16 = Format::parse("bf16");
  const auto place_of = [&](std::int64_t row, std::int64_t group, std::int64_t groups) {
    return (row / kDecodePanel * groups + group) * kDecodePanel + row % kDecodePanel;
  };
  for (std::int64_t row = 0; row < rows_; ++row) {
    for (std::int64_t g = 0; g < given; ++g) {
      const float scale = source.scales[static_cast<std::size_t>(row * given + g)];
      std::byte* to = scales_ + static_cast<std::size_t>(place_of(row, g, given)) * bytes;
      if (scale_kind_ == ScaleKind::kF32) {
        std::memcpy(to, &scale, sizeof scale);
      } else if (scale_kind_ == ScaleKind::kNested) {
        const auto integer = static_cast<std::int8_t>(scale);
        ensure(integer == scale, "a nested scale that is no integer of 8 bits");
        std::memcpy(to, &integer, sizeof integer);
      } else {
        const Format& format = scale_kind_ == ScaleKind::kF16 ? f16() : bf16;
        const auto code = static_cast<std::uint16_t>(format.encode(scale));
        std::memcpy(to, &code, sizeof code);
      }
    }
  }
  if (!source.zeros.empty()) {
    zeros_ = static_cast<std::uint8_t*>(memory_.take(count));
    std::memset(zeros_, 0, count);
    bytes_ += static_cast<std::int64_t>(count);
    for (std::int64_t row = 0; row < rows_; ++row)
      for (std::int64_t g = 0; g < given; ++g)
        zeros_[place_of(row, g, given)] = source.zeros[static_cast<std::size_t>(row * given + g)];
  }
  if (scale_kind_ == ScaleKind::kNested) {
    const std::int64_t supers = depth_ / kSuperGroup, all = panels() * kDecodePanel * supers;
    super_scales_ = static_cast<std::uint16_t*>(memory_.take(static_cast<std::size_t>(all) * 2));
    std::fill_n(super_scales_, all, std::uint16_t{0});
    bytes_ += all * 2;
    for (std::int64_t row = 0; row < rows_; ++row)
      for (std::int64_t g = 0; g < supers; ++g)
        super_scales_[place_of(row, g, supers)] = static_cast<std::uint16_t>(
            f16().encode(source.super_scales[static_cast<std::size_t>(row * supers + g)]));
  }
}

DecodeWeights::Panel DecodeWeights::panel(std::int64_t index) const {
  const std::int64_t scales = index * kDecodePanel * groups();
  return {codes_ + index * padded_depth() * (kDecodePanel / 8) * decoder_.bits,
          scales_ + static_cast<std::size_t>(scales) * scale_bytes(scale_kind_),
          super_scales_ == nullptr ? nullptr
                                   : super_scales_ + index * kDecodePanel * (depth_ / kSuperGroup),
          zeros_ == nullptr ? nullptr : zeros_ + scales};
}

float DecodeWeights::scale(const Panel& panel, std::int64_t row, std::int64_t group) const {
  const std::int64_t at = group * kDecodePanel + row;
  const auto half = [](const void* from) {
    std::uint16_t code;
    std::memcpy(&code, from, sizeof code);
    return code;
  };
  const std::byte* place = panel.scales + static_cast<std::size_t>(at) * scale_bytes(scale_kind_);
  switch (scale_kind_) {
    case ScaleKind::kF32: {
      float scale;
      std::memcpy(&scale, place, sizeof scale);
      return scale;
    }
    case ScaleKind::kF16: return static_cast<float>(f16().decode(half(place)));
    case ScaleKind::kBf16: return std::bit_cast<float>(std::uint32_t{half(place)} << 16);
    case ScaleKind::kNested: {
      return static_cast<float>(static_cast<std::int8_t>(*place)) *
             super_scale(panel, row, group * group_ / kSuperGroup);
    }
  }
  throw InternalError("unknown kind of scale");
}

float DecodeWeights::super_scale(const Panel& panel, std::int64_t row, std::int64_t super) const {
  return static_cast<float>(f16().decode(panel.super_scales[super * kDecodePanel + row]));
}

}  // namespace tandem
