#include "tandem/plan/target.h"

#include "tandem/base/error.h"
#include "tandem/graph/operator.h"

namespace tandem {

void throw_issues(const std::vector<Issue>& issues, const std::string& target) {
  if (issues.empty()) return;
  std::string text = concat("target ", target, " cannot take ", issues.size(),
                            issues.size() == 1 ? " node:" : " nodes:");
  for (const Issue& issue : issues) {
    text += concat("\n  ", issue.op, " '", issue.node, "': ", issue.reason, "; ", issue.remedy);
  }
  throw Error(text);
}

std::vector<Issue> unknown_operators(const Module& module) {
  std::vector<Issue> issues;
  for (const Graph& graph : module.graphs) {
    for (const Node& node : graph.nodes) {
      if (node.op->name() != "Opaque") continue;
      const std::string op = NodeView{module, graph, node}.string("op");
      issues.push_back({node.name, op, concat("there is no operator ", op, " here"),
                        "replace it by operators that there are (tandem list operators)"});
    }
  }
  return issues;
}

}  // namespace tandem
