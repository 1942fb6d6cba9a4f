#include "tandem/verify/qemu_execution.h"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <span>

#include "tandem/base/error.h"
#include "tandem/base/process.h"
#include "tandem/emit/c_target.h"
#include "tandem/mapping/mcu_planner.h"
#include "tandem/verify/c_execution.h"
#include "tandem/verify/samples.h"

namespace tandem {
namespace {

std::vector<std::string> compile_command(const QemuMachine& machine, const std::string& source,
                                         const std::vector<std::string>& options) {
  std::vector<std::string> command = machine.compiler;
  command.insert(command.end(), {"-ffunction-sections", "-fdata-sections"});
  command.insert(command.end(), options.begin(), options.end());
  command.insert(command.end(), {"-c", source, "-o", source + ".o"});
  return command;
}

// Compiles and archives the machine's own part of C's library, as libraries are compiled.
void build_library(const QemuMachine& machine, const ProcessOptions& process) {
  std::vector<std::string> archive = {machine.archiver, "rcs", "libc.a"};
  for (const Artifact& file : machine.library) {
    if (!file.path.ends_with(".c")) continue;
    // Or the loop in memcpy() becomes a call of memcpy().
    run_tool(
        compile_command(machine, file.path,
                        {"-O2", "-std=c99", "-fno-builtin", "-fno-tree-loop-distribute-patterns"}),
        "compiling the firmware's library", process);
    archive.push_back(file.path + ".o");
  }
  if (archive.size() > 3) run_tool(archive, "archiving the firmware's library", process);
}

std::vector<std::uint32_t> counters_of(const std::string& bytes) {
  std::vector<std::uint32_t> words(bytes.size() / 4);
  std::memcpy(words.data(), bytes.data(), words.size() * 4);
  return words;
}

// The deepest stack of each network, by a painting that is checked.
std::vector<double> stacks_of(std::span<const std::uint32_t> words) {
  // Beside its variables a function saves a few registers.
  constexpr std::int64_t kSaved = 32;
  if (words[0] < kCalibrationStack || words[0] > kCalibrationStack + kSaved)
    throw InternalError(
        concat("a stack of ", kCalibrationStack, " bytes was measured as ", words[0]));
  return {words.begin() + 1, words.end()};
}

// Instructions in one run of each network, from the ticks of a timer whose rate is checked.
std::vector<double> instructions_of(std::span<const std::uint32_t> words,
                                    const QemuMachine& machine) {
  const double expected = machine.per_tick;
  const std::size_t networks = words.size() / 2;
  const double per_tick = static_cast<double>(kCalibrationInstructions) / words[0];
  if (!(std::abs(per_tick - expected) < 0.05 * expected))
    throw Error(machine.emulator, " does not count instructions: ", kCalibrationInstructions,
                " of them took ", words[0], " ticks; use a QEMU with -icount");
  std::vector<double> result;
  for (std::size_t i = 0; i < networks; ++i) {
    const std::uint32_t runs = words[1 + networks + i];
    result.push_back(runs == 0 ? 0 : expected * words[1 + i] / runs);
  }
  return result;
}

std::string core_of(const std::string& device_name) {
  const Device device = find_device(device_name.empty() ? default_device("mcu") : device_name);
  if (device.kind() != "mcu")
    throw Error("device '", device.name, "' is of kind '", device.kind(),
                "'; qemu runs devices of kind 'mcu'");
  return device.unit().text("core");
}

Plan planned(const Module& module, const std::string& device_name) {
  throw_issues(CTarget().check(module), "c");
  return plan_mcu(module, find_device(device_name.empty() ? default_device("mcu") : device_name));
}

}  // namespace

QemuProgram build_qemu_program(const std::vector<CNetwork>& networks, const std::string& folder,
                               const QemuOptions& options) {
  QemuProgram result{folder, qemu_machine(options.core), options, networks.size(), {}};
  const CProgram program =
      c_program(networks, {.trace = options.trace, .counted_runs = options.counted_runs});
  write_files(program.files, folder);
  write_files(firmware(result.machine, networks.size()), folder);
  const QemuMachine& machine = result.machine;
  std::vector<std::string> link = machine.compiler;
  link.insert(link.end(), {"-nostartfiles", "-T", "firmware.ld", "-Wl,--gc-sections",
                           "-Wl,-Map=firmware.map", "-o", "firmware.elf"});
  const ProcessOptions process{.folder = folder, .timeout_seconds = options.timeout_seconds};
  const auto compile = [&](const std::string& source, const std::string& optimisation,
                           const std::string& standard) {
    run_tool(compile_command(machine, source, {optimisation, standard}),
             concat("compiling the emitted C for ", machine.core), process);
    link.push_back(source + ".o");
  };
  for (const std::string& source : program.code) compile(source, options.optimisation, "-std=c99");
  for (const std::string& source : program.constants) compile(source, "-O1", "-std=c99");
  // It uses the compiler's register variables and assembler.
  compile("startup.c", "-O1", "-std=gnu99");
  build_library(machine, process);
  link.insert(link.end(), machine.link_options.begin(), machine.link_options.end());
  try {
    run_tool(link, concat("linking the emitted C for ", machine.core), process);
  } catch (const Error& error) {
    const std::string text = error.what();
    if (text.find("will not fit in region") == std::string::npos &&
        text.find("no room for the stack") == std::string::npos)
      throw;
    throw Error("the network does not fit the QEMU machine ", machine.machine, " (",
                machine.flash_bytes, " bytes of flash, ", machine.sram_bytes,
                " bytes of SRAM); make it smaller or run it as C on the host");
  }
  const std::string map = folder + "/firmware.map";
  result.sections = parse_linker_map(read_file(map), map);
  return result;
}

QemuRun run_qemu_program(const QemuProgram& program, const std::string& input) {
  write_files({{"in.bin", input}}, program.folder);
  for (const char* file : {"out.bin", "counts.bin"})
    std::filesystem::remove(program.folder + "/" + file);
  std::vector<std::string> command = {program.machine.emulator,
                                      "-machine",
                                      program.machine.machine,
                                      "-display",
                                      "none",
                                      "-monitor",
                                      "none",
                                      "-serial",
                                      "none",
                                      "-semihosting-config",
                                      "enable=on,target=native",
                                      "-kernel",
                                      "firmware.elf"};
  command.insert(command.end(), program.machine.emulator_options.begin(),
                 program.machine.emulator_options.end());
  // Counting is what makes the timer's ticks instructions; without it QEMU runs faster.
  const bool counts = program.options.counted_runs > 0;
  if (counts) command.insert(command.end(), {"-icount", "shift=0,sleep=off"});
  run_tool(command, "running the emitted C under QEMU",
           {.folder = program.folder, .timeout_seconds = program.options.timeout_seconds});
  QemuRun run;
  run.output = read_file(program.folder + "/out.bin");
  if (!counts) return run;
  const std::vector<std::uint32_t> words = counters_of(read_file(program.folder + "/counts.bin"));
  const std::size_t timed = 1 + 2 * program.networks, all = timed + 1 + program.networks;
  if (words.size() != all)
    throw Error("the firmware wrote ", words.size(), " counters where ", all,
                " were expected; it did not run to its end");
  run.instructions = instructions_of(std::span(words).first(timed), program.machine);
  run.stack_bytes = stacks_of(std::span(words).subspan(timed));
  return run;
}

QemuExecution::QemuExecution(const Module& module, const ExecutionOptions& options)
    : QemuExecution(module, options.plan ? *options.plan : planned(module, options.device),
                    options) {}

QemuExecution::QemuExecution(const Module& module, Plan plan, const ExecutionOptions& options)
    : module_(module), options_(options), plan_(std::move(plan)), core_(core_of(options.device)) {
  folder_ = options.folder;
  if (folder_.empty())
    folder_ = temporary_.emplace("qemu").path().string();
  else
    std::filesystem::create_directories(folder_);
}

QemuProgram QemuExecution::program(const std::string& folder, bool trace) const {
  std::filesystem::create_directories(folder);
  QemuOptions options;
  options.core = core_;
  options.trace = trace;
  options.counted_runs = trace ? 0 : 1;
  options.timeout_seconds = options_.timeout_seconds;
  return build_qemu_program({{&module_, &plan_, "net"}}, folder, options);
}

void QemuExecution::build() { program_ = program(folder_, false); }

Samples QemuExecution::compute(std::span<const Tensor> inputs) {
  const std::int64_t count = check_samples(module_, inputs);
  const QemuRun run = run_qemu_program(*program_, pack_inputs(module_, inputs));
  const LinkedSizes sizes = linked_sizes(program_->sections, plan_, "net");
  std::int64_t io_bytes = 0;
  for (const MapSection& section : program_->sections)
    if (section.symbol().starts_with("harness_0_")) io_bytes += section.bytes;
  measured_ = {{"instructions_per_run", run.instructions.at(0)},
               {"stack_bytes", run.stack_bytes.at(0)},
               {"weights_bytes", static_cast<double>(sizes.weights_bytes)},
               {"tables_bytes", static_cast<double>(sizes.tables_bytes)},
               {"arena_bytes", static_cast<double>(sizes.arena_bytes)},
               {"code_bytes", static_cast<double>(sizes.code_bytes)},
               {"library_bytes", static_cast<double>(sizes.library_bytes)},
               {"io_bytes", static_cast<double>(io_bytes)}};
  if (sizes.state_bytes > 0) measured_["state_bytes"] = static_cast<double>(sizes.state_bytes);
  return unpack_samples(module_, module_.main().outputs, count, run.output,
                        "the emitted C under QEMU");
}

std::map<ValueId, Tensor> QemuExecution::trace(std::span<const Tensor> inputs) {
  const QemuProgram traced = program(folder_ + "/trace", true);
  const QemuRun run = run_qemu_program(traced, pack_inputs(module_, inputs));
  return unpack_trace(module_, plan_, run.output, check_samples(module_, inputs));
}

}  // namespace tandem
