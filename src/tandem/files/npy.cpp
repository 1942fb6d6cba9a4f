#include <algorithm>
#include <cctype>
#include <cstring>
#include <optional>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/files/element_check.h"
#include "tandem/files/npy_header.h"
#include "tandem/files/numpy.h"

namespace tandem {
namespace {

constexpr std::string_view kMagic("\x93NUMPY", 6);

struct Dictionary {
  std::string type;  // "<f4"
  bool fortran_order = false;
  Shape shape;
};

// The header is a Python dictionary of three known keys.
class HeaderParser {
 public:
  explicit HeaderParser(std::string_view text) : text_(text) {}

  Dictionary parse() {
    Dictionary header;
    std::vector<std::string> seen;
    expect('{');
    while (!accept('}')) {
      const std::string key = quoted();
      if (std::find(seen.begin(), seen.end(), key) != seen.end())
        throw Error("the header has the key '", key, "' twice");
      expect(':');
      if (key == "descr") {
        header.type = quoted();
      } else if (key == "fortran_order") {
        header.fortran_order = boolean();
      } else if (key == "shape") {
        header.shape = shape();
      } else {
        throw Error("the header has the unknown key '", key, "'");
      }
      seen.push_back(key);
      if (!accept(',') && peek() != '}') throw Error("the header lacks a comma after '", key, "'");
    }
    if (peek() != '\0') throw Error("the header goes on after its closing brace");
    if (seen.size() != 3) throw Error("the header lacks one of descr, fortran_order, shape");
    return header;
  }

 private:
  char peek() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_])) != 0) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  bool accept(char wanted) {
    if (peek() != wanted || at_ >= text_.size()) return false;
    ++at_;
    return true;
  }

  void expect(char wanted) {
    if (!accept(wanted))
      throw Error("the header has no '", wanted, "' at character ", at_,
                  "; structured types are not read");
  }

  std::string quoted() {
    const char quote = peek();
    if (quote != '\'' && quote != '"')
      throw Error("the header has no text at character ", at_, "; structured types are not read");
    const std::size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) throw Error("a text in the header is not closed");
    const std::string_view content = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return std::string(content.substr(0, 64));
  }

  bool boolean() {
    peek();
    for (const auto& [word, value] : {std::pair<std::string_view, bool>{"True", true},
                                      std::pair<std::string_view, bool>{"False", false}}) {
      if (text_.substr(at_, word.size()) != word) continue;
      at_ += word.size();
      return value;
    }
    throw Error("fortran_order in the header is neither True nor False");
  }

  Shape shape() {
    Shape shape;
    expect('(');
    while (!accept(')')) {
      peek();
      const std::size_t begin = at_;
      while (at_ < text_.size() && std::isdigit(static_cast<unsigned char>(text_[at_])) != 0) ++at_;
      shape.push_back(parse_integer(text_.substr(begin, at_ - begin), "shape in the header"));
      if (shape.size() > 32) throw Error("the shape in the header has more than 32 dimensions");
      if (at_ < text_.size() && text_[at_] == 'L') ++at_;  // written by Python 2
      if (!accept(',') && peek() != ')') throw Error("the shape in the header lacks a comma");
    }
    return shape;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

struct ElementType {
  Format format;
  std::size_t width;
};

// Type letters and widths that have a format here.
std::optional<ElementType> element_type(std::string_view letter_and_width) {
  struct Known {
    std::string_view name, format;
    std::size_t width;
  };
  static constexpr Known kKnown[] = {{"f2", "f16", 2},    {"f4", "f32", 4},    {"f8", "f64", 8},
                                     {"i1", "int8", 1},   {"i2", "int16", 2},  {"i4", "int32", 4},
                                     {"i8", "int64", 8},  {"u1", "uint8", 1},  {"u2", "uint16", 2},
                                     {"u4", "uint32", 4}, {"u8", "uint63", 8}, {"b1", "bool", 1}};
  for (const Known& known : kKnown)
    if (known.name == letter_and_width)
      return ElementType{Format::parse(known.format), known.width};
  return std::nullopt;
}

ElementType checked_type(const std::string& type) {
  const bool has_order =
      type.size() == 3 && std::string_view("<>|=").find(type[0]) != std::string::npos;
  const auto known = has_order ? element_type(std::string_view(type).substr(1)) : std::nullopt;
  if (!known) {
    throw Error("elements have the type '", type,
                "', which is not read; convert the array to one of f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 "
                "u8 b1");
  }
  return *known;
}

// Column-major to row-major order of elements of `width` bytes.
void reorder_from_fortran(std::span<std::byte> bytes, const Shape& shape, std::size_t width) {
  const std::vector<std::byte> from(bytes.begin(), bytes.end());
  std::vector<std::int64_t> strides(shape.size());
  std::int64_t stride = 1;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    strides[d] = stride;
    stride *= shape[d];
  }
  std::vector<std::int64_t> index(shape.size());
  for (std::size_t to = 0; to < bytes.size(); to += width) {
    std::int64_t offset = 0;
    for (std::size_t d = 0; d < shape.size(); ++d) offset += index[d] * strides[d];
    std::memcpy(&bytes[to], &from[static_cast<std::size_t>(offset) * width], width);
    for (std::size_t d = shape.size(); d-- > 0;) {
      if (++index[d] < shape[d]) break;
      index[d] = 0;
    }
  }
}

Tensor parse_npy(ByteSpan bytes) {
  const NpyHeader header = parse_npy_header(bytes);
  const std::uint64_t wanted = header.element_bytes();
  const ByteSpan elements = bytes.subspan(header.offset);
  if (elements.size() != wanted) {
    throw Error(elements.size(), " bytes of elements where ", header.type, to_string(header.shape),
                " has ", wanted, elements.size() < wanted ? "; the file is truncated" : "");
  }
  Tensor tensor(header.format, header.shape);
  const auto to = tensor.mutable_bytes();
  ensure(to.size() == wanted, "storage of a NumPy type");
  std::copy(elements.begin(), elements.end(), to.begin());
  const auto width = static_cast<std::size_t>(storage_bytes(header.format.storage()));
  if (header.swapped) swap_elements(to, width);
  if (header.fortran_order && header.shape.size() > 1)
    reorder_from_fortran(to, header.shape, width);
  check_elements(tensor);
  return tensor;
}

std::string_view numpy_type(Storage storage) {
  switch (storage) {
    case Storage::kU8: return "|u1";
    case Storage::kU16: return "<u2";
    case Storage::kU32: return "<u4";
    case Storage::kU64: return "<u8";
    case Storage::kI8: return "|i1";
    case Storage::kI16: return "<i2";
    case Storage::kI32: return "<i4";
    case Storage::kI64: return "<i8";
    case Storage::kF32: return "<f4";
    case Storage::kF64: return "<f8";
  }
  throw InternalError("unknown storage");
}

bool is_f16(const Format& format) { return format == Format::parse("f16"); }

// Whether the stored bytes are a NumPy array as they lie.
bool has_numpy_type(const Format& format) {
  return format.is_integer() || format.is_boolean() || is_f16(format) ||
         format.storage() == Storage::kF32 || format.storage() == Storage::kF64;
}

}  // namespace

std::uint64_t NpyHeader::element_bytes() const {
  return static_cast<std::uint64_t>(element_count(shape)) *
         static_cast<std::uint64_t>(storage_bytes(format.storage()));
}

std::uint64_t npy_header_size(ByteSpan prefix) {
  const std::string_view text(reinterpret_cast<const char*>(prefix.data()), prefix.size());
  if (text.substr(0, kMagic.size()) != kMagic) throw Error("not a NumPy array (no \\x93NUMPY)");
  if (prefix.size() < 10) throw Error("truncated in the header");
  const int version = std::to_integer<int>(prefix[6]);
  if (version < 1 || version > 3)
    throw Error("version ", version, " of the format; versions 1 to 3 are read");
  const std::size_t length_bytes = version == 1 ? 2 : 4;
  if (prefix.size() < 8 + length_bytes) throw Error("truncated in the header");
  std::uint64_t size = 0;
  for (std::size_t i = length_bytes; i-- > 0;)
    size = size << 8 | std::to_integer<std::uint64_t>(prefix[8 + i]);
  return 8 + length_bytes + size;
}

NpyHeader parse_npy_header(ByteSpan bytes) {
  const std::uint64_t offset = npy_header_size(bytes);
  if (offset > bytes.size()) throw Error("truncated in the header");
  const std::size_t begin = std::to_integer<int>(bytes[6]) == 1 ? 10 : 12;
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const Dictionary entries = HeaderParser(text.substr(begin, offset - begin)).parse();
  const ElementType type = checked_type(entries.type);
  return {entries.type,           type.format,   entries.fortran_order,
          entries.type[0] == '>', entries.shape, offset};
}

Tensor read_npy(ByteSpan bytes, std::string_view source) {
  try {
    return parse_npy(bytes);
  } catch (const Error& error) {
    throw error.at(source);
  }
}

Tensor read_npy(const std::filesystem::path& path) {
  return read_npy(read_file_bytes(path), path.string());
}

std::string write_npy(const Tensor& tensor) {
  if (!has_numpy_type(tensor.format()))
    return write_npy(tensor.converted(Format::parse(tensor.format().bits() <= 24 ? "f32" : "f64")));
  std::string_view type = numpy_type(tensor.format().storage());
  if (tensor.format().is_boolean()) type = "|b1";
  if (is_f16(tensor.format())) type = "<f2";
  std::string shape;
  for (const std::int64_t extent : tensor.shape()) shape += concat(extent, ", ");
  std::string header =
      concat("{'descr': '", type, "', 'fortran_order': False, 'shape': (", shape, "), }");
  // Elements begin at a multiple of 64 bytes.
  header.append(63 - (10 + header.size()) % 64, ' ');
  header += '\n';
  std::string text(kMagic);
  text +=
      {'\1', '\0', static_cast<char>(header.size() & 0xff), static_cast<char>(header.size() >> 8)};
  text += header;
  text.append(reinterpret_cast<const char*>(tensor.bytes().data()), tensor.bytes().size());
  return text;
}

}  // namespace tandem
