#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "tandem/graph/operator.h"

namespace tandem {

// The known operators, in order of registration. Filled by register_operators() of room `ops`,
// which programs and tests call once at their start.
class OperatorRegistry {
 public:
  void add(std::unique_ptr<Operator> op);             // InternalError when the name is taken
  const Operator& find(std::string_view name) const;  // Error naming the nearest
  const Operator* try_find(std::string_view name) const;
  std::vector<const Operator*> all() const;

 private:
  std::vector<std::unique_ptr<Operator>> operators_;
};

OperatorRegistry& operators();

// Adds Operators<Function> for each function: add_operators<UnaryOperator, Exp, Log>().
template <template <typename> typename Operators, typename... Functions>
void add_operators() {
  (operators().add(std::make_unique<Operators<Functions>>()), ...);
}

}  // namespace tandem
