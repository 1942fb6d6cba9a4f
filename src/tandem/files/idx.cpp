#include <algorithm>
#include <optional>

#include "tandem/base/error.h"
#include "tandem/files/datafiles.h"
#include "tandem/files/stored_array.h"

namespace tandem {
namespace {

std::optional<Format> idx_format(std::uint64_t code) {
  switch (code) {
    case 0x08: return Format::parse("uint8");
    case 0x09: return Format::parse("int8");
    case 0x0b: return Format::parse("int16");
    case 0x0c: return Format::parse("int32");
    case 0x0d: return Format::parse("f32");
    case 0x0e: return Format::parse("f64");
    default: return std::nullopt;
  }
}

struct IdxHeader {
  Format format;
  Shape shape;
  std::size_t offset = 0;  // of the first element
};

IdxHeader parse_idx_header(ByteSpan bytes) {
  if (bytes.size() < 4) throw Error("truncated before the end of its IDX header");
  if (big_endian(bytes.first(2)) == 0x1f8b)
    throw Error("is compressed with gzip; unpack it first (gunzip)");
  if (big_endian(bytes.first(2)) != 0) throw Error("not an IDX file (it must begin with 0 0)");
  const auto format = idx_format(std::to_integer<std::uint64_t>(bytes[2]));
  if (!format) throw Error("element type ", std::to_integer<int>(bytes[2]), " is no IDX type");
  const auto rank = std::to_integer<std::size_t>(bytes[3]);
  if (bytes.size() < 4 + 4 * rank) throw Error("truncated before the end of its IDX header");
  Shape shape;
  for (std::size_t d = 0; d < rank; ++d)
    shape.push_back(static_cast<std::int64_t>(big_endian(bytes.subspan(4 + 4 * d, 4))));
  return {*format, shape, 4 + 4 * rank};
}

// `size` is that of the file.
void check_size(const IdxHeader& header, std::uint64_t size) {
  const auto width = static_cast<std::uint64_t>(storage_bytes(header.format.storage()));
  const std::uint64_t wanted = static_cast<std::uint64_t>(element_count(header.shape)) * width,
                      given = size - header.offset;
  if (given == wanted) return;
  throw Error(given, " bytes of elements where ", header.format.name(), to_string(header.shape),
              " has ", wanted, given < wanted ? "; the file is truncated" : "");
}

Tensor parse_idx(ByteSpan bytes) {
  const IdxHeader header = parse_idx_header(bytes);
  check_size(header, bytes.size());
  const ByteSpan elements = bytes.subspan(header.offset);
  Tensor tensor(header.format, header.shape);
  const auto to = tensor.mutable_bytes();
  std::copy(elements.begin(), elements.end(), to.begin());
  swap_elements(to, static_cast<std::size_t>(storage_bytes(header.format.storage())));
  return tensor;
}

}  // namespace

StoredArray stored_idx(const std::filesystem::path& path) {
  try {
    constexpr std::uint64_t kMostHeader = 4 + 4 * 255;
    const std::uint64_t size = regular_file_size(path);
    const IdxHeader header =
        parse_idx_header(read_file_range(path, 0, std::min(size, kMostHeader)));
    check_size(header, size);
    const auto file = std::make_shared<OpenFile>(path);
    const auto read = [file](std::uint64_t offset, std::span<std::byte> to) {
      file->read(offset, to);
    };
    return rows_of({read, header.offset, true}, path.filename().string(), header.format,
                   header.shape);
  } catch (const Error& error) {
    throw error.at(path.string());
  }
}

Tensor read_idx(ByteSpan bytes, std::string_view source) {
  try {
    return parse_idx(bytes);
  } catch (const Error& error) {
    throw error.at(source);
  }
}

}  // namespace tandem
