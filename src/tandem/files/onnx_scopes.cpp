#include "tandem/files/onnx_scopes.h"

namespace tandem {
namespace {

void add_definitions(const onnx::GraphProto& graph, std::set<std::string>& names) {
  for (const auto& node : graph.node()) names.insert(node.output().begin(), node.output().end());
  for (const auto& input : graph.input()) names.insert(input.name());
  for (const auto& tensor : graph.initializer()) names.insert(tensor.name());
}

void add_captures(const onnx::GraphProto& graph, std::set<std::string>& names) {
  std::set<std::string> own, read;
  add_definitions(graph, own);
  for (const auto& node : graph.node()) {
    read.insert(node.input().begin(), node.input().end());
    for (const auto& attribute : node.attribute())
      if (attribute.has_g()) add_captures(attribute.g(), read);
  }
  for (const auto& output : graph.output()) read.insert(output.name());
  for (const std::string& name : read)
    if (!name.empty() && !own.contains(name)) names.insert(name);
}

}  // namespace

void collect_names(const onnx::GraphProto& graph, std::set<std::string>& names) {
  add_definitions(graph, names);
  for (const auto& node : graph.node())
    for (const auto& attribute : node.attribute())
      if (attribute.has_g()) collect_names(attribute.g(), names);
}

std::vector<std::string> names_read(const onnx::NodeProto& node) {
  std::vector<std::string> names;
  for (const std::string& input : node.input())
    if (!input.empty()) names.push_back(input);
  std::set<std::string> captured;
  for (const auto& attribute : node.attribute())
    if (attribute.has_g()) add_captures(attribute.g(), captured);
  names.insert(names.end(), captured.begin(), captured.end());
  return names;
}

void substitute_names(onnx::NodeProto& node, const OnnxNames& names) {
  const auto change = [&](std::string& name) {
    const auto found = names.find(name);
    if (found != names.end()) name = found->second;
  };
  for (std::string& input : *node.mutable_input()) change(input);
  for (std::string& output : *node.mutable_output()) change(output);
  for (auto& attribute : *node.mutable_attribute()) {
    if (!attribute.has_g()) continue;
    std::set<std::string> own;
    add_definitions(attribute.g(), own);
    OnnxNames visible = names;
    for (const std::string& name : own) visible.erase(name);
    substitute_names(*attribute.mutable_g(), visible);
  }
}

void substitute_names(onnx::GraphProto& graph, const OnnxNames& names) {
  for (auto& node : *graph.mutable_node()) substitute_names(node, names);
  for (auto& output : *graph.mutable_output())
    if (const auto found = names.find(output.name()); found != names.end())
      output.set_name(found->second);
}

}  // namespace tandem
