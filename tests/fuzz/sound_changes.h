#pragma once

#include <cstdint>
#include <onnx_reflection.pb.h>
#include <random>
#include <string>
#include <vector>

namespace tandem::fuzz {

// Changes an ONNX model such that a sound one mostly stays sound, so that what stands behind the
// reader's checks is reached too: nodes of fitting operators behind known values, copies of nodes,
// functions between a node and its input, small changes of numbers, sizes and symbols.
class SoundChanges {
 public:
  SoundChanges(std::mt19937& random, onnx_reflection::ModelProto& model);

  void change();

 private:
  using Node = onnx_reflection::NodeProto;

  std::size_t below(std::size_t bound) { return bound == 0 ? 0 : random_() % bound; }
  bool chance(std::size_t one_in) { return below(one_in) == 0; }
  std::string fresh();
  std::string value();
  std::string real(double number);
  std::string integers(const std::vector<std::int64_t>& numbers, bool is_scalar = false);
  std::string apply(const std::string& op, const std::vector<std::string>& inputs);
  Node& last();
  void set_integer(const std::string& name, std::int64_t number);
  void show(const std::string& name);

  std::string axes_of_node(const std::string& op, const std::string& x, std::int64_t axis);
  std::string one_input(const std::string& x);
  std::string two_inputs(const std::string& x);
  std::string moved(const std::string& x);
  std::string from_shape(const std::string& x);
  std::string coded(const std::string& x);
  void copy_node();
  void insert_function();
  void nudge_number();
  void change_extent();

  std::mt19937& random_;
  onnx_reflection::GraphProto& graph_;
  std::int64_t opset_ = 0;
};

}  // namespace tandem::fuzz
