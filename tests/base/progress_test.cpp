#include "tandem/base/progress.h"

#include <sstream>

#include <gtest/gtest.h>

#include "tandem/base/interrupt.h"

namespace tandem {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class ProgressTest : public ::testing::Test {
 protected:
  ProgressSink sink(bool is_terminal) {
    return {.stream = &text_, .is_terminal = is_terminal, .now = [this] { return time_; }};
  }
  void wait(milliseconds duration) { time_ += duration; }
  std::string shown() {
    std::string text = text_.str();
    text_.str("");
    return text;
  }

 private:
  std::ostringstream text_;
  std::chrono::steady_clock::time_point time_{seconds(1000)};
};

TEST_F(ProgressTest, ShortWorkIsSilent) {
  {
    Progress progress("reading", 10, sink(true));
    for (int i = 0; i < 10; ++i) {
      wait(milliseconds(199));
      progress.advance();
    }
  }
  EXPECT_EQ(shown(), "");
}

TEST_F(ProgressTest, ATerminalLineIsRedrawnAndTakenAway) {
  {
    Progress progress("reading", 100, sink(true));
    wait(seconds(10));
    progress.advance(10);
    EXPECT_EQ(shown(), "\rreading: 10/100 (10 %), 1 min 30 s left");
    wait(milliseconds(100));
    progress.advance(10);
    EXPECT_EQ(shown(), "") << "redrawn too soon";
    wait(seconds(70));
    progress.advance(79);
    EXPECT_EQ(shown(), "\rreading: 99/100 (99 %), 1 s left       ");
  }
  EXPECT_EQ(shown(), "\r" + std::string(32, ' ') + "\r");
}

TEST_F(ProgressTest, ALogGetsALineNowAndThen) {
  {
    Progress progress("simulating", 0, sink(false));
    wait(seconds(3));
    progress.advance(5);
    EXPECT_EQ(shown(), "simulating: 5 (3 s)\n");
    wait(seconds(9));
    progress.advance();
    EXPECT_EQ(shown(), "");
    wait(seconds(3601));
    progress.advance();
    EXPECT_EQ(shown(), "simulating: 7 (1 h 00 min)\n");
  }
  EXPECT_EQ(shown(), "");
}

TEST_F(ProgressTest, TheDefaultSinkIsNowhereUntilSet) {
  {
    Progress progress("reading", 10);
    progress.advance();
  }
  set_progress_sink(sink(false));
  {
    Progress progress("reading", 10);
    wait(seconds(5));
    progress.advance(5);
  }
  set_progress_sink({});
  EXPECT_EQ(shown(), "reading: 5/10 (50 %), 5 s left\n");
}

TEST_F(ProgressTest, AdvanceThrowsWhenInterrupted) {
  Progress progress("reading", 10, sink(false));
  request_interrupt();
  EXPECT_THROW(progress.advance(), Interrupted);
  clear_interrupt();
}

}  // namespace
}  // namespace tandem
