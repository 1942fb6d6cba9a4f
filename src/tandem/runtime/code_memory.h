#pragma once

#include <cstdint>
#include <vector>

#include "tandem/kernels/code_gemm.h"

namespace tandem {

// Internal to the room.

// Memory of the running thread, kept between steps.
struct BlockMemory {
  std::vector<CacheLine> rows, sums;

  std::uint8_t* row_bytes(std::int64_t count) {
    return reinterpret_cast<std::uint8_t*>(room(rows, count));
  }
  std::int32_t* sum_room(std::int64_t count) {
    return reinterpret_cast<std::int32_t*>(room(sums, count * 4));
  }

 private:
  static std::int8_t* room(std::vector<CacheLine>& lines, std::int64_t bytes) {
    const auto count = static_cast<std::size_t>((bytes + 63) / 64);
    if (lines.size() < count) lines.resize(count);
    return lines.data()->bytes;
  }
};

inline BlockMemory& block_memory() {
  thread_local BlockMemory memory;
  return memory;
}

}  // namespace tandem
