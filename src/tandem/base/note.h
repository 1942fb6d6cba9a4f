#pragma once

#include <string_view>

namespace tandem {

// A line that people may want to know, where progress is shown: nowhere in libraries, and on the
// standard error of the command line unless --quiet or --json is given.
void note(std::string_view line);

}  // namespace tandem
