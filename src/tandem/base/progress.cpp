#include "tandem/base/progress.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <iostream>
#include <mutex>
#include <unistd.h>

#include "tandem/base/error.h"
#include "tandem/base/interrupt.h"
#include "tandem/base/note.h"

namespace tandem {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kSilence{2000};          // work shorter than this shows nothing
constexpr milliseconds kTerminalInterval{200};  // between redraws of the line
constexpr milliseconds kPlainInterval{10'000};  // between plain lines

std::mutex sink_mutex;
ProgressSink& default_sink() {
  static ProgressSink sink;
  return sink;
}

ProgressSink current_sink() {
  const std::lock_guard lock(sink_mutex);
  return default_sink();
}

// "45 s", "3 min 05 s", "2 h 10 min".
std::string duration_text(double seconds) {
  const std::int64_t whole = std::llround(std::max(0.0, seconds));
  const auto two_digits = [](std::int64_t value) {
    return (value < 10 ? "0" : "") + std::to_string(value);
  };
  if (whole < 60) return concat(whole, " s");
  if (whole < 3600) return concat(whole / 60, " min ", two_digits(whole % 60), " s");
  return concat(whole / 3600, " h ", two_digits(whole / 60 % 60), " min");
}

}  // namespace

struct Progress::State {
  std::string work;
  std::int64_t total;
  ProgressSink sink;
  Clock::time_point start;
  std::atomic<std::int64_t> done{0};
  std::atomic<Clock::rep> next_show;  // in ticks after `start`
  std::mutex drawing;
  std::size_t drawn_width = 0;

  std::string text(std::int64_t steps, Clock::duration elapsed) const {
    const double seconds = std::chrono::duration<double>(elapsed).count();
    if (total <= 0) return concat(work, ": ", steps, " (", duration_text(seconds), ")");
    std::string line = concat(work, ": ", steps, "/", total, " (", 100 * steps / total, " %)");
    if (steps > 0 && steps < total) {
      const double left = seconds / static_cast<double>(steps) * static_cast<double>(total - steps);
      line += ", " + duration_text(left) + " left";
    }
    return line;
  }

  void show(std::int64_t steps, Clock::duration elapsed) {
    const std::string line = text(steps, elapsed);
    if (sink.is_terminal) {
      const std::size_t stale = drawn_width > line.size() ? drawn_width - line.size() : 0;
      *sink.stream << '\r' << line << std::string(stale, ' ') << std::flush;
      drawn_width = line.size();
    } else {
      *sink.stream << line << '\n' << std::flush;
    }
  }
};

ProgressSink standard_error_sink() {
  ProgressSink sink;
  sink.stream = &std::cerr;
  sink.is_terminal = ::isatty(STDERR_FILENO) == 1;
  return sink;
}

void note(std::string_view line) {
  const std::lock_guard lock(sink_mutex);
  if (default_sink().stream != nullptr) *default_sink().stream << line << '\n' << std::flush;
}

void set_progress_sink(ProgressSink sink) {
  const std::lock_guard lock(sink_mutex);
  default_sink() = std::move(sink);
}

Progress::Progress(std::string work, std::int64_t total)
    : Progress(std::move(work), total, current_sink()) {}

Progress::Progress(std::string work, std::int64_t total, ProgressSink sink)
    : state_(std::make_unique<State>()) {
  state_->work = std::move(work);
  state_->total = total;
  state_->sink = std::move(sink);
  state_->start = state_->sink.now();
  state_->next_show = Clock::duration(kSilence).count();
}

Progress::~Progress() {
  if (state_->drawn_width == 0) return;
  *state_->sink.stream << '\r' << std::string(state_->drawn_width, ' ') << '\r' << std::flush;
}

void Progress::advance(std::int64_t steps) {
  throw_if_interrupted();
  const std::int64_t done = state_->done += steps;
  if (state_->sink.stream == nullptr) return;
  const Clock::duration elapsed = state_->sink.now() - state_->start;
  if (elapsed.count() < state_->next_show) return;
  const std::unique_lock lock(state_->drawing, std::try_to_lock);
  if (!lock.owns_lock() || elapsed.count() < state_->next_show) return;
  const Clock::duration interval = state_->sink.is_terminal ? kTerminalInterval : kPlainInterval;
  state_->next_show = (elapsed + interval).count();
  state_->show(done, elapsed);
}

}  // namespace tandem
