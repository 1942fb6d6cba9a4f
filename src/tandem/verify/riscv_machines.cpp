#include "tandem/base/text.h"
#include "tandem/verify/firmware.h"

namespace tandem {
namespace {

// Under -icount shift=0 the cycle counter counts instructions, one by one.
constexpr std::string_view kRiscvStartup = R"(
/* Their instructions are an extension of their own since 2019; every core has them. */
#define CONTROL_REGISTERS ".option arch, +zicsr\n"

static uint32_t cycle_counter(void) {
  uint32_t value;
  __asm__ volatile(CONTROL_REGISTERS "csrr %0, mcycle" : "=r"(value));
  return value;
}
#define TIMER_START (void)0
#define TIMER_VALUE cycle_counter()
#define TIMER_SINCE(start) (cycle_counter() - (start))

/* The three instructions are no semihosting call unless they are uncompressed and on one page. */
static int __attribute__((noinline, aligned(16))) semihost(int operation, const void *argument) {
  register int a0 __asm__("a0") = operation;
  register const void *a1 __asm__("a1") = argument;
  __asm__ volatile(
      ".option push\n .option norvc\n slli zero, zero, 0x1f\n ebreak\n srai zero, zero, 7\n"
      ".option pop\n"
      : "+r"(a0)
      : "r"(a1)
      : "memory");
  return a0;
}

void __attribute__((naked, noinline)) harness_start(void) {
  __asm__ volatile(
      "la t0, painted_end\n sw sp, 0(t0)\n mv t0, sp\n li t1, 0xa5c3e178\n li t2, 4096\n"
      "1: addi t0, t0, -4\n sw t1, 0(t0)\n addi t2, t2, -1\n bnez t2, 1b\n tail harness_time\n");
}

#define COUNT_DOWN(count) __asm__ volatile("1: addi %0, %0, -1\n bnez %0, 1b\n" : "+r"(count))

static void __attribute__((aligned(4), used)) trap(void) { fault(); }

void __attribute__((section(".vectors"), naked, used)) first_instructions(void) {
  __asm__ volatile(
      ".option push\n .option norelax\n la gp, __global_pointer$\n .option pop\n"
      "la sp, firmware_stack_top\n" CONTROL_REGISTERS
      "la t0, trap\n csrw mtvec, t0\n tail reset\n");
}
)";

// Debian's cross compiler comes without a C library. Emitted C calls memcpy() and memset(), for a
// loop GCC may call memmove() too. They move words where both ends allow it, as the C libraries for
// these cores.
constexpr std::string_view kStringHeader = R"(#ifndef STRING_H
#define STRING_H
#include <stddef.h>
void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
#endif
)";

constexpr std::string_view kMemcpy = R"(#include <stdint.h>
#include <string.h>

void *memcpy(void *restrict to, const void *restrict from, size_t bytes) {
  uint8_t *out = to;
  const uint8_t *in = from;
  if ((((uintptr_t)out ^ (uintptr_t)in) & 3) == 0 && bytes >= 8) {
    uint32_t *out_words;
    const uint32_t *in_words;
    for (; ((uintptr_t)out & 3) != 0; --bytes) *out++ = *in++;
    out_words = (uint32_t *)out;
    in_words = (const uint32_t *)in;
    for (; bytes >= 16; bytes -= 16) {
      const uint32_t a = in_words[0], b = in_words[1], c = in_words[2], d = in_words[3];
      out_words[0] = a;
      out_words[1] = b;
      out_words[2] = c;
      out_words[3] = d;
      out_words += 4;
      in_words += 4;
    }
    for (; bytes >= 4; bytes -= 4) *out_words++ = *in_words++;
    out = (uint8_t *)out_words;
    in = (const uint8_t *)in_words;
  }
  for (; bytes > 0; --bytes) *out++ = *in++;
  return to;
}
)";

constexpr std::string_view kMemmove = R"(#include <stdint.h>
#include <string.h>

void *memmove(void *to, const void *from, size_t bytes) {
  uint8_t *out = to;
  const uint8_t *in = from;
  const uintptr_t out_at = (uintptr_t)to, in_at = (uintptr_t)from;
  if (out_at + bytes <= in_at || in_at + bytes <= out_at) return memcpy(to, from, bytes);
  if (out_at < in_at) {
    for (; bytes > 0; --bytes) *out++ = *in++;
  } else {
    while (bytes > 0) {
      --bytes;
      out[bytes] = in[bytes];
    }
  }
  return to;
}
)";

constexpr std::string_view kMemset = R"(#include <stdint.h>
#include <string.h>

void *memset(void *to, int value, size_t bytes) {
  uint8_t *out = to;
  if (bytes >= 8) {
    const uint32_t word = (uint32_t)(uint8_t)value * 0x01010101u;
    uint32_t *words;
    for (; ((uintptr_t)out & 3) != 0; --bytes) *out++ = (uint8_t)value;
    words = (uint32_t *)out;
    for (; bytes >= 16; bytes -= 16) {
      words[0] = word;
      words[1] = word;
      words[2] = word;
      words[3] = word;
      words += 4;
    }
    for (; bytes >= 4; bytes -= 4) *words++ = word;
    out = (uint8_t *)words;
  }
  for (; bytes > 0; --bytes) *out++ = (uint8_t)value;
  return to;
}
)";

// `core` is the instruction set as -march spells it.
QemuMachine riscv_machine(const std::string& core) {
  return {.core = core,
          .emulator = "qemu-system-riscv32",
          .machine = "virt",
          .emulator_options = {"-bios", "none"},
          .compiler = {"riscv64-unknown-elf-gcc", "-march=" + core, "-mabi=ilp32",
                       // <stdint.h> of the compiler itself, yet calls of memcpy that it knows.
                       "-ffreestanding", "-fbuiltin", "-isystem", "."},
          .link_options = {"-nostdlib", "libc.a", "-lgcc"},
          .vectors_address = 0x8000'0000,
          .flash_address = 0x8000'0000,
          .sram_address = 0x8080'0000,
          .startup = std::string(kRiscvStartup),
          .library = {{"string.h", std::string(kStringHeader)},
                      {"memcpy.c", std::string(kMemcpy)},
                      {"memmove.c", std::string(kMemmove)},
                      {"memset.c", std::string(kMemset)}},
          .archiver = "riscv64-unknown-elf-ar",
          .per_tick = 1};
}

}  // namespace

std::vector<QemuMachine> riscv_machines() {
  return {riscv_machine("rv32imac"), riscv_machine("rv32imc")};
}

}  // namespace tandem
