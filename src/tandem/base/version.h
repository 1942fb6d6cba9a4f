#pragma once

#include <string>

namespace tandem {

// The release, "X.Y.Z", as in the project's CMakeLists.txt.
std::string version();

// One line that tells builds apart: "X.Y.Z (commit, compiler, build type)". The commit ends in
// "-dirty" when the sources differed from it, and is "no git" outside a repository.
std::string version_details();

}  // namespace tandem
