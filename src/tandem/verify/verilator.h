#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tandem/base/file.h"
#include "tandem/plan/pipeline.h"
#include "tandem/verify/execution.h"

namespace tandem {

// A circuit to simulate. Names must differ within a batch.
struct Circuit {
  std::string name;
  Pipeline pipeline;
};

// What one circuit did with its samples. Cycles count from the first one after reset.
struct CircuitRun {
  Samples outputs;                       // [samples, elements...] in the shape given to run()
  std::vector<std::int64_t> frame_ends;  // the cycle that took the last output beat, by sample
  std::int64_t first_input = 0;          // the cycle that took the first input beat

  std::int64_t latency() const { return frame_ends.front() - first_input + 1; }
};

struct CircuitInputs {
  Samples inputs;              // one tensor [samples, ...] per input
  std::vector<Shape> outputs;  // shape of one sample of every output
};

struct VerilatorOptions {
  std::string folder = {};  // where it is built and stays; empty: a temporary one
  double timeout_seconds = 600;
  // Compile in less time for a slower simulation: for many circuits with few samples.
  bool quick = false;
};

// Circuits compiled together into one program by Verilator, from the text that is also
// synthesised. Compilation takes seconds to a minute, a run little.
class VerilatedCircuits {
 public:
  // Throws Error when a tool fails.
  explicit VerilatedCircuits(std::vector<Circuit> circuits, const VerilatorOptions& options = {});

  // Runs all circuits side by side, each on its own samples. With a seed other than 0 inputs and
  // outputs stall at random. Throws Error where a circuit hangs, drops a beat that it offered, or
  // reports a frame of the wrong length.
  std::vector<CircuitRun> run(const std::vector<CircuitInputs>& inputs,
                              std::uint64_t stall_seed = 0);

 private:
  std::vector<Circuit> circuits_;
  std::unique_ptr<TemporaryFolder> temporary_;
  std::filesystem::path folder_;
  double timeout_seconds_;
};

// The elements of one sample from the bytes of its beats: the inverse of append_beats().
struct AxisPort;
void read_beats(const char* bytes, const AxisPort& port, Tensor& samples, std::int64_t sample);

}  // namespace tandem
