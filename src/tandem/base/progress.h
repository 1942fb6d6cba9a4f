#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <memory>
#include <string>

namespace tandem {

// Where progress is shown. The clock is a parameter for tests.
struct ProgressSink {
  std::ostream* stream = nullptr;  // nullptr: nowhere
  bool is_terminal = false;        // redraw one line; otherwise a new line now and then
  std::function<std::chrono::steady_clock::time_point()> now = std::chrono::steady_clock::now;
};

// Standard error, as a terminal or not.
ProgressSink standard_error_sink();

// The sink of every Progress that names none; at first nowhere, so that libraries are silent. The
// command line sets standard error unless --quiet or --json is given.
void set_progress_sink(ProgressSink sink);

// Shows how far a piece of work is and how long it may still take. Work of less than two seconds
// shows nothing. Usable from several threads.
//
//   Progress progress("calibrating", images);
//   for (...) { ...; progress.advance(); }
class Progress {
 public:
  // `total` is the number of steps, 0 where it is not known.
  Progress(std::string work, std::int64_t total);
  Progress(std::string work, std::int64_t total, ProgressSink sink);
  ~Progress();  // takes the line away again
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Throws Interrupted when the user interrupts.
  void advance(std::int64_t steps = 1);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tandem
