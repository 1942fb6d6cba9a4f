#pragma once

#include <string>
#include <vector>

namespace tandem {

struct ProcessResult {
  int exit_code = 0;       // 128 + signal where a signal ended it
  bool timed_out = false;  // it and its children were killed
  std::string out, err;    // what it printed
  double seconds = 0;
};

struct ProcessOptions {
  std::string folder;            // working directory; empty: ours
  double timeout_seconds = 600;  // then the whole process group is killed
};

// Runs a program found through PATH with exactly these arguments (no shell), its standard input
// closed, and waits. Throws Error naming the Debian package where the program is not installed.
ProcessResult run_process(const std::vector<std::string>& arguments,
                          const ProcessOptions& options = {});

// The same for a program that must succeed: throws Error with what it printed when it fails or
// runs out of time. `purpose` starts the message: "compiling the emitted C".
ProcessResult run_tool(const std::vector<std::string>& arguments, const std::string& purpose,
                       const ProcessOptions& options = {});

// Whether run_process() would find a program.
bool has_program(const std::string& program);

// A new folder under the system's temporary one, removed with all it holds at the end. Kept where
// TANDEM_KEEP_FOLDERS is set, for looking at what was built.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(const std::string& label);
  ~TemporaryFolder();
  TemporaryFolder(TemporaryFolder&& other) noexcept;
  TemporaryFolder& operator=(TemporaryFolder&&) = delete;

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace tandem
