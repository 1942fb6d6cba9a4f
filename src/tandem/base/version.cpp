#include "tandem/base/version.h"

#include "tandem_build_info.h"

namespace tandem {
namespace {

std::string compiler() {
#if defined(__clang__)
  return "Clang " + std::to_string(__clang_major__) + "." + std::to_string(__clang_minor__) + "." +
         std::to_string(__clang_patchlevel__);
#elif defined(__GNUC__)
  return "GCC " + std::to_string(__GNUC__) + "." + std::to_string(__GNUC_MINOR__) + "." +
         std::to_string(__GNUC_PATCHLEVEL__);
#else
  return "unknown compiler";
#endif
}

}  // namespace

std::string version() { return TANDEM_VERSION; }

std::string version_details() {
  return version() + " (" + TANDEM_COMMIT + ", " + compiler() + ", " + TANDEM_BUILD_TYPE + ")";
}

}  // namespace tandem
