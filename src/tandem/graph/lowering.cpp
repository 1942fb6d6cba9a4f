#include "tandem/graph/lowering.h"

#include "tandem/base/error.h"

namespace tandem {

const CodedValue& LoweringSite::coded(std::size_t index) const {
  ensure(node.has_input(index), "lowering asked for an absent input");
  if (!inputs[index]) {
    throw Error("input ", index, " is a real constant where coded integers belong; quantize it");
  }
  return *inputs[index];
}

}  // namespace tandem
