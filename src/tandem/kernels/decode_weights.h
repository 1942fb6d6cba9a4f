#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "tandem/kernels/large_memory.h"
#include "tandem/numerics/bit_packer.h"
#include "tandem/numerics/format.h"

namespace tandem {

// Constant matrices of codes of at most 8 bits that stay packed in memory: products with them
// (decode_product.h) turn codes into numbers within registers, so that the time of a product with
// few rows is that of reading the codes.

// How a code becomes a real.
struct CodeDecoder {
  enum class Kind {
    kInteger,  // unit * (code - zero), of unsigned codes
    kFloat,    // unit * sign, exponent, mantissa as in f16, with subnormals; no infinity, no NaN
    kTable     // one of 16 reals: codebooks as nf4
  };
  Kind kind = Kind::kInteger;
  int bits = 4;           // 1..8; of kTable 4
  int exponent_bits = 0;  // of kFloat, 1..5
  int zero = 0;           // of kInteger
  float unit = 1;
  std::array<float, 16> table{};
  std::array<bool, 256> stands_for_number{};  // by code

  float real(unsigned code) const;
};

// Nullopt for formats that no kernel decodes: wider ones, and those of 5 to 8 bits that are neither
// evenly spaced nor part of f16. The decoder's codes of a uniform format are integers less the
// least one, of all others the format's bit patterns.
std::optional<CodeDecoder> decoder_of(const Format& format);

enum class ScaleKind {
  kF32,
  kF16,
  kBf16,
  kNested  // int8 for each group, times f16 for each kSuperGroup weights of a row
};

// w[i,k] = scale[i,k / group] * (real of the code, less unit * zero[i,k / group] where there are
// zeros).
struct DecodeSource {
  CodeDecoder decoder;
  std::int64_t rows = 0, depth = 0;
  std::int64_t group = 0;               // weights that share a scale; depth for all of a row
  std::span<const std::uint8_t> codes;  // [rows, depth]
  ScaleKind scale_kind = ScaleKind::kF32;
  std::span<const float> scales;        // [rows, depth / group], numbers of scale_kind; of kNested
                                        // integers
  std::span<const float> super_scales;  // [rows, depth / kSuperGroup], of kNested
  std::span<const std::uint8_t> zeros;  // [rows, depth / group] or none; of kInteger
};

inline constexpr int kDecodePanel = 16;  // rows that lie together
inline constexpr int kDecodeTile = 32;   // of the depth

class DecodeWeights {
 public:
  static constexpr std::int64_t kSuperGroup = 256;

  // Whether groups of that many weights fit: 16 (nested scales alone), multiples of kDecodeTile, or
  // all of a row. The depth is a multiple of the group.
  static bool takes_group(std::int64_t group, std::int64_t depth, ScaleKind kind);

  // InternalError for a source that does not fit, or a code that stands for no number.
  explicit DecodeWeights(const DecodeSource& source);

  const CodeDecoder& decoder() const { return decoder_; }
  const Packing& packing() const { return packing_; }
  std::int64_t rows() const { return rows_; }
  std::int64_t depth() const { return depth_; }
  std::int64_t group() const { return group_; }  // the padded depth for all of a row
  std::int64_t groups() const { return padded_depth() / group_; }
  std::int64_t panels() const { return (rows_ + kDecodePanel - 1) / kDecodePanel; }
  std::int64_t padded_depth() const {
    return (depth_ + kDecodeTile - 1) / kDecodeTile * kDecodeTile;
  }
  std::int64_t bytes() const { return bytes_; }  // that a product reads

  // The code at row `row` of a panel and position k of a tile, among the kDecodePanel * kDecodeTile
  // of its tile.
  static int place(CodeDecoder::Kind kind, int row, int k);

  // One panel: [tile][plane], [group][kDecodePanel].
  struct Panel {
    const std::uint8_t* codes;
    const std::byte* scales;
    const std::uint16_t* super_scales;
    const std::uint8_t* zeros;  // null where there are none
  };
  Panel panel(std::int64_t index) const;
  ScaleKind scale_kind() const { return scale_kind_; }
  // Of row `row` of a panel: the scale of a group, and of kNested that of a group of kSuperGroup.
  float scale(const Panel& panel, std::int64_t row, std::int64_t group) const;
  float super_scale(const Panel& panel, std::int64_t row, std::int64_t super) const;

 private:
  CodeDecoder decoder_;
  Packing packing_;
  std::int64_t rows_, depth_, group_, bytes_ = 0;
  ScaleKind scale_kind_;
  LargeMemory memory_;
  std::uint8_t* codes_ = nullptr;
  std::byte* scales_ = nullptr;
  std::uint16_t* super_scales_ = nullptr;
  std::uint8_t* zeros_ = nullptr;

  void pack_codes(const DecodeSource& source);
  void pack_scales(const DecodeSource& source);
};

}  // namespace tandem
