#include "tandem/base/threads.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <limits>
#include <memory>
#include <mutex>
#include <pthread.h>
#include <thread>
#include <vector>

#include "tandem/base/error.h"
#include "tandem/base/interrupt.h"

namespace tandem {
namespace {

thread_local bool inside_parallel_for = false;

// One call of parallel_for. Each thread begins with a share of the parts of its own, always the
// same one, so that it finds in its cache what it wrote in the call before; then it helps the
// others. Within a share parts are claimed in order, and none before a failed one is left out: the
// first failure in position is known when all have ended.
class Job {
 public:
  Job(std::int64_t begin, std::int64_t end, std::int64_t grain, RangeBody body, int threads)
      : begin_(begin),
        end_(end),
        grain_(grain),
        parts_((end - begin - 1) / grain + 1),
        shares_(std::min({parts_, std::int64_t{threads}, kMostShares})),
        body_(body) {
    for (std::int64_t share = 0; share < shares_; ++share) next_[at(share)].part = first_of(share);
  }

  void work(int thread) {
    inside_parallel_for = true;
    for (std::int64_t turn = 0; turn < shares_; ++turn) {
      const std::int64_t share = (thread + turn) % shares_, end = first_of(share + 1);
      std::atomic<std::int64_t>& next = next_[at(share)].part;
      for (std::int64_t part = next++; part < end && part < failed_part_; part = next++) run(part);
    }
    inside_parallel_for = false;
  }

  void rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  static constexpr std::int64_t kMostShares = 32;
  struct alignas(64) Next {
    std::atomic<std::int64_t> part;
  };
  static std::size_t at(std::int64_t share) { return static_cast<std::size_t>(share); }
  std::int64_t first_of(std::int64_t share) const { return parts_ * share / shares_; }

  void run(std::int64_t part) {
    try {
      throw_if_interrupted();
      const std::int64_t from = begin_ + part * grain_;
      body_(from, end_ - from > grain_ ? from + grain_ : end_);
    } catch (...) {
      fail(part, std::current_exception());
    }
  }

  void fail(std::int64_t part, std::exception_ptr failure) {
    const std::lock_guard lock(mutex_);
    if (part < failed_part_) {
      failed_part_ = part;
      failure_ = std::move(failure);
    }
  }

  const std::int64_t begin_, end_, grain_, parts_, shares_;
  const RangeBody body_;
  std::array<Next, kMostShares> next_;
  std::atomic<std::int64_t> failed_part_{std::numeric_limits<std::int64_t>::max()};
  std::mutex mutex_;
  std::exception_ptr failure_;
};

// Tells the processor that a loop only waits.
void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Helper threads; the calling thread works too. Between jobs that follow each other closely they
// wait awake, then they sleep. A job ends when all parts are done, whether all helpers have come to
// help or not.
class Pool {
 public:
  explicit Pool(int threads)
      : count_(threads),
        waits_awake_(threads <= static_cast<int>(std::thread::hardware_concurrency())) {
    for (int i = 1; i < threads; ++i) helpers_.emplace_back([this, i] { help(i); });
  }

  ~Pool() {
    {
      const std::lock_guard lock(mutex_);
      is_ending_ = true;
      ++generation_;
    }
    wake_.notify_all();
    for (std::thread& helper : helpers_) helper.join();
  }

  int count() const { return count_; }

  void run(Job& job) {
    bool asleep = false;
    {
      const std::lock_guard lock(mutex_);
      job_ = &job;
      ++generation_;
      asleep = sleeping_ > 0;
    }
    if (asleep) wake_.notify_all();
    job.work(0);
    std::unique_lock lock(mutex_);
    job_ = nullptr;  // who comes now comes too late
    lock.unlock();
    wait_awake([this] { return helping_ == 0; });
    lock.lock();
    done_.wait(lock, [this] { return helping_ == 0; });
  }

 private:
  // Until `holds` does, but for no longer than it takes to fall asleep and wake up again.
  template <typename Condition>
  void wait_awake(const Condition& holds) const {
    constexpr int kTurns = 4000;
    for (int turn = 0; waits_awake_ && turn < kTurns && !holds(); ++turn) pause_briefly();
  }

  void help(int thread) {
    std::uint64_t seen = 0;
    while (true) {
      wait_awake([&] { return generation_ != seen; });
      Job* job = nullptr;
      {
        std::unique_lock lock(mutex_);
        ++sleeping_;
        wake_.wait(lock, [&] { return generation_ != seen; });
        --sleeping_;
        if (is_ending_) return;
        seen = generation_;
        job = job_;
        if (job == nullptr) continue;
        ++helping_;
      }
      job->work(thread);
      const std::lock_guard lock(mutex_);
      if (--helping_ == 0) done_.notify_one();
    }
  }

  const int count_;
  const bool waits_awake_;  // not where threads share processors
  std::vector<std::thread> helpers_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  Job* job_ = nullptr;
  std::atomic<std::uint64_t> generation_{0};
  std::atomic<int> helping_{0};
  int sleeping_ = 0;
  bool is_ending_ = false;
};

struct Shared {
  std::mutex in_use;  // one parallel_for at a time
  std::unique_ptr<Pool> pool;
  std::atomic<int> count{std::max(1, static_cast<int>(std::thread::hardware_concurrency()))};
};

Shared& shared() {
  static Shared instance;
  // A forked process has the calling thread alone: its parent's helpers are not there to be joined
  // or woken, and a lock that another thread held is never released.
  static const int registered = pthread_atfork(nullptr, nullptr, [] {
    const int count = instance.count;
    std::construct_at(&instance);
    instance.count = count;
  });
  ensure(registered == 0, "pthread_atfork");
  return instance;
}

}  // namespace

int thread_count() { return shared().count; }

void set_thread_count(int count) {
  ensure(count >= 1, "set_thread_count: less than one thread");
  const std::unique_lock lock(shared().in_use, std::try_to_lock);
  ensure(lock.owns_lock() && !inside_parallel_for, "set_thread_count while parallel_for runs");
  shared().count = count;
}

void parallel_for(std::int64_t begin, std::int64_t end, std::int64_t grain, RangeBody body) {
  ensure(grain >= 1, "parallel_for: grain below 1");
  if (begin >= end) return;
  const bool alone = inside_parallel_for || end - begin <= grain || thread_count() == 1;
  Job job(begin, end, grain, body, alone ? 1 : thread_count());
  if (alone) {
    const bool was_inside = inside_parallel_for;
    job.work(0);
    inside_parallel_for = was_inside;
  } else {
    const std::lock_guard lock(shared().in_use);
    std::unique_ptr<Pool>& pool = shared().pool;
    if (!pool || pool->count() != thread_count()) {
      pool.reset();
      pool = std::make_unique<Pool>(thread_count());
    }
    pool->run(job);
  }
  job.rethrow();
}

}  // namespace tandem
