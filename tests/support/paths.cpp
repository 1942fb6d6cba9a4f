#include "tests/support/paths.h"

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <system_error>

namespace tandem::test {

std::filesystem::path source_dir() { return TANDEM_SOURCE_DIR; }

std::filesystem::path program() { return TANDEM_PROGRAM; }

std::filesystem::path data_dir() {
  const char* configured = std::getenv("TANDEM_DATA");
  if (configured != nullptr && *configured != '\0') return configured;
  return (source_dir() / "../shared/data").lexically_normal();
}

TemporaryDir::TemporaryDir() {
  std::string name = (std::filesystem::temp_directory_path() / "tandem_test_XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot create " + name);
  path_ = name;
}

TemporaryDir::~TemporaryDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace tandem::test
