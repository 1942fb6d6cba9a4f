#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tandem/plan/pipeline.h"

namespace tandem {

// Cycle-by-cycle simulation of a pipeline's control: which stage takes and gives a beat in which
// cycle, without any data. The emitted circuit follows the same rules, so the cycles are exact.
//
// Cycle 0 is the first one after reset. Every input offers a beat in every cycle and every output
// takes one in every cycle.
struct SimulationOptions {
  // Frames to run at most; fewer where the state of the pipeline repeats.
  std::int64_t frames = 64;
  std::int64_t cycles = std::int64_t{1} << 40;
};

struct SimulationResult {
  // The stages that wait for each other; empty where all frames came through.
  std::string deadlock;
  // Cycles from the one that takes the first input beat to the one that takes the last output beat
  // of the first frame, both counted.
  std::int64_t latency = 0;
  // Cycles per frame once the state repeats; of the last frames simulated where it did not.
  double interval = 0;
  bool periodic = false;
  std::vector<std::int64_t> frame_ends;  // the cycle that takes the last output beat, by frame
  std::vector<std::int64_t> most_held;   // beats, by stream
  // Cycles in which a stage took or gave nothing though frames were under way, by stage.
  std::vector<std::int64_t> active_cycles;
  std::int64_t cycles = 0;  // simulated
};

SimulationResult simulate(const Pipeline& pipeline, const SimulationOptions& options = {});

// Everything that the cycles of a pipeline depend on but the capacities of its streams and the
// depths of its stores: pipelines of equal text are simulated alike where these are equal. Without
// the `depths` of compute stages it tells whether two pipelines have the same streams and stores.
std::string timing_of(const Pipeline& pipeline, bool depths = true);

// A bound from below of the interval: the most cycles that one stage or stream needs per frame.
std::int64_t least_interval(const Pipeline& pipeline);
// Cycles that one stage needs per frame at least.
std::int64_t least_cycles(const Pipeline& pipeline, StageId stage);

}  // namespace tandem
