#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "tandem/graph/module.h"
#include "tandem/plan/mcu_groups.h"
#include "tandem/plan/plan.h"

namespace tandem {

// Patch-based execution (Lin et al., "MCUNetV2: memory-efficient patch-based inference", 2021).
// Values [1, rows, ...] are cut along their second axis: a patch is a band of full rows of what a
// stage of groups computes, and the stage runs for one patch before it runs for the next. Of the
// values between its groups only the rows that the patch needs exist. Rows that two patches need
// are computed twice, or kept from one to the next: less computation for more memory (Alwani et
// al., "Fused-layer CNN accelerators", 2016; on microcontrollers Zheng et al., "StreamNet", 2023).

struct Rows {
  std::int64_t begin = 0, end = 0;
  std::int64_t count() const { return end - begin; }
  friend bool operator==(const Rows&, const Rows&) = default;
};

// Groups that are run patch after patch, and the rows of a patch; 0: no patches.
struct PatchStage {
  std::size_t first = 0, last = 0;  // groups of McuGroups, both inclusive
  std::int64_t rows = 0;            // of the result of `last`; the last patch may have fewer
  bool keeps_rows = false;  // that the next patch needs too, instead of computing them twice
};

// Rows of values, by base, in one patch.
struct PatchRows {
  std::map<ValueId, Rows> read;      // of what others compute
  std::map<ValueId, Rows> held;      // of what the stage computes: those that exist
  std::map<ValueId, Rows> computed;  // of these, what the patch computes: all, or the last ones

  // What is held and an earlier patch has computed.
  Rows kept(ValueId value) const;
};

// Whether the groups from `first` to `last` can be a stage: each computes rows from rows
// (convolution, pooling, element by element) and touches no state, and nobody else needs what they
// compute but for the result of `last`, which has several rows.
bool is_stage(const Module& module, const Graph& graph, const McuGroups& groups, std::size_t first,
              std::size_t last);

// Whether a group of a stage reads a value that the stage does not compute.
bool reads_from_outside(const Module& module, const Graph& graph, const McuGroups& groups,
                        const PatchStage& stage, std::size_t group);

// The rows of a computed value that a group reads for some rows of its result.
Rows rows_read(const Module& module, const Graph& graph, const McuGroups& groups, std::size_t group,
               ValueId base, Rows result);

// The rows of each patch of a stage, in order.
std::vector<PatchRows> patch_rows(const Module& module, const Graph& graph, const McuGroups& groups,
                                  const PatchStage& stage);

// The graph with the types and pads with which a group computes only these rows of its result, from
// the rows that rows_read() says. Nodes and values keep their numbers.
Graph patch_graph(const Module& module, const Graph& graph, const McuGroups& groups,
                  const std::vector<NodeId>& nodes, Rows result);

// Bytes of one row of each value, by base, that a stage computes or reads.
std::map<ValueId, std::int64_t> row_bytes(const Module& module, const Graph& graph,
                                          const McuGroups& groups, const PatchStage& stage);

// The rows that a step computes where it runs for a patch.
std::optional<Rows> rows_of(const Step& step);

// In how many patches a plan runs its stage; 1 where it has none.
std::int64_t patch_count(const Plan& plan);

}  // namespace tandem
