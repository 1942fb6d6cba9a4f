#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/base/process.h"
#include "tandem/base/text.h"

#include "tests/cli/cli_test.h"
#include "tests/support/paths.h"

namespace tandem::test {

CliRun run_cli(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), program().string());
  const ProcessResult result = run_process(arguments, {.timeout_seconds = 900});
  return {result.exit_code, result.output, result.error_output};
}

std::string small_module_text() {
  return R"(tandem-module 1
symbol N in [1,1024]
constant @scale : f64[1] = [0.5]
constant @offset : f64[1] = [0]
constant @weights : int4[3,2] = [1,-2,7,-8,0,5]
constant @multiplier : int8[1,2] = [3,5]
constant @addend : int8[1] = [9]
constant @shift : uint6[1] = [4]
graph @main(%x : int8[N,3] coded(@scale,@offset)) -> (%y coded(@scale,@offset)) {
  %weights = constant @weights
  %multiplier = constant @multiplier
  %addend = constant @addend
  %shift = constant @shift
  %sums : int12[N,2] = IntMatMul(%x, %weights) {format = int12} "dense"
  %y : int8[N,2] = Rescale(%sums, %multiplier, %addend, %shift) {format = int8, rounding = "half_up"} "narrow"
}
)";
}

std::string small_device_text(std::int64_t sram_bytes) {
  std::string text = read_file(source_dir() / "devices/stm32f746.toml");
  const auto replace = [&](const std::string& old, const std::string& with) {
    const std::size_t at = text.find(old);
    ensure(at != std::string::npos, concat("the device file has no ", old));
    text.replace(at, old.size(), with);
  };
  replace("327_680", concat(sram_bytes));
  replace("costs/", (source_dir() / "devices/costs/").string());
  return text;
}

}  // namespace tandem::test
