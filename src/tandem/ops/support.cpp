#include "tandem/ops/support.h"

#include <utility>

namespace tandem {

AttributeSpec integer_attribute(std::string name, std::string description) {
  return {std::move(name), AttributeKind::kInteger, std::move(description), {}, {}};
}

AttributeSpec integer_attribute(std::string name, std::string description, std::int64_t value) {
  AttributeSpec spec = integer_attribute(std::move(name), std::move(description));
  spec.default_value.emplace_back(value);
  return spec;
}

AttributeSpec real_attribute(std::string name, std::string description, double value) {
  AttributeSpec spec{std::move(name), AttributeKind::kReal, std::move(description), {}, {}};
  spec.default_value.emplace_back(value);
  return spec;
}

AttributeSpec flag_attribute(std::string name, std::string description, bool value) {
  return integer_attribute(std::move(name), std::move(description) + " (0 or 1)", value ? 1 : 0);
}

AttributeSpec integers_attribute(std::string name, std::string description) {
  AttributeSpec spec{std::move(name), AttributeKind::kIntegers, std::move(description), {}, {}};
  spec.default_value.emplace_back(std::vector<std::int64_t>{});
  return spec;
}

AttributeSpec choice_attribute(std::string name, std::string description,
                               std::vector<std::string> choices) {
  AttributeSpec spec{std::move(name), AttributeKind::kString, std::move(description), {}, {}};
  spec.default_value.emplace_back(choices.front());
  spec.choices = std::move(choices);
  return spec;
}

bool flag(const NodeView& node, std::string_view attribute) {
  const std::int64_t value = node.integer(attribute);
  if (value != 0 && value != 1) throw Error(attribute, " is ", value, "; it must be 0 or 1");
  return value == 1;
}

Format require_real(const NodeView& node, std::size_t input) {
  const TensorType& type = node.input(input);
  if (type.format.is_float()) return type.format;
  throw Error("input ", input, " is ", type.to_string(),
              " where a real number belongs; put a Dequantize before it (coded numbers) or a Cast "
              "to f32 (indices, booleans)");
}

Format require_reals(const NodeView& node) {
  const Format format = require_real(node, 0);
  for (std::size_t i = 1; i < node.input_count(); ++i) {
    if (node.has_input(i) && require_real(node, i) != format) {
      throw Error("input ", i, " is ", node.input(i).format.name(), " but input 0 is ",
                  format.name(), "; put a Cast before one of them");
    }
  }
  return format;
}

void require_same_formats(const NodeView& node) {
  for (std::size_t i = 1; i < node.input_count(); ++i) {
    if (node.input(i).format != node.input(0).format) {
      throw Error("input ", i, " is ", node.input(i).format.name(), " but input 0 is ",
                  node.input(0).format.name(), "; all inputs must have one format");
    }
  }
}

namespace {

std::int64_t elements(const TensorType& type) { return element_count(type.static_shape()); }

}  // namespace

std::int64_t input_elements(const NodeView& node, std::size_t index) {
  return elements(node.input(index));
}

std::int64_t output_elements(const NodeView& node, std::size_t index) {
  return elements(node.graph.values[node.node.outputs[index]].type);
}

Work work_of(const NodeView& node, std::vector<OperationCount> operations) {
  Work work;
  work.operations = std::move(operations);
  for (std::size_t i = 0; i < node.input_count(); ++i) {
    if (!node.has_input(i)) continue;
    const std::int64_t bits = input_elements(node, i) * node.input(i).format.bits();
    (node.constant(i) != nullptr ? work.constant_bits : work.input_bits) += bits;
  }
  for (const ValueId output : node.node.outputs) {
    const TensorType& type = node.graph.values[output].type;
    work.output_bits += elements(type) * type.format.bits();
  }
  return work;
}

OperationCount operations(const NodeView& node, OperationKind kind, std::int64_t count) {
  const Format format = node.input(0).format;
  return {kind, format, format, format, count};
}

std::string sample_text(std::string_view prologue, std::string_view inputs, std::string_view body,
                        std::string_view outputs) {
  return concat("tandem-module 1\n", prologue, prologue.empty() ? "" : "\n", "graph @main(", inputs,
                ") -> (", outputs, ") {\n  ", body, "\n}\n");
}

Format index_format() { return Format::integer(64, true); }

Format boolean_format() { return Format::parse("bool"); }

}  // namespace tandem
