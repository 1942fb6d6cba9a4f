#pragma once

#include <string>
#include <string_view>

namespace tandem {

// Where a figure comes from; printed beside it.
//   exact      follows from a data sheet or from the code that exists
//   measured   on the hardware itself
//   simulated  counted by a simulator of the hardware
//   analytic   computed from a formula
//   learned    fitted to measurements or simulations of other programs
//   assumed    a guess that the user should replace
enum class Source { kExact, kMeasured, kSimulated, kAnalytic, kLearned, kAssumed };
std::string_view name(Source source);

// The source of the numbers beside it, with a sentence that lets the reader check them.
struct Provenance {
  Source source = Source::kAssumed;
  std::string note;
};

// Reads "exact: ST DS10314, table 2". Throws Error naming the six sources.
Provenance parse_provenance(std::string_view text);
std::string to_string(const Provenance& provenance);

}  // namespace tandem
