#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace tandem {

// Joins anything that streams into one string: concat("axis ", 3, " of ", name).
template <typename... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
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
  explicit InternalError(std::string_view message, SourcePlace place = SourcePlace::current())
      : std::logic_error(
            concat("internal error: ", message, " (", place.file, ":", place.line, ")")) {}
};

// Throws InternalError when `holds` is false.
inline void ensure(bool holds, std::string_view message,
                   SourcePlace place = SourcePlace::current()) {
  if (!holds) throw InternalError(message, place);
}

}  // namespace tandem
