#pragma once

#include <cstdint>
#include <onnx_reflection.pb.h>
#include <random>
#include <string>
#include <vector>

#include <google/protobuf/message.h>

namespace tandem::fuzz {

// Changes ONNX models so that they stay well-formed messages and often sound graphs: fields of
// random messages are set, cleared, copied and exchanged by reflection; nodes of known operators
// are added to known values; values are renamed, shared and turned into outputs. Three of four
// times the changes are those of SoundChanges.
class ModelMutator {
 public:
  explicit ModelMutator(std::uint32_t seed) : random_(seed) {}

  // One to four changes.
  void mutate(onnx_reflection::ModelProto& model);

 private:
  using Message = google::protobuf::Message;
  using Field = google::protobuf::FieldDescriptor;

  std::size_t below(std::size_t bound) { return bound == 0 ? 0 : random_() % bound; }
  bool chance(std::size_t one_in) { return below(one_in) == 0; }
  std::int64_t number();
  std::string text(const onnx_reflection::ModelProto& model);

  void change_field(onnx_reflection::ModelProto& model);
  void set_field(Message& message, const Field& field, const onnx_reflection::ModelProto& model);
  void change_repeated(Message& message, const Field& field,
                       const onnx_reflection::ModelProto& model);
  void set_scalar(Message& message, const Field& field, const onnx_reflection::ModelProto& model);
  void copy_subtree(onnx_reflection::ModelProto& model);
  void add_node(onnx_reflection::GraphProto& graph);
  void add_attribute(onnx_reflection::NodeProto& node);
  void add_initializer(onnx_reflection::GraphProto& graph);
  void rewire(onnx_reflection::GraphProto& graph);
  void change_shape(onnx_reflection::GraphProto& graph);
  std::string value(const onnx_reflection::GraphProto& graph);

  std::mt19937 random_;
};

// Every message of a tree, the root first.
std::vector<google::protobuf::Message*> messages_of(google::protobuf::Message& root);

}  // namespace tandem::fuzz
