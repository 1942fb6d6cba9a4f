#include "tandem/verify/arm_firmware.h"

#include <array>

#include "tandem/base/error.h"
#include "tandem/base/text.h"

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

// The core's own timer counts down 24 bits at 32 MHz. Vectors need the coprocessors 10 and 11.
constexpr std::string_view kCoreTimer = R"(
#define TIMER ((volatile uint32_t *)0xe000e010u) /* SysTick: control, reload, value */
#define CPACR (*(volatile uint32_t *)0xe000ed88u)
#define TIMER_START (CPACR |= 0xf00000u, TIMER[1] = 0xffffffu, TIMER[2] = 0, TIMER[0] = 5)
#define TIMER_VALUE TIMER[2]
#define TIMER_SINCE(start) (((start)-TIMER[2]) & 0xffffffu)
)";

constexpr std::string_view kStartup = R"(
#define CALIBRATION_LOOPS 2000000u               /* of two instructions */

extern uint32_t firmware_data_load, firmware_data_start, firmware_data_end;
extern uint32_t firmware_bss_start, firmware_bss_end, firmware_stack_top;

#define PAINT 0xa5c3e178u
#define PAINTED_WORDS 4096

static uint32_t ticks[NETWORKS + 1], runs[NETWORKS + 1], stack_bytes[NETWORKS + 1], started;
uint32_t *painted_end;
static int in, out;

static int semihost(int operation, const void *argument) {
  register int r0 __asm__("r0") = operation;
  register const void *r1 __asm__("r1") = argument;
  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}

static void leave(int failed) {
  semihost(0x18, (const void *)(failed ? 0x20023 : 0x20026));
  for (;;) {
  }
}

static void fail(const char *what) {
  semihost(0x04, what);
  leave(1);
}

static int open_file(const char *name, int mode, unsigned length) {
  const void *block[3];
  block[0] = name;
  block[1] = (const void *)mode;
  block[2] = (const void *)length;
  const int handle = semihost(0x01, block);
  if (handle < 0) fail("firmware: a file cannot be opened\n");
  return handle;
}

/* SYS_READ and SYS_WRITE return the number of bytes that are left. */
static void transfer(int operation, int file, const void *at, unsigned long bytes) {
  const void *block[3];
  block[0] = (const void *)file;
  block[1] = at;
  block[2] = (const void *)bytes;
  if (bytes > 0 && semihost(operation, block) != 0)
    fail(operation == 0x06 ? "firmware: the input file ends early\n"
                           : "firmware: the output file cannot be written\n");
}

void harness_read(void *to, unsigned long bytes) { transfer(0x06, in, to, bytes); }
void harness_write(const void *from, unsigned long bytes) { transfer(0x05, out, from, bytes); }

void __attribute__((noinline, used)) harness_time(void) { started = TIMER_VALUE; }

/* Paints what lies below the stack, so that the deepest word that is written later shows. */
void __attribute__((naked, noinline)) harness_start(void) {
  __asm__ volatile(
      "mov r0, sp\n ldr r1, =painted_end\n str r0, [r1]\n ldr r1, =0xa5c3e178\n"
      "movw r2, #4096\n1: str r1, [r0, #-4]!\n subs r2, r2, #1\n bne 1b\n"
      "b harness_time\n .ltorg\n");
}
void __attribute__((noinline)) harness_stop(int network, int count) {
  const uint32_t *word = painted_end - PAINTED_WORDS;
  uint32_t bytes;
  ticks[network] += TIMER_SINCE(started);
  runs[network] += (uint32_t)count;
  if (*word != PAINT) fail("firmware: a network takes 16 KiB of stack or more\n");
  while (word < painted_end && *word == PAINT) ++word;
  bytes = (uint32_t)((const char *)painted_end - (const char *)word);
  if (stack_bytes[network] < bytes) stack_bytes[network] = bytes;
}

/* Takes a stack of a known size and executes a known number of instructions. */
static void __attribute__((noinline)) calibration(void) {
  volatile uint32_t words[CALIBRATION_STACK / 4];
  uint32_t count = CALIBRATION_LOOPS;
  words[0] = 0;
  __asm__ volatile("1: subs %0, %0, #1\n   bne 1b\n" : "+r"(count) : "r"(words[0]) : "cc");
}
static void calibrate(void) {
  harness_start();
  calibration();
  harness_stop(NETWORKS, 1);
}

static void reset(void) {
  const uint32_t *from = &firmware_data_load;
  uint32_t *to;
  int counts;
  for (to = &firmware_data_start; to < &firmware_data_end;) *to++ = *from++;
  for (to = &firmware_bss_start; to < &firmware_bss_end;) *to++ = 0;
  TIMER_START;
  in = open_file("in.bin", 1, 6);
  out = open_file("out.bin", 5, 7);
  calibrate();
  harness_networks();
  counts = open_file("counts.bin", 5, 10);
  transfer(0x05, counts, &ticks[NETWORKS], 4);
  transfer(0x05, counts, ticks, 4 * NETWORKS);
  transfer(0x05, counts, runs, 4 * NETWORKS);
  transfer(0x05, counts, &stack_bytes[NETWORKS], 4);
  transfer(0x05, counts, stack_bytes, 4 * NETWORKS);
  leave(0);
}

static void fault(void) { fail("firmware: the processor took a fault\n"); }

__attribute__((section(".vectors"), used)) static void (*const vectors[16])(void) = {
    (void (*)(void))&firmware_stack_top, reset, fault, fault, fault, fault, fault};
)";

}  // namespace

ArmMachine arm_machine(const std::string& core) {
  constexpr std::int64_t kBytes = 4 << 20;
  static const std::array<ArmMachine, 3> machines = {
      ArmMachine{.core = "cortex-m4",
                 .machine = "mps2-an386",
                 .flash_bytes = kBytes,
                 .sram_bytes = kBytes,
                 .timer = std::string(kBoardTimer),
                 .per_tick = 40},
      ArmMachine{.core = "cortex-m7",
                 .machine = "mps2-an500",
                 .flash_bytes = kBytes,
                 .sram_bytes = kBytes,
                 .timer = std::string(kBoardTimer),
                 .per_tick = 40},
      // Secure aliases, because the core starts there.
      ArmMachine{.core = "cortex-m55",
                 .machine = "mps3-an547",
                 .flash_bytes = kBytes / 2,
                 .sram_bytes = kBytes,
                 .vectors_address = 0x1000'0000,
                 .flash_address = 0x1100'0000,
                 .sram_address = 0x3100'0000,
                 .options = "-mfloat-abi=hard",
                 .timer = std::string(kCoreTimer),
                 .per_tick = 31.25}};
  std::vector<std::string> known;
  for (const ArmMachine& machine : machines) {
    if (machine.core == core) return machine;
    known.push_back(machine.core);
  }
  throw Error("no QEMU machine has a ", core, suggestion(core, known));
}

Artifacts arm_firmware(const ArmMachine& machine, std::size_t networks) {
  const std::string script = concat(
      "MEMORY {\n  VECTORS (rx) : ORIGIN = ", machine.vectors_address,
      ", LENGTH = 256\n  FLASH (rx) : ORIGIN = ",
      machine.flash_address + (machine.flash_address == machine.vectors_address ? 256 : 0),
      ", LENGTH = ", machine.flash_bytes - 256, "\n  RAM (rwx) : ORIGIN = ", machine.sram_address,
      ", LENGTH = ", machine.sram_bytes, "\n}\n",
      R"(ENTRY(reset)
SECTIONS {
  .vectors : { KEEP(*(.vectors)) } > VECTORS
  .text : { *(.text*) *(.rodata*) } > FLASH
  .data : {
    firmware_data_start = .;
    *(.data*)
    . = ALIGN(4);
    firmware_data_end = .;
  } > RAM AT > FLASH
  firmware_data_load = LOADADDR(.data);
  .bss (NOLOAD) : {
    . = ALIGN(8);
    firmware_bss_start = .;
    *(.bss*) *(COMMON)
    . = ALIGN(4);
    firmware_bss_end = .;
  } > RAM
  firmware_stack_top = ORIGIN(RAM) + LENGTH(RAM);
  ASSERT(firmware_bss_end + 65536 <= firmware_stack_top, "no room for the stack")
}
)");
  const std::string startup =
      concat("#include <stdint.h>\n#include \"harness.h\"\n#define NETWORKS ", networks,
             "\n#define CALIBRATION_STACK ", kCalibrationStack, machine.timer, kStartup);
  return {{"startup.c", startup}, {"firmware.ld", script}};
}

}  // namespace tandem
