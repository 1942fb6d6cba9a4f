#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tandem/graph/builder.h"

namespace tandem {

// real = scale * integer + offset, of integers of at most 8 bits.
struct CodeTerm {
  ValueId integer = kNone;
  double scale = 1, offset = 0;
};

// code = min(max(round(real / scale) + zero, low), high), ties to the even integer.
struct SumCodes {
  Format format;
  double scale = 1;
  std::int64_t zero = 0, low = 0, high = 0;
};

// Primitives that give the code of a + b for every pair of integers that the two can be:
// multipliers of so many bits that all pairs, which are looked at one by one, round as the reals
// do. nullopt where no such multipliers are found, or nothing was left to round.
std::optional<ValueId> add_exact_sum(Builder& builder, const CodeTerm& a, const CodeTerm& b,
                                     const SumCodes& codes, const std::string& name);

}  // namespace tandem
