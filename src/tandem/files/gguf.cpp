#include <array>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/files/weights_file.h"
#include "tandem/graph/builder.h"
#include "tandem/graph/verifier.h"

namespace tandem {
namespace {

using Bytes = ByteSpan;

// Little-endian reading that never leaves its bytes.
class Cursor {
 public:
  explicit Cursor(Bytes bytes) : bytes_(bytes) {}
  std::size_t position() const { return position_; }
  Bytes take(std::uint64_t count) {
    if (count > bytes_.size() - position_)
      throw Error("it ends at byte ", bytes_.size(), ", inside something of ", count,
                  " bytes that begins at ", position_, "; it may be truncated");
    const Bytes taken = bytes_.subspan(position_, static_cast<std::size_t>(count));
    position_ += static_cast<std::size_t>(count);
    return taken;
  }
  template <typename T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::string text() {
    const auto length = number<std::uint64_t>();
    const Bytes bytes = take(length);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

 private:
  Bytes bytes_;
  std::size_t position_ = 0;
};

// ---- Metadata -------------------------------------------------------------------------------

constexpr std::array<std::uint64_t, 13> kValueBytes = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
constexpr std::uint32_t kText = 8, kArray = 9;

std::string scalar_text(Cursor& in, std::uint32_t type) {
  switch (type) {
    case 0: return concat(static_cast<int>(in.number<std::uint8_t>()));
    case 1: return concat(static_cast<int>(in.number<std::int8_t>()));
    case 2: return concat(in.number<std::uint16_t>());
    case 3: return concat(in.number<std::int16_t>());
    case 4: return concat(in.number<std::uint32_t>());
    case 5: return concat(in.number<std::int32_t>());
    case 6: return shortest(static_cast<double>(in.number<float>()));
    case 7: return in.number<std::uint8_t>() != 0 ? "true" : "false";
    case kText: return in.text();
    case 10: return concat(in.number<std::uint64_t>());
    case 11: return concat(in.number<std::int64_t>());
    case 12: return shortest(in.number<double>());
    default: throw Error("metadata of the unknown type ", type);
  }
}

// Tokens and the like: long, and nothing that a network of weights needs.
void skip_array(Cursor& in) {
  const auto type = in.number<std::uint32_t>();
  const auto count = in.number<std::uint64_t>();
  if (type >= kValueBytes.size() || type == kArray)
    throw Error("metadata has an array of the unknown type ", type);
  if (type == kText) {
    for (std::uint64_t i = 0; i < count; ++i) in.text();
    return;
  }
  if (count > std::uint64_t{1} << 40) throw Error("metadata has an array of ", count, " elements");
  in.take(count * kValueBytes[type]);
}

// ---- Blocks ---------------------------------------------------------------------------------

// The numbers behind 16 bits of a block.
double half_at(Bytes bytes, std::size_t at) {
  std::uint16_t code = 0;
  std::memcpy(&code, bytes.data() + at, sizeof code);
  static const Format kHalf = Format::parse("f16");
  const double value = kHalf.decode(code);
  if (!(std::abs(value) <= 65504)) throw Error("a scale is infinite or NaN");
  return value;
}

unsigned byte_at(Bytes bytes, std::size_t at) { return std::to_integer<unsigned>(bytes[at]); }
unsigned low(unsigned byte) { return byte & 15U; }
unsigned high(unsigned byte) { return byte >> 4U; }

// A tensor of blocks, decoded to codes and scales. Each block has `groups` groups of codes.
struct BlockCodes {
  std::vector<std::int64_t> codes;
  std::vector<double> scales, mins;                    // of each block; mins may be absent
  std::vector<std::int64_t> group_scales, group_mins;  // whole multiples of those
};

struct BlockType {
  std::uint32_t id;
  std::string_view name;
  std::size_t bytes;
  std::int64_t groups, group;  // a block's codes: groups * group
  std::string_view format;     // of codes
  std::string_view
      scale_format;  // of whole multiples of the block's scale; "" where there are none
  void (*decode)(Bytes block, BlockCodes& to);

  std::int64_t size() const { return groups * group; }
};

// 32 codes of 4 bits: low halves, then high ones; q + offset.
void nibbles(Bytes bytes, std::size_t at, std::int64_t offset, BlockCodes& to) {
  for (const auto half : {low, high})
    for (std::size_t i = 0; i < 16; ++i)
      to.codes.push_back(std::int64_t{half(byte_at(bytes, at + i))} + offset);
}

// The same with a fifth bit each in the word at `bits`.
void nibbles_and_bits(Bytes bytes, std::size_t bits, std::size_t at, std::int64_t offset,
                      BlockCodes& to) {
  nibbles(bytes, at, offset, to);
  std::int64_t* codes = to.codes.data() + to.codes.size() - 32;
  for (std::size_t i = 0; i < 32; ++i)
    if ((byte_at(bytes, bits + i / 8) >> (i % 8) & 1U) != 0) codes[i] += 16;
}

void q4_0(Bytes block, BlockCodes& to) {
  to.scales.push_back(half_at(block, 0));
  nibbles(block, 2, -8, to);
}
void q4_1(Bytes block, BlockCodes& to) {
  to.scales.push_back(half_at(block, 0));
  to.mins.push_back(half_at(block, 2));
  nibbles(block, 4, 0, to);
}
void q5_0(Bytes block, BlockCodes& to) {
  to.scales.push_back(half_at(block, 0));
  nibbles_and_bits(block, 2, 6, -16, to);
}
void q5_1(Bytes block, BlockCodes& to) {
  to.scales.push_back(half_at(block, 0));
  to.mins.push_back(half_at(block, 2));
  nibbles_and_bits(block, 4, 8, 0, to);
}
void q8_0(Bytes block, BlockCodes& to) {
  to.scales.push_back(half_at(block, 0));
  for (std::size_t i = 0; i < 32; ++i)
    to.codes.push_back(static_cast<std::int8_t>(byte_at(block, 2 + i)));
}

// Eight scales and eight minima of 6 bits in 12 bytes.
void six_bit_scales(Bytes packed, BlockCodes& to) {
  for (std::size_t j = 0; j < 8; ++j) {
    const unsigned top = j < 4 ? 0 : byte_at(packed, j - 4) >> 6U << 4U;
    to.group_scales.push_back(j < 4 ? byte_at(packed, j) & 63U : low(byte_at(packed, j + 4)) | top);
  }
  for (std::size_t j = 0; j < 8; ++j) {
    const unsigned top = j < 4 ? 0 : byte_at(packed, j) >> 6U << 4U;
    to.group_mins.push_back(j < 4 ? byte_at(packed, j + 4) & 63U
                                  : high(byte_at(packed, j + 4)) | top);
  }
}

void k_blocks(Bytes block, std::size_t codes, std::size_t fifth_bits, BlockCodes& to) {
  to.scales.push_back(half_at(block, 0));
  to.mins.push_back(-half_at(block, 2));
  six_bit_scales(block.subspan(4, 12), to);
  for (std::size_t group = 0; group < 8; ++group)
    for (std::size_t i = 0; i < 32; ++i) {
      const unsigned byte = byte_at(block, codes + group / 2 * 32 + i);
      unsigned code = group % 2 == 0 ? low(byte) : high(byte);
      if (fifth_bits != 0) code |= (byte_at(block, fifth_bits + i) >> group & 1U) << 4U;
      to.codes.push_back(code);
    }
}
void q4_k(Bytes block, BlockCodes& to) { k_blocks(block, 16, 0, to); }
void q5_k(Bytes block, BlockCodes& to) { k_blocks(block, 48, 16, to); }

void q6_k(Bytes block, BlockCodes& to) {
  constexpr std::size_t kTops = 128, kScales = 192, kScale = 208;
  for (std::size_t half = 0; half < 2; ++half)
    for (std::size_t quarter = 0; quarter < 4; ++quarter)
      for (std::size_t i = 0; i < 32; ++i) {
        const unsigned byte = byte_at(block, half * 64 + quarter % 2 * 32 + i);
        const unsigned bits = quarter < 2 ? low(byte) : high(byte);
        const unsigned top = byte_at(block, kTops + half * 32 + i) >> (2 * quarter) & 3U;
        to.codes.push_back(std::int64_t{bits | top << 4U} - 32);
      }
  for (std::size_t i = 0; i < 16; ++i)
    to.group_scales.push_back(static_cast<std::int8_t>(byte_at(block, kScales + i)));
  to.scales.push_back(half_at(block, kScale));
}

// Codes of e2m1 and a shared power of two.
void mxfp4(Bytes block, BlockCodes& to) {
  constexpr int kBias = 127;
  if (byte_at(block, 0) == 255) throw Error("a scale is NaN");
  to.scales.push_back(std::ldexp(1.0, static_cast<int>(byte_at(block, 0)) - kBias));
  nibbles(block, 1, 0, to);
}

constexpr std::array<BlockType, 9> kBlockTypes = {{{2, "Q4_0", 18, 1, 32, "int4", "", q4_0},
                                                   {3, "Q4_1", 20, 1, 32, "uint4", "", q4_1},
                                                   {6, "Q5_0", 22, 1, 32, "int5", "", q5_0},
                                                   {7, "Q5_1", 24, 1, 32, "uint5", "", q5_1},
                                                   {8, "Q8_0", 34, 1, 32, "int8", "", q8_0},
                                                   {12, "Q4_K", 144, 8, 32, "uint4", "uint6", q4_k},
                                                   {13, "Q5_K", 176, 8, 32, "uint5", "uint6", q5_k},
                                                   {14, "Q6_K", 210, 16, 16, "int6", "int8", q6_k},
                                                   {39, "MXFP4", 17, 1, 32, "e2m1", "", mxfp4}}};

struct PlainType {
  std::uint32_t id;
  std::string_view format;
};
constexpr std::array<PlainType, 8> kPlainTypes = {{{0, "f32"},
                                                   {1, "f16"},
                                                   {24, "int8"},
                                                   {25, "int16"},
                                                   {26, "int32"},
                                                   {27, "int64"},
                                                   {28, "f64"},
                                                   {30, "bf16"}}};

// ---- Tensors --------------------------------------------------------------------------------

struct TensorEntry {
  std::string name;
  Shape shape;
  std::uint32_t type = 0;
  std::uint64_t offset = 0;
};

Tensor coded_tensor(const Format& format, const Shape& shape,
                    const std::vector<std::int64_t>& codes) {
  if (format.is_uniform()) return Tensor::from_integers(format, shape, codes);
  Tensor tensor(format, shape);
  const auto to = tensor.mutable_data<std::uint8_t>();
  for (std::size_t i = 0; i < to.size(); ++i) to[i] = static_cast<std::uint8_t>(codes[i]);
  return tensor;
}

class GgufReader {
 public:
  GgufReader(Bytes bytes, SharedBytes owner)
      : bytes_(bytes),
        owner_(std::move(owner)),
        builder_(module_, Builder::add_graph(module_, "main")) {}

  Module run() {
    Cursor in(bytes_);
    const auto magic = in.take(4);
    if (std::memcmp(magic.data(), "GGUF", 4) != 0) throw Error("it does not begin with 'GGUF'");
    const auto version = in.number<std::uint32_t>();
    if (version != 2 && version != 3)
      throw Error("version ", version, " of GGUF; versions 2 and 3 are read");
    const auto tensors = in.number<std::uint64_t>(), entries = in.number<std::uint64_t>();
    for (std::uint64_t i = 0; i < entries; ++i) read_metadata(in);
    for (std::uint64_t i = 0; i < tensors; ++i) entries_.push_back(read_entry(in));
    const std::uint64_t begin = (in.position() + alignment_ - 1) / alignment_ * alignment_;
    if (begin > bytes_.size()) throw Error("it ends before its tensors");
    for (const TensorEntry& entry : entries_) {
      try {
        add_tensor(entry, bytes_.subspan(static_cast<std::size_t>(begin)));
      } catch (const Error& error) {
        throw error.at(concat("tensor '", entry.name, "'"));
      }
    }
    verify(module_);
    return std::move(module_);
  }

 private:
  void read_metadata(Cursor& in) {
    const std::string key = in.text();
    const auto type = in.number<std::uint32_t>();
    if (type == kArray) {
      skip_array(in);
      return;
    }
    const std::string value = scalar_text(in, type);
    if (key == "general.alignment") {
      const long long alignment = parse_integer(value, "general.alignment");
      if (alignment < 1 || alignment > 1 << 20)
        throw Error("general.alignment is ", value, ", not 1 to 2^20");
      alignment_ = static_cast<std::uint64_t>(alignment);
    }
    module_.metadata[key] = value;
  }

  static TensorEntry read_entry(Cursor& in) {
    TensorEntry entry;
    entry.name = in.text();
    const auto rank = in.number<std::uint32_t>();
    constexpr std::uint32_t kMostAxes = 8;
    if (rank > kMostAxes) throw Error("tensor '", entry.name, "' has ", rank, " axes");
    for (std::uint32_t d = 0; d < rank; ++d) {
      const auto size = in.number<std::uint64_t>();
      if (size > std::uint64_t{1} << 40)
        throw Error("tensor '", entry.name, "' has an axis of ", size, " elements");
      entry.shape.insert(entry.shape.begin(), static_cast<std::int64_t>(size));  // fastest first
    }
    entry.type = in.number<std::uint32_t>();
    entry.offset = in.number<std::uint64_t>();
    return entry;
  }

  void add_tensor(const TensorEntry& entry, Bytes data) {
    for (const PlainType& type : kPlainTypes)
      if (type.id == entry.type) {
        add_output(entry, plain(entry, Format::parse(type.format), data));
        return;
      }
    for (const BlockType& type : kBlockTypes)
      if (type.id == entry.type) {
        add_output(entry, blocks(entry, type, data));
        return;
      }
    throw Error("it is of GGUF's type ", entry.type,
                "; F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K and MXFP4 are "
                "read: quantize to one of them");
  }

  void add_output(const TensorEntry& entry, ValueId value) {
    if (builder_.graph().values[value].name != entry.name)
      throw Error("another tensor, or a part of one, has its name");
    builder_.output(value);
  }

  Bytes bytes_of(const TensorEntry& entry, Bytes data, std::uint64_t count) const {
    if (entry.offset > data.size() || count > data.size() - entry.offset)
      throw Error("its ", count, " bytes from ", entry.offset, " lie beyond the file's end");
    return data.subspan(static_cast<std::size_t>(entry.offset), static_cast<std::size_t>(count));
  }

  ValueId plain(const TensorEntry& entry, const Format& format, Bytes data) {
    const auto width = static_cast<std::uint64_t>(format.bits()) / 8;
    const auto count = static_cast<std::uint64_t>(element_count(entry.shape));
    const Bytes bytes = bytes_of(entry, data, count * width);
    return builder_.constant(stored_tensor(format, entry.shape, bytes, owner_), entry.name);
  }

  ValueId blocks(const TensorEntry& entry, const BlockType& type, Bytes data) {
    const std::int64_t count = element_count(entry.shape);
    if (entry.shape.empty() || entry.shape.back() % type.size() != 0)
      throw Error("its rows of ", entry.shape.empty() ? 1 : entry.shape.back(),
                  " are no blocks of ", type.size());
    const auto blocks = static_cast<std::uint64_t>(count / type.size());
    const Bytes bytes = bytes_of(entry, data, blocks * type.bytes);
    BlockCodes codes;
    codes.codes.reserve(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < blocks; ++i)
      type.decode(bytes.subspan(i * type.bytes, type.bytes), codes);
    return decoded(entry, type, codes);
  }

  // [.., row] as [.., blocks, groups, group], or without groups where a block is one.
  ValueId decoded(const TensorEntry& entry, const BlockType& type, const BlockCodes& codes) {
    Shape each(entry.shape.begin(), entry.shape.end() - 1);  // of block scales
    each.push_back(entry.shape.back() / type.size());
    Shape split = each, of_groups = each;
    each.push_back(1);
    if (!type.scale_format.empty()) {
      each.push_back(1);
      split.push_back(type.groups);
      of_groups.push_back(type.groups);
    }
    split.push_back(type.group);
    of_groups.push_back(1);
    const auto number = [&](const std::vector<double>& values, const char* suffix) {
      const Format format = Format::parse(type.name == "MXFP4" ? "f32" : "f16");
      return builder_.constant(Tensor::from_reals(format, each, values), entry.name + suffix);
    };
    const auto nested = [&](const std::vector<std::int64_t>& whole, const std::vector<double>& unit,
                            const std::string& suffix) {
      const ValueId scale = number(unit, suffix == "/scales" ? "/scale" : "/min");
      if (type.scale_format.empty()) return scale;
      const ValueId multiples = builder_.constant(
          Tensor::from_integers(Format::parse(type.scale_format), of_groups, whole),
          entry.name + suffix);
      return builder_.add("Dequantize", {multiples, scale}, {}, entry.name + suffix + "/decoded");
    };
    const ValueId q = builder_.constant(
        coded_tensor(Format::parse(type.format), split, codes.codes), entry.name + "/codes");
    const ValueId scale = nested(codes.group_scales, codes.scales, "/scales");
    ValueId reals = builder_.add("Dequantize", {q, scale}, {}, entry.name + "/scaled");
    if (!codes.mins.empty()) {
      ValueId min = nested(codes.group_mins, codes.mins, "/mins");
      if (builder_.type(min).format != Format())
        min = builder_.add("Cast", {min}, {{"to", Format()}}, entry.name + "/min.f32");
      reals = builder_.add("Add", {reals, min}, {}, entry.name + "/shifted");
    }
    std::vector<std::string> dims;
    for (const std::int64_t size : entry.shape) dims.push_back(concat(size));
    return builder_.add("Reshape", {reals}, {{"shape", dims}}, entry.name);
  }

  Bytes bytes_;
  SharedBytes owner_;
  Module module_;
  Builder builder_;
  std::uint64_t alignment_ = 32;
  std::vector<TensorEntry> entries_;
};

Module read_shared(Bytes bytes, SharedBytes owner, std::string_view source) {
  try {
    return GgufReader(bytes, std::move(owner)).run();
  } catch (const Error& error) {
    throw error.at(source);
  }
}

}  // namespace

Module read_gguf(ByteSpan bytes, std::string_view source) { return read_shared(bytes, {}, source); }

Module read_gguf(const std::filesystem::path& path) {
  const SharedBytes mapped = map_file_range(path, 0, regular_file_size(path));
  return read_shared(mapped.bytes, mapped, path.string());
}

}  // namespace tandem
