#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tandem {

// What a number may be; the unit is for messages ("must be a number from 1 to 1000 MHz").
struct NumberBounds {
  double min = -std::numeric_limits<double>::max();
  double max = std::numeric_limits<double>::max();
  std::string_view unit = "";
};
struct IntegerBounds {
  std::int64_t min = std::numeric_limits<std::int64_t>::min();
  std::int64_t max = std::numeric_limits<std::int64_t>::max();
  std::string_view unit = "";
};

// A table of a TOML document, read strictly: getters check type and bounds, and done() refuses what
// nobody asked for. Every error names the file, the line and the key.
//
//   TomlTable root = TomlTable::read("device.toml");
//   const std::string name = root.string("name");           // missing: Error
//   const double volts = root.number("volts", 3.3);         // missing: 3.3
//   const double clock = root.number("clock_mhz", {.min = 1, .max = 10'000, .unit = "MHz"});
//   for (const TomlTable& unit : root.tables("unit")) ...   // [[unit]]; missing: none
//   root.done();                                            // a key nobody asked for: Error
class TomlTable {
 public:
  // Throw Error when the file cannot be read, on text that is not TOML 1.0, on more than
  // kMostBytes and on nesting deeper than kMostDepth. `source` is the file's name for messages.
  static TomlTable read(const std::string& path);
  static TomlTable parse(std::string_view text, const std::string& source);
  static constexpr std::size_t kMostBytes = std::size_t{16} << 20;
  static constexpr int kMostDepth = 64;

  // Values of the given type. A number may be written as an integer and must be finite; an integer
  // may not have a fraction. Throw Error when the key is missing (without a default), of another
  // type or out of bounds.
  std::string string(std::string_view key) const;
  std::string string(std::string_view key, std::string_view otherwise) const;
  double number(std::string_view key, const NumberBounds& bounds = {}) const;
  double number(std::string_view key, double otherwise, const NumberBounds& bounds = {}) const;
  std::int64_t integer(std::string_view key, const IntegerBounds& bounds = {}) const;
  std::int64_t integer(std::string_view key, std::int64_t otherwise,
                       const IntegerBounds& bounds = {}) const;
  bool boolean(std::string_view key) const;
  bool boolean(std::string_view key, bool otherwise) const;
  // One of the given words; the Error for another names the nearest.
  std::string choice(std::string_view key, const std::vector<std::string>& choices) const;
  TomlTable table(std::string_view key) const;

  // Arrays; none when the key is missing.
  std::vector<std::string> strings(std::string_view key) const;
  std::vector<double> numbers(std::string_view key, const NumberBounds& bounds = {}) const;
  std::vector<std::int64_t> integers(std::string_view key, const IntegerBounds& bounds = {}) const;
  std::vector<TomlTable> tables(std::string_view key) const;  // [[key]]

  bool has(std::string_view key) const;   // does not count as asking for the value
  std::vector<std::string> keys() const;  // in the order of the file

  // Throws Error that lists every key, here and in the tables below, that was never asked for, each
  // with its line and the nearest key that was.
  void done() const;

  // Where the table or one of its keys stands: "device.toml:12".
  std::string place() const;
  std::string place(std::string_view key) const;

 private:
  struct Document;
  struct Node;
  TomlTable(std::shared_ptr<const Document> document, const Node* node)
      : document_(std::move(document)), node_(node) {}
  const Node* find(std::string_view key) const;  // notes that the key was asked for
  const Node& require(std::string_view key) const;
  const Node* find_array(std::string_view key, std::string_view wanted) const;

  std::shared_ptr<const Document> document_;
  const Node* node_;  // in the document
};

}  // namespace tandem
