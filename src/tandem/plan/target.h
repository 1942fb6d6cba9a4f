#pragma once

#include <string>
#include <vector>

#include "tandem/graph/module.h"
#include "tandem/plan/plan.h"

namespace tandem {

// One thing that a target cannot take: which node, why, and how to mend it.
struct Issue {
  std::string node;
  std::string op;
  std::string reason;
  std::string remedy;
};

// All issues as one Error, one line each; does nothing when there are none.
void throw_issues(const std::vector<Issue>& issues, const std::string& target);

// The operators of a file that are not known here: each an issue for every target.
std::vector<Issue> unknown_operators(const Module& module);

struct Artifact {
  std::string path;  // relative to the output folder
  std::string content;
};
using Artifacts = std::vector<Artifact>;

// Something that a lowered module becomes: C, a circuit, a run on this CPU.
class Target {
 public:
  virtual ~Target() = default;
  virtual std::string name() const = 0;  // "c", "circuit", "cpu"
  // Everything in the function "main" that cannot be taken, at once.
  virtual std::vector<Issue> check(const Module& module) const = 0;
  // The sources. `name` prefixes every symbol. Throws the issues of check() as one Error.
  virtual Artifacts emit(const Module& module, const Plan& plan, const std::string& name) const = 0;
};

}  // namespace tandem
