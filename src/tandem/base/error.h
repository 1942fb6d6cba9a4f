#pragma once

#include <array>
#include <concepts>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>

namespace tandem {

// One part of a message as text: text itself, a character, an integer, or a number with six
// significant digits. Holds no copy of text, so it must not outlive what it was made from.
class MessagePart {
 public:
  // NOLINTBEGIN(google-explicit-constructor): parts are written as what they are.
  MessagePart(std::string_view text) : text_(text) {}
  MessagePart(const char* text) : text_(text) {}
  MessagePart(const std::string& text) : text_(text) {}
  MessagePart(char character) : digits_{character}, text_(digits_.data(), 1) {}
  MessagePart(double number);
  template <std::signed_integral T>
  MessagePart(T integer) : MessagePart(Signed{integer}) {}
  template <std::unsigned_integral T>
  MessagePart(T integer) : MessagePart(Unsigned{integer}) {}
  // NOLINTEND(google-explicit-constructor)
  MessagePart(const MessagePart&) = delete;
  MessagePart& operator=(const MessagePart&) = delete;

  std::string_view text() const { return text_; }

 private:
  struct Signed {
    long long value;
  };
  struct Unsigned {
    unsigned long long value;
  };
  explicit MessagePart(Signed integer);
  explicit MessagePart(Unsigned integer);

  std::array<char, 24> digits_;
  std::string_view text_;
};

std::string joined(std::initializer_list<MessagePart> parts);

// Joins the parts of a message into one string: concat("axis ", 3, " of ", name).
template <typename... Parts>
std::string concat(const Parts&... parts) {
  return joined({MessagePart(parts)...});
}

// What the user can mend. The message says what was wrong, where (file, node, attribute, line)
// and what to do about it. The command line turns it into exit code 2.
class Error : public std::runtime_error {
 public:
  template <typename... Parts>
  explicit Error(const Parts&... parts) : std::runtime_error(concat(parts...)) {}

  // The same error with the place put before it: "model.onnx: node 'conv1': ...".
  [[nodiscard]] Error at(std::string_view where) const { return Error(where, ": ", what()); }
};

// Where a call stands in the sources (Clang 14 has no std::source_location). As a default argument
// it is the caller's place.
struct SourcePlace {
  const char* file;
  int line;
  static constexpr SourcePlace current(const char* file = __builtin_FILE(),
                                       int line = __builtin_LINE()) {
    return {file, line};
  }
};

// Our own bug. The command line turns it into exit code 3.
class InternalError : public std::logic_error {
 public:
  explicit InternalError(std::string_view message, SourcePlace place = SourcePlace::current());
};

[[noreturn]] void throw_internal_error(std::string_view message, SourcePlace place);

// Throws InternalError when `holds` is false.
inline void ensure(bool holds, std::string_view message,
                   SourcePlace place = SourcePlace::current()) {
  if (!holds) throw_internal_error(message, place);
}

}  // namespace tandem
