#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tandem {

// One key that the units of a kind carry in a device file.
struct UnitKey {
  std::string name;
  std::string description;  // with the unit of measure
  bool is_text = false;     // else a number
  bool required = true;
  std::vector<std::string> choices = {};  // legal texts where they are few
};

// What a kind of unit is, as far as device files go. A new kind is one file that defines such a
// value, and one line in unit_kinds().
struct UnitKind {
  std::string name;
  std::string description;
  std::vector<UnitKey> keys;
  std::vector<std::string> memories;      // memories that a device of this kind must have
  std::vector<std::string> cost_columns;  // legal keys of Cost::per
  std::string default_device;             // see default_device()
};

const std::vector<UnitKind>& unit_kinds();
const UnitKind& find_unit_kind(std::string_view name);  // throws Error naming the nearest

}  // namespace tandem
