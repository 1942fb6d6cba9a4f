#include <algorithm>
#include <optional>

#include "tandem/base/error.h"
#include "tandem/files/datafiles.h"

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

Tensor parse_idx(ByteSpan bytes) {
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
  const auto width = static_cast<std::size_t>(storage_bytes(format->storage()));
  const ByteSpan elements = bytes.subspan(4 + 4 * rank);
  const auto wanted = static_cast<std::uint64_t>(element_count(shape)) * width;
  if (elements.size() != wanted) {
    throw Error(elements.size(), " bytes of elements where ", format->name(), to_string(shape),
                " has ", wanted, elements.size() < wanted ? "; the file is truncated" : "");
  }
  Tensor tensor(*format, shape);
  const auto to = tensor.mutable_bytes();
  std::copy(elements.begin(), elements.end(), to.begin());
  swap_elements(to, width);
  return tensor;
}

}  // namespace

Tensor read_idx(ByteSpan bytes, std::string_view source) {
  try {
    return parse_idx(bytes);
  } catch (const Error& error) {
    throw error.at(source);
  }
}

Tensor read_idx(const std::filesystem::path& path) {
  return read_idx(read_file_bytes(path), path.string());
}

}  // namespace tandem
