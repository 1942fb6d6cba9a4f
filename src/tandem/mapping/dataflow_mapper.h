#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tandem/cost/dataflow_simulation.h"
#include "tandem/cost/estimate.h"
#include "tandem/device/device.h"
#include "tandem/graph/module.h"
#include "tandem/mapping/folding_costs.h"
#include "tandem/plan/plan.h"

namespace tandem {

// One plan of a network on a device of kind "dataflow_fpga".
struct MappedDataflow {
  Plan plan;
  Estimate estimate;
  std::int64_t wanted_interval = 0;  // cycles per inference that the foldings were chosen for
  bool fits = false;                 // within the usable share of every resource
};

struct DataflowMapOptions {
  // Work of sizing FIFOs and stores for each plan (see BufferOptions::work).
  std::int64_t buffer_work = 200'000'000;
  // Plans are made for intervals from the slowest useful one down, each this much shorter.
  double step = 2;
  std::size_t most = 12;  // intervals
  // Networks so many times larger than the device are not planned: narrower codes do not make a
  // network that is larger still fit.
  double most_devices = 8;
};

// Chooses foldings: for every node the one of least cost whose unit needs at most the wanted cycles
// per inference (the fastest where none does). Resources are weighed by how scarce they are on the
// device. Rates are balanced as by Umuroglu et al., "FINN: a framework for fast, scalable binarized
// neural network inference", FPGA 2017, section 4.3. One mapper serves many networks: it remembers
// the costs of nodes, and gives a pipeline the buffers of an earlier one of the same streams and
// stores where it keeps its interval with them. So a plan depends on what was mapped before, but
// the same network gets the same plan again.
class DataflowMapper {
 public:
  // The device must outlive the mapper.
  explicit DataflowMapper(const Device& device, const DataflowMapOptions& options = {});

  // Wanted intervals worth planning for, falling: from the slowest node's with one operation at a
  // time to the fastest that the nodes' foldings allow. Throws Error listing every node that cannot
  // be run.
  std::vector<std::int64_t> intervals(const Module& module);

  // The foldings for one interval, and ports that keep up with it.
  DataflowChoices foldings(const Module& module, std::int64_t interval, bool dsp = true);

  // The plan with them; products in DSP blocks only where `dsp` allows it and they pay.
  MappedDataflow map(const Module& module, std::int64_t interval, bool dsp = true);

  // Plans from the smallest and slowest to the fastest one that fits (or the smallest alone, where
  // none fits), each faster than the one before.
  std::vector<MappedDataflow> candidates(const Module& module);

 private:
  const std::vector<IsolatedNode>& isolated(const Module& module);
  // Sets the capacities of a pipeline and returns its cycles with them.
  SimulationResult set_buffers(Pipeline& pipeline, std::int64_t interval);

  const Device& device_;
  DataflowMapOptions options_;
  ResourcePrices prices_;
  FoldingCosts costs_;
  // The nodes of the network that was seen last, by its text.
  std::string network_;
  std::vector<IsolatedNode> nodes_;
  // Capacities of streams, then depths of stores.
  using Buffers = std::vector<std::int64_t>;
  struct Sized {
    Buffers buffers;
    SimulationResult cycles;
  };
  std::map<std::string, Sized> sized_;  // by interval and timing
  // Those that were found last, by interval and the streams and stores that there are.
  std::map<std::string, Buffers> similar_;
};

}  // namespace tandem
