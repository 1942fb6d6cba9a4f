#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

namespace tandem {

using ByteSpan = std::span<const std::byte>;

// Throws Error naming the path where it is none.
std::uint64_t regular_file_size(const std::filesystem::path& path);

// The content of a regular file. Throws Error naming the path when it cannot be read or holds more
// than `limit` bytes.
std::vector<std::byte> read_file_bytes(const std::filesystem::path& path,
                                       std::uint64_t limit = std::uint64_t{1} << 32);

// `length` bytes of a regular file from `offset`. Throws Error when the file ends before.
std::vector<std::byte> read_file_range(const std::filesystem::path& path, std::uint64_t offset,
                                       std::uint64_t length);

// Bytes with what keeps them alive.
struct SharedBytes {
  std::shared_ptr<const void> owner;
  ByteSpan bytes;
};

// The same range without a copy where it is large: mapped, so that pages come in when they are read
// and go when memory is short. A file that is shortened meanwhile ends the program (SIGBUS).
SharedBytes map_file_range(const std::filesystem::path& path, std::uint64_t offset,
                           std::uint64_t length);

// Reverses the bytes of each element of `width` bytes; the size is a multiple of `width`.
void swap_elements(std::span<std::byte> bytes, std::size_t width);

// An unsigned big-endian number of 1 to 8 bytes.
std::uint64_t big_endian(ByteSpan bytes);

}  // namespace tandem
