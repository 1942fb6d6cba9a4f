#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace tandem {

// The content of a file. Error names the path and the system's reason.
std::string read_file(const std::filesystem::path& path);

// Writes the whole content or, on any failure (Error), leaves the path as it was: the bytes go to a
// temporary file beside it, which is synchronised and renamed. Devices and pipes are written
// directly.
void write_file_atomic(const std::filesystem::path& path, std::string_view content);

// Throws Error when a file could not be made in this folder (or, where it does not exist yet, in
// its nearest existing parent). For checking before long work.
void check_writable_folder(const std::filesystem::path& folder);

// A new empty folder under the system's folder of temporary files, removed with its content. Kept
// where the environment variable TANDEM_KEEP_FOLDERS is set, for looking at what was built.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(std::string_view label = "work");  // in its name
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::string file(std::string_view name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

// A folder of results that appears as a whole or not at all. It is filled under a temporary name
// beside its place; commit() moves it there; without commit() nothing remains.
//
//   OutputFolder output("results/run1");
//   write_file_atomic(output.path() / "report.html", text);
//   output.commit();
class OutputFolder {
 public:
  enum class Existing { kKeep, kReplace };

  // Fails at once, with Error, where the place cannot be written or holds something else: a
  // non-empty folder is replaced only when it is an earlier output (it has the mark that commit()
  // leaves) or when `existing` says so. Missing parents are made.
  explicit OutputFolder(const std::filesystem::path& place, Existing existing = Existing::kKeep);
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  const std::filesystem::path& path() const { return temporary_; }  // write here before commit()
  const std::filesystem::path& place() const { return place_; }     // and find it here afterwards
  void commit();

  // The file whose presence marks a folder as an output.
  static constexpr std::string_view kMark = ".tandem-output";

 private:
  std::filesystem::path place_;
  std::filesystem::path temporary_;
  std::vector<std::filesystem::path> made_parents_;  // outermost first
  bool committed_ = false;
};

}  // namespace tandem
