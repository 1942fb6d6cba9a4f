#pragma once

#include <filesystem>
#include <string>

namespace tandem::test {

// The root of the source tree.
std::filesystem::path source_dir();

// The program `tandem` of this build.
std::filesystem::path program();

// The folder of shared data sets and models: $TANDEM_DATA, or ../shared/data beside the sources.
// It need not exist: tests that use it begin with TANDEM_REQUIRE_DATA.
std::filesystem::path data_dir();

// A new empty folder, removed with its content when the object goes.
class TemporaryDir {
 public:
  TemporaryDir();
  ~TemporaryDir();
  TemporaryDir(const TemporaryDir&) = delete;
  TemporaryDir& operator=(const TemporaryDir&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace tandem::test

// Skips the running test, with the reason, where data_dir()/`name` does not exist.
#define TANDEM_REQUIRE_DATA(name)                                                              \
  if (!std::filesystem::exists(::tandem::test::data_dir() / (name)))                           \
  GTEST_SKIP() << "no " << (::tandem::test::data_dir() / (name)) << "; TANDEM_DATA names the " \
               << "folder of shared data"
