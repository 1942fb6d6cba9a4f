#include "tandem/graph/attributes.h"

#include <algorithm>
#include <array>
#include <utility>

#include "tandem/base/error.h"
#include "tandem/base/text.h"

namespace tandem {
namespace {

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  return out + "\"";
}

// A real is told from an integer by a point, an exponent, or a name.
std::string real_text(double value) {
  std::string text = shortest(value);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

template <typename Range, typename Print>
std::string list(const Range& range, Print print) {
  std::vector<std::string> parts;
  for (const auto& element : range) parts.push_back(print(element));
  return "[" + join(parts, ",") + "]";
}

// An empty list in text has no kind of its own, and an integer may stand for a real.
void coerce(Attribute& attribute, AttributeKind wanted) {
  if (const auto* number = std::get_if<std::int64_t>(&attribute)) {
    if (wanted == AttributeKind::kReal) attribute = static_cast<double>(*number);
  } else if (const auto* numbers = std::get_if<std::vector<std::int64_t>>(&attribute)) {
    if (wanted == AttributeKind::kReals) {
      attribute = std::vector<double>(numbers->begin(), numbers->end());
    } else if (wanted == AttributeKind::kStrings && numbers->empty()) {
      attribute = std::vector<std::string>{};
    }
  }
}

}  // namespace

AttributeKind kind_of(const Attribute& attribute) {
  constexpr std::array kinds = {AttributeKind::kInteger,  AttributeKind::kReal,
                                AttributeKind::kString,   AttributeKind::kFormat,
                                AttributeKind::kIntegers, AttributeKind::kReals,
                                AttributeKind::kStrings};
  return kinds.at(attribute.index());
}

std::string_view name(AttributeKind kind) {
  switch (kind) {
    case AttributeKind::kInteger: return "an integer";
    case AttributeKind::kReal: return "a real";
    case AttributeKind::kString: return "a string";
    case AttributeKind::kFormat: return "a format";
    case AttributeKind::kIntegers: return "a list of integers";
    case AttributeKind::kReals: return "a list of reals";
    case AttributeKind::kStrings: return "a list of strings";
  }
  return "?";
}

Attributes complete_attributes(const std::vector<AttributeSpec>& specs, Attributes given,
                               std::string_view operator_name) {
  std::vector<std::string> names;
  for (const AttributeSpec& spec : specs) {
    names.push_back(spec.name);
    const auto found = given.find(spec.name);
    if (found == given.end()) {
      if (spec.default_value.empty()) {
        throw Error(operator_name, ": attribute '", spec.name, "' is missing (", spec.description,
                    ")");
      }
      given[spec.name] = spec.default_value.front();
      continue;
    }
    coerce(found->second, spec.kind);
    if (kind_of(found->second) != spec.kind) {
      throw Error(operator_name, ": attribute '", spec.name, "' is ", name(kind_of(found->second)),
                  " where ", name(spec.kind), " belongs");
    }
    if (!spec.choices.empty()) {
      const auto& text = std::get<std::string>(found->second);
      if (std::find(spec.choices.begin(), spec.choices.end(), text) == spec.choices.end()) {
        throw Error(operator_name, ": attribute '", spec.name, "' cannot be '", text, "'",
                    suggestion(text, spec.choices));
      }
    }
  }
  for (const auto& [name, value] : given) {
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      throw Error(operator_name, " has no attribute '", name, "'", suggestion(name, names));
    }
  }
  return given;
}

std::string to_string(const Attribute& attribute) {
  const auto integer_text = [](std::int64_t value) { return std::to_string(value); };
  switch (kind_of(attribute)) {
    case AttributeKind::kInteger: return integer_text(std::get<std::int64_t>(attribute));
    case AttributeKind::kReal: return real_text(std::get<double>(attribute));
    case AttributeKind::kString: return quoted(std::get<std::string>(attribute));
    case AttributeKind::kFormat: return std::get<Format>(attribute).name();
    case AttributeKind::kIntegers:
      return list(std::get<std::vector<std::int64_t>>(attribute), integer_text);
    case AttributeKind::kReals: return list(std::get<std::vector<double>>(attribute), real_text);
    case AttributeKind::kStrings:
      return list(std::get<std::vector<std::string>>(attribute), quoted);
  }
  throw InternalError("unknown attribute kind");
}

}  // namespace tandem
