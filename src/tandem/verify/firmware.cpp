#include "tandem/verify/firmware.h"

#include "tandem/base/error.h"
#include "tandem/base/text.h"

namespace tandem {
namespace {

// Before the text of the machine (QemuMachine::startup), which defines
//   int semihost(operation, argument)
//   TIMER_START, TIMER_VALUE, TIMER_SINCE(value)
//   void harness_start(void): paints PAINTED_WORDS below the stack, whose end it keeps in
//     painted_end, so that the deepest word that is written later shows; ends in harness_time()
//   COUNT_DOWN(count): a loop of two instructions
//   and the section .vectors, from which the core gets to reset(), and to fault() when it traps.
constexpr std::string_view kDeclarations = R"(
#define CALIBRATION_LOOPS 2000000u

extern uint32_t firmware_data_load, firmware_data_start, firmware_data_end;
extern uint32_t firmware_bss_start, firmware_bss_end, firmware_stack_top;

#define PAINT 0xa5c3e178u
#define PAINTED_WORDS 4096

uint32_t *painted_end;
void reset(void);
static void fault(void);
)";

constexpr std::string_view kStartup = R"(
static uint32_t ticks[NETWORKS + 1], runs[NETWORKS + 1], stack_bytes[NETWORKS + 1], started;
static int in, out;

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
  uint32_t count;
  words[0] = CALIBRATION_LOOPS;
  count = words[0];
  COUNT_DOWN(count);
}
static void calibrate(void) {
  harness_start();
  calibration();
  harness_stop(NETWORKS, 1);
}

void reset(void) {
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
)";

}  // namespace

QemuMachine qemu_machine(const std::string& core) {
  std::vector<std::string> known;
  for (const auto& machines : {arm_machines(), riscv_machines()}) {
    for (const QemuMachine& machine : machines) {
      if (machine.core == core) return machine;
      known.push_back(machine.core);
    }
  }
  throw Error("no QEMU machine has a ", core, suggestion(core, known));
}

Artifacts firmware(const QemuMachine& machine, std::size_t networks) {
  const std::string script = concat(
      "MEMORY {\n  VECTORS (rx) : ORIGIN = ", machine.vectors_address,
      ", LENGTH = 256\n  FLASH (rx) : ORIGIN = ",
      machine.flash_address + (machine.flash_address == machine.vectors_address ? 256 : 0),
      ", LENGTH = ", machine.flash_bytes - 256, "\n  RAM (rwx) : ORIGIN = ", machine.sram_address,
      ", LENGTH = ", machine.sram_bytes, "\n}\n",
      R"(ENTRY(reset)
SECTIONS {
  .vectors : { KEEP(*(.vectors)) } > VECTORS
  .text : { *(.text*) *(.rodata* .srodata*) } > FLASH
  .data : {
    firmware_data_start = .;
    *(.data*)
    __global_pointer$ = . + 0x800;
    *(.sdata*)
    . = ALIGN(4);
    firmware_data_end = .;
  } > RAM AT > FLASH
  firmware_data_load = LOADADDR(.data);
  .bss (NOLOAD) : {
    . = ALIGN(8);
    firmware_bss_start = .;
    *(.sbss* .bss*) *(COMMON)
    . = ALIGN(4);
    firmware_bss_end = .;
  } > RAM
  firmware_stack_top = ORIGIN(RAM) + LENGTH(RAM);
  ASSERT(firmware_bss_end + 65536 <= firmware_stack_top, "no room for the stack")
}
)");
  const std::string startup = concat(
      "#include <stdint.h>\n#include \"harness.h\"\n#define NETWORKS ", networks,
      "\n#define CALIBRATION_STACK ", kCalibrationStack, kDeclarations, machine.startup, kStartup);
  Artifacts files = machine.library;
  files.push_back({"startup.c", startup});
  files.push_back({"firmware.ld", script});
  return files;
}

}  // namespace tandem
