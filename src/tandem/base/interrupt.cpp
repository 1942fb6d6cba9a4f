#include "tandem/base/interrupt.h"

#include <atomic>
#include <csignal>
#include <mutex>

namespace tandem {
namespace {

// A signal handler can reach nothing but a global.
std::atomic<bool> flag{false};
static_assert(std::atomic<bool>::is_always_lock_free);

extern "C" void on_signal(int signal_number) {
  if (flag.exchange(true)) {
    std::signal(signal_number, SIG_DFL);
    std::raise(signal_number);
  }
}

struct sigaction raising_the_flag() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  return action;
}

// Of all scopes of the process, which has one handler.
std::mutex scope_mutex;
int scopes = 0;
struct sigaction handler_before;

}  // namespace

void install_interrupt_handler() {
  const struct sigaction action = raising_the_flag();
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

InterruptScope::InterruptScope() {
  const std::scoped_lock lock(scope_mutex);
  const struct sigaction action = raising_the_flag();
  if (scopes++ == 0) sigaction(SIGINT, &action, &handler_before);
}

InterruptScope::~InterruptScope() {
  const std::scoped_lock lock(scope_mutex);
  if (--scopes > 0) return;
  sigaction(SIGINT, &handler_before, nullptr);
  clear_interrupt();
}

bool interrupted() { return flag.load(std::memory_order_relaxed); }

void throw_if_interrupted() {
  if (interrupted()) throw Interrupted();
}

void request_interrupt() { flag.store(true); }
void clear_interrupt() { flag.store(false); }

}  // namespace tandem
