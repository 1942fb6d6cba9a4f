#include "tandem/ops/register.h"

#include "tandem/graph/registry.h"
#include "tandem/ops/integer.h"

namespace tandem {

void register_operators() {
  if (!operators().all().empty()) return;
  register_integer_operators();
}

}  // namespace tandem
