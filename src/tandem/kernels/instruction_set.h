#pragma once

#include <string_view>

namespace tandem {

// What the kernels of this room may use, each more than the one before. Kernels of integers give
// the same bits with every set; one that has no code for a set takes that for the widest set below.
enum class InstructionSet {
  kPortable,
  kAvx2,
  kVnni,  // AVX-512 (F, BW, DQ, VL, VBMI) with VNNI
  kAmx    // and tiles of 8-bit integers and of bf16
};
inline constexpr InstructionSet kInstructionSets[] = {
    InstructionSet::kPortable, InstructionSet::kAvx2, InstructionSet::kVnni, InstructionSet::kAmx};
std::string_view name(InstructionSet set);  // "portable", "avx2", "vnni", "amx"

// The widest set that this processor has, or what set_instruction_set() chose.
InstructionSet instruction_set();

// For tests and measurements: kernels use no more than this set from now on.
// InternalError when the processor lacks it.
void set_instruction_set(InstructionSet set);
bool processor_has(InstructionSet set);

#if defined(__x86_64__)
template <typename Kernel, typename... Arguments>
__attribute__((target("avx2"))) void run_with_avx2(Arguments... arguments) {
  Kernel::run(arguments...);
}
#endif

// Calls Kernel::run(arguments...), compiled for the best instruction set. `run` must be
// always_inline, so that it takes on the instruction set of its caller.
template <typename Kernel, typename... Arguments>
void run_kernel(Arguments... arguments) {
#if defined(__x86_64__)
  if (instruction_set() >= InstructionSet::kAvx2) return run_with_avx2<Kernel>(arguments...);
#endif
  Kernel::run(arguments...);
}

}  // namespace tandem
