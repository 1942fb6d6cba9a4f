#include "tandem/files/onnx_functions.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/files/onnx_scopes.h"

namespace tandem {
namespace {

using Nodes = google::protobuf::RepeatedPtrField<onnx::NodeProto>;
using FunctionKey = std::tuple<std::string, std::string, std::string>;  // domain, name, overload

constexpr int kMostCalled = 1 << 18;

std::string plain_domain(const std::string& domain) { return domain == "ai.onnx" ? "" : domain; }

std::string title(const onnx::FunctionProto& function) {
  return concat("function '", function.domain(), "::", function.name(), "'");
}

const onnx::AttributeProto* find_attribute(const onnx::NodeProto& node, const std::string& name) {
  for (const auto& attribute : node.attribute())
    if (attribute.name() == name) return &attribute;
  return nullptr;
}

class Inliner {
 public:
  explicit Inliner(onnx::ModelProto& model) : model_(model) {
    for (const auto& function : model.functions()) {
      const FunctionKey key{plain_domain(function.domain()), function.name(), function.overload()};
      if (!functions_.emplace(key, &function).second)
        throw Error(title(function), " stands there twice; keep one of them");
    }
    for (const auto& set : model.opset_import())
      opsets_[plain_domain(set.domain())] = set.version();
  }

  void run() {
    collect_names(model_.graph(), names_);  // which no value of a body may take
    expand_graph(*model_.mutable_graph());
    model_.clear_functions();
  }

 private:
  std::string fresh_name(const std::string& wanted) {
    std::string name = wanted;
    for (int& i = taken_.emplace(wanted, 2).first->second; !names_.insert(name).second; ++i)
      name = concat(wanted, "_", i);
    return name;
  }

  const onnx::FunctionProto* called(const onnx::NodeProto& node) const {
    const auto found =
        functions_.find({plain_domain(node.domain()), node.op_type(), node.overload()});
    return found == functions_.end() ? nullptr : found->second;
  }

  void expand_graph(onnx::GraphProto& graph) {
    Nodes expanded;
    for (auto& node : *graph.mutable_node()) expand(std::move(node), expanded);
    graph.mutable_node()->Swap(&expanded);
  }

  void expand(onnx::NodeProto node, Nodes& to) {
    const onnx::FunctionProto* function = called(node);
    if (function != nullptr) return expand_call(node, *function, to);
    for (auto& attribute : *node.mutable_attribute())
      if (attribute.has_g()) expand_graph(*attribute.mutable_g());
    if (++count_ > kMostCalled)
      throw Error("its functions make more than ", kMostCalled, " nodes; inline fewer calls");
    *to.Add() = std::move(node);
  }

  void expand_call(const onnx::NodeProto& call, const onnx::FunctionProto& function, Nodes& to) {
    if (std::find(stack_.begin(), stack_.end(), &function) != stack_.end())
      throw Error(title(function), " calls itself; unroll it before exporting");
    check_call(call, function);
    check_operator_sets(function);
    stack_.push_back(&function);
    const std::string prefix =
        call.name().empty() ? concat(function.name(), "_", ++calls_) : call.name();
    OnnxNames names;
    for (int i = 0; i < function.input_size(); ++i)
      names[function.input(i)] = i < call.input_size() ? call.input(i) : "";
    const std::set<std::string> inputs(function.input().begin(), function.input().end());
    std::vector<std::pair<std::string, std::string>> passed;  // inputs that are outputs
    for (int i = 0; i < std::min(function.output_size(), call.output_size()); ++i) {
      const std::string& output = call.output(i);
      if (output.empty()) continue;
      if (inputs.contains(function.output(i)) || names.contains(function.output(i)))
        passed.emplace_back(function.output(i), output);
      else
        names[function.output(i)] = output;
    }
    for (const auto& original : function.node()) {
      onnx::NodeProto node = original;
      bind_attributes(node, call, function);
      for (const std::string& input : node.input()) {
        if (!input.empty() && !names.contains(input))
          throw Error(title(function), " reads '", input, "', which nothing in it defines before");
      }
      for (const std::string& output : node.output())
        if (!output.empty() && !names.contains(output))
          names[output] = fresh_name(concat(prefix, "/", output));
      substitute_names(node, names);
      node.set_name(concat(prefix, "/", node.name().empty() ? node.op_type() : node.name()));
      expand(std::move(node), to);
    }
    for (const auto& [from, output] : passed) {
      onnx::NodeProto& identity = *to.Add();
      identity.set_op_type("Identity");
      identity.add_input(names.at(from));
      identity.add_output(output);
    }
    stack_.pop_back();
  }

  static void check_call(const onnx::NodeProto& call, const onnx::FunctionProto& function) {
    if (call.input_size() > function.input_size() || call.output_size() > function.output_size()) {
      throw Error("node '", call.name(), "' calls ", title(function), " with ", call.input_size(),
                  " inputs and ", call.output_size(), " outputs; it has ", function.input_size(),
                  " and ", function.output_size());
    }
    std::vector<std::string> known(function.attribute().begin(), function.attribute().end());
    for (const auto& attribute : function.attribute_proto()) known.push_back(attribute.name());
    for (const auto& attribute : call.attribute()) {
      if (std::find(known.begin(), known.end(), attribute.name()) == known.end()) {
        throw Error("node '", call.name(), "': ", title(function), " has no attribute '",
                    attribute.name(), "'", suggestion(attribute.name(), known));
      }
    }
  }

  void check_operator_sets(const onnx::FunctionProto& function) {
    for (const auto& set : function.opset_import()) {
      const std::string domain = plain_domain(set.domain());
      const auto [found, is_new] = opsets_.emplace(domain, set.version());
      if (is_new) {
        *model_.add_opset_import() = set;
      } else if (found->second != set.version()) {
        throw Error(title(function), " imports version ", set.version(), " of the operator set '",
                    domain, "', the model version ", found->second,
                    "; convert them to one version (onnx.version_converter)");
      }
    }
  }

  // References to attributes of the function become the caller's, or the defaults; those that
  // neither gives are absent.
  void bind_attributes(onnx::NodeProto& node, const onnx::NodeProto& call,
                       const onnx::FunctionProto& function) {
    google::protobuf::RepeatedPtrField<onnx::AttributeProto> bound;
    for (auto& attribute : *node.mutable_attribute()) {
      if (attribute.has_g()) {
        for (auto& inner : *attribute.mutable_g()->mutable_node())
          bind_attributes(inner, call, function);
      }
      if (attribute.ref_attr_name().empty()) {
        *bound.Add() = std::move(attribute);
        continue;
      }
      const onnx::AttributeProto* value = find_attribute(call, attribute.ref_attr_name());
      for (const auto& standard : function.attribute_proto())
        if (value == nullptr && standard.name() == attribute.ref_attr_name()) value = &standard;
      if (value == nullptr) continue;
      *bound.Add() = *value;
      bound.rbegin()->set_name(attribute.name());
    }
    node.mutable_attribute()->Swap(&bound);
  }

  onnx::ModelProto& model_;
  std::map<FunctionKey, const onnx::FunctionProto*> functions_;
  std::map<std::string, std::int64_t> opsets_;
  std::set<std::string> names_;
  std::map<std::string, int> taken_;  // how often a name was wanted that others have
  std::vector<const onnx::FunctionProto*> stack_;
  int calls_ = 0, count_ = 0;
};

}  // namespace

void inline_functions(onnx::ModelProto& model) {
  if (model.functions_size() > 0) Inliner(model).run();
}

}  // namespace tandem
