#include "tandem/plan/target.h"

#include "tandem/base/error.h"

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

}  // namespace tandem
