#include "tandem/kernels/instruction_set.h"

#include <atomic>

#include "tandem/base/error.h"

namespace tandem {
namespace {

std::atomic<InstructionSet>& chosen() {
  static std::atomic<InstructionSet> set{
      processor_has(InstructionSet::kAvx2) ? InstructionSet::kAvx2 : InstructionSet::kPortable};
  return set;
}

}  // namespace

bool processor_has(InstructionSet set) {
  if (set == InstructionSet::kPortable) return true;
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") != 0;
#else
  return false;
#endif
}

InstructionSet instruction_set() { return chosen().load(std::memory_order_relaxed); }

void set_instruction_set(InstructionSet set) {
  ensure(processor_has(set), "this processor lacks the instruction set");
  chosen().store(set);
}

}  // namespace tandem
