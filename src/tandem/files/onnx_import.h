#pragma once

#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <onnx/onnx-ml.pb.h>

#include "tandem/base/error.h"
#include "tandem/files/onnx_dims.h"
#include "tandem/files/onnx_reader.h"
#include "tandem/graph/builder.h"
#include "tandem/graph/constant_names.h"

namespace tandem {

// Internal to the room: how one ONNX graph becomes the function "main".

// What is known of an ONNX value: its place in the graph once something needed it there, its
// elements where they are constant, and symbolic elements where it is the result of arithmetic on
// shapes.
struct OnnxValue {
  ValueId value = kNone;
  std::size_t depth = 0;  // of the graph that has it: 0 for "main", 1 for a body of its nodes, ...
  std::optional<Tensor> constant;
  std::optional<DimTensor> dims;
};

class OnnxImporter;

// A graph inside a node (of If, Loop, Scan) that was imported as a body.
struct OnnxBody {
  GraphId graph = kNone;
  std::vector<std::string> captured;  // what it reads of the graph around it; its last inputs
};

// An input of such a body: its type, and the values around it that decide what it is.
struct OnnxBodyInput {
  TensorType type;
  std::vector<std::string> sources;
};

// What a body computes, over the values of its inputs.
using OnnxBodyBuilder = std::function<std::vector<ValueId>(const std::vector<ValueId>&)>;

// Thrown where a graph inside a node holds refused nodes, which are noted already.
class RefusedBody : public Error {
 public:
  RefusedBody() : Error("a graph inside it was refused") {}
};

// One ONNX node as its handler sees it. Everything a handler does not ask for is an error: an
// attribute or input that nobody read makes the node refused.
class OnnxNode {
 public:
  OnnxNode(OnnxImporter& importer, const onnx::NodeProto& proto, std::string label,
           std::int64_t opset);

  const std::string& op() const { return proto_->op_type(); }
  std::int64_t opset() const { return opset_; }  // of the node's domain
  Builder& builder();
  const std::vector<Symbol>& symbols() const;

  std::size_t input_count() const { return static_cast<std::size_t>(proto_->input_size()); }
  std::size_t output_count() const { return static_cast<std::size_t>(proto_->output_size()); }
  bool has(std::size_t input) const;
  bool has_output(std::size_t output) const;
  const std::string& output_name(std::size_t output) const;

  // An input's value in the graph, or kNone where it is absent.
  ValueId value(std::size_t input);
  std::vector<ValueId> values();
  // Types are copies: the next value moves those of the graph.
  TensorType type(std::size_t input);
  // An input's elements where they are constant, else nullptr.
  const Tensor* constant(std::size_t input) const;
  // The same, refused when they are not: `what` names the input ("the scale").
  const Tensor& required_constant(std::size_t input, std::string_view what) const;
  // The one number of a constant input; anything else is refused.
  double scalar(std::size_t input, std::string_view what) const;
  std::vector<std::int64_t> integers(std::size_t input, std::string_view what) const;
  // An input as dimensions, for shapes that may be symbolic.
  std::optional<DimTensor> dims(std::size_t input) const;
  // The same of a list, refused where it is computed while the network runs.
  std::vector<Dim> required_dims(std::size_t input, std::string_view what) const;
  // A new symbol for a size that data decide, of `most` at most where that is constant: `what`
  // names those data. The number of elements of `from` that are not 0, where it is given, has one
  // symbol. Refused inside of bodies.
  Dim data_size(std::string_view what, ValueId from, const Dim& most);
  // Notes that a value has such a size in its type.
  void decides(const Dim& size, ValueId value);
  // The values that decide such sizes in expressions.
  std::vector<ValueId> deciding_values(const std::vector<Dim>& dims);
  // A size that stands alone as a symbol is `most` at most from now on.
  void bound_size(const Dim& size, std::int64_t most);

  // Attributes; the first form demands them, the others know ONNX's default.
  std::int64_t integer(std::string_view name);
  std::int64_t integer(std::string_view name, std::int64_t otherwise);
  double real(std::string_view name, double otherwise);
  std::string text(std::string_view name, std::string_view otherwise);
  std::optional<std::vector<std::int64_t>> integers(std::string_view name);
  const onnx::TensorProto* tensor(std::string_view name);
  const onnx::AttributeProto* attribute(std::string_view name);
  bool has_attribute(std::string_view name) const;
  void ignore(std::string_view name) { asked_.emplace(name); }  // of no effect on inference
  void check_all_read() const;                                  // refuses what was never asked for

  // Appends a node named after this one. Where all its inputs are constant the result is folded,
  // except behind a Dequantize, which stays to tell the number's format.
  ValueId add(std::string_view tandem_op, std::vector<ValueId> inputs, Attributes attributes = {});
  std::vector<ValueId> add_node(std::string_view tandem_op, std::vector<ValueId> inputs,
                                Attributes attributes = {}, std::vector<GraphId> bodies = {});
  ValueId add_constant(Tensor tensor);
  // Counts elements that a constant gets without standing in the file; refuses beyond a bound for
  // the whole model, so that no small file takes much memory.
  void charge(std::int64_t elements);
  ValueId reshape(ValueId value, const std::vector<Dim>& shape);
  TensorType type_of_value(ValueId value);
  const Tensor* constant_of_value(ValueId value);

  // The node's outputs.
  void set(std::size_t output, ValueId value);
  void set(std::size_t output, OnnxValue value);

  // Graphs inside the node. Values have names there, under which any graph inside reads them.
  const onnx::GraphProto& graph(std::string_view attribute);
  const std::string& input_name(std::size_t input) const;  // of one that is present
  std::string name_constant(std::string_view wanted, Tensor tensor);
  std::string name_value(std::string_view wanted, ValueId value);
  const Tensor* constant_named(const std::string& name) const;
  ValueId value_named(const std::string& name);
  void set_named(std::size_t output, const std::string& name);
  // Imports the nodes of a graph beside this one, over values in place of its inputs; the names of
  // its outputs. `part` makes labels unique ("then", "step 3"). Throws RefusedBody.
  std::vector<std::string> inline_graph(const onnx::GraphProto& graph,
                                        const std::vector<std::string>& inputs,
                                        std::string_view part);
  // Imports a graph as a body. Its first output is made a scalar where `first_is_scalar`.
  OnnxBody import_body(const onnx::GraphProto& graph, const std::vector<OnnxBodyInput>& inputs,
                       std::string_view part, bool first_is_scalar = false);
  // A body that `build` writes with this node's functions.
  OnnxBody build_body(const std::vector<TensorType>& inputs, std::string_view part,
                      const OnnxBodyBuilder& build);
  // Gives bodies the same captured inputs; their values here.
  std::vector<ValueId> share_captures(std::span<OnnxBody> bodies);
  // Says that the model's inputs before this one decide whether the node can be read.
  void note_deciding(std::size_t input);

  const std::filesystem::path& folder() const;
  [[noreturn]] static void refuse(std::string_view reason, std::string remedy) {
    throw Refusal(reason, std::move(remedy));
  }

 private:
  std::string name_as(std::string_view wanted, OnnxValue value);

  OnnxImporter* importer_;
  const onnx::NodeProto* proto_;
  std::string label_;
  std::int64_t opset_;
  std::set<std::string, std::less<>> asked_;
  mutable std::set<std::size_t> asked_inputs_;
};

using OnnxHandler = void (*)(OnnxNode&);
using OnnxHandlers = std::map<std::string, OnnxHandler, std::less<>>;

// The parts of the table of handlers, one per file. ONNX's own operators have their name as key,
// QONNX's the prefix "qonnx:", those of ai.onnx.ml "ml:", those of ai.onnx.preview "preview:", ONNX
// Runtime's "ms:".
void add_contrib_handlers(OnnxHandlers& handlers);
void add_contrib_attention_handlers(OnnxHandlers& handlers);
void add_contrib_lstm_handlers(OnnxHandlers& handlers);
void add_contrib_quantized_handlers(OnnxHandlers& handlers);
void add_control_flow_handlers(OnnxHandlers& handlers);
void add_elementwise_handlers(OnnxHandlers& handlers);
void add_image_handlers(OnnxHandlers& handlers);
void add_index_handlers(OnnxHandlers& handlers);
void add_layer_handlers(OnnxHandlers& handlers);
void add_attention_handlers(OnnxHandlers& handlers);
void add_integer_layer_handlers(OnnxHandlers& handlers);
void add_ml_handlers(OnnxHandlers& handlers);
void add_normalization_handlers(OnnxHandlers& handlers);
void add_pool_handlers(OnnxHandlers& handlers);
void add_recurrent_handlers(OnnxHandlers& handlers);
void add_selection_handlers(OnnxHandlers& handlers);
void add_signal_handlers(OnnxHandlers& handlers);
void add_shape_handlers(OnnxHandlers& handlers);
void add_text_handlers(OnnxHandlers& handlers);
void add_tree_ensemble_handlers(OnnxHandlers& handlers);
void add_tree_handlers(OnnxHandlers& handlers);
void add_quantization_handlers(OnnxHandlers& handlers);

class OnnxImporter {
 public:
  OnnxImporter(onnx::ModelProto& model, std::filesystem::path folder, const OnnxBinding& binding);
  // Throws RefusedModel with the nodes that no handler took.
  Module run(std::string_view source);

 private:
  friend class OnnxNode;

  // A graph that is being built: "main", or a body inside the one before.
  struct Level {
    Builder builder;
    std::unordered_map<std::string, ValueId> outer;  // values of levels before, by name
    std::vector<std::string> captured;               // those that became inputs
  };

  Builder& builder() { return levels_.back()->builder; }
  std::size_t depth() const { return levels_.size() - 1; }
  void read_metadata();
  void read_initializers(onnx::GraphProto& graph);
  void read_annotations();
  void read_inputs();
  void read_input(const onnx::ValueInfoProto& input);
  void bind_shape(const onnx::ValueInfoProto& input, const Shape& shape);
  onnx::ValueInfoProto& graph_input(const std::string& name);
  void note_deciding(const std::string& value);
  TensorType declared_type(const onnx::ValueInfoProto& info);
  void find_extended();
  bool is_extended(const std::string& input, int axis, int rank) const;
  void may_be_empty(const Dim& size);
  Dim fresh_symbol(std::string_view wanted);
  Dim symbol_of(const std::string& param);
  Symbol bounded_symbol(const std::string& name) const;
  void import_nodes(const onnx::GraphProto& graph);
  void import_node(const onnx::GraphProto& graph, int index);
  onnx::GraphProto& open_graph(const onnx::GraphProto& graph,
                               const std::vector<std::string>& inputs, const std::string& prefix);
  std::string fresh_name(const std::string& wanted);
  bool unify_sizes(std::string_view op, const std::vector<ValueId>& inputs);
  bool unify(const Dim& a, const Dim& b);
  bool import_opaque(const onnx::NodeProto& proto, const std::string& label);
  bool import_shape_arithmetic(OnnxNode& node, const onnx::NodeProto& proto);
  std::vector<ValueId> deciding_values(const std::vector<Dim>& dims) const;
  ValueId add_extents(Builder& builder, const DimTensor& dims, const std::string& name);
  void throw_if_undecided(const std::string& value);
  bool is_read(const std::string& name);
  Refusal unknown_operator(const onnx::NodeProto& proto);
  void poison(const onnx::NodeProto& proto);
  void refuse_unless_guessed(const onnx::NodeProto& proto, const std::string& label,
                             std::string reason, std::string remedy);
  void refuse(const onnx::NodeProto& proto, const std::string& label, std::string reason,
              std::string remedy);
  std::optional<TensorType> annotated_type(const std::string& name);
  // nullopt: what follows is not judged.
  std::optional<ValueId> stand_in(const onnx::NodeProto& proto, const std::string& output);
  void stand_in_for(const onnx::NodeProto& proto);
  std::optional<Module> rest();
  void finish_outputs();
  void check_output(const onnx::ValueInfoProto& info, ValueId value);
  void rename_values();

  const OnnxValue& find(const std::string& name) const;
  ValueId materialize(const std::string& name) { return materialize(name, depth()); }
  ValueId materialize(const std::string& name, std::size_t depth);
  ValueId materialize_outer(const std::string& name, std::size_t depth);

  onnx::ModelProto& model_;
  onnx::GraphProto& graph_;
  std::filesystem::path folder_;
  std::map<std::string, std::int64_t> opsets_;
  Module module_;
  ConstantNames constants_{module_};
  std::vector<std::unique_ptr<Level>> levels_;
  std::unordered_map<std::string, OnnxValue> values_;
  std::unordered_map<std::string, std::vector<std::string>> sources_;  // what a value is made from
  std::vector<int> main_order_;                          // of the nodes of the model's own graph
  const onnx::GraphProto* open_ = nullptr;               // the graph whose nodes are imported
  std::optional<std::unordered_set<std::string>> read_;  // what is read in it, once asked
  std::deque<onnx::GraphProto> inside_;  // copies of graphs inside nodes, with names of their own
  std::set<std::string> names_;          // all of the model, once a graph inside was met
  std::int64_t nodes_left_ = std::int64_t{1} << 15;  // of such copies
  std::map<std::string, Dim> symbols_;               // by ONNX's name of the dimension
  std::map<std::string, std::string> symbol_bounds_;
  std::set<std::pair<std::string, std::int64_t>> extended_;  // values and axes of Concat
  std::unordered_map<std::string, Format> annotations_;      // QONNX's data types of tensors
  std::map<std::string, ValueId> deciding_values_;           // by the symbol of the size
  std::map<ValueId, Dim> data_sizes_;             // how many elements of a value are not 0
  std::map<std::string, std::string> undecided_;  // why values are no sizes, though made of them
  std::unordered_set<std::string> decided_;       // values of which none is behind them
  std::set<std::string> poisoned_;  // outputs of refused nodes, and of all that need them
  std::set<std::string> guessed_;   // stand-ins of unsure type, and what is computed from them
  std::vector<RefusedNode> refused_;
  const OnnxBinding& binding_;
  std::set<std::string> deciding_;          // inputs whose values refused nodes asked for
  std::unordered_set<std::string> asked_;   // values whose inputs are among them
  std::map<std::string, Refusal> unknown_;  // what is said of operators that are not known
  // The declared types by name, once asked.
  std::optional<std::unordered_map<std::string, const onnx::ValueInfoProto*>> annotated_;
  std::int64_t elements_left_ = std::int64_t{1} << 26;  // of folded constants
};

}  // namespace tandem
