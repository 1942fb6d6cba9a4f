#include "tandem/verify/process.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <map>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include "tandem/base/error.h"
#include "tandem/base/text.h"

namespace tandem {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The Debian packages of the programs that the project calls.
std::string package_of(const std::string& program) {
  static const std::map<std::string, std::string> packages = {
      {"cc", "gcc"},
      {"c++", "g++"},
      {"clang-14", "clang-14"},
      {"arm-none-eabi-gcc", "gcc-arm-none-eabi"},
      {"qemu-system-arm", "qemu-system-arm"},
      {"verilator", "verilator"},
      {"yosys", "yosys"}};
  const auto found = packages.find(program);
  return found == packages.end() ? program : found->second;
}

std::string find_program(const std::string& program) {
  if (program.find('/') != std::string::npos)
    return access(program.c_str(), X_OK) == 0 ? program : "";
  const char* path = std::getenv("PATH");
  for (const std::string& folder : split(path == nullptr ? "/usr/bin:/bin" : path, ':')) {
    const std::string candidate = folder + "/" + program;
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return "";
}

// A pipe whose ends close themselves.
class Pipe {
 public:
  Pipe() {
    if (pipe2(ends_.data(), O_CLOEXEC) != 0)
      throw Error("no pipe for a child process: ", std::strerror(errno),
                  "; close some programs and try again");
  }
  ~Pipe() {
    close_end(0);
    close_end(1);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  int end(std::size_t which) const { return ends_[which]; }
  void close_end(std::size_t which) {
    if (ends_[which] >= 0) close(ends_[which]);
    ends_[which] = -1;
  }

 private:
  std::array<int, 2> ends_{-1, -1};
};

// Between fork and exec only async-signal-safe calls are allowed.
[[noreturn]] void become(const std::string& program, const std::vector<char*>& arguments,
                         const char* folder, int out, int err) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int nothing = open("/dev/null", O_RDONLY);
  if (nothing < 0 || dup2(nothing, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0) _exit(127);
  if (folder != nullptr && chdir(folder) != 0) _exit(127);
  execv(program.c_str(), arguments.data());
  _exit(127);
}

// Collects both streams until the child closes them or the deadline passes (false).
bool collect(Pipe& out, Pipe& err, ProcessResult& result, Clock::time_point start, double limit) {
  std::array<pollfd, 2> polled{pollfd{out.end(0), POLLIN, 0}, pollfd{err.end(0), POLLIN, 0}};
  const std::array<std::string*, 2> texts{&result.out, &result.err};
  std::array<char, 65536> chunk{};
  std::size_t open_streams = 2;
  while (open_streams > 0) {
    const double left = limit - seconds_since(start);
    if (left <= 0) return false;
    const int ready = poll(polled.data(), 2, static_cast<int>(std::min(left, 1.0) * 1000) + 1);
    if (ready < 0 && errno != EINTR) throw InternalError("poll of a child's output failed");
    if (ready <= 0) continue;
    for (std::size_t i = 0; i < 2; ++i) {
      if (polled[i].fd < 0 || polled[i].revents == 0) continue;
      const ssize_t got = read(polled[i].fd, chunk.data(), chunk.size());
      if (got > 0) {
        texts[i]->append(chunk.data(), static_cast<std::size_t>(got));
      } else if (got == 0 || errno != EINTR) {
        polled[i].fd = -1;
        --open_streams;
      }
    }
  }
  return true;
}

// The exit status, or nothing when the deadline passes first.
bool await(pid_t child, int& status, Clock::time_point start, double limit) {
  while (true) {
    const pid_t ended = waitpid(child, &status, WNOHANG);
    if (ended == child) return true;
    if (ended < 0 && errno != EINTR) throw InternalError("waiting for a child failed");
    if (seconds_since(start) > limit) return false;
    usleep(200);
  }
}

std::string tail(const std::string& text, std::size_t most) {
  return text.size() <= most ? text : "..." + text.substr(text.size() - most);
}

}  // namespace

bool has_program(const std::string& program) { return !find_program(program).empty(); }

ProcessResult run_process(const std::vector<std::string>& arguments,
                          const ProcessOptions& options) {
  ensure(!arguments.empty(), "run_process without a program");
  const std::string program = find_program(arguments[0]);
  if (program.empty())
    throw Error("program '", arguments[0], "' is not installed; install the Debian package ",
                package_of(arguments[0]), " (tools/setup.sh test)");
  std::vector<char*> words;
  for (const std::string& argument : arguments)
    words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);
  const char* folder = options.folder.empty() ? nullptr : options.folder.c_str();
  Pipe out, err;
  const Clock::time_point start = Clock::now();
  const pid_t child = fork();
  if (child < 0) throw Error("no child process: ", std::strerror(errno), "; free some memory");
  if (child == 0) become(program, words, folder, out.end(1), err.end(1));
  setpgid(child, child);
  out.close_end(1);
  err.close_end(1);
  ProcessResult result;
  int status = 0;
  result.timed_out = !collect(out, err, result, start, options.timeout_seconds) ||
                     !await(child, status, start, options.timeout_seconds);
  if (result.timed_out) {
    kill(-child, SIGKILL);
    waitpid(child, &status, 0);
  }
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.seconds = seconds_since(start);
  return result;
}

ProcessResult run_tool(const std::vector<std::string>& arguments, const std::string& purpose,
                       const ProcessOptions& options) {
  ProcessResult result = run_process(arguments, options);
  if (result.timed_out)
    throw Error(purpose, ": '", join(arguments, " "), "' did not end within ",
                options.timeout_seconds, " seconds; give it fewer samples or a longer limit\n",
                tail(result.err, 2000));
  if (result.exit_code != 0)
    throw Error(purpose, ": '", join(arguments, " "), "' failed with exit code ", result.exit_code,
                "\n", tail(result.err, 4000), tail(result.out, 1000));
  return result;
}

TemporaryFolder::TemporaryFolder(const std::string& label) {
  path_ = (std::filesystem::temp_directory_path() / concat("tandem-", label, "-XXXXXX")).string();
  if (mkdtemp(path_.data()) == nullptr)
    throw Error(path_, ": no temporary folder can be made: ", std::strerror(errno),
                "; set TMPDIR to a folder with space");
}

TemporaryFolder::TemporaryFolder(TemporaryFolder&& other) noexcept
    : path_(std::exchange(other.path_, "")) {}

TemporaryFolder::~TemporaryFolder() {
  if (path_.empty() || std::getenv("TANDEM_KEEP_FOLDERS") != nullptr) return;
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace tandem
