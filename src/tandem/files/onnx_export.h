#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <onnx/onnx-ml.pb.h>

#include "tandem/files/onnx_reader.h"
#include "tandem/files/onnx_writer.h"
#include "tandem/graph/operator.h"

namespace tandem {

// Internal to the room: how "main" becomes one ONNX graph.

// How the writer says one Quantize or Dequantize.
enum class QuantForm {
  kLinear,   // QuantizeLinear, DequantizeLinear
  kQuant,    // a Dequantize that ends a pair, or decodes a constant, as Quant
  kBipolar,  // the same as BipolarQuant
  kFloat,    // the same as FloatQuant
  kPaired    // a Quantize that is written with its Dequantize
};

class OnnxExporter {
 public:
  OnnxExporter(const Module& module, std::string_view source);
  OnnxFile run();

  const Module& module() const { return module_; }
  const Graph& graph() const { return graph_; }
  // The tensor name of a value; its initializer is added when a node first asks for it.
  std::string name_of(ValueId value);
  // A further initializer, named after `wanted`.
  std::string initializer(const Tensor& tensor, const std::string& wanted);
  std::string integers(const std::vector<std::int64_t>& values, const std::string& wanted);
  // Appends a node whose outputs are those of `node`.
  onnx::NodeProto& emit(const Node& node, std::string_view op, std::vector<std::string> inputs);
  void need_opset(std::int64_t version) { opset_ = std::max(opset_, version); }
  std::int64_t opset() const { return opset_; }
  QuantForm form(const Node& node) const { return forms_.at(&node); }

 private:
  void check_module() const;
  bool is_in_blocks(const Node& node) const;
  void choose_opset();
  void choose_forms();
  void write_node(NodeId id);
  void write_surface();
  void write_metadata(onnx::ModelProto& model) const;

  const Module& module_;
  const Graph& graph_;
  std::string source_;
  onnx::GraphProto proto_;
  std::int64_t opset_ = 17;
  OnnxDialect dialect_ = OnnxDialect::kPlain;
  std::map<const Node*, QuantForm> forms_;
  std::map<ConstantId, std::string> initializers_;
  std::set<std::string> names_;
  std::vector<RefusedNode> refused_;
};

// Attributes of a node under construction.
void set_attribute(onnx::NodeProto& node, std::string_view name, std::int64_t value);
void set_attribute(onnx::NodeProto& node, std::string_view name, double value);
void set_attribute(onnx::NodeProto& node, std::string_view name, const std::string& value);
void set_attribute(onnx::NodeProto& node, std::string_view name,
                   const std::vector<std::int64_t>& values);
void set_attribute(onnx::NodeProto& node, std::string_view name, const std::vector<double>& values);
void set_attribute(onnx::NodeProto& node, std::string_view name,
                   const std::vector<std::string>& values);

// Writes every operator but Quantize and Dequantize. Throws Error where ONNX has no such operator
// or cannot say this node.
void write_operator(OnnxExporter& exporter, const Node& node);

// Quantize and Dequantize in the chosen form.
void write_quantizer(OnnxExporter& exporter, const Node& node);

// Why QuantizeLinear or DequantizeLinear cannot say this node; nullopt where it can.
std::optional<std::string> linear_obstacle(const Module& module, const Graph& graph,
                                           const Node& node);
// Why Quant, BipolarQuant or FloatQuant cannot say this Dequantize with what it decodes; else the
// form.
struct QuantChoice {
  std::optional<QuantForm> form;
  std::string obstacle;
};
QuantChoice quant_choice(const Module& module, const Graph& graph, const Node& dequantize);

}  // namespace tandem
