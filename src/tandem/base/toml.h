#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tandem {

// A table of a TOML document. Every error names the file, the line and the key.
//
//   TomlTable root = TomlTable::read("device.toml");
//   const std::string name = root.string("name");           // missing: Error
//   const double volts = root.number("volts", 3.3);         // missing: 3.3
//   for (const TomlTable& unit : root.tables("unit")) ...   // [[unit]]; missing: none
//   root.done();                                            // a key nobody asked for: Error
class TomlTable {
 public:
  // Throws Error when the file cannot be read or the text is not TOML 1.0.
  static TomlTable read(const std::string& path);
  static TomlTable parse(std::string_view text, const std::string& source);

  // Values of the given type. A number may be written as an integer; an integer may not have a
  // fraction. Throw Error when the key is missing (without a default) or of another type.
  std::string string(std::string_view key) const;
  std::string string(std::string_view key, std::string_view otherwise) const;
  double number(std::string_view key) const;
  double number(std::string_view key, double otherwise) const;
  std::int64_t integer(std::string_view key) const;
  std::int64_t integer(std::string_view key, std::int64_t otherwise) const;
  bool boolean(std::string_view key) const;
  bool boolean(std::string_view key, bool otherwise) const;
  std::vector<std::string> strings(std::string_view key) const;  // missing: none
  TomlTable table(std::string_view key) const;
  std::vector<TomlTable> tables(std::string_view key) const;  // [[key]]; missing: none

  bool has(std::string_view key) const;
  std::vector<std::string> keys() const;  // sorted

  // Throws Error naming the first key that was never asked for and the nearest that was.
  void done() const;

  // Where the table or one of its keys stands: "device.toml:12".
  std::string place() const;
  std::string place(std::string_view key) const;

 private:
  struct Document;
  TomlTable(std::shared_ptr<const Document> document, const void* table, std::string name);
  const void* find(std::string_view key) const;  // notes that the key was asked for
  const void* require(std::string_view key) const;
  [[noreturn]] void wrong_type(std::string_view key, std::string_view wanted) const;
  std::string where(std::string_view key) const;

  std::shared_ptr<const Document> document_;
  const void* table_;  // toml::table; the library's header stays out of ours
  std::string name_;   // "unit[1].cost": for messages
  std::shared_ptr<std::vector<std::string>> asked_;
};

}  // namespace tandem
