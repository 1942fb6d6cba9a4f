#include "tandem/kernels/instruction_set.h"

#include <atomic>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "tandem/base/error.h"

namespace tandem {
namespace {

InstructionSet widest() {
  InstructionSet set = InstructionSet::kPortable;
  for (const InstructionSet candidate : kInstructionSets)
    if (processor_has(candidate)) set = candidate;
  return set;
}

std::atomic<InstructionSet>& chosen() {
  static std::atomic<InstructionSet> set{widest()};
  return set;
}

#if defined(__x86_64__)
bool has_vnni() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni");
}

// Linux gives a process the tiles when it asks for them; without, their use is a fault.
bool has_tiles() {
#if defined(__linux__)
  constexpr unsigned kNeeded = 1U << 24 | 1U << 25 | 1U << 22;  // of EDX: tiles, int8, bf16
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kNeeded) != kNeeded) return false;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // asm/prctl.h, since Linux 5.16
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
#endif

}  // namespace

std::string_view name(InstructionSet set) {
  switch (set) {
    case InstructionSet::kPortable: return "portable";
    case InstructionSet::kAvx2: return "avx2";
    case InstructionSet::kVnni: return "vnni";
    case InstructionSet::kAmx: return "amx";
  }
  throw InternalError("unknown instruction set");
}

bool processor_has(InstructionSet set) {
  if (set == InstructionSet::kPortable) return true;
#if defined(__x86_64__)
  static const bool avx2 = __builtin_cpu_supports("avx2") != 0, vnni = avx2 && has_vnni(),
                    amx = vnni && has_tiles();
  return set == InstructionSet::kAvx2 ? avx2 : set == InstructionSet::kVnni ? vnni : amx;
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
