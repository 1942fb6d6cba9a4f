#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/files/weights_file.h"
#include "tandem/graph/builder.h"
#include "tandem/graph/verifier.h"
#include "tandem/numerics/bit_packer.h"

namespace tandem {
namespace {

using Json = nlohmann::json;

struct ElementType {
  std::string_view name, format;
  std::size_t bytes;
  bool is_coded = false;  // codes, whose reals need a Dequantize of scale 1
};
constexpr std::array<ElementType, 14> kElementTypes = {{{"F64", "f64", 8},
                                                        {"F32", "f32", 4},
                                                        {"F16", "f16", 2},
                                                        {"BF16", "bf16", 2},
                                                        {"BOOL", "bool", 1},
                                                        {"I8", "int8", 1},
                                                        {"I16", "int16", 2},
                                                        {"I32", "int32", 4},
                                                        {"I64", "int64", 8},
                                                        {"U8", "uint8", 1},
                                                        {"U16", "uint16", 2},
                                                        {"U32", "uint32", 4},
                                                        {"F8_E4M3", "e4m3", 1, true},
                                                        {"F8_E5M2", "e5m2", 1, true}}};

struct StoredTensor {
  std::string name;
  const ElementType* type = nullptr;
  Shape shape;
  ByteSpan bytes;
};

// The header's objects, in the order of the data.
class Header {
 public:
  Header(ByteSpan bytes, std::map<std::string, std::string>& metadata) {
    std::uint64_t length = 0;
    if (bytes.size() < sizeof length) throw Error("it has no header; it may be truncated");
    std::memcpy(&length, bytes.data(), sizeof length);
    constexpr std::uint64_t kMostHeader = 100'000'000;  // as the format's own reader has it
    if (length > kMostHeader || length > bytes.size() - sizeof length)
      throw Error("its header of ", length, " bytes does not fit its ", bytes.size(), " bytes");
    const auto* text = reinterpret_cast<const char*>(bytes.data()) + sizeof length;
    Json header;
    try {
      header = Json::parse(text, text + length);
    } catch (const Json::exception& error) {
      throw Error("its header is no JSON: ", error.what());
    }
    if (!header.is_object()) throw Error("its header is no JSON object");
    data_ = bytes.subspan(sizeof length + static_cast<std::size_t>(length));
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__") {
        read_metadata(entry, metadata);
        continue;
      }
      try {
        tensors_.push_back(stored(name, entry));
      } catch (const Json::exception&) {
        throw Error("tensor '", name, "': its entry needs dtype, shape and data_offsets");
      } catch (const Error& error) {
        throw error.at(concat("tensor '", name, "'"));
      }
    }
    std::ranges::stable_sort(tensors_, [](const StoredTensor& a, const StoredTensor& b) {
      return a.bytes.data() < b.bytes.data();
    });
  }

  const std::vector<StoredTensor>& tensors() const { return tensors_; }

 private:
  static void read_metadata(const Json& entry, std::map<std::string, std::string>& metadata) {
    if (!entry.is_object()) throw Error("__metadata__ is no JSON object");
    for (const auto& [key, value] : entry.items())
      if (value.is_string()) metadata[key] = value.get<std::string>();
  }

  StoredTensor stored(const std::string& name, const Json& entry) const {
    StoredTensor tensor;
    tensor.name = name;
    const auto dtype = entry.at("dtype").get<std::string>();
    std::vector<std::string> names;
    for (const ElementType& type : kElementTypes) {
      if (type.name == dtype) tensor.type = &type;
      names.emplace_back(type.name);
    }
    if (tensor.type == nullptr)
      throw Error("its dtype '", dtype, "' is not read", suggestion(dtype, names));
    for (const Json& size : entry.at("shape")) tensor.shape.push_back(whole(size));
    const Json& offsets = entry.at("data_offsets");
    const std::int64_t begin = whole(offsets.at(0)), end = whole(offsets.at(1));
    const auto count = static_cast<std::uint64_t>(element_count(tensor.shape));
    if (end < begin || static_cast<std::uint64_t>(end) > data_.size())
      throw Error("its bytes ", begin, " to ", end, " lie beyond the file's end");
    if (static_cast<std::uint64_t>(end - begin) != count * tensor.type->bytes)
      throw Error("it has ", end - begin, " bytes where its shape needs ",
                  count * tensor.type->bytes);
    tensor.bytes =
        data_.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
    return tensor;
  }

  static std::int64_t whole(const Json& number) {
    if (!number.is_number_integer()) throw Error("its shape and offsets must be whole numbers");
    const auto value = number.get<std::int64_t>();
    if (value < 0) throw Error("its shape and offsets must not be negative");
    return value;
  }

  ByteSpan data_;
  std::vector<StoredTensor> tensors_;
};

class SafetensorsReader {
 public:
  SafetensorsReader(ByteSpan bytes, SharedBytes owner)
      : owner_(std::move(owner)),
        header_(bytes, module_.metadata),
        builder_(module_, Builder::add_graph(module_, "main")) {
    for (const StoredTensor& tensor : header_.tensors()) by_name_[tensor.name] = &tensor;
  }

  Module run() {
    std::set<std::string> parts;  // of a coded tensor
    for (const StoredTensor& tensor : header_.tensors())
      for (const char* kind : {"nf4", "fp4"})
        if (by_name_.contains(concat(tensor.name, kState, kind)))
          for (const char* suffix :
               {".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map"})
            parts.insert(tensor.name + suffix);
    for (const StoredTensor& tensor : header_.tensors()) {
      const bool is_state = tensor.name.find(kState) != std::string::npos;
      if (is_state || parts.contains(tensor.name)) continue;
      try {
        add(tensor);
      } catch (const Error& error) {
        throw error.at(concat("tensor '", tensor.name, "'"));
      }
    }
    verify(module_);
    return std::move(module_);
  }

 private:
  static constexpr const char* kState = ".quant_state.bitsandbytes__";

  void add(const StoredTensor& stored) {
    ValueId value = kNone;
    for (const char* kind : {"nf4", "fp4"})
      if (const auto state = by_name_.find(concat(stored.name, kState, kind));
          state != by_name_.end())
        value = four_bits(stored, *state->second,
                          Format::parse(std::string(kind) == "nf4" ? "nf4" : "bnb_fp4"));
    if (value == kNone && stored.type->is_coded) {
      const ValueId codes = builder_.constant(tensor(stored), stored.name + "/codes");
      const ValueId one = builder_.constant(Tensor::scalar(1), stored.name + "/scale");
      value = builder_.add("Dequantize", {codes, one}, {}, stored.name);
    } else if (value == kNone) {
      value = builder_.constant(tensor(stored), stored.name);
    }
    if (builder_.graph().values[value].name != stored.name)
      throw Error("another tensor, or a part of one, has its name");
    builder_.output(value);
  }

  Tensor tensor(const StoredTensor& stored) const {
    check_booleans(stored);
    return stored_tensor(Format::parse(stored.type->format), stored.shape, stored.bytes, owner_);
  }

  static void check_booleans(const StoredTensor& stored) {
    if (stored.type->name != "BOOL") return;
    for (const std::byte byte : stored.bytes)
      if (std::to_integer<unsigned>(byte) > 1) throw Error("it has a boolean that is not 0 or 1");
  }

  // ---- bitsandbytes ----

  const StoredTensor& part(const std::string& name, std::string_view suffix) const {
    const auto found = by_name_.find(concat(name, suffix));
    if (found == by_name_.end()) throw Error("it is of bitsandbytes, but has no '", suffix, "'");
    return *found->second;
  }

  // Two codes a byte, the first in the high half, in blocks with a scale each.
  ValueId four_bits(const StoredTensor& stored, const StoredTensor& state, const Format& format) {
    const std::string json(reinterpret_cast<const char*>(state.bytes.data()), state.bytes.size());
    Shape shape;
    std::int64_t block = 0;
    Json fields;
    try {
      fields = Json::parse(json);
      for (const Json& size : fields.at("shape")) shape.push_back(size.get<std::int64_t>());
      block = fields.at("blocksize").get<std::int64_t>();
    } catch (const Json::exception&) {
      throw Error("its quant_state is no JSON with shape and blocksize");
    }
    const std::int64_t count = element_count(shape);
    if (block < 1 || count % block != 0)
      throw Error("its ", count, " elements are no whole blocks of ", block);
    if (stored.type->bytes != 1 ||
        static_cast<std::int64_t>(stored.bytes.size()) != (count + 1) / 2)
      throw Error("it has ", stored.bytes.size(), " bytes for ", count, " codes of 4 bits");
    check_table(stored.name, ".quant_map", format);
    Tensor codes(format, {count / block, block});
    const std::span bytes(reinterpret_cast<const std::uint8_t*>(stored.bytes.data()),
                          stored.bytes.size());
    std::ranges::transform(
        unpack_bits(bytes, static_cast<std::size_t>(count), Packing::parse("4/high")),
        codes.mutable_data<std::uint8_t>().begin(),
        [](std::uint16_t code) { return static_cast<std::uint8_t>(code); });
    const ValueId q = builder_.constant(std::move(codes), stored.name + "/codes");
    const ValueId scale = block_scales(stored.name, fields, count / block);
    const ValueId reals = builder_.add("Dequantize", {q, scale}, {}, stored.name + "/blocks");
    std::vector<std::string> dims;
    for (const std::int64_t size : shape) dims.push_back(concat(size));
    return builder_.add("Reshape", {reals}, {{"shape", dims}}, stored.name);
  }

  // Codes stand for the numbers of our format only where the file has the same table.
  void check_table(const std::string& name, std::string_view suffix, const Format& format) const {
    const Tensor table = tensor(part(name, suffix));
    const auto codes = static_cast<std::int64_t>(format.codes().size());
    if (!table.format().is_float() || table.size() != codes)
      throw Error("its table", suffix, " has not ", codes, " reals");
    constexpr double kTolerance = 1e-6;
    for (std::int64_t i = 0; i < codes; ++i)
      if (!(std::abs(table.real(i) - format.decode(static_cast<std::uint64_t>(i))) <= kTolerance))
        throw Error("its table", suffix, " is not that of ", format.name(), ": code ", i,
                    " stands for ", shortest(table.real(i)), ", not ",
                    shortest(format.decode(static_cast<std::uint64_t>(i))));
  }

  // Scales of blocks, f32 or codes of 8 bits with scales and a mean of their own.
  ValueId block_scales(const std::string& name, const Json& fields, std::int64_t blocks) {
    const Tensor absmax = tensor(part(name, ".absmax"));
    if (absmax.size() != blocks)
      throw Error("it has ", absmax.size(), " scales for ", blocks, " blocks");
    if (absmax.format() == Format())
      return builder_.constant(absmax.reshaped({blocks, 1}), name + "/scales");
    const Format format = Format::parse("bnb_dynamic8");
    if (absmax.format() != Format::parse("uint8")) throw Error("its absmax is neither F32 nor U8");
    check_table(name, ".nested_quant_map", format);
    std::int64_t block = 0;
    double offset = 0;
    try {
      block = fields.at("nested_blocksize").get<std::int64_t>();
      offset = fields.at("nested_offset").get<double>();
    } catch (const Json::exception&) {
      throw Error("its quant_state has no nested_blocksize and nested_offset");
    }
    const Tensor nested = tensor(part(name, ".nested_absmax"));
    if (block < 1 || nested.format() != Format() || nested.size() != (blocks + block - 1) / block)
      throw Error("its nested_absmax has not one F32 for each ", block, " of ", blocks, " scales");
    Tensor codes(format, {blocks, 1}), scales(Format(), {blocks, 1});
    std::ranges::copy(absmax.data<std::uint8_t>(), codes.mutable_data<std::uint8_t>().begin());
    for (std::size_t i = 0; i < static_cast<std::size_t>(blocks); ++i)
      scales.mutable_data<float>()[i] = nested.data<float>()[i / static_cast<std::size_t>(block)];
    const ValueId q = builder_.constant(std::move(codes), name + "/scales");
    const ValueId unit = builder_.constant(std::move(scales), name + "/scale");
    const ValueId mean = builder_.constant(Tensor::scalar(offset), name + "/mean");
    const ValueId centred = builder_.add("Dequantize", {q, unit}, {}, name + "/scales.centred");
    return builder_.add("Add", {centred, mean}, {}, name + "/scales.decoded");
  }

  Module module_;
  SharedBytes owner_;
  Header header_;
  Builder builder_;
  std::map<std::string, const StoredTensor*> by_name_;
};

Module read_shared_safetensors(ByteSpan bytes, SharedBytes owner, std::string_view source) {
  try {
    return SafetensorsReader(bytes, std::move(owner)).run();
  } catch (const Error& error) {
    throw error.at(source);
  }
}

}  // namespace

Module read_safetensors(ByteSpan bytes, std::string_view source) {
  return read_shared_safetensors(bytes, {}, source);
}

Module read_safetensors(const std::filesystem::path& path) {
  const SharedBytes mapped = map_file_range(path, 0, regular_file_size(path));
  return read_shared_safetensors(mapped.bytes, mapped, path.string());
}

}  // namespace tandem
