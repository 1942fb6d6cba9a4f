#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tandem/numerics/format.h"

namespace tandem {

// One attribute of a node. Roundings, overflows and modes are strings; tensors are constants of
// the module, never attributes.
using Attribute = std::variant<std::int64_t, double, std::string, Format, std::vector<std::int64_t>,
                               std::vector<double>, std::vector<std::string>>;

using Attributes = std::map<std::string, Attribute>;

enum class AttributeKind { kInteger, kReal, kString, kFormat, kIntegers, kReals, kStrings };
AttributeKind kind_of(const Attribute& attribute);
std::string_view name(AttributeKind kind);

// What an operator accepts: the name, kind and default (none: required) of one attribute and one
// sentence for the documentation. `choices` lists the legal strings where they are few.
struct AttributeSpec {
  std::string name;
  AttributeKind kind;
  std::string description;
  std::vector<Attribute> default_value;  // empty: required; else one element
  std::vector<std::string> choices;
};

// Checks names, kinds and choices against the specification and fills the defaults.
// Throws Error naming the attribute and the nearest legal one.
Attributes complete_attributes(const std::vector<AttributeSpec>& specs, Attributes given,
                               std::string_view operator_name);

// Text of one attribute as it stands in a module: 3, 0.5, "same", int8, [1,2], [0.5], ["a"].
std::string to_string(const Attribute& attribute);

}  // namespace tandem
