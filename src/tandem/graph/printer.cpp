#include "tandem/graph/printer.h"

#include <cstring>
#include <functional>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/graph/bodies.h"
#include "tandem/graph/operator.h"

namespace tandem {
namespace {

constexpr std::int64_t kDecimalElements = 32;  // larger constants are printed as hexadecimal

std::string quoted(std::string_view text) { return to_string(Attribute(std::string(text))); }

bool is_plain_name(std::string_view name) {
  if (name.empty()) return false;
  for (const char c : name) {
    if (!(std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.')) return false;
  }
  return true;
}

std::string reference(char sigil, std::string_view name) {
  return sigil + (is_plain_name(name) ? std::string(name) : quoted(name));
}

std::string hexadecimal(std::span<const std::byte> bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::byte byte : bytes) {
    const auto value = std::to_integer<unsigned>(byte);
    text += kDigits[value >> 4];
    text += kDigits[value & 15];
  }
  return text;
}

bool prints_as_decimal(const Tensor& tensor) {
  if (tensor.size() > kDecimalElements) return false;
  if (tensor.format().is_uniform()) return true;
  // Only where the decimal text is sure to read back as the same bits.
  for (const double value : tensor.to_reals())
    if (!(value - value == 0)) return false;
  return tensor.format().storage() == Storage::kF32 || tensor.format().storage() == Storage::kF64;
}

std::string tensor_text(const Tensor& tensor, bool elide) {
  if (prints_as_decimal(tensor)) {
    std::vector<std::string> parts;
    for (std::int64_t i = 0; i < tensor.size(); ++i) {
      parts.push_back(tensor.format().is_uniform() ? std::to_string(tensor.integer(i))
                                                   : shortest(tensor.real(i)));
    }
    return "[" + join(parts, ",") + "]";
  }
  if (elide) return concat("<", tensor.size(), " elements>");
  return "x" + hexadecimal(tensor.bytes());
}

class Printer {
 public:
  Printer(const Module& module, bool elide) : module_(module), elide_(elide) {}

  std::string run() {
    out_ = "tandem-module 1\n";
    for (const auto& [key, value] : module_.metadata)
      out_ += concat("metadata ", quoted(key), " = ", quoted(value), "\n");
    for (const Symbol& symbol : module_.symbols)
      out_ += concat("symbol ", symbol.name, " in [", symbol.min, ",", symbol.max, "]\n");
    for (const Constant& constant : module_.constants) {
      out_ += concat("constant ", reference('@', constant.name), " : ",
                     type_of(constant.tensor).to_string(), " = ",
                     tensor_text(constant.tensor, elide_), "\n");
    }
    for (const State& state : module_.states) {
      out_ += concat("state ", reference('@', state.name), " : ", state.type.to_string(), " = ",
                     constant_name(state.initial), " ", name(state.lifetime), "\n");
    }
    for (const GraphId id : bodies_first(module_)) print_graph(module_.graphs[id]);
    for (const auto& [function, id] : module_.functions) {
      if (function != module_.graphs[id].name)
        out_ += concat("function ", quoted(function), " = ",
                       reference('@', module_.graphs[id].name), "\n");
    }
    return out_;
  }

 private:
  std::string constant_name(ConstantId id) const {
    return reference('@', module_.constants[id].name);
  }

  std::string value_name(const Graph& graph, ValueId id) const {
    if (id == kNone) return "_";
    const Value& value = graph.values[id];
    return reference('%', value.name);
  }

  std::string coding_text(const Graph& graph, ValueId id) const {
    const auto found = graph.codings.find(id);
    if (found == graph.codings.end()) return "";
    return concat(" coded(", constant_name(found->second.scale), ",",
                  constant_name(found->second.offset), ")");
  }

  void print_graph(const Graph& graph) {
    bool is_function = false;
    for (const auto& [name, id] : module_.functions) is_function |= &module_.graphs[id] == &graph;
    std::vector<std::string> inputs, outputs, updates;
    for (const ValueId id : graph.inputs) {
      inputs.push_back(concat(value_name(graph, id), " : ", graph.values[id].type.to_string(),
                              coding_text(graph, id)));
    }
    for (const ValueId id : graph.outputs)
      outputs.push_back(value_name(graph, id) + coding_text(graph, id));
    out_ += concat(is_function ? "graph " : "body ", reference('@', graph.name), "(",
                   join(inputs, ", "), ") -> (", join(outputs, ", "), ")");
    for (const StateUpdate& update : graph.updates) {
      updates.push_back(concat(reference('@', module_.states[update.state].name), " = ",
                               value_name(graph, update.value)));
    }
    if (!updates.empty()) out_ += concat(" updates(", join(updates, ", "), ")");
    out_ += " {\n";
    for (const Value& value : graph.values) {
      if (value.constant != kNone) {
        out_ += concat("  ", reference('%', value.name), " = constant ",
                       constant_name(value.constant), "\n");
      } else if (value.state != kNone) {
        out_ += concat("  ", reference('%', value.name), " = state ",
                       reference('@', module_.states[value.state].name), "\n");
      }
    }
    for (const Node& node : graph.nodes) print_node(graph, node);
    out_ += "}\n";
  }

  void print_node(const Graph& graph, const Node& node) {
    std::vector<std::string> outputs, inputs, attributes;
    for (const ValueId id : node.outputs)
      outputs.push_back(concat(value_name(graph, id), " : ", graph.values[id].type.to_string()));
    for (const ValueId id : node.inputs) inputs.push_back(value_name(graph, id));
    for (const auto& [key, value] : node.attributes)
      attributes.push_back(concat(key, " = ", to_string(value)));
    out_ += concat("  ", join(outputs, ", "), " = ", node.op->name(), "(", join(inputs, ", "), ")");
    if (!attributes.empty()) out_ += concat(" {", join(attributes, ", "), "}");
    for (const GraphId body : node.bodies)
      out_ += concat(" body ", reference('@', module_.graphs[body].name));
    out_ += concat(" ", quoted(node.name));
    if (!node.scope.empty()) out_ += concat(" scope ", quoted(node.scope));
    out_ += "\n";
  }

  const Module& module_;
  bool elide_;
  std::string out_;
};

}  // namespace

std::string print_module(const Module& module, bool elide) { return Printer(module, elide).run(); }

}  // namespace tandem
