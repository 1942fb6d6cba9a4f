#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <onnx/onnx-ml.pb.h>

#include "tandem/files/bytes.h"

namespace tandem {

// Internal to the room: a model's message and the checks of its structure that need no operator.

// Throws Error where the bytes are no ModelProto with a graph, or where a version is unknown.
onnx::ModelProto parse_onnx_model(ByteSpan bytes);
// The same from a file, which is never in memory beside its message.
onnx::ModelProto parse_onnx_model(const std::filesystem::path& path);

// Versions of the operator sets that a model imports, by domain ("" is ONNX's own).
std::map<std::string, std::int64_t> operator_sets(const onnx::ModelProto& model);

// How messages name a node: its name, or "#3" where it has none.
std::string node_label(const onnx::GraphProto& graph, int index);

// Indices of the nodes in an order in which every value is computed before it is used; the given
// order where it is one. `is_outer` tells what is defined around a graph inside another. Throws
// Error naming a value that is defined twice or not at all, or the nodes of a cycle.
std::vector<int> sorted_nodes(
    const onnx::GraphProto& graph, const std::function<bool(const std::string&)>& is_outer =
                                       [](const std::string&) { return false; });

}  // namespace tandem
