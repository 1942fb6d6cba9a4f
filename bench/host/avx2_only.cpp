// Hides what a processor has beyond AVX2 from all code of a process, so that programs that are
// measured side by side on AVX2 can be so on a processor with more:
//
//   LD_PRELOAD=build/release/bench/libavx2_only.so program ...
//
// Linux lets CPUID fault (arch_prctl(2), ARCH_SET_CPUID) where the processor can, and the handler
// answers with the truth less AVX-512, AVX-VNNI and AMX. What asks the kernel instead still sees
// all.

#include <asm/prctl.h>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

namespace {

constexpr std::uint32_t bits(std::initializer_list<int> positions) {
  std::uint32_t mask = 0;
  for (const int position : positions) mask |= 1U << position;
  return mask;
}

bool let_cpuid(bool works) { return syscall(SYS_arch_prctl, ARCH_SET_CPUID, works ? 1 : 0) == 0; }

// Of leaf 7, Intel's manual, volume 2, CPUID: AVX-512 F, DQ, IFMA, PF, ER, CD, BW, VL; VBMI, VBMI2,
// VNNI, BITALG, VPOPCNTDQ; 4VNNIW, 4FMAPS, VP2INTERSECT, AMX-BF16, FP16, AMX-TILE, AMX-INT8. Of its
// second part: AVX-VNNI, AVX512-BF16, AMX-FP16, AVX-IFMA; AVX-VNNI-INT8, AVX-NE-CONVERT,
// AMX-COMPLEX, AVX-VNNI-INT16, AVX10.
void answer(int signal, siginfo_t*, void* context) {
  greg_t* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const auto* code = reinterpret_cast<const std::uint8_t*>(registers[REG_RIP]);
  if (code[0] != 0x0f || code[1] != 0xa2) {  // a fault of another kind, which comes again
    std::signal(signal, SIG_DFL);
    return;
  }
  const auto leaf = static_cast<std::uint32_t>(registers[REG_RAX]),
             part = static_cast<std::uint32_t>(registers[REG_RCX]);
  std::uint32_t a = leaf, b = 0, c = part, d = 0;
  let_cpuid(true);
  asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  let_cpuid(false);
  if (leaf == 7 && part == 0) {
    b &= ~bits({16, 17, 21, 26, 27, 28, 30, 31});
    c &= ~bits({1, 6, 11, 12, 14});
    d &= ~bits({2, 3, 8, 22, 23, 24, 25});
  } else if (leaf == 7 && part == 1) {
    a &= ~bits({4, 5, 21, 23});
    d &= ~bits({4, 5, 8, 10, 19});
  }
  registers[REG_RAX] = a;
  registers[REG_RBX] = b;
  registers[REG_RCX] = c;
  registers[REG_RDX] = d;
  registers[REG_RIP] += 2;
}

// Before anything else of the process asks.
[[gnu::constructor]] void hide() {
  struct sigaction action = {};
  action.sa_sigaction = answer;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGSEGV, &action, nullptr);
  if (!let_cpuid(false)) {
    std::fprintf(stderr, "avx2_only: this system cannot let CPUID fault\n");
    std::_Exit(2);
  }
}

}  // namespace
