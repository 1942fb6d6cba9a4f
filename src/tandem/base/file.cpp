#include "tandem/base/file.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "tandem/base/error.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;

Error failure(std::string_view what, const fs::path& path, int code) {
  return Error(what, " '", path.string(), "': ", std::generic_category().message(code));
}

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int number() const { return number_; }
  // 0, or why the last bytes may be lost.
  int close() {
    const int result = ::close(number_);
    number_ = -1;
    return result == 0 ? 0 : errno;
  }

 private:
  int number_;
};

// 0, or why not all bytes could be written.
int write_all(int descriptor, std::string_view content) {
  while (!content.empty()) {
    const ssize_t count = ::write(descriptor, content.data(), content.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno;
    content.remove_prefix(static_cast<std::size_t>(count));
  }
  return 0;
}

void write_in_place(const fs::path& path, std::string_view content) {
  Descriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  int code = file.number() < 0 ? errno : write_all(file.number(), content);
  if (code == 0) code = file.close();
  if (code != 0) throw failure("cannot write", path, code);
}

// A new folder `folder`/`prefix`XXXXXX.
fs::path make_unique_folder(const fs::path& folder, const std::string& prefix) {
  std::string name = (folder / (prefix + "XXXXXX")).string();
  if (::mkdtemp(name.data()) == nullptr) throw failure("cannot make a folder in", folder, errno);
  return name;
}

void remove_quietly(const fs::path& path) {
  std::error_code ignored;
  fs::remove_all(path, ignored);
}

// The mode that open(..., 0666) would give: mkstemp and mkdtemp grant nothing to others.
mode_t granted_mode(mode_t wanted) {
  const mode_t mask = ::umask(0);
  ::umask(mask);
  return wanted & ~mask;
}

fs::path absolute_place(const fs::path& path) {
  if (path.empty()) throw Error("the output folder has an empty name");
  // Links are followed, so that what they point at is replaced and not the link.
  fs::path place = fs::weakly_canonical(fs::absolute(path));
  if (!place.has_filename()) place = place.parent_path();
  if (place == place.root_path())
    throw Error("the root folder cannot be the output folder; name a folder in it");
  return place;
}

}  // namespace

std::string read_file(const fs::path& path) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.number() < 0) throw failure("cannot read", path, errno);
  struct stat status {};
  std::string content;
  if (::fstat(file.number(), &status) == 0 && S_ISREG(status.st_mode))
    content.reserve(static_cast<std::size_t>(status.st_size) + 1);
  constexpr std::size_t kPart = 1 << 16;
  while (true) {
    const std::size_t filled = content.size();
    content.resize(std::max(content.capacity(), filled + kPart));
    const ssize_t count = ::read(file.number(), content.data() + filled, content.size() - filled);
    const int code = errno;
    content.resize(filled + static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    if (count < 0 && code == EINTR) continue;
    if (count < 0) throw failure("cannot read", path, code);
    if (count == 0) return content;
  }
}

void write_file_atomic(const fs::path& path, std::string_view content) {
  std::error_code ignored;
  const fs::file_status status = fs::status(path, ignored);
  if (fs::is_directory(status)) throw failure("cannot write", path, EISDIR);
  if (fs::exists(status) && !fs::is_regular_file(status)) {
    write_in_place(path, content);
    return;
  }
  const fs::path target =
      fs::is_symlink(fs::symlink_status(path, ignored)) ? fs::weakly_canonical(path) : path;
  std::string temporary =
      (target.parent_path() / ("." + target.filename().string() + ".XXXXXX")).string();
  Descriptor file(::mkostemp(temporary.data(), O_CLOEXEC));
  if (file.number() < 0) throw failure("cannot write", path, errno);
  const mode_t mode =
      fs::exists(status) ? static_cast<mode_t>(status.permissions()) & 07777 : granted_mode(0666);
  int code = ::fchmod(file.number(), mode) == 0 ? 0 : errno;
  if (code == 0) code = write_all(file.number(), content);
  if (code == 0 && ::fsync(file.number()) != 0) code = errno;
  if (code == 0) code = file.close();
  if (code == 0 && std::rename(temporary.c_str(), target.c_str()) != 0) code = errno;
  if (code != 0) {
    ::unlink(temporary.c_str());
    throw failure("cannot write", path, code);
  }
}

void check_writable_folder(const fs::path& folder) {
  fs::path nearest = fs::absolute(folder);
  std::error_code ignored;
  while (!fs::exists(nearest, ignored) && nearest.has_relative_path())
    nearest = nearest.parent_path();
  if (!fs::is_directory(nearest, ignored)) throw failure("cannot write in", nearest, ENOTDIR);
  // Only an attempt tells: access() knows nothing of read-only mounts and quotas.
  fs::remove(make_unique_folder(nearest, ".tandem-check-"));
}

TemporaryFolder::TemporaryFolder(std::string_view label)
    : path_(make_unique_folder(fs::temp_directory_path(), concat("tandem-", label, "-"))) {}

TemporaryFolder::~TemporaryFolder() {
  if (std::getenv("TANDEM_KEEP_FOLDERS") == nullptr) remove_quietly(path_);
}

OutputFolder::OutputFolder(const fs::path& place, Existing existing)
    : place_(absolute_place(place)) {
  if (fs::exists(place_)) {
    if (!fs::is_directory(place_))
      throw Error("output folder '", place.string(), "' is a file; choose another name");
    if (existing == Existing::kKeep && !fs::is_empty(place_) && !fs::exists(place_ / kMark))
      throw Error("output folder '", place.string(),
                  "' holds files that are not an earlier output; choose another folder, empty it, "
                  "or ask for it to be replaced");
  }
  const fs::path parent = place_.parent_path();
  try {
    check_writable_folder(parent);
  } catch (const Error& error) {
    throw error.at(concat("output folder '", place.string(), "'"));
  }
  for (fs::path missing = parent; !fs::exists(missing); missing = missing.parent_path())
    made_parents_.insert(made_parents_.begin(), missing);
  std::error_code code;
  fs::create_directories(parent, code);
  if (code) throw failure("cannot make folder", parent, code.value());
  temporary_ = make_unique_folder(parent, "." + place_.filename().string() + ".unfinished-");
}

OutputFolder::~OutputFolder() {
  if (committed_) return;
  remove_quietly(temporary_);
  std::error_code ignored;
  // Removes only parents that are still empty.
  for (std::size_t i = made_parents_.size(); i-- > 0;) fs::remove(made_parents_[i], ignored);
}

void OutputFolder::commit() {
  ensure(!committed_, "OutputFolder::commit called twice");
  write_file_atomic(temporary_ / kMark,
                    "This folder was written by tandem. A later run with the same output folder "
                    "replaces it while this file is here.\n");
  if (::chmod(temporary_.c_str(), granted_mode(0777)) != 0)
    throw failure("cannot set the mode of", temporary_, errno);
  fs::path earlier;
  std::error_code code;
  if (fs::exists(place_)) {
    earlier =
        make_unique_folder(place_.parent_path(), "." + place_.filename().string() + ".earlier-");
    fs::rename(place_, earlier, code);
    if (code) {
      remove_quietly(earlier);
      throw failure("cannot replace folder", place_, code.value());
    }
  }
  fs::rename(temporary_, place_, code);
  if (code) {
    std::error_code ignored;
    if (!earlier.empty()) fs::rename(earlier, place_, ignored);
    throw failure("cannot make folder", place_, code.value());
  }
  committed_ = true;
  if (!earlier.empty()) remove_quietly(earlier);
}

}  // namespace tandem
