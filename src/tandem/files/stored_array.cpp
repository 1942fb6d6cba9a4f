#include "tandem/files/stored_array.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

#include "tandem/base/error.h"
#include "tandem/files/element_check.h"

namespace tandem {

OpenFile::OpenFile(const std::filesystem::path& path) : name_(path.string()) {
  regular_file_size(path);
  file_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file_ < 0) throw Error("cannot open ", name_, " for reading: ", std::strerror(errno));
}

std::shared_ptr<OpenFile> OpenFile::temporary() {
  std::string place = (std::filesystem::temp_directory_path() / "tandem-array-XXXXXX").string();
  const int file = mkostemp(place.data(), O_CLOEXEC);
  if (file < 0) throw Error("cannot make the temporary file ", place, ": ", std::strerror(errno));
  ::unlink(place.c_str());
  return std::shared_ptr<OpenFile>(new OpenFile(file, place));
}

OpenFile::~OpenFile() { ::close(file_); }

void OpenFile::read(std::uint64_t offset, std::span<std::byte> to) const {
  while (!to.empty()) {
    const auto got = ::pread(file_, to.data(), to.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error("cannot read ", name_, ": ", std::strerror(errno));
    if (got == 0)
      throw Error(name_, " ends before byte ", offset + to.size(), "; the file is truncated");
    offset += static_cast<std::uint64_t>(got);
    to = to.subspan(static_cast<std::size_t>(got));
  }
}

void OpenFile::append(ByteSpan bytes) {
  while (!bytes.empty()) {
    const auto put = ::pwrite(file_, bytes.data(), bytes.size(), static_cast<off_t>(written_));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0)
      throw Error("cannot write the temporary file ", name_, ": ", std::strerror(errno),
                  "; set TMPDIR to a folder with more room");
    written_ += static_cast<std::uint64_t>(put);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
}

StoredArray rows_of(ElementSource source, std::string name, Format format, Shape shape) {
  const auto width = static_cast<std::size_t>(storage_bytes(format.storage()));
  const Shape row(shape.empty() ? shape.begin() : shape.begin() + 1, shape.end());
  const std::size_t bytes = static_cast<std::size_t>(element_count(row)) * width;
  StoredArray array{std::move(name), format, shape, {}};
  array.rows = [=, source = std::move(source)](std::int64_t begin, std::int64_t end) {
    Shape taken = shape;
    if (!taken.empty()) taken[0] = end - begin;
    Tensor tensor(format, taken);
    const auto to = tensor.mutable_bytes();
    source.read(source.offset + static_cast<std::uint64_t>(begin) * bytes, to);
    if (source.swapped) swap_elements(to, width);
    check_elements(tensor);
    return tensor;
  };
  return array;
}

StoredArray rows_of(Tensor tensor, std::string name) {
  StoredArray array{std::move(name), tensor.format(), tensor.shape(), {}};
  array.rows = [tensor = std::move(tensor)](std::int64_t begin, std::int64_t end) {
    return tensor.rank() == 0 ? tensor : tensor.rows(begin, end);
  };
  return array;
}

}  // namespace tandem
