#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace tandem {

// The candidate with the smallest edit distance to `name`, or "" when none is near enough to be
// worth suggesting (distance above a third of the length, at least 2).
std::string nearest_name(std::string_view name, const std::vector<std::string>& candidates);

// "; did you mean 'x'?" or, where nothing is near, "; known: a, b, c" (at most `most` names).
std::string suggestion(std::string_view name, const std::vector<std::string>& candidates,
                       std::size_t most = 12);

// Text from outside, fit for a message: in single quotes, control characters and quotes escaped,
// cut after `most` bytes.
std::string quote(std::string_view text, std::size_t most = 80);

std::vector<std::string> split(std::string_view text, char separator);
std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::string_view trim(std::string_view text);

// Whole-string conversions; throw Error naming `what` when the text is not such a number.
long long parse_integer(std::string_view text, std::string_view what);
double parse_real(std::string_view text, std::string_view what);

// Shortest decimal text that reads back as the same double; "nan", "inf", "-inf" for the others.
std::string shortest(double value);

// For people: 1234567 as "1,234,567"; numbers that are not whole with four significant digits below
// a thousand ("0.01235") and as whole ones from there on.
std::string grouped(long long number);
std::string readable(double value);

// Glob with * and ?; used by every option that names layers.
bool matches(std::string_view pattern, std::string_view name);

// A name that C and SystemVerilog accept: letters, digits, '_', not starting with a digit.
std::string identifier(std::string_view name);

}  // namespace tandem
