#include "tandem/base/interrupt.h"

#include <csignal>

#include <gtest/gtest.h>

namespace tandem {
namespace {

TEST(Interrupt, TheFirstSignalRaisesAFlag) {
  install_interrupt_handler();
  EXPECT_NO_THROW(throw_if_interrupted());
  std::raise(SIGINT);
  EXPECT_TRUE(interrupted());
  EXPECT_THROW(throw_if_interrupted(), Interrupted);
  clear_interrupt();
  EXPECT_NO_THROW(throw_if_interrupted());
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

TEST(Interrupt, AScopeGivesTheHandlerBack) {
  static int mine = 0;
  std::signal(SIGINT, [](int) { ++mine; });
  {
    const InterruptScope outer;
    { const InterruptScope inner; }
    std::raise(SIGINT);
    EXPECT_THROW(throw_if_interrupted(), Interrupted);
  }
  EXPECT_FALSE(interrupted());
  EXPECT_EQ(mine, 0);
  std::raise(SIGINT);
  EXPECT_EQ(mine, 1);
  EXPECT_FALSE(interrupted());
  std::signal(SIGINT, SIG_DFL);
}

TEST(InterruptDeathTest, TheSecondSignalEndsTheProgram) {
  EXPECT_EXIT(
      {
        install_interrupt_handler();
        std::raise(SIGINT);
        std::raise(SIGINT);
      },
      ::testing::KilledBySignal(SIGINT), "");
}

}  // namespace
}  // namespace tandem
