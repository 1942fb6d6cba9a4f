#include "tandem/base/toml.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include <toml++/toml.h>

#include "tandem/base/error.h"
#include "tandem/base/text.h"

namespace tandem {

struct TomlTable::Document {
  std::string source;
  toml::table root;
};

namespace {

const toml::table& as_table(const void* table) { return *static_cast<const toml::table*>(table); }
const toml::node& as_node(const void* node) { return *static_cast<const toml::node*>(node); }

std::string kind_of(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table: return "a table";
    case toml::node_type::array: return "an array";
    case toml::node_type::string: return "a string";
    case toml::node_type::integer: return "an integer";
    case toml::node_type::floating_point: return "a number";
    case toml::node_type::boolean: return "a boolean";
    default: return "a date or time";
  }
}

}  // namespace

TomlTable::TomlTable(std::shared_ptr<const Document> document, const void* table, std::string name)
    : document_(std::move(document)),
      table_(table),
      name_(std::move(name)),
      asked_(std::make_shared<std::vector<std::string>>()) {}

TomlTable TomlTable::read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf()))
    throw Error(path, ": cannot be read; check that the file exists and is not empty");
  return parse(text.str(), path);
}

TomlTable TomlTable::parse(std::string_view text, const std::string& source) {
  auto document = std::make_shared<Document>();
  document->source = source;
  try {
    document->root = toml::parse(text);
  } catch (const toml::parse_error& error) {
    throw Error(source, ":", error.source().begin.line, ": not TOML: ", error.description());
  }
  const toml::table* root = &document->root;
  return {std::move(document), root, ""};
}

const void* TomlTable::find(std::string_view key) const {
  if (std::find(asked_->begin(), asked_->end(), key) == asked_->end()) asked_->emplace_back(key);
  return as_table(table_).get(key);
}

const void* TomlTable::require(std::string_view key) const {
  const void* node = find(key);
  if (node == nullptr) {
    const std::string in = name_.empty() ? "" : concat(" in [", name_, "]");
    throw Error(place(), ": missing key '", key, "'", in, "; add it");
  }
  return node;
}

std::string TomlTable::where(std::string_view key) const {
  return name_.empty() ? std::string(key) : concat(name_, ".", key);
}

void TomlTable::wrong_type(std::string_view key, std::string_view wanted) const {
  throw Error(place(key), ": '", where(key), "' must be ", wanted, ", found ",
              kind_of(*as_table(table_).get(key)));
}

std::string TomlTable::string(std::string_view key) const {
  const auto value = as_node(require(key)).value_exact<std::string>();
  if (!value) wrong_type(key, "a string");
  return *value;
}

std::string TomlTable::string(std::string_view key, std::string_view otherwise) const {
  return find(key) == nullptr ? std::string(otherwise) : string(key);
}

double TomlTable::number(std::string_view key) const {
  const toml::node& node = as_node(require(key));
  if (!node.is_number()) wrong_type(key, "a number");
  return *node.value<double>();
}

double TomlTable::number(std::string_view key, double otherwise) const {
  return find(key) == nullptr ? otherwise : number(key);
}

std::int64_t TomlTable::integer(std::string_view key) const {
  const auto value = as_node(require(key)).value_exact<std::int64_t>();
  if (!value) wrong_type(key, "an integer");
  return *value;
}

std::int64_t TomlTable::integer(std::string_view key, std::int64_t otherwise) const {
  return find(key) == nullptr ? otherwise : integer(key);
}

bool TomlTable::boolean(std::string_view key) const {
  const auto value = as_node(require(key)).value_exact<bool>();
  if (!value) wrong_type(key, "true or false");
  return *value;
}

bool TomlTable::boolean(std::string_view key, bool otherwise) const {
  return find(key) == nullptr ? otherwise : boolean(key);
}

std::vector<std::string> TomlTable::strings(std::string_view key) const {
  const void* node = find(key);
  if (node == nullptr) return {};
  const toml::array* array = as_node(node).as_array();
  if (array == nullptr) wrong_type(key, "an array of strings");
  std::vector<std::string> result;
  for (const toml::node& element : *array) {
    const auto value = element.value_exact<std::string>();
    if (!value)
      throw Error(place(key), ": '", where(key), "' must hold strings only, found ",
                  kind_of(element));
    result.push_back(*value);
  }
  return result;
}

TomlTable TomlTable::table(std::string_view key) const {
  const toml::table* inner = as_node(require(key)).as_table();
  if (inner == nullptr) wrong_type(key, "a table");
  return {document_, inner, where(key)};
}

std::vector<TomlTable> TomlTable::tables(std::string_view key) const {
  const void* node = find(key);
  if (node == nullptr) return {};
  const toml::array* array = as_node(node).as_array();
  if (array == nullptr) wrong_type(key, concat("an array of tables, [[", where(key), "]]"));
  std::vector<TomlTable> result;
  for (const toml::node& element : *array) {
    if (!element.is_table())
      throw Error(place(key), ": '", where(key), "' must hold tables only, found ",
                  kind_of(element));
    result.push_back(
        TomlTable(document_, element.as_table(), concat(where(key), "[", result.size(), "]")));
  }
  return result;
}

bool TomlTable::has(std::string_view key) const { return find(key) != nullptr; }

std::vector<std::string> TomlTable::keys() const {
  std::vector<std::string> result;
  for (const auto& [key, node] : as_table(table_)) result.emplace_back(key.str());
  return result;
}

void TomlTable::done() const {
  for (const auto& [key, node] : as_table(table_)) {
    if (std::find(asked_->begin(), asked_->end(), key.str()) != asked_->end()) continue;
    throw Error(place(key.str()), ": unknown key '", where(key.str()), "'",
                suggestion(key.str(), *asked_));
  }
}

std::string TomlTable::place() const {
  const auto line = as_table(table_).source().begin.line;
  return line == 0 ? document_->source : concat(document_->source, ":", line);
}

std::string TomlTable::place(std::string_view key) const {
  // The position of a key itself is that of its first character.
  const auto entry = as_table(table_).find(key);
  if (entry == as_table(table_).end()) return place();
  return concat(document_->source, ":", entry->first.source().begin.line);
}

}  // namespace tandem
