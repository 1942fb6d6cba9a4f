#include "tandem/base/process.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <system_error>
#include <thread>
#include <unistd.h>

#include "tandem/base/error.h"
#include "tandem/base/interrupt.h"
#include "tandem/base/text.h"

extern char** environ;

namespace tandem {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

// A file in memory. Input and output pass through such files and not through pipes: nobody has to
// read and write at the same time, and a child that outlives the program holds nothing up.
class MemoryFile {
 public:
  explicit MemoryFile(const char* name) : descriptor_(::memfd_create(name, MFD_CLOEXEC)) {
    if (descriptor_ < 0)
      throw Error("cannot make a file in memory: ", std::generic_category().message(errno));
  }
  ~MemoryFile() { ::close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  int descriptor() const { return descriptor_; }

  void fill(std::string_view content) const {
    for (std::size_t at = 0; at < content.size();) {
      const ssize_t count =
          ::pwrite(descriptor_, content.data() + at, content.size() - at, static_cast<off_t>(at));
      if (count < 0)
        throw Error("cannot keep a program's input in memory: ",
                    std::generic_category().message(errno));
      at += static_cast<std::size_t>(count);
    }
  }

  std::string content() const {
    std::string text(
        static_cast<std::size_t>(std::max<off_t>(0, ::lseek(descriptor_, 0, SEEK_END))), '\0');
    std::size_t at = 0;
    while (at < text.size()) {
      const ssize_t count =
          ::pread(descriptor_, text.data() + at, text.size() - at, static_cast<off_t>(at));
      if (count <= 0) break;
      at += static_cast<std::size_t>(count);
    }
    text.resize(at);
    return text;
  }

 private:
  int descriptor_;
};

std::vector<std::string> merged_environment(const std::map<std::string, std::string>& changes) {
  std::vector<std::string> merged;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (!changes.contains(text.substr(0, text.find('=')))) merged.push_back(text);
  }
  for (const auto& [name, value] : changes) merged.push_back(concat(name, "=", value));
  return merged;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Starts the program as the leader of a new process group.
pid_t spawn(std::vector<std::string> argv, const ProcessOptions& options, int input, int output,
            int error_output) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, error_output, STDERR_FILENO);
  if (!options.folder.empty())
    posix_spawn_file_actions_addchdir_np(&actions, options.folder.c_str());
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawnattr_setpgroup(&attributes, 0);

  std::vector<std::string> environment = merged_environment(options.environment);
  pid_t child = 0;
  const int code = posix_spawnp(&child, argv[0].c_str(), &actions, &attributes,
                                pointers_to(argv).data(), pointers_to(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (code != 0) {
    const bool has_folder = options.folder.empty() || fs::is_directory(options.folder);
    throw Error("cannot start '", argv[0], "'",
                has_folder ? "" : " in folder '" + options.folder.string() + "'", ": ",
                std::generic_category().message(code));
  }
  return child;
}

// How to install the programs that the project calls; packages of the same name are left out.
Error not_installed(const std::string& program) {
  struct Remedy {
    std::string_view package, group;
  };
  static const std::map<std::string_view, Remedy> kRemedies = {
      {"cc", {"gcc", "demo"}},
      {"c++", {"g++", "demo"}},
      {"arm-none-eabi-gcc", {"gcc-arm-none-eabi", "demo"}},
      {"arm-none-eabi-size", {"binutils-arm-none-eabi", "demo"}},
      {"qemu-system-arm", {"qemu-system-arm", "demo"}},
      {"riscv64-unknown-elf-gcc", {"gcc-riscv64-unknown-elf", "test"}},
      {"riscv64-unknown-elf-ar", {"binutils-riscv64-unknown-elf", "test"}},
      {"qemu-system-riscv32", {"qemu-system-misc", "test"}},
      {"verilator", {"verilator", "demo"}},
      {"yosys", {"yosys", "test"}},
      {"clang-14", {"clang-14", "test"}}};
  const auto remedy = kRemedies.find(program);
  if (remedy == kRemedies.end())
    return Error("program '", program, "' is not installed, or not in a folder of PATH");
  return Error("program '", program, "' is not installed; run tools/setup.sh ",
               remedy->second.group, " or install the Debian package ", remedy->second.package);
}

std::string tail(const std::string& text, std::size_t most) {
  return text.size() <= most ? text : "..." + text.substr(text.size() - most);
}

int exit_code_of(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// Waits until the child ends, time is up or the user interrupts; in the end no process of the
// group is left. Returns the child's status.
int wait_for(pid_t child, Clock::time_point deadline, bool* timed_out) {
  auto pause = std::chrono::microseconds(200);
  constexpr auto kLongestPause = std::chrono::microseconds(20'000);
  int status = 0;
  while (::waitpid(child, &status, WNOHANG) == 0) {
    *timed_out = Clock::now() >= deadline;
    if (*timed_out || interrupted()) {
      ::kill(-child, SIGKILL);
      ::waitpid(child, &status, 0);
      break;
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 5 / 4, kLongestPause);
  }
  ::kill(-child, SIGKILL);
  return status;
}

}  // namespace

ProcessResult run_process(const std::vector<std::string>& argv, const ProcessOptions& options) {
  ensure(!argv.empty(), "run_process without a program");
  throw_if_interrupted();
  if (!has_program(argv[0])) throw not_installed(argv[0]);
  const MemoryFile input("input");
  const MemoryFile output("output");
  const MemoryFile error_output("error_output");
  input.fill(options.input);

  const Clock::time_point start = Clock::now();
  const auto limit = std::chrono::duration<double>(options.timeout_seconds);
  const Clock::time_point deadline =
      options.timeout_seconds > 0 ? start + std::chrono::duration_cast<Clock::duration>(limit)
                                  : Clock::time_point::max();
  const pid_t child =
      spawn(argv, options, input.descriptor(), output.descriptor(), error_output.descriptor());
  ProcessResult result;
  result.exit_code = exit_code_of(wait_for(child, deadline, &result.timed_out));
  result.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  throw_if_interrupted();
  result.output = output.content();
  result.error_output = error_output.content();
  return result;
}

ProcessResult run_tool(const std::vector<std::string>& argv, std::string_view purpose,
                       const ProcessOptions& options) {
  ProcessResult result = run_process(argv, options);
  if (result.timed_out)
    throw Error(purpose, " did not end within ", options.timeout_seconds,
                " seconds; give it less work or more time: ", shell_text(argv), "\n",
                tail(result.error_output, 2000));
  if (result.exit_code != 0)
    throw Error(purpose, " failed with exit code ", result.exit_code, ": ", shell_text(argv), "\n",
                tail(result.error_output, 4000), tail(result.output, 1000));
  return result;
}

std::optional<fs::path> find_program(std::string_view name) {
  const auto is_program = [](const fs::path& path) {
    std::error_code ignored;
    return fs::is_regular_file(path, ignored) && ::access(path.c_str(), X_OK) == 0;
  };
  if (name.find('/') != std::string_view::npos) {
    if (is_program(name)) return fs::path(name);
    return std::nullopt;
  }
  const char* folders = std::getenv("PATH");
  for (const std::string& folder : split(folders != nullptr ? folders : "", ':')) {
    fs::path path = fs::path(folder.empty() ? "." : folder) / name;
    if (!name.empty() && is_program(path)) return path;
  }
  return std::nullopt;
}

bool has_program(std::string_view name) { return find_program(name).has_value(); }

std::string shell_text(const std::vector<std::string>& argv) {
  std::vector<std::string> words;
  for (const std::string& word : argv) {
    const bool is_plain =
        !word.empty() && std::all_of(word.begin(), word.end(), [](unsigned char c) {
          return std::isalnum(c) != 0 ||
                 std::string_view("_-./:=,+@%").find(static_cast<char>(c)) !=
                     std::string_view::npos;
        });
    if (is_plain) {
      words.push_back(word);
      continue;
    }
    std::string quoted = "'";
    for (const char c : word) quoted += c == '\'' ? "'\\''" : std::string(1, c);
    words.push_back(quoted + "'");
  }
  return join(words, " ");
}

}  // namespace tandem
