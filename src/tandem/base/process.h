#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tandem {

struct ProcessOptions {
  std::filesystem::path folder = {};                    // where it runs; empty: the current folder
  double timeout_seconds = 600;                         // 0: none
  std::map<std::string, std::string> environment = {};  // set in addition to our own variables
  std::string input = {};                               // its standard input
};

struct ProcessResult {
  int exit_code = 0;  // of the program, or 128 + the signal that ended it
  std::string output;
  std::string error_output;
  bool timed_out = false;
  double seconds = 0;
};

// Runs a program with exactly these arguments (no shell) and waits. argv[0] is looked up in PATH
// unless it has a '/'. The program runs in a process group of its own, which is killed when time is
// up, when the program ends with children left, and when the user interrupts (throws Interrupted).
// Throws Error when it cannot be started; where it is not installed, the message says how to.
ProcessResult run_process(const std::vector<std::string>& argv, const ProcessOptions& options = {});

// The same for a program that must succeed: throws Error with what it printed when it fails or runs
// out of time. `purpose` starts the message: "compiling the emitted C".
ProcessResult run_tool(const std::vector<std::string>& argv, std::string_view purpose,
                       const ProcessOptions& options = {});

// The path of a program in PATH, and whether there is one.
std::optional<std::filesystem::path> find_program(std::string_view name);
bool has_program(std::string_view name);

// The command as one would type it in a shell, for messages and reports.
std::string shell_text(const std::vector<std::string>& argv);

}  // namespace tandem
