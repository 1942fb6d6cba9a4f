#include "tandem/transform/expand.h"

#include "tandem/base/error.h"
#include "tandem/transform/rewriter.h"

namespace tandem {
namespace {

bool is_composite(const NodeView& node, const std::function<bool(const NodeView&)>& keeps) {
  return !node.node.op->forms(node).empty() && !keeps(node);
}

// One round: bodies may hold composites again. False when there was nothing to expand.
bool expand_once(Module& module, const std::function<bool(const NodeView&)>& keeps) {
  const Module old = module;
  const Graph& graph = old.main();
  bool expanded = false;
  for (const Node& node : graph.nodes)
    expanded = expanded || is_composite({old, graph, node}, keeps);
  if (!expanded) return false;
  Rewriter rewriter(old);
  for (const Node& node : graph.nodes) {
    std::vector<ValueId> inputs;
    for (const ValueId input : node.inputs) inputs.push_back(rewriter.at(input));
    const NodeView view = rewriter.old_view(node);
    if (!is_composite(view, keeps)) {
      rewriter.copy(node, std::move(inputs));
      continue;
    }
    rewriter.builder().set_scope(node.scope);
    const auto outputs =
        node.op->body(rewriter.builder(), view, node.op->forms(view).front(), inputs);
    ensure(outputs.size() == node.outputs.size(), "a body has another number of outputs");
    for (std::size_t i = 0; i < outputs.size(); ++i) rewriter.set(node.outputs[i], outputs[i]);
  }
  module = rewriter.finish();
  return true;
}

}  // namespace

void expand_composites(Module& module, const std::function<bool(const NodeView&)>& keeps) {
  constexpr int kDeepest = 16;
  for (int depth = 0; expand_once(module, keeps); ++depth)
    ensure(depth < kDeepest, "bodies hold each other");
}

}  // namespace tandem
