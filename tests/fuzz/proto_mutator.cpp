#include "tests/fuzz/proto_mutator.h"

#include <array>
#include <cstring>
#include <string_view>

#include "tests/fuzz/sound_changes.h"

namespace tandem::fuzz {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using onnx_reflection::ModelProto;

constexpr std::array<std::string_view, 76> kOperators = {"Abs",
                                                         "Add",
                                                         "And",
                                                         "ArgMax",
                                                         "ArgMin",
                                                         "AveragePool",
                                                         "BatchNormalization",
                                                         "Cast",
                                                         "Ceil",
                                                         "Clip",
                                                         "Concat",
                                                         "Constant",
                                                         "ConstantOfShape",
                                                         "Conv",
                                                         "DepthToSpace",
                                                         "DequantizeLinear",
                                                         "Div",
                                                         "Dropout",
                                                         "Elu",
                                                         "Equal",
                                                         "Erf",
                                                         "Exp",
                                                         "Expand",
                                                         "Flatten",
                                                         "Floor",
                                                         "Gather",
                                                         "Gelu",
                                                         "Gemm",
                                                         "GlobalAveragePool",
                                                         "GlobalMaxPool",
                                                         "Greater",
                                                         "HardSigmoid",
                                                         "HardSwish",
                                                         "Identity",
                                                         "LeakyRelu",
                                                         "Less",
                                                         "Log",
                                                         "MatMul",
                                                         "Max",
                                                         "MaxPool",
                                                         "Mean",
                                                         "Min",
                                                         "Mod",
                                                         "Mul",
                                                         "Neg",
                                                         "PRelu",
                                                         "Pad",
                                                         "Pow",
                                                         "QuantizeLinear",
                                                         "Range",
                                                         "Reciprocal",
                                                         "ReduceMax",
                                                         "ReduceMean",
                                                         "ReduceProd",
                                                         "ReduceSum",
                                                         "Relu",
                                                         "Reshape",
                                                         "Round",
                                                         "Selu",
                                                         "Shape",
                                                         "Sigmoid",
                                                         "Sign",
                                                         "Size",
                                                         "Slice",
                                                         "Softmax",
                                                         "Softplus",
                                                         "SpaceToDepth",
                                                         "Split",
                                                         "Sqrt",
                                                         "Squeeze",
                                                         "Sub",
                                                         "Sum",
                                                         "Tile",
                                                         "TopK",
                                                         "Transpose",
                                                         "Unsqueeze"};
constexpr std::array<std::string_view, 4> kQonnxOperators = {"Quant", "BipolarQuant", "Trunc",
                                                             "IntQuant"};
constexpr std::array<std::string_view, 34> kAttributes = {"alpha",
                                                          "axes",
                                                          "axis",
                                                          "beta",
                                                          "blocksize",
                                                          "ceil_mode",
                                                          "dilations",
                                                          "ends",
                                                          "epsilon",
                                                          "group",
                                                          "k",
                                                          "keepdims",
                                                          "kernel_shape",
                                                          "largest",
                                                          "mode",
                                                          "narrow",
                                                          "pads",
                                                          "perm",
                                                          "rounding_mode",
                                                          "select_last_index",
                                                          "signed",
                                                          "split",
                                                          "starts",
                                                          "strides",
                                                          "to",
                                                          "transA",
                                                          "transB",
                                                          "auto_pad",
                                                          "value",
                                                          "value_ints",
                                                          "output_dtype",
                                                          "count_include_pad",
                                                          "allowzero",
                                                          "num_outputs"};
constexpr std::array<std::string_view, 16> kTexts = {"",
                                                     "x",
                                                     "onnx.brevitas",
                                                     "qonnx.custom_op.general",
                                                     "finn.custom_op.general",
                                                     "FLOOR",
                                                     "HALF_UP",
                                                     "SAME_UPPER",
                                                     "constant",
                                                     "reflect",
                                                     "BIPOLAR",
                                                     "INT4",
                                                     "finn_datatype",
                                                     "location",
                                                     "../weights",
                                                     "tandem_symbol:N"};
constexpr std::array<std::int64_t, 20> kNumbers = {
    0,  1,  2,  3,   4,    5,    7,     8,         13,        16,
    -1, -2, -3, 255, 1024, 4096, 65536, 1LL << 31, 1LL << 40, INT64_MIN};

}  // namespace

std::vector<Message*> messages_of(Message& root) {
  std::vector<Message*> all = {&root};
  for (std::size_t i = 0; i < all.size(); ++i) {
    Message& message = *all[i];
    const auto* reflection = message.GetReflection();
    std::vector<const FieldDescriptor*> fields;
    reflection->ListFields(message, &fields);
    for (const FieldDescriptor* field : fields) {
      if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
      if (!field->is_repeated()) {
        all.push_back(reflection->MutableMessage(&message, field));
        continue;
      }
      for (int k = 0; k < reflection->FieldSize(message, field); ++k)
        all.push_back(reflection->MutableRepeatedMessage(&message, field, k));
    }
  }
  return all;
}

std::int64_t ModelMutator::number() {
  if (chance(8)) return static_cast<std::int64_t>(random_()) - (1LL << 31);
  return kNumbers[below(chance(3) ? kNumbers.size() : 11)];
}

std::string ModelMutator::value(const onnx_reflection::GraphProto& graph) {
  std::vector<const std::string*> names;
  for (const auto& input : graph.input()) names.push_back(&input.name());
  for (const auto& tensor : graph.initializer()) names.push_back(&tensor.name());
  for (const auto& node : graph.node())
    for (const auto& output : node.output()) names.push_back(&output);
  return names.empty() ? "x" : *names[below(names.size())];
}

std::string ModelMutator::text(const ModelProto& model) {
  switch (below(4)) {
    case 0: return std::string(kTexts[below(kTexts.size())]);
    case 1: return std::string(kOperators[below(kOperators.size())]);
    case 2: return std::string(kAttributes[below(kAttributes.size())]);
    default: return value(model.graph());
  }
}

void ModelMutator::set_scalar(Message& message, const Field& field, const ModelProto& model) {
  const auto* reflection = message.GetReflection();
  const bool repeated = field.is_repeated();
  const int size = repeated ? reflection->FieldSize(message, &field) : 0;
  const int at = size == 0 ? 0 : static_cast<int>(below(static_cast<std::size_t>(size)));
  const auto set = [&](auto setter, auto repeated_setter, auto new_value) {
    if (repeated)
      (reflection->*repeated_setter)(&message, &field, at, new_value);
    else
      (reflection->*setter)(&message, &field, new_value);
  };
  using R = google::protobuf::Reflection;
  switch (field.cpp_type()) {
    case Field::CPPTYPE_INT32:
      set(&R::SetInt32, &R::SetRepeatedInt32, static_cast<std::int32_t>(number()));
      break;
    case Field::CPPTYPE_INT64: set(&R::SetInt64, &R::SetRepeatedInt64, number()); break;
    case Field::CPPTYPE_UINT64:
      set(&R::SetUInt64, &R::SetRepeatedUInt64, static_cast<std::uint64_t>(number()));
      break;
    case Field::CPPTYPE_FLOAT:
      set(&R::SetFloat, &R::SetRepeatedFloat, static_cast<float>(number()) / 8.0F);
      break;
    case Field::CPPTYPE_DOUBLE:
      set(&R::SetDouble, &R::SetRepeatedDouble, static_cast<double>(number()) / 8.0);
      break;
    case Field::CPPTYPE_ENUM: {
      const auto* type = field.enum_type();
      const int index = static_cast<int>(below(static_cast<std::size_t>(type->value_count())));
      const int new_value = type->value(index)->number();
      if (repeated)
        reflection->SetRepeatedEnumValue(&message, &field, at, new_value);
      else
        reflection->SetEnumValue(&message, &field, new_value);
      break;
    }
    case Field::CPPTYPE_STRING: {
      std::string new_value = text(model);
      if (field.type() == Field::TYPE_BYTES) {
        std::string scratch;
        const std::string& bytes =
            repeated ? reflection->GetRepeatedStringReference(message, &field, at, &scratch)
                     : reflection->GetStringReference(message, &field, &scratch);
        new_value = bytes;
        if (!new_value.empty() && !chance(8))
          new_value[below(new_value.size())] = static_cast<char>(random_());
        else
          new_value.resize(below(32), '\1');
      }
      if (repeated)
        reflection->SetRepeatedString(&message, &field, at, new_value);
      else
        reflection->SetString(&message, &field, new_value);
      break;
    }
    default: break;
  }
}

void ModelMutator::change_repeated(Message& message, const Field& field, const ModelProto& model) {
  const auto* reflection = message.GetReflection();
  const int size = reflection->FieldSize(message, &field);
  if (size == 0) return;
  const int at = static_cast<int>(below(static_cast<std::size_t>(size)));
  switch (below(4)) {
    case 0: reflection->RemoveLast(&message, &field); return;
    case 1: reflection->SwapElements(&message, &field, at, size - 1); return;
    case 2:
      if (field.cpp_type() == Field::CPPTYPE_MESSAGE) {
        const auto& from = reflection->GetRepeatedMessage(message, &field, at);
        Message* copy = from.New();
        copy->CopyFrom(from);
        reflection->AddAllocatedMessage(&message, &field, copy);
      } else if (field.cpp_type() == Field::CPPTYPE_INT64) {
        reflection->AddInt64(&message, &field, number());
      } else if (field.cpp_type() == Field::CPPTYPE_STRING) {
        reflection->AddString(&message, &field, text(model));
      }
      return;
    default:
      if (field.cpp_type() != Field::CPPTYPE_MESSAGE) set_scalar(message, field, model);
      return;
  }
}

void ModelMutator::set_field(Message& message, const Field& field, const ModelProto& model) {
  const auto* reflection = message.GetReflection();
  if (field.is_repeated()) {
    change_repeated(message, field, model);
  } else if (chance(12)) {
    reflection->ClearField(&message, &field);
  } else if (field.cpp_type() == Field::CPPTYPE_MESSAGE) {
    reflection->MutableMessage(&message, &field);
  } else {
    set_scalar(message, field, model);
  }
}

// A field of a random message: mostly one that is set.
void ModelMutator::change_field(ModelProto& model) {
  const auto all = messages_of(model);
  Message& message = *all[below(all.size())];
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  if (fields.empty() || chance(6)) {
    const auto* descriptor = message.GetDescriptor();
    if (descriptor->field_count() == 0) return;
    set_field(message,
              *descriptor->field(
                  static_cast<int>(below(static_cast<std::size_t>(descriptor->field_count())))),
              model);
    return;
  }
  set_field(message, *fields[below(fields.size())], model);
}

// One message becomes a copy of another of its type.
void ModelMutator::copy_subtree(ModelProto& model) {
  const auto all = messages_of(model);
  Message& to = *all[below(all.size())];
  std::vector<Message*> same;
  for (Message* message : all)
    if (message != &to && message->GetDescriptor() == to.GetDescriptor()) same.push_back(message);
  if (same.empty()) return;
  const Message& from = *same[below(same.size())];
  Message* copy = from.New();
  copy->CopyFrom(from);
  to.CopyFrom(*copy);
  delete copy;
}

void ModelMutator::add_attribute(onnx_reflection::NodeProto& node) {
  auto& attribute = *node.add_attribute();
  attribute.set_name(std::string(kAttributes[below(kAttributes.size())]));
  switch (below(4)) {
    case 0:
      attribute.set_type(onnx_reflection::AttributeProto::INTS);
      for (std::size_t i = below(4); i-- > 0;) attribute.add_ints(number());
      break;
    case 1:
      attribute.set_type(onnx_reflection::AttributeProto::FLOAT);
      attribute.set_f(static_cast<float>(number()) / 4.0F);
      break;
    case 2:
      attribute.set_type(onnx_reflection::AttributeProto::STRING);
      attribute.set_s(std::string(kTexts[below(kTexts.size())]));
      break;
    default:
      attribute.set_type(onnx_reflection::AttributeProto::INT);
      attribute.set_i(number());
      break;
  }
}

void ModelMutator::add_initializer(onnx_reflection::GraphProto& graph) {
  auto& tensor = *graph.add_initializer();
  tensor.set_name("i" + std::to_string(below(1000)));
  std::size_t count = 1;
  for (std::size_t d = below(4); d-- > 0;) {
    tensor.add_dims(static_cast<std::int64_t>(1 + below(3)));
    count *= static_cast<std::size_t>(tensor.dims(tensor.dims_size() - 1));
  }
  if (chance(2)) {
    tensor.set_data_type(onnx_reflection::TensorProto::FLOAT);
    for (std::size_t i = 0; i < count; ++i)
      tensor.add_float_data(static_cast<float>(number()) / 4.0F);
  } else {
    tensor.set_data_type(onnx_reflection::TensorProto::INT64);
    for (std::size_t i = 0; i < count; ++i) tensor.add_int64_data(number());
  }
}

// A node of a known operator that reads known values; its result mostly becomes the output.
void ModelMutator::add_node(onnx_reflection::GraphProto& graph) {
  if (chance(2)) add_initializer(graph);
  auto& node = *graph.add_node();
  const bool qonnx = chance(6);
  node.set_op_type(std::string(qonnx ? kQonnxOperators[below(kQonnxOperators.size())]
                                     : kOperators[below(kOperators.size())]));
  if (qonnx) node.set_domain("onnx.brevitas");
  for (std::size_t i = below(qonnx ? 7 : 4); i-- > 0;) node.add_input(value(graph));
  if (node.input_size() == 0) node.add_input(value(graph));
  for (std::size_t i = below(4); i-- > 0;) add_attribute(node);
  const std::string name = "n" + std::to_string(random_() % 100000);
  node.add_output(name);
  if (chance(3) || graph.output_size() == 0) {
    auto& output = *graph.add_output();
    output.set_name(name);
  } else {
    graph.mutable_output(0)->set_name(name);
    graph.mutable_output(0)->clear_type();
  }
}

// An input of a node becomes another value.
void ModelMutator::rewire(onnx_reflection::GraphProto& graph) {
  if (graph.node_size() == 0) return;
  auto& node =
      *graph.mutable_node(static_cast<int>(below(static_cast<std::size_t>(graph.node_size()))));
  if (node.input_size() == 0 || chance(5)) {
    node.add_input(value(graph));
    return;
  }
  node.set_input(static_cast<int>(below(static_cast<std::size_t>(node.input_size()))),
                 value(graph));
}

void ModelMutator::change_shape(onnx_reflection::GraphProto& graph) {
  if (graph.input_size() == 0) return;
  auto& input =
      *graph.mutable_input(static_cast<int>(below(static_cast<std::size_t>(graph.input_size()))));
  auto& type = *input.mutable_type()->mutable_tensor_type();
  if (chance(4)) type.set_elem_type(static_cast<std::int32_t>(below(24)));
  auto& shape = *type.mutable_shape();
  if (shape.dim_size() == 0 || chance(5)) shape.add_dim();
  auto& dim =
      *shape.mutable_dim(static_cast<int>(below(static_cast<std::size_t>(shape.dim_size()))));
  if (chance(3))
    dim.set_dim_param("N");
  else
    dim.set_dim_value(number());
}

void ModelMutator::mutate(ModelProto& model) {
  if (!chance(4)) {  // what is broken once stays so: most changes keep a model sound
    SoundChanges changes(random_, model);
    for (std::size_t i = 1 + below(3); i-- > 0;) changes.change();
    return;
  }
  for (std::size_t i = 1 + below(4); i-- > 0;) {
    switch (below(10)) {
      case 0:
      case 1: add_node(*model.mutable_graph()); break;
      case 2: rewire(*model.mutable_graph()); break;
      case 3: change_shape(*model.mutable_graph()); break;
      case 4: copy_subtree(model); break;
      case 5:
        if (model.graph().node_size() > 0) {
          add_attribute(*model.mutable_graph()->mutable_node(
              static_cast<int>(below(static_cast<std::size_t>(model.graph().node_size())))));
        }
        break;
      default: change_field(model); break;
    }
  }
}

}  // namespace tandem::fuzz
