#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tandem::test {

// Another TOML text, made from `text` by one to four changes of statements, keys and values. Mostly
// valid where `text` is.
std::string mutate_toml(std::string_view text, std::uint64_t seed);

}  // namespace tandem::test
