#pragma once

#include <cstddef>
#include <cstdint>

namespace tandem {

// Internal to the room: what TileProduct does with the processor's instructions. Only on x86-64
// processors that have InstructionSet::kAmx.

inline constexpr std::int64_t kTileWide = 32;  // filters that are computed together
inline constexpr std::int64_t kTileDeep = 32;  // channels of one tile
inline constexpr std::int64_t kTileRowBytes = 64, kTileBytes = 1024;
inline constexpr std::int64_t kTilePlanes = 3;  // bf16 numbers of an f32
inline constexpr std::int64_t kTileStepBytes =
    kTilePlanes * 2 * kTileBytes;  // of a panel's right operand
// Steps whose right operand is split at a time: they stay in the first-level cache.
inline constexpr std::int64_t kTileSteps = 4;

// One step of a sum: where its left operand begins in the split image, the first of at most 32 rows
// of its right one, and their number.
struct TileStep {
  std::int64_t left = 0, right = 0, depth = 0;
};

// Makes the calling thread's tiles ready for products of up to 16 positions.
void shape_tiles(std::int64_t left_rows);
void release_tiles();

// `count` pixels of `channels` numbers each, `step` numbers apart, as planes of bf16 that are
// `plane` bytes apart: 32 channels side by side (zeros behind the last), the next ones `block`
// bytes further. Whether all are finite.
bool split_pixels(const float* x, std::int64_t step, std::int64_t count, std::int64_t channels,
                  std::byte* to, std::int64_t plane, std::int64_t block);

// One step of a panel: `depth` rows `row_step` numbers apart, of whose 32 columns `columns` count.
void split_right(const float* w, std::int64_t row_step, std::int64_t depth, std::int64_t columns,
                 std::byte* to);

// Sums of up to two tiles of positions, which lie side by side in `sums`, and two of filters.
struct TileSums {
  bool two_rows = true, two_panels = true;
  const std::byte* left = nullptr;  // the split image at the first position
  std::int64_t next_left = 0;       // bytes to the second tile's
  std::int64_t plane = 0;           // bytes from one plane of it to the next
  const std::byte* right = nullptr;
  const float* from = nullptr;  // what is added to; rows `from_pitch` bytes apart
  std::size_t from_pitch = 0;
  float* sums = nullptr;
  std::int64_t next_sums = 0;  // numbers to the second tile's
};
void add_tile_steps(const TileSums& tiles, const TileStep* steps, std::int64_t count);

}  // namespace tandem
