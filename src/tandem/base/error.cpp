#include "tandem/base/error.h"

#include <charconv>

namespace tandem {

MessagePart::MessagePart(double number) {
  constexpr int kSignificantDigits = 6;
  const auto [end, status] = std::to_chars(digits_.data(), digits_.data() + digits_.size(), number,
                                           std::chars_format::general, kSignificantDigits);
  text_ = {digits_.data(), end};
}

MessagePart::MessagePart(Signed integer) {
  const auto [end, status] =
      std::to_chars(digits_.data(), digits_.data() + digits_.size(), integer.value);
  text_ = {digits_.data(), end};
}

MessagePart::MessagePart(Unsigned integer) {
  const auto [end, status] =
      std::to_chars(digits_.data(), digits_.data() + digits_.size(), integer.value);
  text_ = {digits_.data(), end};
}

std::string joined(std::initializer_list<MessagePart> parts) {
  std::string text;
  for (const MessagePart& part : parts) text += part.text();
  return text;
}

InternalError::InternalError(std::string_view message, SourcePlace place)
    : std::logic_error(
          concat("internal error: ", message, " (", place.file, ":", place.line, ")")) {}

void throw_internal_error(std::string_view message, SourcePlace place) {
  throw InternalError(message, place);
}

}  // namespace tandem
