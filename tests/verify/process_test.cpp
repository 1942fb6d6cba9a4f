#include "tandem/verify/process.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"

namespace tandem {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(Process, ReturnsBothStreamsAndTheExitCode) {
  const ProcessResult result = run_process({"sh", "-c", "echo out; echo err >&2; exit 3"});
  EXPECT_EQ(result.out, "out\n");
  EXPECT_EQ(result.err, "err\n");
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_FALSE(result.timed_out);
}

TEST(Process, PassesArgumentsWithoutAShell) {
  EXPECT_EQ(run_process({"echo", "a b", "$HOME", "*"}).out, "a b $HOME *\n");
}

TEST(Process, TakesMoreOutputThanAPipeHolds) {
  const ProcessResult result =
      run_process({"sh", "-c", "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2"});
  EXPECT_EQ(result.out.size(), 300000u);
  EXPECT_EQ(result.err.size(), 300000u);
}

TEST(Process, KillsTheWholeGroupAtTheDeadline) {
  const ProcessResult result = run_process({"sh", "-c", "sleep 30 & sleep 30"}, {"", 0.2});
  EXPECT_TRUE(result.timed_out);
  EXPECT_LT(result.seconds, 5);
  // Also where the streams are closed but the program goes on.
  EXPECT_TRUE(run_process({"sh", "-c", "exec >/dev/null 2>&1; sleep 30"}, {"", 0.2}).timed_out);
}

TEST(Process, ReportsTheSignalThatEndedIt) {
  EXPECT_EQ(run_process({"sh", "-c", "kill -SEGV $$"}).exit_code, 128 + 11);
}

TEST(Process, ErrorsNameTheToolAndTheRemedy) {
  EXPECT_THAT([] { run_process({"tandem-no-such-program"}); },
              ThrowsMessage<Error>(HasSubstr("'tandem-no-such-program' is not installed")));
  EXPECT_THAT(
      [] {
        run_tool({"sh", "-c", "echo why >&2; exit 1"}, "making tea");
      },
      ThrowsMessage<Error>(AllOf(HasSubstr("making tea: 'sh -c"), HasSubstr("exit code 1\nwhy"))));
  EXPECT_THAT(
      [] {
        run_tool({"sleep", "30"}, "making tea", {"", 0.1});
      },
      ThrowsMessage<Error>(HasSubstr("did not end within 0.1 seconds")));
}

TEST(TemporaryFolder, IsRemovedWithItsContents) {
  std::string path;
  {
    const TemporaryFolder folder("test");
    path = folder.path();
    EXPECT_EQ(run_process({"sh", "-c", "mkdir a; echo x > a/b"}, {path}).exit_code, 0);
    EXPECT_TRUE(std::filesystem::exists(folder.file("a/b")));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace tandem
