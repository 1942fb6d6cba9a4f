#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace tandem::test {

struct CliRun {
  int exit_code = 0;
  std::string out, err;
  nlohmann::json json() const { return nlohmann::json::parse(out); }
};

// Runs the program of this build as a process with these arguments.
CliRun run_cli(std::vector<std::string> arguments);

// A module text with one dense layer and everything that a lowered network has.
std::string small_module_text();

// The text of a device file: the STM32F746 with so many bytes of SRAM.
std::string small_device_text(std::int64_t sram_bytes);

}  // namespace tandem::test
