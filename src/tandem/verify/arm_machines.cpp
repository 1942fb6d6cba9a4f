#include "tandem/base/text.h"
#include "tandem/verify/firmware.h"

namespace tandem {
namespace {

// Under -icount one instruction takes one nanosecond of virtual time. The CMSDK timer of the older
// boards counts down at 25 MHz, so a tick is 40 instructions.
constexpr std::string_view kBoardTimer = R"(
#define TIMER ((volatile uint32_t *)0x40000000u) /* CMSDK timer 0: control, value, reload */
#define TIMER_START (TIMER[2] = 0xffffffffu, TIMER[1] = 0xffffffffu, TIMER[0] = 1)
#define TIMER_VALUE TIMER[1]
#define TIMER_SINCE(start) ((start)-TIMER[1])
)";
constexpr double kPerBoardTick = 40;

// The core's own timer counts down 24 bits at 32 MHz. Vectors need the coprocessors 10 and 11.
constexpr std::string_view kCoreTimer = R"(
#define TIMER ((volatile uint32_t *)0xe000e010u) /* SysTick: control, reload, value */
#define CPACR (*(volatile uint32_t *)0xe000ed88u)
#define TIMER_START (CPACR |= 0xf00000u, TIMER[1] = 0xffffffu, TIMER[2] = 0, TIMER[0] = 5)
#define TIMER_VALUE TIMER[2]
#define TIMER_SINCE(start) (((start)-TIMER[2]) & 0xffffffu)
)";
constexpr double kPerCoreTick = 31.25;

// Of the instructions that all cores have.
constexpr std::string_view kArmStartup = R"(
static int semihost(int operation, const void *argument) {
  register int r0 __asm__("r0") = operation;
  register const void *r1 __asm__("r1") = argument;
  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}

void __attribute__((naked, noinline)) harness_start(void) {
  __asm__ volatile(
      ".syntax unified\n mov r0, sp\n ldr r1, =painted_end\n str r0, [r1]\n ldr r1, =0xa5c3e178\n"
      "ldr r2, =4096\n1: subs r0, #4\n str r1, [r0]\n subs r2, #1\n bne 1b\n"
      "ldr r1, =harness_time\n bx r1\n .ltorg\n");
}

#define COUNT_DOWN(count) \
  __asm__ volatile(".syntax unified\n1: subs %0, %0, #1\n bne 1b\n" : "+r"(count) : : "cc")

__attribute__((section(".vectors"), used)) static void (*const vectors[16])(void) = {
    (void (*)(void))&firmware_stack_top, reset, fault, fault, fault, fault, fault};
)";

QemuMachine arm_machine(const std::string& core, const std::string& machine) {
  return {.core = core,
          .emulator = "qemu-system-arm",
          .machine = machine,
          .compiler = {"arm-none-eabi-gcc", "-mcpu=" + core, "-mthumb"},
          .link_options = {"--specs=nano.specs"},
          .sram_address = 0x2000'0000,
          .startup = concat(kBoardTimer, kArmStartup),
          .per_tick = kPerBoardTick};
}

QemuMachine cortex_m55() {
  QemuMachine machine = arm_machine("cortex-m55", "mps3-an547");
  machine.compiler.emplace_back("-mfloat-abi=hard");
  machine.flash_bytes /= 2;
  // Secure aliases, because the core starts there.
  machine.vectors_address = 0x1000'0000;
  machine.flash_address = 0x1100'0000;
  machine.sram_address = 0x3100'0000;
  machine.startup = concat(kCoreTimer, kArmStartup);
  machine.per_tick = kPerCoreTick;
  return machine;
}

}  // namespace

std::vector<QemuMachine> arm_machines() {
  // A Cortex-M3 executes the instructions of a Cortex-M0+ as they are, one by one; QEMU has no
  // machine with that core and memory enough.
  return {arm_machine("cortex-m0plus", "mps2-an385"), arm_machine("cortex-m4", "mps2-an386"),
          arm_machine("cortex-m7", "mps2-an500"), cortex_m55()};
}

}  // namespace tandem
