#include "tests/support/least_sizes.h"

#include <cstdint>
#include <map>
#include <string>

namespace tandem {

Module with_least_sizes(const Module& module) {
  std::map<std::string, std::int64_t> symbols;
  for (const Symbol& symbol : module.symbols) symbols[symbol.name] = symbol.min;
  return specialize(module, symbols);
}

}  // namespace tandem
