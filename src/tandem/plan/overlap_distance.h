#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tandem/plan/loop_program.h"

namespace tandem {

// Two arrays of a program that may share bytes: whatever `read` holds is not needed once the
// program has ended, and `written` holds nothing before it starts.
struct OverlapDistance {
  std::size_t read = 0, written = 0;  // indices of arrays
  // With address(read) >= address(written) + bytes, every access to `read` comes before its bytes
  // are written through `written`. At most 0 where `read` may lie at the same address or anywhere
  // above; -(size of `read`) or less where it may lie anywhere.
  std::int64_t bytes = 0;
  // Only if the distance of both addresses is a multiple of so many bytes: their channels are then
  // written one after the other, each after it was read, whatever the distance.
  std::int64_t multiple = 1;
};

// The least such distances of a program, for its inputs and scratch arrays against its outputs, and
// its inputs against its scratch arrays; only those at which bytes are shared. Found by walking
// through the program: what happens between two writes of a result is taken together, by the range
// of its addresses. A copy counts as one access, because memcpy() allows no overlap. Pairs whose
// elements differ in width are left out, unless one of them has bytes: C lets a character type
// alias any other, so compilers keep the order of such accesses, but of no other two types. Where a
// program works channel by channel (Array::channels), channels are told apart instead of addresses.
// (Diagonal memory optimisation: Blacker, Bridges, Hadfield, "Rapid quantization and memory
// planning", 2020.)
std::vector<OverlapDistance> overlap_distances(const LoopProgram& program);

}  // namespace tandem
