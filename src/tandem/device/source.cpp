#include "tandem/device/source.h"

#include <array>
#include <utility>

#include "tandem/base/error.h"
#include "tandem/base/text.h"

namespace tandem {
namespace {

constexpr std::array<std::pair<Source, std::string_view>, 6> kNames = {{
    {Source::kExact, "exact"},
    {Source::kMeasured, "measured"},
    {Source::kSimulated, "simulated"},
    {Source::kAnalytic, "analytic"},
    {Source::kLearned, "learned"},
    {Source::kAssumed, "assumed"},
}};

}  // namespace

std::string_view name(Source source) {
  for (const auto& [value, text] : kNames)
    if (value == source) return text;
  throw InternalError("a source without a name");
}

Provenance parse_provenance(std::string_view text) {
  const std::size_t colon = text.find(':');
  const std::string_view word = trim(text.substr(0, colon));
  for (const auto& [value, known] : kNames) {
    if (word != known) continue;
    if (colon == std::string_view::npos || trim(text.substr(colon + 1)).empty())
      throw Error("source '", text, "': say after a colon where the numbers can be looked up");
    return {value, std::string(trim(text.substr(colon + 1)))};
  }
  std::vector<std::string> known;
  for (const auto& entry : kNames) known.emplace_back(entry.second);
  throw Error("source '", text, "': starts with no known kind of source", suggestion(word, known),
              " (write for example \"exact: ST DS10314, table 2\")");
}

std::string to_string(const Provenance& provenance) {
  return concat(name(provenance.source), ": ", provenance.note);
}

}  // namespace tandem
