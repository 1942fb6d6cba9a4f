#include "tandem/verify/verilator.h"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "tandem/base/error.h"
#include "tandem/base/process.h"
#include "tandem/emit/verilog_bench.h"
#include "tandem/verify/verilator_harness.h"

namespace tandem {

void read_beats(const char* bytes, const AxisPort& port, Tensor& samples, std::int64_t sample) {
  const int width = port.format.bits();
  std::vector<std::int64_t> integers;
  for (std::int64_t beat = 0; beat < port.beats; ++beat, bytes += port.bytes()) {
    for (std::int64_t lane = 0; lane < port.lanes; ++lane) {
      std::uint64_t code = 0;
      for (int bit = 0; bit < width; ++bit) {
        const auto at = static_cast<std::size_t>(lane * width + bit);
        code |= static_cast<std::uint64_t>((bytes[at / 8] >> at % 8) & 1) << bit;
      }
      integers.push_back(port.format.integer_of(code));
    }
  }
  visit_storage(port.format.storage(), [&]<typename Stored>() {
    auto stored = samples.mutable_data<Stored>();
    const auto first = static_cast<std::size_t>(sample) * integers.size();
    for (std::size_t i = 0; i < integers.size(); ++i)
      stored[first + i] = static_cast<Stored>(integers[i]);
  });
}

namespace {

void append_integer(std::string& bytes, std::int64_t value) {
  char raw[8];
  std::memcpy(raw, &value, 8);
  bytes.append(raw, 8);
}

// Reads what the harness wrote, in order.
class Reader {
 public:
  explicit Reader(std::string bytes) : bytes_(std::move(bytes)) {}
  std::int64_t integer() {
    std::int64_t value = 0;
    std::memcpy(&value, take(8), 8);
    return value;
  }
  const char* take(std::int64_t count) {
    if (at_ + static_cast<std::size_t>(count) > bytes_.size())
      throw Error("the simulation's output file is too short");
    const char* here = bytes_.data() + at_;
    at_ += static_cast<std::size_t>(count);
    return here;
  }

 private:
  std::string bytes_;
  std::size_t at_ = 0;
};

}  // namespace

VerilatedCircuits::VerilatedCircuits(std::vector<Circuit> circuits, const VerilatorOptions& options)
    : circuits_(std::move(circuits)),
      folder_(options.folder),
      timeout_seconds_(options.timeout_seconds) {
  ensure(!circuits_.empty(), "a batch of no circuits");
  if (folder_.empty()) {
    temporary_ = std::make_unique<TemporaryFolder>("verilator");
    folder_ = temporary_->path();
  }
  std::filesystem::create_directories(folder_);
  // Version 5.006 gets `a & ~b` of single bits wrong where it makes a tree of such operations; the
  // flag counts behind -O3 only.
  std::vector<std::string> command = {
      "verilator",    "--cc",       "--exe",       "--build",
      "-j",           "2",          "-O3",         "-fno-const-bit-op-tree",
      "--x-assign",   "fast",       "--x-initial", "fast",
      "--noassert",   "-Wno-fatal", "--Mdir",      "build",
      "--top-module", "batch",      "-o",          "simulation"};
  std::string flags = concat("OPT_FAST=", options.quick ? "-O0" : "-O2", " OPT_SLOW=-O0");
  if (has_program("ccache")) flags += " OBJCACHE=ccache";
  command.insert(command.end(), {"-MAKEFLAGS", flags});
  std::vector<HarnessCircuit> harness;
  for (const Circuit& circuit : circuits_) {
    write_file_atomic(folder_ / (circuit.name + ".sv"), verilog_of(circuit.pipeline, circuit.name));
    command.push_back(circuit.name + ".sv");
    harness.push_back(
        {circuit.name, axis_inputs(circuit.pipeline), axis_outputs(circuit.pipeline)});
  }
  write_file_atomic(folder_ / "batch.sv", harness_wrapper(harness));
  write_file_atomic(folder_ / "batch.cpp", harness_program(harness));
  command.push_back("batch.sv");
  command.push_back("batch.cpp");
  run_tool(command, "compiling circuits with Verilator",
           {.folder = folder_, .timeout_seconds = timeout_seconds_});
}

std::vector<CircuitRun> VerilatedCircuits::run(const std::vector<CircuitInputs>& inputs,
                                               std::uint64_t stall_seed) {
  ensure(inputs.size() == circuits_.size(), "one set of samples per circuit");
  std::string bytes;
  for (std::size_t c = 0; c < circuits_.size(); ++c) {
    const auto ports = axis_inputs(circuits_[c].pipeline);
    const std::int64_t samples = inputs[c].inputs.empty() ? 1 : inputs[c].inputs[0].shape()[0];
    append_integer(bytes, samples);
    for (std::size_t i = 0; i < ports.size(); ++i)
      for (std::int64_t s = 0; s < samples; ++s)
        append_beats(bytes, ports[i], inputs[c].inputs[i], s);
  }
  write_file_atomic(folder_ / "input.bin", bytes);
  run_tool({(folder_ / "build/simulation").string(), "input.bin", "output.bin",
            std::to_string(stall_seed)},
           "simulating circuits", {.folder = folder_, .timeout_seconds = timeout_seconds_});
  Reader reader(read_file(folder_ / "output.bin"));
  std::vector<CircuitRun> runs;
  for (std::size_t c = 0; c < circuits_.size(); ++c) {
    const std::int64_t samples = inputs[c].inputs.empty() ? 1 : inputs[c].inputs[0].shape()[0];
    CircuitRun run;
    run.first_input = reader.integer();
    for (std::int64_t s = 0; s < samples; ++s) run.frame_ends.push_back(reader.integer());
    const auto ports = axis_outputs(circuits_[c].pipeline);
    for (std::size_t o = 0; o < ports.size(); ++o) {
      Shape shape = inputs[c].outputs[o];
      shape.insert(shape.begin(), samples);
      Tensor tensor(ports[o].format, shape);
      for (std::int64_t s = 0; s < samples; ++s)
        read_beats(reader.take(ports[o].beats * ports[o].bytes()), ports[o], tensor, s);
      run.outputs.push_back(std::move(tensor));
    }
    runs.push_back(std::move(run));
  }
  return runs;
}

}  // namespace tandem
