#include "tandem/files/onnx_model.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <queue>
#include <set>
#include <unordered_map>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl.h>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/files/onnx_scopes.h"

namespace tandem {
namespace {

void check_versions(const onnx::ModelProto& model) {
  if (model.ir_version() < 3) {
    throw Error("IR version ", model.ir_version(),
                "; versions from 3 on are read (convert it with onnx.version_converter)");
  }
}

// Where each value of a graph comes from: a node's index, or kGiven for inputs and initializers.
constexpr int kGiven = -1;
using Producers = std::unordered_map<std::string, int>;

Producers find_producers(const onnx::GraphProto& graph) {
  Producers producers;
  std::set<std::string> initializers;
  const auto initializer = [&](const std::string& name) {
    if (name.empty()) throw Error("an initializer has no name");
    if (!initializers.insert(name).second)
      throw Error("two initializers are named '", name, "'; rename one of them");
    producers.emplace(name, kGiven);
  };
  for (const auto& tensor : graph.initializer()) initializer(tensor.name());
  for (const auto& tensor : graph.sparse_initializer()) initializer(tensor.values().name());
  std::set<std::string> inputs;
  for (const auto& input : graph.input()) {
    if (input.name().empty()) throw Error("an input of the graph has no name");
    if (!inputs.insert(input.name()).second)
      throw Error("two inputs of the graph are named '", input.name(), "'; rename one of them");
    producers.emplace(input.name(), kGiven);
  }
  for (int i = 0; i < graph.node_size(); ++i) {
    for (const std::string& output : graph.node(i).output()) {
      if (output.empty()) continue;
      const auto [place, is_new] = producers.emplace(output, i);
      if (is_new) continue;
      const std::string other = place->second == kGiven
                                    ? "an input or initializer"
                                    : concat("node '", node_label(graph, place->second), "'");
      throw Error("value '", output, "' is computed by node '", node_label(graph, i),
                  "' and defined by ", other, "; every value needs a name of its own");
    }
  }
  return producers;
}

int producer_of(const Producers& producers, const std::string& value, const std::string& reader) {
  const auto found = producers.find(value);
  if (found != producers.end()) return found->second;
  std::vector<std::string> names;
  // An edit distance takes time by the product of the lengths.
  constexpr std::size_t kMostCompared = 1000, kLongest = 200;
  for (const auto& [name, producer] : producers) {
    if (names.size() == kMostCompared || value.size() > kLongest) break;
    if (name.size() <= kLongest) names.push_back(name);
  }
  const std::string nearest = nearest_name(value, names);
  throw Error(reader, " reads '", value, "', which no node, input or initializer defines",
              nearest.empty() ? "" : concat("; did you mean '", nearest, "'?"));
}

// Called when some nodes wait for each other: walks from one to a producer that is not done until
// a node comes again.
[[noreturn]] void throw_cycle(const onnx::GraphProto& graph, const Producers& producers,
                              const std::vector<int>& missing) {
  int node = 0;
  while (missing[static_cast<std::size_t>(node)] == 0) ++node;
  std::vector<int> path;
  std::vector<bool> walked(missing.size());
  while (!walked[static_cast<std::size_t>(node)]) {
    walked[static_cast<std::size_t>(node)] = true;
    path.push_back(node);
    for (const std::string& input : names_read(graph.node(node))) {
      const auto producer = producers.find(input);
      if (producer == producers.end() || producer->second == kGiven ||
          missing[static_cast<std::size_t>(producer->second)] == 0)
        continue;
      node = producer->second;
      break;
    }
  }
  path.erase(path.begin(), std::find(path.begin(), path.end(), node));
  std::reverse(path.begin(), path.end());
  std::rotate(path.begin(), std::min_element(path.begin(), path.end()), path.end());
  std::vector<std::string> names;
  for (const int step : path) names.push_back(concat("'", node_label(graph, step), "'"));
  names.push_back(names.front());
  constexpr std::size_t kMostNamed = 12;
  if (names.size() > kMostNamed) {
    names.resize(kMostNamed);
    names.emplace_back("...");
  }
  throw Error("the graph is cyclic: ", join(names, " -> "),
              "; a network that feeds back has to be unrolled or exported with Loop or Scan");
}

}  // namespace

namespace {

// `read` of `size` bytes.
onnx::ModelProto parsed(google::protobuf::io::ZeroCopyInputStream& read, std::uint64_t size) {
  if (size > static_cast<std::uint64_t>(std::numeric_limits<int>::max()))
    throw Error(size, " bytes; models above 2 GiB keep their weights in external files");
  google::protobuf::io::CodedInputStream stream(&read);
  onnx::ModelProto model;
  if (!model.MergeFromCodedStream(&stream) || !stream.ConsumedEntireMessage()) {
    throw Error("not an ONNX model, or truncated: the message breaks off at byte ",
                stream.CurrentPosition(), " of ", size, "; export or copy the file again");
  }
  if (!model.has_graph() || (model.graph().node_size() == 0 && model.graph().output_size() == 0))
    throw Error("holds no ONNX graph; is it another kind of file?");
  check_versions(model);
  return model;
}

}  // namespace

onnx::ModelProto parse_onnx_model(ByteSpan bytes) {
  google::protobuf::io::ArrayInputStream read(
      bytes.data(),
      static_cast<int>(std::min<std::size_t>(bytes.size(), std::numeric_limits<int>::max())));
  return parsed(read, bytes.size());
}

onnx::ModelProto parse_onnx_model(const std::filesystem::path& path) {
  const std::uint64_t size = regular_file_size(path);
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error("cannot open ", path.string(), " for reading");
  google::protobuf::io::IstreamInputStream read(&file);
  return parsed(read, size);
}

std::map<std::string, std::int64_t> operator_sets(const onnx::ModelProto& model) {
  std::map<std::string, std::int64_t> sets;
  for (const auto& import : model.opset_import()) {
    const std::string domain = import.domain() == "ai.onnx" ? "" : import.domain();
    if (const auto [place, is_new] = sets.emplace(domain, import.version());
        !is_new && place->second != import.version()) {
      throw Error("operator set '", domain, "' is imported in the versions ", place->second,
                  " and ", import.version(), "; a model names one");
    }
  }
  return sets;
}

std::string node_label(const onnx::GraphProto& graph, int index) {
  const std::string& name = graph.node(index).name();
  return name.empty() ? concat("#", index) : name;
}

std::vector<int> sorted_nodes(const onnx::GraphProto& graph,
                              const std::function<bool(const std::string&)>& is_outer) {
  const Producers producers = find_producers(graph);
  const auto count = static_cast<std::size_t>(graph.node_size());
  std::vector<int> missing(count);  // inputs whose producer is not placed yet
  std::vector<std::vector<int>> readers(count);
  for (int i = 0; i < graph.node_size(); ++i) {
    for (const std::string& input : names_read(graph.node(i))) {
      const int producer =
          producers.contains(input) || !is_outer(input)
              ? producer_of(producers, input, concat("node '", node_label(graph, i), "'"))
              : kGiven;
      if (producer == kGiven) continue;
      ++missing[static_cast<std::size_t>(i)];
      readers[static_cast<std::size_t>(producer)].push_back(i);
    }
  }
  for (const auto& output : graph.output())
    if (!is_outer(output.name())) producer_of(producers, output.name(), "the list of outputs");

  std::priority_queue<int, std::vector<int>, std::greater<>> ready;
  for (int i = 0; i < graph.node_size(); ++i)
    if (missing[static_cast<std::size_t>(i)] == 0) ready.push(i);
  std::vector<int> order;
  while (!ready.empty()) {
    const int node = ready.top();
    ready.pop();
    order.push_back(node);
    for (const int reader : readers[static_cast<std::size_t>(node)])
      if (--missing[static_cast<std::size_t>(reader)] == 0) ready.push(reader);
  }
  if (order.size() < count) throw_cycle(graph, producers, missing);
  return order;
}

}  // namespace tandem
