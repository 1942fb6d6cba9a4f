#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tandem/files/bytes.h"
#include "tandem/tensor/tensor.h"

namespace tandem {

// An array whose rows (the elements of its first axis) stay in their file until they are read, from
// any thread. The file must not change meanwhile.
struct StoredArray {
  std::string name;
  Format format;
  Shape shape;
  // Rows [begin, end); throws Error naming the file where they cannot be read.
  std::function<Tensor(std::int64_t begin, std::int64_t end)> rows;

  Tensor all() const { return shape.empty() ? rows(0, 1) : rows(0, shape.front()); }
};

// What numpy.h and datafiles.h read whole. Of an .npz archive compressed arrays are unpacked into
// temporary files first; arrays in Fortran order lie in memory. Throw Error naming the file.
std::vector<StoredArray> stored_npz(const std::filesystem::path& path);
StoredArray stored_idx(const std::filesystem::path& path);
struct StoredImages {
  StoredArray images;  // uint8 [N,3,32,32]
  std::vector<std::int64_t> labels;
};
StoredImages stored_cifar10(const std::filesystem::path& path);

// A file of which parts are read, from any thread.
class OpenFile {
 public:
  explicit OpenFile(const std::filesystem::path& path);
  // One without a name in the system's folder of temporary files; gone when it is closed.
  static std::shared_ptr<OpenFile> temporary();
  ~OpenFile();
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  void read(std::uint64_t offset, std::span<std::byte> to) const;  // Error where it ends before
  void append(ByteSpan bytes);

 private:
  OpenFile(int file, std::string name) : file_(file), name_(std::move(name)) {}
  int file_;
  std::string name_;  // for errors
  std::uint64_t written_ = 0;
};

// Internal to the room: the elements of an array as they lie somewhere from byte `offset` on.
struct ElementSource {
  std::function<void(std::uint64_t offset, std::span<std::byte> to)> read;
  std::uint64_t offset = 0;
  bool swapped = false;  // the bytes of each element
};
StoredArray rows_of(ElementSource source, std::string name, Format format, Shape shape);
// An array that lies in memory.
StoredArray rows_of(Tensor tensor, std::string name);

}  // namespace tandem
