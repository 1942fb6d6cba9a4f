#include "tandem/verify/yosys.h"

#include <sstream>

#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/base/process.h"
#include "tandem/emit/verilog.h"

namespace tandem {

std::int64_t luts_of_cell(const std::string& cell) {
  if (cell.size() == 4 && cell.starts_with("LUT")) return 1;
  static const std::map<std::string, std::int64_t> memories = {
      {"SRL16E", 1},   {"SRLC16E", 1},   {"SRLC32E", 1},   {"RAM16X1S", 1},
      {"RAM16X1D", 2}, {"RAM32X1S", 1},  {"RAM32X1D", 2},  {"RAM64X1S", 1},
      {"RAM64X1D", 2}, {"RAM128X1S", 2}, {"RAM128X1D", 4}, {"RAM256X1S", 4},
      {"RAM32M", 4},   {"RAM64M", 4},    {"RAM32M16", 8},  {"RAM64M8", 8}};
  const auto found = memories.find(cell);
  return found == memories.end() ? 0 : found->second;
}

namespace {

void count_cell(Synthesis& result, const std::string& cell, std::int64_t count) {
  result.cells[cell] += count;
  result.luts += count * luts_of_cell(cell);
  if (cell.starts_with("FD")) result.flip_flops += count;
  if (cell.starts_with("RAMB36")) result.block_rams += static_cast<double>(count);
  if (cell.starts_with("RAMB18")) result.block_rams += 0.5 * static_cast<double>(count);
  if (cell.starts_with("DSP48")) result.dsps += count;
  if (cell.starts_with("LD") || cell.find("DLATCH") != std::string::npos) result.latches += count;
}

// The cells of every module, from the sections "=== name ===" of the text that `stat` prints
// (its JSON is not well formed). The last section sums up the hierarchy and is left out.
Synthesis::Modules modules_of(const std::string& text) {
  Synthesis::Modules modules;
  std::map<std::string, std::int64_t>* cells = nullptr;
  bool in_cells = false;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("=== ")) {
      if (line == "=== design hierarchy ===") break;
      cells = &modules[line.substr(4, line.size() - 8)];
      in_cells = false;
    } else if (line.find("Number of cells:") != std::string::npos) {
      in_cells = true;
    } else if (in_cells && cells != nullptr) {
      std::istringstream fields(line);
      std::string cell;
      std::int64_t count = 0;
      if (fields >> cell >> count) (*cells)[cell] = count;
    }
  }
  return modules;
}

// The cells of one module and of all that it instantiates.
void count_module(Synthesis& result, const std::string& name, std::int64_t times) {
  for (const auto& [cell, count] : result.modules.at(name)) {
    if (result.modules.contains(cell))
      count_module(result, cell, times * count);
    else
      count_cell(result, cell, times * count);
  }
}

}  // namespace

Synthesis synthesize(const std::string& text, const std::string& top, const YosysOptions& options) {
  const TemporaryFolder folder("yosys");
  write_file_atomic(folder.file("circuit.sv"), text);
  const ProcessResult run =
      run_tool({"yosys", "-q", "-p",
                concat("read_verilog -sv circuit.sv; synth_xilinx -family xc7 -top ", top,
                       "; tee -q -o stat.txt stat")},
               "synthesising a circuit with Yosys",
               {.folder = folder.path(), .timeout_seconds = options.timeout_seconds});
  Synthesis result;
  result.seconds = run.seconds;
  result.modules = modules_of(read_file(folder.file("stat.txt")));
  if (!result.modules.contains(top))
    throw Error("the statistics of Yosys lack the module ", top, "; is this version 0.23?");
  count_module(result, top, 1);
  return result;
}

Synthesis synthesize(const Pipeline& pipeline, const YosysOptions& options) {
  return synthesize(verilog_of(pipeline, "network"), "network", options);
}

}  // namespace tandem
