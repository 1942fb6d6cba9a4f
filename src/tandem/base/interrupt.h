#pragma once

#include <exception>
#include <string>
#include <utility>

namespace tandem {

// The user pressed Ctrl-C. Not an Error, so that code which handles errors lets it pass; the
// command line turns it into exit code 130.
class Interrupted : public std::exception {
 public:
  explicit Interrupted(std::string message = "interrupted") : message_(std::move(message)) {}
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  std::string message_;
};

// From now on SIGINT and SIGTERM raise a flag instead of ending the program; a second one ends it.
// Only the command line calls this; a library takes an InterruptScope.
void install_interrupt_handler();

// For a library inside another program: while one lives, SIGINT does the same; when the last one
// ends, the handler before it is back and the flag is down.
class InterruptScope {
 public:
  InterruptScope();
  ~InterruptScope();
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;
};

bool interrupted();
void throw_if_interrupted();  // throws Interrupted when the flag is up; long loops call it

// What the handler does and its undoing, for tests.
void request_interrupt();
void clear_interrupt();

}  // namespace tandem
