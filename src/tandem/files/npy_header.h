#pragma once

#include <cstdint>
#include <string>

#include "tandem/files/bytes.h"
#include "tandem/tensor/tensor.h"

namespace tandem {

// Internal to the room: what stands before the elements of a .npy array.
struct NpyHeader {
  std::string type;  // "<f4"
  Format format;
  bool fortran_order = false, swapped = false;
  Shape shape;
  std::uint64_t offset = 0;  // of the first element

  std::uint64_t element_bytes() const;
};

// Bytes of an array up to the first element: known once the first kNpyPrefix are (fewer where the
// array has fewer). Throws Error.
inline constexpr std::size_t kNpyPrefix = 12;
std::uint64_t npy_header_size(ByteSpan prefix);
// `bytes` hold at least so many.
NpyHeader parse_npy_header(ByteSpan bytes);

}  // namespace tandem
