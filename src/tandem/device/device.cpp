#include "tandem/device/device.h"

#include <algorithm>
#include <filesystem>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/base/toml.h"
#include "tandem/device/unit_kind.h"

namespace tandem {
namespace {

constexpr std::string_view kDeviceSchema = "tandem-device/1";
constexpr std::string_view kCostSchema = "tandem-costs/1";

void check_schema(const TomlTable& root, std::string_view wanted) {
  const std::string schema = root.string("schema");
  if (schema != wanted)
    throw Error(root.place("schema"), ": schema '", schema,
                "' is not one this program reads; use \"", wanted, "\"");
}

Provenance provenance_of(const TomlTable& table) {
  try {
    return parse_provenance(table.string("source"));
  } catch (const Error& error) {
    throw error.at(table.place(table.has("source") ? "source" : ""));
  }
}

double positive(const TomlTable& table, std::string_view key) {
  const double value = table.number(key);
  if (!(value > 0) || value > 1e18)
    throw Error(table.place(key), ": '", key, "' must be a positive number, found ",
                shortest(value));
  return value;
}

double not_negative(const TomlTable& table, std::string_view key) {
  const double value = table.number(key);
  if (!(value >= 0) || value > 1e18)
    throw Error(table.place(key), ": '", key, "' must not be negative, found ", shortest(value));
  return value;
}

Memory read_memory(const TomlTable& table) {
  Memory memory;
  memory.name = table.string("name");
  memory.bytes = table.integer("bytes");
  memory.address = table.integer("address", 0);
  if (table.has("bytes_per_second")) memory.bytes_per_second = positive(table, "bytes_per_second");
  memory.provenance = provenance_of(table);
  table.done();
  if (memory.bytes <= 0)
    throw Error(table.place("bytes"), ": 'bytes' of memory '", memory.name, "' must be positive");
  if (memory.address < 0)
    throw Error(table.place("address"), ": 'address' of memory '", memory.name,
                "' must not be negative");
  return memory;
}

Cost read_cost(const TomlTable& table, const UnitKind& kind) {
  Cost cost{table.string("form"), table.string("feature"), {}};
  for (const std::string& column : kind.cost_columns)
    if (table.has(column)) cost.per[column] = table.number(column);
  table.done();
  return cost;
}

void add_costs(Unit& unit, const UnitKind& kind, const TomlTable& table, std::string_view key) {
  for (const TomlTable& entry : table.tables(key)) {
    Cost cost = read_cost(entry, kind);
    if (unit.find_cost(cost.form, cost.feature) != nullptr)
      throw Error(entry.place(), ": form '", cost.form, "', feature '", cost.feature,
                  "' has a cost already; keep one of the two");
    unit.costs.push_back(std::move(cost));
  }
}

// Costs that several devices share stand in a file of their own: beside the device's file, or
// among the devices that are shipped.
std::string cost_file_path(const std::string& device_path, const std::string& file) {
  const std::filesystem::path beside = std::filesystem::path(device_path).parent_path() / file;
  if (std::filesystem::is_regular_file(beside)) return beside.string();
  for (const std::string& folder : device_folders()) {
    const std::filesystem::path shipped = std::filesystem::path(folder) / file;
    if (std::filesystem::is_regular_file(shipped)) return shipped.string();
  }
  throw Error("no file of costs '", file, "' beside this file or among the shipped devices");
}

void read_cost_file(Unit& unit, const UnitKind& kind, const std::string& path) {
  const TomlTable root = TomlTable::read(path);
  check_schema(root, kCostSchema);
  unit.costs_provenance = provenance_of(root);
  add_costs(unit, kind, root, "cost");
  root.done();
}

Unit read_unit(const TomlTable& table, const std::string& device_path) {
  Unit unit;
  unit.name = table.string("name");
  unit.kind = table.string("kind");
  const UnitKind* kind = nullptr;
  try {
    kind = &find_unit_kind(unit.kind);
  } catch (const Error& error) {
    throw error.at(table.place("kind"));
  }
  unit.provenance = provenance_of(table);
  for (const UnitKey& key : kind->keys) {
    if (!key.required && !table.has(key.name)) continue;
    if (!key.is_text) {
      unit.numbers[key.name] = not_negative(table, key.name);
      continue;
    }
    const std::string& text = unit.texts[key.name] = table.string(key.name);
    if (!key.choices.empty() && std::ranges::find(key.choices, text) == key.choices.end())
      throw Error(table.place(key.name), ": '", key.name, "' cannot be '", text, "'",
                  suggestion(text, key.choices));
  }
  unit.costs_provenance = unit.provenance;
  const std::string file = table.string("costs", "");
  if (!file.empty()) {
    std::string costs;
    try {
      costs = cost_file_path(device_path, file);
    } catch (const Error& error) {
      throw error.at(table.place("costs"));
    }
    read_cost_file(unit, *kind, costs);
  }
  add_costs(unit, *kind, table, "cost");
  table.done();
  return unit;
}

void check_whole(const Device& device, const TomlTable& root) {
  if (device.units.empty()) throw Error(root.place(), ": a device needs at least one [[unit]]");
  for (std::size_t i = 0; i < device.memories.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (device.memories[i].name == device.memories[j].name)
        throw Error(root.place("memory"), ": two memories are called '", device.memories[i].name,
                    "'; rename one");
  for (const std::string& wanted : find_unit_kind(device.kind()).memories) {
    const bool found =
        std::ranges::any_of(device.memories, [&](const Memory& m) { return m.name == wanted; });
    if (!found)
      throw Error(root.place(), ": a device of kind '", device.kind(),
                  "' needs a [[memory]] named '", wanted, "'");
  }
}

Device device_of(const TomlTable& root, const std::string& path) {
  check_schema(root, kDeviceSchema);
  Device device;
  device.name = std::filesystem::path(path).stem().string();
  device.path = path;
  device.title = root.string("title");
  const TomlTable clock = root.table("clock");
  device.clock = {positive(clock, "hertz"), provenance_of(clock)};
  clock.done();
  for (const TomlTable& memory : root.tables("memory"))
    device.memories.push_back(read_memory(memory));
  for (const TomlTable& unit : root.tables("unit")) device.units.push_back(read_unit(unit, path));
  root.done();
  check_whole(device, root);
  return device;
}

bool is_path(std::string_view text) {
  return text.find('/') != std::string_view::npos || text.ends_with(".toml");
}

}  // namespace

double Unit::number(std::string_view key) const {
  const auto found = numbers.find(std::string(key));
  ensure(found != numbers.end(), concat("unit kind '", kind, "' has no number '", key, "'"));
  return found->second;
}

const std::string& Unit::text(std::string_view key) const {
  const auto found = texts.find(std::string(key));
  ensure(found != texts.end(), concat("unit kind '", kind, "' has no text '", key, "'"));
  return found->second;
}

const Cost* Unit::find_cost(std::string_view form, std::string_view feature) const {
  for (const Cost& cost : costs)
    if (cost.form == form && cost.feature == feature) return &cost;
  return nullptr;
}

const Memory& Device::memory(std::string_view wanted) const {
  for (const Memory& memory : memories)
    if (memory.name == wanted) return memory;
  throw InternalError(concat("device '", name, "' has no memory '", wanted, "'"));
}

Device parse_device(std::string_view toml, const std::string& path) {
  return device_of(TomlTable::parse(toml, path), path);
}

Device read_device(const std::string& path) { return device_of(TomlTable::read(path), path); }
Device find_device(const std::string& name_or_path) {
  if (is_path(name_or_path)) return read_device(name_or_path);
  for (const std::string& folder : device_folders()) {
    const std::filesystem::path path = std::filesystem::path(folder) / (name_or_path + ".toml");
    if (std::filesystem::is_regular_file(path)) return read_device(path.string());
  }
  throw Error("no device is called '", name_or_path, "'", suggestion(name_or_path, device_names()),
              " (a path to a device file serves too)");
}

std::vector<std::string> device_names(std::string_view kind) {
  std::vector<std::string> names;
  for (const std::string& folder : device_folders())
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (entry.path().extension() != ".toml") continue;
      const std::string name = entry.path().stem().string();
      if (std::ranges::find(names, name) != names.end()) continue;
      if (kind.empty() || read_device(entry.path().string()).kind() == kind) names.push_back(name);
    }
  std::ranges::sort(names);
  return names;
}

std::string default_device(std::string_view kind) { return find_unit_kind(kind).default_device; }

}  // namespace tandem
