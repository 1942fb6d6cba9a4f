#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tandem/plan/target.h"
#include "tandem/verify/network.h"

namespace tandem {

// What a network shall become.
struct CheckRequest {
  std::string target;  // "c", "circuit" or "cpu"; empty: that of the device, or "c"
  std::string device;  // by name or path; instead of a target
  InputCodings codings = {};
};

// What a target cannot take of a network.
struct CheckResult {
  std::string target, device;
  std::vector<Issue> issues;
  bool recoded = false;  // the network is real: judged as `tandem compress` would recode it
  std::vector<std::string> notes;  // what was assumed, or not judged

  bool ok() const { return issues.empty(); }
};

// Names every node that cannot be read, lowered or taken by the target, at once. `read` gives the
// network; nodes that it refuses to read are issues too. Throws Error where both target and device
// are given or one is unknown, and what else `read` throws.
CheckResult check_network(const CheckRequest& request, const std::function<Module()>& read);

// As JSON text (schema "tandem-check/1"). `model` is the network's file.
std::string to_json(const CheckResult& result, const std::string& model);

}  // namespace tandem
