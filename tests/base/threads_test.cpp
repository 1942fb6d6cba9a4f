#include "tandem/base/threads.h"

#include <atomic>
#include <mutex>
#include <numeric>
#include <set>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/base/interrupt.h"

namespace tandem {
namespace {

class ThreadsTest : public ::testing::TestWithParam<int> {
 protected:
  ThreadsTest() : before_(thread_count()) { set_thread_count(GetParam()); }
  ~ThreadsTest() override { set_thread_count(before_); }

 private:
  int before_;
};

INSTANTIATE_TEST_SUITE_P(Counts, ThreadsTest, ::testing::Values(1, 2, 3, 4));

TEST_P(ThreadsTest, EveryElementIsVisitedOnce) {
  for (const std::int64_t count : {0, 1, 9, 10, 11, 1000}) {
    std::vector<std::atomic<int>> visits(static_cast<std::size_t>(count));
    parallel_for(0, count, 10, [&](std::int64_t from, std::int64_t to) {
      for (std::int64_t i = from; i < to; ++i) ++visits[static_cast<std::size_t>(i)];
    });
    for (const auto& visit : visits) ASSERT_EQ(visit, 1);
  }
}

TEST_P(ThreadsTest, PartsDependOnTheGrainAlone) {
  std::mutex mutex;
  std::set<std::pair<std::int64_t, std::int64_t>> parts;
  parallel_for(5, 26, 10, [&](std::int64_t from, std::int64_t to) {
    const std::lock_guard lock(mutex);
    parts.insert({from, to});
  });
  EXPECT_EQ(parts, (std::set<std::pair<std::int64_t, std::int64_t>>{{5, 15}, {15, 25}, {25, 26}}));
}

TEST_P(ThreadsTest, NestedCallsRun) {
  std::atomic<std::int64_t> sum{0};
  parallel_for(0, 8, 1, [&](std::int64_t outer, std::int64_t) {
    parallel_for(0, 100, 7, [&](std::int64_t from, std::int64_t to) {
      for (std::int64_t i = from; i < to; ++i) sum += outer * 100 + i;
    });
  });
  EXPECT_EQ(sum, 800 * 799 / 2);
}

TEST_P(ThreadsTest, TheFirstFailureInPositionIsThrown) {
  for (int repeat = 0; repeat < 50; ++repeat) {
    std::atomic<std::int64_t> last{-1};
    try {
      parallel_for(0, 64, 1, [&](std::int64_t i, std::int64_t) {
        last = i;
        if (i == 40) throw Error("late");
        if (i == 11) {
          std::this_thread::yield();
          throw Error("early");
        }
      });
      FAIL() << "no exception";
    } catch (const Error& error) {
      EXPECT_STREQ(error.what(), "early");
    }
  }
  std::atomic<int> calls{0};
  parallel_for(0, 4, 1, [&](std::int64_t, std::int64_t) { ++calls; });
  EXPECT_EQ(calls, 4);
}

TEST_P(ThreadsTest, InterruptEndsTheLoop) {
  std::atomic<int> calls{0};
  const auto loop = [&] {
    parallel_for(0, 1000, 1, [&](std::int64_t, std::int64_t) {
      if (++calls == 5) request_interrupt();
    });
  };
  EXPECT_THROW(loop(), Interrupted);
  clear_interrupt();
  EXPECT_LT(calls, 1000);
}

TEST_P(ThreadsTest, CallsFromSeveralThreadsTakeTurns) {
  std::atomic<std::int64_t> sum{0};
  std::vector<std::thread> users;
  for (int user = 0; user < 3; ++user) {
    users.emplace_back([&] {
      for (int repeat = 0; repeat < 20; ++repeat)
        parallel_for(0, 100, 3, [&](std::int64_t from, std::int64_t to) { sum += to - from; });
    });
  }
  for (std::thread& user : users) user.join();
  EXPECT_EQ(sum, 3 * 20 * 100);
}

// A Python program that uses the library forks.
TEST(Threads, AForkedProcessHasThreadsOfItsOwn) {
  const int before = thread_count();
  set_thread_count(3);
  const auto sum = [] {
    std::atomic<std::int64_t> total{0};
    parallel_for(0, 100, 1, [&](std::int64_t from, std::int64_t) { total += from; });
    return total.load();
  };
  EXPECT_EQ(sum(), 4950);
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);  // ends a child that waits for threads which are not there
    _exit(sum() == 4950 && thread_count() == 3 ? 0 : 1);
  }
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_EQ(sum(), 4950);
  set_thread_count(before);
}

TEST(Threads, MisuseIsAnInternalError) {
  EXPECT_THROW(set_thread_count(0), InternalError);
  EXPECT_THROW(parallel_for(0, 1, 0, [](std::int64_t, std::int64_t) {}), InternalError);
  EXPECT_THROW(parallel_for(0, 1, 1, [](std::int64_t, std::int64_t) { set_thread_count(2); }),
               InternalError);
}

}  // namespace
}  // namespace tandem
