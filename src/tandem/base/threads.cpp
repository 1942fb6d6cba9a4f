#include "tandem/base/threads.h"

#include <algorithm>
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

using Body = std::function<void(std::int64_t, std::int64_t)>;

thread_local bool inside_parallel_for = false;

// One call of parallel_for. Parts are claimed in order, so every part before a failed one has been
// claimed and still runs: the first failure in position is known when all have ended.
class Job {
 public:
  Job(std::int64_t begin, std::int64_t end, std::int64_t grain, const Body& body)
      : begin_(begin),
        end_(end),
        grain_(grain),
        parts_((end - begin - 1) / grain + 1),
        body_(body) {}

  void work() {
    inside_parallel_for = true;
    for (std::int64_t part = next_++; part < parts_ && part < failed_part_; part = next_++) {
      try {
        throw_if_interrupted();
        const std::int64_t from = begin_ + part * grain_;
        body_(from, end_ - from > grain_ ? from + grain_ : end_);
      } catch (...) {
        fail(part, std::current_exception());
      }
    }
    inside_parallel_for = false;
  }

  void rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void fail(std::int64_t part, std::exception_ptr failure) {
    const std::lock_guard lock(mutex_);
    if (part < failed_part_) {
      failed_part_ = part;
      failure_ = std::move(failure);
    }
  }

  const std::int64_t begin_, end_, grain_, parts_;
  const Body& body_;
  std::atomic<std::int64_t> next_{0};
  std::atomic<std::int64_t> failed_part_{std::numeric_limits<std::int64_t>::max()};
  std::mutex mutex_;
  std::exception_ptr failure_;
};

// Helper threads that sleep between jobs; the calling thread works too.
class Pool {
 public:
  explicit Pool(int threads) : count_(threads) {
    for (int i = 1; i < threads; ++i) helpers_.emplace_back([this] { help(); });
  }

  ~Pool() {
    {
      const std::lock_guard lock(mutex_);
      is_ending_ = true;
    }
    wake_.notify_all();
    for (std::thread& helper : helpers_) helper.join();
  }

  int count() const { return count_; }

  void run(Job& job) {
    {
      const std::lock_guard lock(mutex_);
      job_ = &job;
      ++generation_;
      busy_ = static_cast<int>(helpers_.size());
    }
    wake_.notify_all();
    job.work();
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return busy_ == 0; });
    job_ = nullptr;
  }

 private:
  void help() {
    std::uint64_t seen = 0;
    while (true) {
      Job* job = nullptr;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return is_ending_ || generation_ != seen; });
        if (is_ending_) return;
        seen = generation_;
        job = job_;
      }
      job->work();
      const std::lock_guard lock(mutex_);
      if (--busy_ == 0) done_.notify_one();
    }
  }

  const int count_;
  std::vector<std::thread> helpers_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  Job* job_ = nullptr;
  std::uint64_t generation_ = 0;
  int busy_ = 0;
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

void parallel_for(std::int64_t begin, std::int64_t end, std::int64_t grain, const Body& body) {
  ensure(grain >= 1, "parallel_for: grain below 1");
  if (begin >= end) return;
  Job job(begin, end, grain, body);
  if (inside_parallel_for || end - begin <= grain || thread_count() == 1) {
    const bool was_inside = inside_parallel_for;
    job.work();
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
