#include "tandem/graph/registry.h"

#include <algorithm>
#include <unordered_map>

#include "tandem/base/error.h"
#include "tandem/base/text.h"

namespace tandem {

void OperatorRegistry::add(std::unique_ptr<Operator> op) {
  ensure(try_find(op->name()) == nullptr, concat("operator registered twice: ", op->name()));
  operators_.push_back(std::move(op));
}

// Each node that is built asks for its operator. The one registry that lives as long as the process
// only grows, so that what was found once stays right.
const Operator* OperatorRegistry::try_find(std::string_view name) const {
  thread_local std::unordered_map<std::string_view, const Operator*> found;
  const bool remembers = this == &operators();
  if (remembers)
    if (const auto known = found.find(name); known != found.end()) return known->second;
  const auto is_it = [&](const auto& op) { return op->name() == name; };
  const auto op = std::ranges::find_if(operators_, is_it);
  if (op == operators_.end()) return nullptr;
  if (remembers) found.emplace((*op)->name(), op->get());
  return op->get();
}

const Operator& OperatorRegistry::find(std::string_view name) const {
  if (const Operator* op = try_find(name)) return *op;
  std::vector<std::string> names;
  for (const auto& op : operators_) names.emplace_back(op->name());
  throw Error("there is no operator '", name, "'", suggestion(name, names));
}

std::vector<const Operator*> OperatorRegistry::all() const {
  std::vector<const Operator*> result;
  for (const auto& op : operators_) result.push_back(op.get());
  return result;
}

OperatorRegistry& operators() {
  static OperatorRegistry registry;
  return registry;
}

}  // namespace tandem
