#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include <onnx/onnx-ml.pb.h>

namespace tandem {

// Internal to the room: names of values in graphs that lie inside others, which may read what is
// defined around them.

using OnnxNames = std::map<std::string, std::string>;

// Adds every name that a graph and those inside it define.
void collect_names(const onnx::GraphProto& graph, std::set<std::string>& names);

// What a node reads: its inputs that are present, and what the graphs inside it capture.
std::vector<std::string> names_read(const onnx::NodeProto& node);

// Replaces names of values by those that they stand for, in a node or all nodes and outputs of a
// graph. What a graph inside defines hides the names outside.
void substitute_names(onnx::NodeProto& node, const OnnxNames& names);
void substitute_names(onnx::GraphProto& graph, const OnnxNames& names);

}  // namespace tandem
