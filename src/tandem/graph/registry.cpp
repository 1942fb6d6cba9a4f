#include "tandem/graph/registry.h"

#include "tandem/base/error.h"
#include "tandem/base/text.h"

namespace tandem {

void OperatorRegistry::add(std::unique_ptr<Operator> op) {
  ensure(try_find(op->name()) == nullptr, concat("operator registered twice: ", op->name()));
  operators_.push_back(std::move(op));
}

const Operator* OperatorRegistry::try_find(std::string_view name) const {
  for (const auto& op : operators_)
    if (op->name() == name) return op.get();
  return nullptr;
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
