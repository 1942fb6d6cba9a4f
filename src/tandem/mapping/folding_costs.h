#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tandem/cost/dataflow_area.h"
#include "tandem/device/device.h"
#include "tandem/graph/module.h"
#include "tandem/plan/dataflow.h"

namespace tandem {

// One node of a network by itself: its computed operands are inputs.
struct IsolatedNode {
  NodeId id = kNone;  // in the network
  Module module;
  FoldingSpace space;
  std::size_t kind = 0;  // equal for nodes of equal text
};

// Cycles per inference and area of a node's unit in one folding, without the FIFOs that join it to
// its neighbours.
struct FoldingCost {
  std::int64_t cycles = 1;
  Area area;
};

// Weighs resources by how scarce they are on a device: its share of the device's flip-flops, block
// RAMs or DSP blocks costs as much as that share of its look-up tables (flip-flops a quarter of it:
// there are two beside each look-up table).
class ResourcePrices {
 public:
  explicit ResourcePrices(const Unit& unit);
  double of(const Area& area) const;  // in look-up tables

 private:
  double flip_flop_, block_ram_, dsp_;
};

// Finds such costs and remembers them, also from one network to the next: recoded variants of a
// network share most of their nodes.
class FoldingCosts {
 public:
  // The device must outlive the costs.
  explicit FoldingCosts(const Device& device) : device_(device) {}

  IsolatedNode isolate(const Module& network, NodeId id);

  // `lanes`: of the streams that feed the node, by input of the isolated module.
  const FoldingCost& of(const IsolatedNode& node, const Folding& folding,
                        const std::vector<std::int64_t>& lanes);

 private:
  FoldingCost find(const IsolatedNode& node, const Folding& folding,
                   const std::vector<std::int64_t>& lanes) const;

  const Device& device_;
  std::map<std::string, std::size_t> kinds_;  // by text
  std::map<std::string, FoldingCost> known_;
};

}  // namespace tandem
