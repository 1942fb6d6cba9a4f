#include "tandem/base/process.h"

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <signal.h>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/base/interrupt.h"
#include "tandem/base/text.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(Process, ReturnsBothOutputsAndTheExitCode) {
  const ProcessResult result = run_process({"sh", "-c", "echo out; echo err >&2; exit 7"});
  EXPECT_EQ(result.exit_code, 7);
  EXPECT_EQ(result.output, "out\n");
  EXPECT_EQ(result.error_output, "err\n");
  EXPECT_FALSE(result.timed_out);
}

TEST(Process, PassesInputFolderAndEnvironment) {
  const TemporaryFolder folder;
  const ProcessResult result = run_process({"sh", "-c", "cat; pwd; echo $TANDEM_X $HOME"},
                                           {.folder = folder.path(),
                                            .environment = {{"TANDEM_X", "1 2"}, {"HOME", "h"}},
                                            .input = "in\n"});
  EXPECT_EQ(result.output, concat("in\n", folder.path().string(), "\n1 2 h\n"));
}

TEST(Process, LargeInputAndOutputDoNotBlock) {
  const std::string input(3'000'000, 'x');
  EXPECT_EQ(run_process({"cat"}, {.input = input}).output, input);
  EXPECT_EQ(run_process({"true"}, {.input = input}).exit_code, 0);
  EXPECT_EQ(run_process({"cat"}).output, "");
}

TEST(Process, SignalsAreExitCodesAbove128) {
  EXPECT_EQ(run_process({"sh", "-c", "kill -SEGV $$"}).exit_code, 128 + SIGSEGV);
}

// Dead processes whose parent has not asked yet (state Z) do not count.
bool is_alive(pid_t process) {
  std::ifstream status(concat("/proc/", process, "/stat"));
  std::string number, name, state;
  return (status >> number >> name >> state) && state != "Z";
}

// The pid that a command has printed as its last line.
pid_t printed_pid(const std::string& output) {
  return static_cast<pid_t>(parse_integer(trim(output), "pid"));
}

bool dies_within_two_seconds(pid_t process) {
  for (int i = 0; i < 200 && is_alive(process); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  return !is_alive(process);
}

TEST(Process, TimeoutKillsTheWholeGroup) {
  const ProcessResult result =
      run_process({"sh", "-c", "sleep 60 & echo $!; trap '' TERM; wait"}, {.timeout_seconds = 0.3});
  EXPECT_TRUE(result.timed_out);
  EXPECT_EQ(result.exit_code, 128 + SIGKILL);
  EXPECT_LT(result.seconds, 10);
  EXPECT_TRUE(dies_within_two_seconds(printed_pid(result.output)));
}

TEST(Process, ChildrenLeftBehindHoldNothingUpAndEnd) {
  const ProcessResult result = run_process({"sh", "-c", "sleep 60 & echo $!"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_LT(result.seconds, 10);
  EXPECT_TRUE(dies_within_two_seconds(printed_pid(result.output)));
}

TEST(Process, InterruptKillsAndThrows) {
  std::thread user([] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    request_interrupt();
  });
  EXPECT_THROW(run_process({"sleep", "60"}), Interrupted);
  user.join();
  EXPECT_THROW(run_process({"true"}), Interrupted);
  clear_interrupt();
  EXPECT_EQ(run_process({"true"}).exit_code, 0);
}

TEST(Process, MissingProgramsAndFoldersAreErrors) {
  EXPECT_THAT([] { run_process({"no-such-program"}); },
              ThrowsMessage<Error>(HasSubstr("'no-such-program' is not installed")));
  EXPECT_THAT([] { run_process({"true"}, {.folder = "/no/such/folder"}); },
              ThrowsMessage<Error>(HasSubstr("/no/such/folder")));
}

TEST(Process, MissingProgramsOfTheProjectComeWithTheirRemedy) {
  const std::string path = std::getenv("PATH");
  setenv("PATH", "/nonexistent", 1);
  EXPECT_FALSE(has_program("yosys"));
  EXPECT_THAT([] { run_process({"yosys"}); },
              ThrowsMessage<Error>("program 'yosys' is not installed; run tools/setup.sh test or "
                                   "install the Debian package yosys"));
  EXPECT_THAT([] { run_process({"riscv64-unknown-elf-gcc"}); },
              ThrowsMessage<Error>("program 'riscv64-unknown-elf-gcc' is not installed; run "
                                   "tools/setup.sh test or install the Debian package "
                                   "gcc-riscv64-unknown-elf"));
  setenv("PATH", path.c_str(), 1);
}

TEST(Process, ToolsMustSucceed) {
  EXPECT_EQ(run_tool({"echo", "a b", "$HOME", "*"}, "making tea").output, "a b $HOME *\n");
  EXPECT_THAT(
      [] {
        run_tool({"sh", "-c", "echo why >&2; exit 1"}, "making tea");
      },
      ThrowsMessage<Error>(
          "making tea failed with exit code 1: sh -c 'echo why >&2; exit 1'\nwhy\n"));
  EXPECT_THAT(
      [] {
        run_tool({"sleep", "30"}, "making tea", {.timeout_seconds = 0.1});
      },
      ThrowsMessage<Error>(HasSubstr("did not end within 0.1 seconds")));
}

TEST(Process, FindsPrograms) {
  ASSERT_TRUE(find_program("sh").has_value());
  EXPECT_TRUE(find_program("sh")->is_absolute());
  EXPECT_EQ(find_program("/bin/sh"), "/bin/sh");
  EXPECT_FALSE(find_program("").has_value());
  EXPECT_FALSE(find_program("/bin").has_value());
}

TEST(Process, ShellTextRunsTheSameCommand) {
  const std::vector<std::string> argv = {"printf", "%s|", "a b", "it's", "", "$HOME", "x=1"};
  const std::string text = shell_text(argv);
  EXPECT_EQ(text, R"(printf '%s|' 'a b' 'it'\''s' '' '$HOME' x=1)");
  EXPECT_EQ(run_process({"sh", "-c", text}).output, run_process(argv).output);
}

}  // namespace
}  // namespace tandem
