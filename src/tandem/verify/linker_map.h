#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/plan/plan.h"

namespace tandem {

// One input section of a linked program, as GNU ld's map lists it: with -ffunction-sections and
// -fdata-sections one function or one variable.
struct MapSection {
  std::string name;  // ".text.net_run", ".rodata.net_fc1_weights", ".bss.net_arena"
  std::int64_t bytes = 0;
  std::string object;  // the file that it came from

  std::string symbol() const;  // "net_run"; "" for a section that names none
};

// The sections that lie in the program (not those that were discarded). Throws Error when the text
// is no map.
std::vector<MapSection> parse_linker_map(std::string_view text, const std::string& source);

// What a network takes in a linked program, by what it is for.
struct LinkedSizes {
  std::int64_t weights_bytes = 0, tables_bytes = 0, arena_bytes = 0, code_bytes = 0;
  std::int64_t state_bytes = 0;
  std::int64_t library_bytes = 0;  // functions of the compiler's and C's libraries that were linked
};

// Sums the sections of network `name` emitted from this plan.
LinkedSizes linked_sizes(const std::vector<MapSection>& sections, const Plan& plan,
                         const std::string& name);

}  // namespace tandem
