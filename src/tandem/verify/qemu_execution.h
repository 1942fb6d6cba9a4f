#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tandem/base/file.h"
#include "tandem/plan/plan.h"
#include "tandem/verify/c_program.h"
#include "tandem/verify/execution.h"
#include "tandem/verify/firmware.h"
#include "tandem/verify/linker_map.h"

namespace tandem {

struct QemuOptions {
  std::string core = "cortex-m4";
  std::string optimisation = "-O2";
  bool trace = false;
  int counted_runs = 1;  // of each sample, for the instruction count; 0: none
  double timeout_seconds = 600;
};

// A firmware that was built in a folder, which must stay.
struct QemuProgram {
  std::string folder;
  QemuMachine machine;
  QemuOptions options;
  std::size_t networks = 0;
  std::vector<MapSection> sections;  // of the linker's map
};

// Compiles and links networks with the compiler of the core's machine. Throws Error when they do
// not fit it.
QemuProgram build_qemu_program(const std::vector<CNetwork>& networks, const std::string& folder,
                               const QemuOptions& options = {});

struct QemuRun {
  std::string output;  // what the harness wrote
  // By network, where runs were counted: instructions executed in one run, and the most bytes of
  // stack that one took.
  std::vector<double> instructions, stack_bytes;
};

// Runs it in the machine's emulator; one instruction takes one nanosecond of virtual time, which a
// timer of the machine counts (see firmware.h). `input` as in CProgram.
QemuRun run_qemu_program(const QemuProgram& program, const std::string& input);

// The emitted C on an emulated core of the device. measured(): "instructions_per_run",
// "stack_bytes" (of the deepest run), and the sizes from the linker's map: "weights_bytes",
// "tables_bytes", "arena_bytes", "code_bytes", "library_bytes", "io_bytes", and "state_bytes" of a
// network with states.
class QemuExecution final : public Execution {
 public:
  QemuExecution(const Module& module, const ExecutionOptions& options);
  QemuExecution(const Module& module, Plan plan, const ExecutionOptions& options);
  std::string name() const override { return "qemu"; }
  std::map<ValueId, Tensor> trace(std::span<const Tensor> inputs) override;
  const Plan& plan() const { return plan_; }

 protected:
  void build() override;
  Samples compute(std::span<const Tensor> inputs) override;

 private:
  QemuProgram program(const std::string& folder, bool trace) const;

  Module module_;
  ExecutionOptions options_;
  Plan plan_;
  std::string core_;
  std::optional<TemporaryFolder> temporary_;
  std::string folder_;
  std::optional<QemuProgram> program_;
};

}  // namespace tandem
