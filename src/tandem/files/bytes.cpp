#include "tandem/files/bytes.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <sys/mman.h>
#include <system_error>
#include <unistd.h>

#include "tandem/base/error.h"

namespace tandem {
namespace {

void check_range(const std::filesystem::path& path, std::uint64_t offset, std::uint64_t length) {
  const std::uint64_t size = regular_file_size(path);
  if (offset > size || length > size - offset) {
    throw Error(path.string(), " has ", size, " bytes and so no ", length, " bytes from byte ",
                offset, "; the file is truncated or belongs to another model");
  }
}

}  // namespace

std::uint64_t regular_file_size(const std::filesystem::path& path) {
  std::error_code status;
  if (!std::filesystem::exists(path, status)) throw Error("there is no file ", path.string());
  if (!std::filesystem::is_regular_file(path, status))
    throw Error(path.string(), " is not a regular file");
  const auto size = std::filesystem::file_size(path, status);
  if (status) throw Error("cannot read ", path.string(), ": ", status.message());
  return size;
}

std::vector<std::byte> read_file_bytes(const std::filesystem::path& path, std::uint64_t limit) {
  const std::uint64_t size = regular_file_size(path);
  if (size > limit) {
    throw Error(path.string(), " has ", size, " bytes; files of this kind are read up to ", limit,
                " bytes");
  }
  return read_file_range(path, 0, size);
}

std::vector<std::byte> read_file_range(const std::filesystem::path& path, std::uint64_t offset,
                                       std::uint64_t length) {
  check_range(path, offset, length);
  std::ifstream in(path, std::ios::binary);
  if (!in) throw Error("cannot open ", path.string(), " for reading");
  in.seekg(static_cast<std::streamoff>(offset));
  std::vector<std::byte> bytes(length);
  in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(length));
  if (static_cast<std::uint64_t>(in.gcount()) != length)
    throw Error("cannot read ", length, " bytes from byte ", offset, " of ", path.string());
  return bytes;
}

SharedBytes map_file_range(const std::filesystem::path& path, std::uint64_t offset,
                           std::uint64_t length) {
  constexpr std::uint64_t kWorthMapping = 1 << 16;
  if (length < kWorthMapping) {
    const auto copy =
        std::make_shared<const std::vector<std::byte>>(read_file_range(path, offset, length));
    return {copy, *copy};
  }
  check_range(path, offset, length);
  const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  const std::uint64_t begin = offset / page * page, mapped = offset - begin + length;
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) throw Error("cannot open ", path.string(), ": ", std::strerror(errno));
  void* memory = mmap(nullptr, mapped, PROT_READ, MAP_PRIVATE, file, static_cast<off_t>(begin));
  const int failure = errno;
  ::close(file);
  if (memory == MAP_FAILED)
    throw Error("cannot map ", length, " bytes of ", path.string(), ": ", std::strerror(failure));
  const std::shared_ptr<const void> owner(memory, [mapped](void* p) { munmap(p, mapped); });
  return {owner, {static_cast<const std::byte*>(memory) + (offset - begin), length}};
}

void swap_elements(std::span<std::byte> bytes, std::size_t width) {
  ensure(width > 0 && bytes.size() % width == 0, "element width of swap_elements");
  for (std::size_t i = 0; width > 1 && i < bytes.size(); i += width)
    std::reverse(bytes.begin() + static_cast<std::ptrdiff_t>(i),
                 bytes.begin() + static_cast<std::ptrdiff_t>(i + width));
}

std::uint64_t big_endian(ByteSpan bytes) {
  ensure(bytes.size() <= 8, "big_endian takes at most 8 bytes");
  std::uint64_t value = 0;
  for (const std::byte byte : bytes) value = value << 8 | std::to_integer<std::uint64_t>(byte);
  return value;
}

}  // namespace tandem
