#pragma once

#include <cstddef>
#include <string>
#include <unordered_set>
#include <utility>

#include "tandem/graph/module.h"

namespace tandem {

// Adds constants to a module one after the other, with the names that Module::add_constant() gives
// them; that one looks through all names each time, this one knows them. While it lives, others may
// add constants to the module, but not rename or remove any.
class ConstantNames {
 public:
  explicit ConstantNames(Module& module) : module_(module) {}
  ConstantId add(Tensor tensor, const std::string& name);

 private:
  Module& module_;
  std::unordered_set<std::string> names_;
  std::size_t seen_ = 0;
};

}  // namespace tandem
