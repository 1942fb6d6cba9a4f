#pragma once

#include <iosfwd>
#include <string>
#include <vector>

namespace tandem {

// Runs the program: `arguments` are those after its name. Results go to `out`, messages to `err`.
// Returns the exit code (cli/verb.h); throws nothing.
int run_command_line(const std::vector<std::string>& arguments, std::ostream& out,
                     std::ostream& err);

}  // namespace tandem
