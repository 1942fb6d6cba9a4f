#include "tandem/base/toml.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/base/text.h"

// Compiled in, so that sanitizers and the fuzzer see the parser too; its nesting is bounded here
// because it recurses.
#define TOML_HEADER_ONLY 1
#define TOML_ENABLE_FORMATTERS 0
#define TOML_MAX_NESTED_VALUES 64
#include <toml++/toml.h>

namespace tandem {
namespace {

enum class Kind { kText, kInteger, kNumber, kBoolean, kDate, kArray, kTable };

std::string_view kind_name(Kind kind) {
  switch (kind) {
    case Kind::kText: return "a string";
    case Kind::kInteger: return "an integer";
    case Kind::kNumber: return "a number";
    case Kind::kBoolean: return "a boolean";
    case Kind::kDate: return "a date or time";
    case Kind::kArray: return "an array";
    case Kind::kTable: return "a table";
  }
  throw InternalError("unknown kind of TOML value");
}

// The end of the string that starts at text[at] with a quote: after its closing quote, or where an
// unclosed one must end.
std::size_t after_string(std::string_view text, std::size_t at) {
  const char quote = text[at];
  const bool is_long = text.substr(at).starts_with(std::string(3, quote));
  for (std::size_t i = at + (is_long ? 3 : 1); i < text.size(); ++i) {
    if (text[i] == '\\' && quote == '"')
      ++i;
    else if (!is_long && (text[i] == quote || text[i] == '\n'))
      return i + 1;
    else if (is_long && text.substr(i).starts_with(std::string(3, quote)))
      return i + 3;
  }
  return text.size();
}

// What the parser must not see. Dotted keys nest tables without a bound of the parser's, and such
// tables are destroyed by recursion. Letters beyond ASCII, which TOML allows in strings and
// comments alone, have undefined behaviour in toml++ 3.3 where it looks for white space.
void check_text(std::string_view text, const std::string& source) {
  int dots = 0;
  int line = 1;
  const std::size_t begin = text.starts_with("\xEF\xBB\xBF") ? 3 : 0;  // a byte order mark
  for (std::size_t i = begin; i < text.size();) {
    const char c = text[i];
    if (c == '"' || c == '\'') {
      const std::size_t end = std::min(after_string(text, i), text.size());
      line += static_cast<int>(std::count(text.begin() + static_cast<std::ptrdiff_t>(i),
                                          text.begin() + static_cast<std::ptrdiff_t>(end), '\n'));
      i = end;
      continue;
    }
    if (c == '#') {
      i = std::min(text.find('\n', i), text.size());
      continue;
    }
    if (static_cast<unsigned char>(c) >= 0x80) {
      throw Error(source, ":", line,
                  ": not TOML: a letter that is not ASCII outside of strings and comments; put it "
                  "in quotes");
    }
    if (c == '.' && ++dots >= TomlTable::kMostDepth)
      throw Error(source, ":", line, ": a key has more than ", TomlTable::kMostDepth, " parts");
    if (std::string_view("=,[]{}\n").find(c) != std::string_view::npos) dots = 0;
    if (c == '\n') ++line;
    ++i;
  }
}

std::string range_text(const std::string& min, const std::string& max, bool has_min, bool has_max,
                       std::string_view unit) {
  std::string text;
  if (has_min && has_max)
    text = concat(" from ", min, " to ", max);
  else if (has_min)
    text = concat(" of at least ", min);
  else if (has_max)
    text = concat(" of at most ", max);
  if (!unit.empty()) text += concat(text.empty() ? " in " : " ", unit);
  return text;
}

std::string bounds_text(const IntegerBounds& bounds) {
  const IntegerBounds any;
  return range_text(std::to_string(bounds.min), std::to_string(bounds.max), bounds.min != any.min,
                    bounds.max != any.max, bounds.unit);
}

std::string bounds_text(const NumberBounds& bounds) {
  const NumberBounds any;
  return range_text(shortest(bounds.min), shortest(bounds.max), bounds.min != any.min,
                    bounds.max != any.max, bounds.unit);
}

}  // namespace

// A value of the document, and what has been asked of it.
struct TomlTable::Node {
  Kind kind = Kind::kTable;
  std::string name;  // as the key of an entry
  std::string path;  // "unit[1].clock_mhz"; empty for the document as a whole
  int line = 0;
  int column = 0;
  std::string text;
  std::int64_t integer = 0;
  double number = 0;
  bool boolean = false;
  std::vector<Node> items;
  std::vector<Node> entries;  // in the order of the file

  mutable bool is_used = false;
  mutable std::vector<std::string> asked;  // keys that a getter has looked for

  const Node* entry(std::string_view key) const {
    for (const Node& candidate : entries)
      if (candidate.name == key) return &candidate;
    return nullptr;
  }
  // "a string ('fast')"
  std::string found() const;
};

std::string TomlTable::Node::found() const {
  const std::string_view name_of_kind = kind_name(kind);
  switch (kind) {
    case Kind::kText: return concat(name_of_kind, " (", quote(text), ")");
    case Kind::kInteger: return concat(name_of_kind, " (", integer, ")");
    case Kind::kNumber: return concat(name_of_kind, " (", shortest(number), ")");
    default: return std::string(name_of_kind);
  }
}

struct TomlTable::Document {
  std::string source;
  Node root;

  Node convert(const toml::node& from, std::string path, int depth) const;
  void convert_entries(const toml::table& from, Node& to, int depth) const;

  std::string place(const Node& node) const {
    return node.line == 0 ? source : concat(source, ":", node.line);
  }
  Error wrong(const Node& node, std::string_view wanted) const {
    return Error(place(node), ": ", quote(node.path), " must be ", wanted, ", found ",
                 node.found());
  }
  const std::string& string_of(const Node& node) const;
  bool boolean_of(const Node& node) const;
  std::int64_t integer_of(const Node& node, const IntegerBounds& bounds) const;
  double number_of(const Node& node, const NumberBounds& bounds) const;
  void collect_unused(const Node& table, std::vector<std::string>& problems) const;
};

TomlTable::Node TomlTable::Document::convert(const toml::node& from, std::string path,
                                             int depth) const {
  Node to;
  to.line = static_cast<int>(from.source().begin.line);
  to.path = std::move(path);
  if (depth > kMostDepth)
    throw Error(place(to), ": values are nested deeper than ", kMostDepth, " levels");
  if (const auto* text = from.as_string()) {
    to.kind = Kind::kText;
    to.text = text->get();
  } else if (const auto* integer = from.as_integer()) {
    to.kind = Kind::kInteger;
    to.integer = integer->get();
  } else if (const auto* number = from.as_floating_point()) {
    to.kind = Kind::kNumber;
    to.number = number->get();
  } else if (const auto* boolean = from.as_boolean()) {
    to.kind = Kind::kBoolean;
    to.boolean = boolean->get();
  } else if (const auto* array = from.as_array()) {
    to.kind = Kind::kArray;
    for (std::size_t i = 0; i < array->size(); ++i)
      to.items.push_back(convert((*array)[i], concat(to.path, "[", i, "]"), depth + 1));
  } else if (const auto* table = from.as_table()) {
    to.kind = Kind::kTable;
    convert_entries(*table, to, depth);
  } else {
    to.kind = Kind::kDate;
  }
  return to;
}

void TomlTable::Document::convert_entries(const toml::table& from, Node& to, int depth) const {
  for (const auto& [key, value] : from) {
    const std::string name(key.str());
    Node entry = convert(value, to.path.empty() ? name : concat(to.path, ".", name), depth + 1);
    entry.name = name;
    // A key says better than its value where a long value or an implied table begins.
    entry.line = static_cast<int>(key.source().begin.line);
    entry.column = static_cast<int>(key.source().begin.column);
    to.entries.push_back(std::move(entry));
  }
  std::stable_sort(to.entries.begin(), to.entries.end(), [](const Node& a, const Node& b) {
    return std::pair(a.line, a.column) < std::pair(b.line, b.column);
  });
}

const std::string& TomlTable::Document::string_of(const Node& node) const {
  if (node.kind != Kind::kText) throw wrong(node, "a string");
  return node.text;
}

bool TomlTable::Document::boolean_of(const Node& node) const {
  if (node.kind != Kind::kBoolean) throw wrong(node, "true or false");
  return node.boolean;
}

std::int64_t TomlTable::Document::integer_of(const Node& node, const IntegerBounds& bounds) const {
  if (node.kind != Kind::kInteger || node.integer < bounds.min || node.integer > bounds.max)
    throw wrong(node, concat("an integer", bounds_text(bounds)));
  return node.integer;
}

double TomlTable::Document::number_of(const Node& node, const NumberBounds& bounds) const {
  const bool is_integer = node.kind == Kind::kInteger;
  if (!is_integer && node.kind != Kind::kNumber)
    throw wrong(node, concat("a number", bounds_text(bounds)));
  const double value = is_integer ? static_cast<double>(node.integer) : node.number;
  if (!std::isfinite(value) || value < bounds.min || value > bounds.max)
    throw wrong(node,
                concat(std::isfinite(value) ? "a number" : "a finite number", bounds_text(bounds)));
  return value;
}

void TomlTable::Document::collect_unused(const Node& table,
                                         std::vector<std::string>& problems) const {
  std::vector<std::string> valid;
  for (const std::string& key : table.asked) {
    const Node* entry = table.entry(key);
    if (entry == nullptr || entry->is_used) valid.push_back(key);
  }
  for (const Node& entry : table.entries) {
    if (!entry.is_used) {
      problems.push_back(
          concat(place(entry), ": unknown key ", quote(entry.path), suggestion(entry.name, valid)));
      continue;
    }
    if (entry.kind == Kind::kTable) collect_unused(entry, problems);
    for (const Node& item : entry.items)
      if (item.kind == Kind::kTable) collect_unused(item, problems);
  }
}

TomlTable TomlTable::read(const std::string& path) { return parse(read_file(path), path); }

TomlTable TomlTable::parse(std::string_view text, const std::string& source) {
  if (text.size() > kMostBytes)
    throw Error(source, ": longer than ", kMostBytes >> 20, " MiB, the most for a TOML file");
  check_text(text, source);
  auto document = std::make_shared<Document>();
  document->source = source;
  try {
    document->root = document->convert(toml::parse(text, source), "", 0);
  } catch (const toml::parse_error& error) {
    throw Error(source, ":", error.source().begin.line, ": not TOML: ", error.description());
  }
  document->root.line = 0;
  const Node* root = &document->root;
  return {std::move(document), root};
}

const TomlTable::Node* TomlTable::find(std::string_view key) const {
  if (std::find(node_->asked.begin(), node_->asked.end(), key) == node_->asked.end())
    node_->asked.emplace_back(key);
  const Node* entry = node_->entry(key);
  if (entry != nullptr) entry->is_used = true;
  return entry;
}

const TomlTable::Node& TomlTable::require(std::string_view key) const {
  if (const Node* node = find(key)) return *node;
  std::vector<std::string> unused;
  for (const Node& entry : node_->entries)
    if (!entry.is_used) unused.push_back(entry.name);
  const std::string near = nearest_name(key, unused);
  const std::string meant =
      near.empty() ? "add it"
                   : concat("is ", quote(near), " in line ", node_->entry(near)->line, " meant?");
  throw Error(place(), ": missing key '", key, "'",
              node_->path.empty() ? "" : concat(" in table ", quote(node_->path)), "; ", meant);
}

const TomlTable::Node* TomlTable::find_array(std::string_view key, std::string_view wanted) const {
  const Node* node = find(key);
  if (node != nullptr && node->kind != Kind::kArray) throw document_->wrong(*node, wanted);
  return node;
}

std::string TomlTable::string(std::string_view key) const {
  return document_->string_of(require(key));
}

std::string TomlTable::string(std::string_view key, std::string_view otherwise) const {
  const Node* node = find(key);
  return node == nullptr ? std::string(otherwise) : document_->string_of(*node);
}

double TomlTable::number(std::string_view key, const NumberBounds& bounds) const {
  return document_->number_of(require(key), bounds);
}

double TomlTable::number(std::string_view key, double otherwise, const NumberBounds& bounds) const {
  const Node* node = find(key);
  return node == nullptr ? otherwise : document_->number_of(*node, bounds);
}

std::int64_t TomlTable::integer(std::string_view key, const IntegerBounds& bounds) const {
  return document_->integer_of(require(key), bounds);
}

std::int64_t TomlTable::integer(std::string_view key, std::int64_t otherwise,
                                const IntegerBounds& bounds) const {
  const Node* node = find(key);
  return node == nullptr ? otherwise : document_->integer_of(*node, bounds);
}

bool TomlTable::boolean(std::string_view key) const { return document_->boolean_of(require(key)); }

bool TomlTable::boolean(std::string_view key, bool otherwise) const {
  const Node* node = find(key);
  return node == nullptr ? otherwise : document_->boolean_of(*node);
}

std::string TomlTable::choice(std::string_view key, const std::vector<std::string>& choices) const {
  const Node& node = require(key);
  const std::string& word = document_->string_of(node);
  if (std::find(choices.begin(), choices.end(), word) == choices.end())
    throw Error(document_->place(node), ": ", quote(node.path), " cannot be ", quote(word),
                suggestion(word, choices, choices.size()));
  return word;
}

TomlTable TomlTable::table(std::string_view key) const {
  const Node& node = require(key);
  if (node.kind != Kind::kTable) throw document_->wrong(node, "a table");
  return {document_, &node};
}

std::vector<std::string> TomlTable::strings(std::string_view key) const {
  std::vector<std::string> result;
  if (const Node* array = find_array(key, "an array of strings"))
    for (const Node& item : array->items) result.push_back(document_->string_of(item));
  return result;
}

std::vector<double> TomlTable::numbers(std::string_view key, const NumberBounds& bounds) const {
  std::vector<double> result;
  if (const Node* array = find_array(key, "an array of numbers"))
    for (const Node& item : array->items) result.push_back(document_->number_of(item, bounds));
  return result;
}

std::vector<std::int64_t> TomlTable::integers(std::string_view key,
                                              const IntegerBounds& bounds) const {
  std::vector<std::int64_t> result;
  if (const Node* array = find_array(key, "an array of integers"))
    for (const Node& item : array->items) result.push_back(document_->integer_of(item, bounds));
  return result;
}

std::vector<TomlTable> TomlTable::tables(std::string_view key) const {
  std::vector<TomlTable> result;
  const Node* array = find_array(key, concat("an array of tables, [[", key, "]]"));
  if (array == nullptr) return result;
  for (const Node& item : array->items) {
    if (item.kind != Kind::kTable) throw document_->wrong(item, "a table");
    result.push_back(TomlTable(document_, &item));
  }
  return result;
}

bool TomlTable::has(std::string_view key) const {
  const Node* entry = node_->entry(key);
  const bool was_used = entry != nullptr && entry->is_used;
  find(key);
  if (entry != nullptr) entry->is_used = was_used;
  return entry != nullptr;
}

std::vector<std::string> TomlTable::keys() const {
  std::vector<std::string> names;
  for (const Node& entry : node_->entries) names.push_back(entry.name);
  return names;
}

void TomlTable::done() const {
  std::vector<std::string> problems;
  document_->collect_unused(*node_, problems);
  if (!problems.empty()) throw Error(join(problems, "\n"));
}

std::string TomlTable::place() const { return document_->place(*node_); }

std::string TomlTable::place(std::string_view key) const {
  const Node* entry = node_->entry(key);
  return document_->place(entry != nullptr ? *entry : *node_);
}

}  // namespace tandem
