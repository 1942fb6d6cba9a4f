#include "tandem/emit/c_project.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/process.h"
#include "tandem/base/text.h"
#include "tandem/graph/printer.h"

#include "tests/emit/emitted_c.h"
#include "tests/support/random_module.h"

namespace tandem::test {
namespace {

using ::testing::HasSubstr;

class CProjectTest : public EmittedC {};

constexpr const char* kPassed = "net: all 3 runs of the self-test equal the reference";

TEST_F(CProjectTest, MakeBuildsTheLibraryAndTheExample) {
  for (const IoPlace io : {IoPlace::kCaller, IoPlace::kArena}) {
    write(emitted(parse_module(kAwkward), "net", McuObjective::kLatency, io));
    run({"make"});
    EXPECT_THAT(run({folder() + "/net_example"}), HasSubstr(kPassed));
    EXPECT_THAT(run({"make", "run"}), HasSubstr(kPassed));
    run({"make", "clean"});
  }
  run({"make", "libnet.a", "CC=arm-none-eabi-gcc", "AR=arm-none-eabi-ar",
       "CFLAGS=-O2 -mcpu=cortex-m4 -mthumb"});
}

TEST_F(CProjectTest, CmakeBuildsTheLibraryAndTestsIt) {
  write(emitted(parse_module(kAwkward), "net"));
  run({"cmake", "-S", ".", "-B", "build"});
  run({"cmake", "--build", "build"});
  EXPECT_THAT(run({"cmake", "-E", "chdir", "build", "ctest"}), HasSubstr("100% tests passed"));
}

// As a firmware has it: both are libraries of a larger project, which wants no examples.
TEST_F(CProjectTest, CmakeTakesTwoNetworksIntoAnotherProject) {
  for (const std::string name : {"first", "second"}) {
    Artifacts artifacts = emitted(parse_module(kAwkward), name);
    run({"mkdir", name});
    for (Artifact& artifact : artifacts) artifact.path = name + "/" + artifact.path;
    write(artifacts);
  }
  write({{"CMakeLists.txt", R"(cmake_minimum_required(VERSION 3.13)
project(firmware C CXX)
add_subdirectory(first)
add_subdirectory(second)
add_executable(firmware firmware.cpp)
target_link_libraries(firmware first second)
)"},
         {"firmware.cpp",
          including({"first.h", "first_selftest.h", "second.h", "second_selftest.h"}) + R"(
int main() {
  second_a_input()[0] = 1;
  return first_selftest() + second_selftest() + first_selftest();
}
)"}});
  run({"cmake", "-S", ".", "-B", "build"});
  run({"cmake", "--build", "build"});
  run({folder() + "/build/firmware"});
}

// Without the states, or without a reset, the sums would differ; and so they would if the self-test
// did not reset before or after itself.
TEST_F(CProjectTest, TheSelfTestOfAStreamResetsIt) {
  write({{"user.c", including({"net.h", "net_selftest.h"}) + R"(#include <stdio.h>

int main(void) {
  int call, test, failed = 0;
  for (test = 0; test < 2; ++test) {
    failed += net_selftest();
    for (call = 0; call < 3; ++call) {
      net_input()[0] = (int8_t)call;
      net_run();
      printf("%d ", net_output()[0]);
    }
  }
  printf("%d\n", failed);
  return 0;
}
)"}});
  const Artifacts artifacts = emitted(parse_module(kDelay), "net");
  write(artifacts);
  run({"gcc", "-std=c99", "user.c", "net.c", "net_weights.c", "net_selftest.c", "-o", "user"});
  EXPECT_EQ(run({folder() + "/user"}), "9 6 2 9 6 2 0\n");
  EXPECT_THAT(run({"make", "run"}), HasSubstr(kPassed));
  EXPECT_EQ(symbols("net.o", "dDBC"), std::set<std::string>{}) << "writable data";
  EXPECT_TRUE(symbols("net.o", "b").contains("net_states"));
}

TEST_F(CProjectTest, TheSelfTestFindsAWrongWeight) {
  Artifacts artifacts = emitted(parse_module(kAwkward), "net");
  for (Artifact& artifact : artifacts) {
    if (artifact.path != "net_weights.c") continue;
    const std::size_t weight = artifact.content.find("-8");
    ASSERT_NE(weight, std::string::npos);
    artifact.content.replace(weight, 2, "-7");
  }
  write(artifacts);
  run({"make"});
  const ProcessResult result = run_process({folder() + "/net_example"}, {.folder = folder()});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.output, HasSubstr("net: run 1 of the self-test differs"));
}

// Formats of all widths, several inputs and outputs, states.
TEST_F(CProjectTest, RandomNetworksPassTheirSelfTests) {
  std::string declarations, calls;
  std::vector<std::string> command = {"gcc", "-std=c99", "-O1"};
  for (const std::uint64_t seed : {1U, 2U, 3U, 4U, 5U, 6U, 7U, 8U}) {
    const std::string name = concat("net", seed);
    write(emitted(random_lowered_module(seed, {.max_states = seed % 2 == 0 ? 2 : 0}), name,
                  McuObjective::kLatency, seed % 3 == 0 ? IoPlace::kCaller : IoPlace::kArena));
    declarations += including({name + "_selftest.h"});
    calls += concat("  if (", name, "_selftest() != 0) return ", seed, ";\n");
    command.insert(command.end(), {name + ".c", name + "_selftest.c"});
    if (std::filesystem::exists(folder() + "/" + name + "_weights.c"))
      command.push_back(name + "_weights.c");
  }
  write({{"all.c", concat(declarations, "int main(void) {\n", calls, "  return 0;\n}\n")}});
  command.insert(command.end(), {"all.c", "-o", "all"});
  run(command);
  EXPECT_EQ(run_process({folder() + "/all"}, {.folder = folder()}).exit_code, 0);
}

}  // namespace
}  // namespace tandem::test
