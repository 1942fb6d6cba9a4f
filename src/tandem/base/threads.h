#pragma once

#include <cstdint>
#include <type_traits>

namespace tandem {

// A reference to something that is called with the ends of a range; takes no memory of its own.
class RangeBody {
 public:
  template <typename Body>
  requires(!std::is_same_v<std::remove_cvref_t<Body>, RangeBody>)
      RangeBody(const Body& body)  // NOLINT: a body is what is called
      : body_(&body), call_([](const void* self, std::int64_t from, std::int64_t to) {
          (*static_cast<const Body*>(self))(from, to);
        }) {}
  void operator()(std::int64_t from, std::int64_t to) const { call_(body_, from, to); }

 private:
  const void* body_;
  void (*call_)(const void*, std::int64_t, std::int64_t);
};

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
void parallel_for(std::int64_t begin, std::int64_t end, std::int64_t grain, RangeBody body);

}  // namespace tandem
