#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/device/device.h"
#include "tandem/graph/module.h"
#include "tandem/plan/plan.h"

namespace tandem {

// Inputs or outputs of many runs of a lowered module: one tensor for each input (output) of its
// function "main", of shape [samples, <the declared shape with batch 1>]. Where a module has
// states, the samples are consecutive calls of one stream, which starts at the initial states.
using Samples = std::vector<Tensor>;

// One way to run a lowered module whose symbols are bound (specialize it to batch 1 first).
// All of them must agree in every bit.
//
// To add one: derive a class in verify/<name>_execution.{h,cpp}, and add one line to
// make_execution() and execution_names() in execution.cpp.
class Execution {
 public:
  virtual ~Execution() = default;

  virtual std::string name() const = 0;  // "reference", "cpu", "c", "qemu", "circuit"

  // Runs every sample and returns the outputs; each call is a stream of its own. Builds what it
  // needs on the first call and keeps it. Throws Error when a tool fails, crashes or runs out of
  // time.
  Samples run(std::span<const Tensor> inputs);

  // The values of "main" that this execution can show while it runs the last sample, each of the
  // value's own shape; none where it cannot look inside. The other samples only lead to its states
  // (samples_until() in samples.h). Used to name the first layer that differs, so it may be slow
  // and built on demand.
  virtual std::map<ValueId, Tensor> trace(std::span<const Tensor> inputs);

  // What was measured during the last run(), by name with its unit: always "seconds" (of running,
  // not of building), and what the executions list.
  const std::map<std::string, double>& measured() const { return measured_; }

 protected:
  // The two halves of run(): build() is called once, before the first compute().
  virtual void build() {}
  virtual Samples compute(std::span<const Tensor> inputs) = 0;

  std::map<std::string, double> measured_;

 private:
  bool built_ = false;
};

// How executions are built.
struct ExecutionOptions {
  // The device that plans are made for; empty: the default of the kind that the execution needs.
  std::string device;
  // The plan to run; absent: the one that the planner makes for the device.
  std::optional<Plan> plan;
  // Where sources and programs are built and stay; empty: a temporary folder.
  std::string folder;
  double timeout_seconds = 600;  // for each tool that is started
  bool sanitize = false;         // host C: under the undefined-behaviour and address sanitizers
  std::uint64_t stall_seed = 0;  // circuit: random stalls of input and output when not 0
};

// "reference", "cpu", "c", "qemu", "circuit". Throws Error naming the nearest execution, or all
// nodes that the execution's target cannot take.
std::unique_ptr<Execution> make_execution(std::string_view name, const Module& module,
                                          const ExecutionOptions& options = {});
std::vector<std::string> execution_names();

// The number of samples; throws Error when inputs do not fit the module's declared ones.
std::int64_t check_samples(const Module& module, std::span<const Tensor> inputs);

}  // namespace tandem
