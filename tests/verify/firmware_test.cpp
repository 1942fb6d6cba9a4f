#include "tandem/verify/firmware.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/base/process.h"
#include "tandem/device/device.h"
#include "tandem/verify/c_program.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(Firmware, EveryMicrocontrollerHasAMachine) {
  for (const std::string& name : device_names("mcu")) {
    const std::string core = find_device(name).unit().text("core");
    EXPECT_EQ(qemu_machine(core).core, core);
  }
  EXPECT_THAT([] { qemu_machine("rv32ima"); },
              ThrowsMessage<Error>(HasSubstr("did you mean 'rv32imac'?")));
}

// Calls the functions under other names, and compares every byte around with what a loop says.
constexpr std::string_view kMain = R"(
typedef unsigned char byte;
void *tested_memcpy(void *to, const void *from, unsigned long bytes);
void *tested_memmove(void *to, const void *from, unsigned long bytes);
void *tested_memset(void *to, int value, unsigned long bytes);
enum { kSize = 128 };
static _Alignas(8) byte from[kSize], to[kSize], expected[kSize];

static int differs(const void *returned, const byte *at) {
  int i;
  for (i = 0; i < kSize; ++i)
    if (to[i] != expected[i]) return 1;
  return returned != at;
}

static void start(void) {
  int i;
  for (i = 0; i < kSize; ++i) {
    from[i] = (byte)(7 * i + 1);
    to[i] = expected[i] = (byte)(255 - i);
  }
}

int main(void) {
  int a, b, n, i;
  for (a = 8; a < 16; ++a)
    for (n = 0; n < 80; ++n) {
      for (b = 0; b < 8; ++b) {
        start();
        for (i = 0; i < n; ++i) expected[a + i] = from[b + i];
        if (differs(tested_memcpy(to + a, from + b, (unsigned long)n), to + a)) return 1;
        start();
        for (i = 0; i < n; ++i) expected[a + i] = to[2 * b + i];
        if (differs(tested_memmove(to + a, to + 2 * b, (unsigned long)n), to + a)) return 3;
        start();
        for (i = 0; i < n; ++i) expected[a + i] = from[b + i];
        if (differs(tested_memmove(to + a, from + b, (unsigned long)n), to + a)) return 4;
      }
      start();
      for (i = 0; i < n; ++i) expected[a + i] = 0xd6;
      if (differs(tested_memset(to + a, -42, (unsigned long)n), to + a)) return 2;
    }
  return 0;
}
)";

TEST(Firmware, ItsPartOfTheCLibraryCopiesAndFills) {
  const TemporaryFolder folder("library");
  const ProcessOptions process{.folder = folder.path()};
  write_files(qemu_machine("rv32imc").library, folder.path().string());
  write_files({{"main.c", std::string(kMain)}}, folder.path().string());
  run_tool({"gcc",
            "-std=c11",
            "-O2",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-fno-builtin",
            "-fno-tree-loop-distribute-patterns",
            "-fsanitize=address,undefined",
            "-isystem",
            ".",
            "-Dmemcpy=tested_memcpy",
            "-Dmemset=tested_memset",
            "-Dmemmove=tested_memmove",
            "memcpy.c",
            "memmove.c",
            "memset.c",
            "main.c",
            "-o",
            "test"},
           "compiling the library", process);
  EXPECT_EQ(run_process({(folder.path() / "test").string()}, process).exit_code, 0);
}

}  // namespace
}  // namespace tandem
