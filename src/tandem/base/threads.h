#pragma once

#include <cstdint>
#include <functional>

namespace tandem {

// How many threads work (at least 1); at first the number of processors. Changing it while
// parallel_for runs is an InternalError.
int thread_count();
void set_thread_count(int count);

// Calls body(from, to) for [begin, begin + grain), [begin + grain, begin + 2 grain), ... up to
// `end`, on all threads. The parts depend on the grain alone, never on the number of threads, so a
// body that keeps one partial result per part gives the same bits for any number. A call from
// within a body runs on the calling thread. When parts throw, the exception of the first of them
// (in order of position) is thrown again after all running parts have ended; Interrupted is thrown
// between parts when the user interrupts.
void parallel_for(std::int64_t begin, std::int64_t end, std::int64_t grain,
                  const std::function<void(std::int64_t, std::int64_t)>& body);

}  // namespace tandem
