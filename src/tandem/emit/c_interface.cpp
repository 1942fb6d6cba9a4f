#include "tandem/emit/c_interface.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <functional>
#include <optional>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/emit/c_printer.h"

namespace tandem {
namespace {

struct ScaleAndOffset {
  std::vector<double> scale = {1}, offset = {0};

  bool is_single() const { return scale.size() == 1 && offset.size() == 1; }
};

std::optional<ScaleAndOffset> coding_of(const Module& module, const Graph& graph, ValueId value) {
  const auto found = graph.codings.find(value);
  if (found == graph.codings.end()) return std::nullopt;
  ScaleAndOffset coding;
  const auto& [scale, offset] = found->second;
  if (scale != kNone) coding.scale = module.constants[scale].tensor.to_reals();
  if (offset != kNone) coding.offset = module.constants[offset].tensor.to_reals();
  return coding;
}

// The whole number z of real = scale * (code - z). The offset is scale * -z, rounded.
std::optional<std::int64_t> zero_point(const ScaleAndOffset& coding) {
  if (!coding.is_single()) return std::nullopt;
  const double zero = -coding.offset[0] / coding.scale[0], whole = std::round(zero);
  if (std::abs(whole) > INT32_MAX || std::abs(zero - whole) > 1e-6 * std::max(1.0, std::abs(zero)))
    return std::nullopt;
  return static_cast<std::int64_t>(whole);
}

// A literal of type double.
std::string real_literal(double value) {
  const std::string text = shortest(value);
  return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

// A list of C, four on each continued line where there are many.
std::string list_literal(const std::vector<std::string>& items) {
  if (items.size() <= 8) return concat("{ ", join(items, ", "), " }");
  std::string text = "{ \\\n  ";
  for (std::size_t i = 0; i < items.size(); ++i) {
    const bool last = i + 1 == items.size();
    text += concat(items[i], last ? " }" : i % 4 == 3 ? ", \\\n  " : ", ");
  }
  return text;
}

std::string reals_literal(const std::vector<double>& values) {
  std::vector<std::string> items;
  for (const double value : values) items.push_back(real_literal(value));
  if (items.size() > 1) return list_literal(items);
  return values[0] < 0 ? concat("(", items[0], ")") : items[0];
}

std::string definition(const std::string& macro, std::string_view what, const std::string& value) {
  return concat("#define ", macro, "_", what, " ", value, "\n");
}

std::string macros_of(const Module& module, const Graph& graph, ValueId id, const CParameter& end,
                      const std::string& macro) {
  const Shape shape = graph.values[id].type.static_shape();
  std::vector<std::string> sizes;
  for (const std::int64_t size : shape) sizes.push_back(std::to_string(size));
  std::string text = definition(macro, "RANK", std::to_string(shape.size()));
  if (!shape.empty()) text += definition(macro, "SHAPE", list_literal(sizes));
  text += definition(macro, "SIZE", std::to_string(end.elements));
  const std::optional<ScaleAndOffset> coding = coding_of(module, graph, id);
  if (!coding) return text;
  text += definition(macro, "SCALE", reals_literal(coding->scale)) +
          definition(macro, "OFFSET", reals_literal(coding->offset));
  if (const auto zero = zero_point(*coding))
    text += definition(macro, "ZERO_POINT",
                       *zero < 0 ? concat("(", *zero, ")") : std::to_string(*zero));
  return text;
}

std::string meaning_of_codes(const std::optional<ScaleAndOffset>& coding) {
  if (!coding) return "";
  if (zero_point(*coding)) return ";\n   real = SCALE * (code - ZERO_POINT)";
  return ";\n   real = SCALE * code + OFFSET";
}

void for_each_end(const Graph& graph,
                  const std::function<void(ValueId, const CParameter&, bool, std::size_t)>& visit) {
  const CInterface interface = c_interface(graph);
  for (std::size_t i = 0; i < interface.inputs.size(); ++i)
    visit(graph.inputs[i], interface.inputs[i], true, i);
  for (std::size_t i = 0; i < interface.outputs.size(); ++i)
    visit(graph.outputs[i], interface.outputs[i], false, i);
}

// Every integer of the range is a code, and a float. Bipolar codes leave out zero.
bool has_every_float_code(const Format& format) {
  constexpr std::int64_t kMost = std::int64_t{1} << 24;
  const IntegerRange range = format.integer_range();
  return format.bits() > 1 && range.min >= -kMost && range.max <= kMost;
}

std::string nearest_function(const std::string& name) {
  return concat(
      "/* The nearest integer, halves to the even one, limited to least..most; NaN is the least. "
      "*/\n"
      "static inline int32_t ",
      name,
      "_nearest(float x, int32_t least, int32_t most) {\n"
      "  int32_t nearest = x >= (float)most ? most : least;\n"
      "  if (x > (float)least && x < (float)most) {\n"
      "    float rest;\n"
      "    nearest = (int32_t)x;\n"
      "    if ((float)nearest > x) {\n      --nearest;\n    }\n"
      "    rest = x - (float)nearest;\n"
      "    if (rest > 0.5f || (!(rest < 0.5f) && nearest % 2 != 0)) {\n      ++nearest;\n    }\n"
      "  }\n"
      "  return nearest;\n}\n");
}

std::string quantize_function(const std::string& name, const CParameter& end,
                              const Format& format) {
  const std::string macro = concat(c_macro(name), "_", end.macro);
  const IntegerRange range = format.integer_range();
  return wrapped(concat("static inline ", end.type, " ", name, "_quantize_", end.accessor,
                        "(float real) {\n  return (", end.type, ")", name,
                        "_nearest((real - (float)", macro, "_OFFSET) / (float)", macro, "_SCALE, ",
                        range.min, ", ", range.max, ");\n}\n"));
}

std::string dequantize_function(const std::string& name, const CParameter& end, bool has_zero) {
  const std::string macro = concat(c_macro(name), "_", end.macro);
  const std::string real =
      has_zero ? concat("(float)", macro, "_SCALE * (float)(code - ", macro, "_ZERO_POINT)")
               : concat("(float)", macro, "_SCALE * (float)code + (float)", macro, "_OFFSET");
  return wrapped(concat("static inline float ", name, "_dequantize_", end.accessor, "(", end.type,
                        " code) {\n  return ", real, ";\n}\n"));
}

}  // namespace

CInterface c_interface(const Graph& graph) {
  CInterface interface;
  std::vector<std::string> taken;
  // Names of constants end in what they are, never in "_input", so that none is alike.
  const auto add = [&](const std::vector<ValueId>& values, const std::string& kind,
                       std::vector<CParameter>& parameters) {
    for (const ValueId id : values) {
      const TensorType& type = graph.values[id].type;
      const Storage storage = type.format.storage();
      const std::int64_t elements = element_count(type.static_shape());
      const std::string name = c_name(graph.values[id].name, taken);
      taken.push_back(name);
      const std::string accessor = values.size() == 1 ? kind : concat(name, "_", kind);
      parameters.push_back(
          {name, accessor, "", c_type(storage), elements, elements * storage_bytes(storage)});
    }
    // Names that differ in the case of their letters only keep it.
    for (CParameter& end : parameters) {
      const auto alike = std::ranges::count_if(parameters, [&](const CParameter& other) {
        return c_macro(other.accessor) == c_macro(end.accessor);
      });
      end.macro = alike > 1 ? concat(end.name, "_", c_macro(kind)) : c_macro(end.accessor);
    }
  };
  add(graph.inputs, "input", interface.inputs);
  add(graph.outputs, "output", interface.outputs);
  return interface;
}

std::string c_macro(std::string_view text) {
  std::string macro(text);
  std::ranges::transform(macro, macro.begin(), [](unsigned char c) {
    return std::isalnum(c) != 0 ? static_cast<char>(std::toupper(c)) : '_';
  });
  return macro;
}

std::string c_interface_macros(const Module& module, const Graph& graph, const std::string& name) {
  std::string text;
  for_each_end(graph, [&](ValueId id, const CParameter& end, bool is_input, std::size_t index) {
    const Value& value = graph.values[id];
    text += concat("/* ", is_input ? "input " : "output ", index, ": '", value.name, "', ",
                   value.type.to_string(), ", row-major",
                   meaning_of_codes(coding_of(module, graph, id)), " */\n",
                   macros_of(module, graph, id, end, concat(c_macro(name), "_", end.macro)), "\n");
  });
  return text;
}

std::string c_float_functions(const Module& module, const Graph& graph, const std::string& name) {
  std::string quantize, dequantize;
  for_each_end(graph, [&](ValueId id, const CParameter& end, bool is_input, std::size_t) {
    const std::optional<ScaleAndOffset> coding = coding_of(module, graph, id);
    if (!coding || !coding->is_single()) return;
    const Format& format = graph.values[id].type.format;
    if (!is_input)
      dequantize += dequantize_function(
          name, end, zero_point(*coding).has_value() && has_every_float_code(format));
    else if (has_every_float_code(format))
      quantize += quantize_function(name, end, format);
  });
  if (quantize.empty() && dequantize.empty()) return "";
  if (!quantize.empty())
    quantize = concat(nearest_function(name), "\n/* From reals to codes. */\n", quantize);
  if (!dequantize.empty()) dequantize = concat("/* From codes to reals. */\n", dequantize);
  const std::string macro = c_macro(name) + "_WITH_FLOAT";
  return concat("#ifdef ", macro, "\n", quantize,
                quantize.empty() || dequantize.empty() ? "" : "\n", dequantize, "#endif /* ", macro,
                " */\n\n");
}

std::vector<std::string> c_float_names(const CInterface& interface) {
  std::vector<std::string> names = {"nearest"};
  for (const CParameter& end : interface.inputs) names.push_back("quantize_" + end.accessor);
  for (const CParameter& end : interface.outputs) names.push_back("dequantize_" + end.accessor);
  return names;
}

}  // namespace tandem
