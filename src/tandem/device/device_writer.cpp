#include "tandem/base/text.h"
#include "tandem/device/device.h"
#include "tandem/device/unit_kind.h"

namespace tandem {
namespace {

// A basic string of TOML 1.0.
std::string quoted(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string result = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      result += concat("\\u00", kHex[byte / 16], kHex[byte % 16]);
    } else {
      result += c;
    }
  }
  return result + "\"";
}

class Writer {
 public:
  void heading(std::string_view text) {
    if (!text_.empty()) text_ += "\n";
    text_ += concat(text, "\n");
  }
  void line(std::string_view key, std::string_view text) {
    text_ += concat(key, " = ", quoted(text), "\n");
  }
  void line(std::string_view key, double value) {
    text_ += concat(key, " = ", shortest(value), "\n");
  }
  void line(std::string_view key, std::int64_t value) { text_ += concat(key, " = ", value, "\n"); }
  void source(const Provenance& provenance) { line("source", to_string(provenance)); }
  std::string text() && { return std::move(text_); }

 private:
  std::string text_;
};

void write_memory(const Memory& memory, Writer& writer) {
  writer.heading("[[memory]]");
  writer.line("name", memory.name);
  writer.line("bytes", memory.bytes);
  if (memory.address != 0) writer.line("address", memory.address);
  if (memory.bytes_per_second > 0) writer.line("bytes_per_second", memory.bytes_per_second);
  writer.source(memory.provenance);
}

void write_unit(const Unit& unit, Writer& writer) {
  writer.heading("[[unit]]");
  writer.line("name", unit.name);
  writer.line("kind", unit.kind);
  for (const UnitKey& key : find_unit_kind(unit.kind).keys) {
    if (key.is_text && unit.texts.contains(key.name)) writer.line(key.name, unit.text(key.name));
    if (!key.is_text && unit.numbers.contains(key.name))
      writer.line(key.name, unit.number(key.name));
  }
  writer.source(unit.provenance);
  for (const Cost& cost : unit.costs) {
    writer.heading("[[unit.cost]]");
    writer.line("form", cost.form);
    writer.line("feature", cost.feature);
    for (const auto& [column, value] : cost.per) writer.line(column, value);
  }
}

}  // namespace

std::string to_toml(const Device& device) {
  Writer writer;
  writer.line("schema", "tandem-device/1");
  writer.line("title", device.title);
  writer.heading("[clock]");
  writer.line("hertz", device.clock.hertz);
  writer.source(device.clock.provenance);
  for (const Memory& memory : device.memories) write_memory(memory, writer);
  for (const Unit& unit : device.units) write_unit(unit, writer);
  return std::move(writer).text();
}

}  // namespace tandem
