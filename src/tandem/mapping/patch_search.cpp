#include "tandem/mapping/patch_search.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "tandem/base/error.h"

namespace tandem {
namespace {

struct Candidate {
  PatchStage stage;
  std::int64_t bytes = 0;   // of SRAM, at least, in any step
  std::int64_t inner = 0;   // in the steps of the stage
  double extra_cycles = 0;  // of rows that are computed twice
};

std::int64_t bytes_of(const Graph& graph, ValueId value) {
  const TensorType& type = graph.values[value].type;
  return element_count(type.static_shape()) * storage_bytes(type.format.storage());
}

// What is known about the groups before patches are chosen.
class StageBounds {
 public:
  explicit StageBounds(const PatchRequest& request)
      : graph_(request.module.main()), request_(request) {
    const McuCosts costs(request.device);
    for (std::size_t i = 0; i < request.groups.groups.size(); ++i) {
      const LoopProgram program = build_kernel(request.module, graph_, request.groups.base_of,
                                               request.groups.groups[i], request.forms[i]);
      Group group;
      group.cycles = costs.of(program).cycles;
      for (const Array& array : program.arrays) {
        if (array.role == ArrayRole::kInput) group.reads.push_back(array.value);
        if (array.role == ArrayRole::kOutput) group.writes.push_back(array.value);
      }
      groups_.push_back(std::move(group));
    }
    for (std::size_t i = 0; i < groups_.size(); ++i) {
      for (const ValueId value : groups_[i].writes) born_.insert({value, i});
      for (const ValueId value : groups_[i].reads) dies_[value] = i;
    }
    for (const ValueId input : graph_.inputs) born_[input] = 0;
    for (const ValueId output : graph_.outputs)
      dies_[request.groups.base_of[output]] = groups_.size();
    add_states();
  }

  Candidate candidate(const PatchStage& stage) const {
    const auto patches = patch_rows(request_.module, graph_, request_.groups, stage);
    Candidate result{stage};
    for (std::size_t i = stage.first; i <= stage.last; ++i) {
      const ValueId value = groups_[i].writes.front();
      const auto height = static_cast<double>(shape_of(graph_, value)[1]);
      double rows = 0;
      for (const auto& patch : patches)
        if (const auto found = patch.find(value); found != patch.end())
          rows += static_cast<double>(found->second.count());
      result.extra_cycles += groups_[i].cycles * (rows / height - 1);
    }
    for (const auto& patch : patches)
      for (std::size_t i = stage.first; i <= stage.last; ++i)
        result.inner = std::max(result.inner, bytes_in(i, patch, stage));
    result.bytes = result.inner;
    for (std::size_t i = 0; i < groups_.size(); ++i)
      if (i < stage.first || stage.last < i)
        result.bytes = std::max(result.bytes, bytes_in(i, {}, {}));
    return result;
  }

 private:
  struct Group {
    std::vector<ValueId> reads, writes;
    double cycles = 0;
  };

  // New values may lie where the old ones are.
  void add_states() {
    for (const StateUpdate& update : graph_.updates)
      born_.erase(request_.groups.base_of[update.value]);
    for (ValueId value = 0; value < graph_.values.size(); ++value)
      if (graph_.values[value].state != kNone && request_.groups.base_of[value] == value)
        state_bytes_ += bytes_of(graph_, value);
  }

  bool with_caller(ValueId value) const {
    const auto is_in = [&](const std::vector<ValueId>& ends) {
      return std::ranges::any_of(
          ends, [&](ValueId end) { return request_.groups.base_of[end] == value; });
    };
    return request_.io == IoPlace::kCaller && (is_in(graph_.inputs) || is_in(graph_.outputs));
  }

  // States, what lives through group `at`, and the larger of what it reads last and what it writes.
  // In a stage its input lies under its result, and of other values the rows of the patch exist.
  std::int64_t bytes_in(std::size_t at, const std::map<ValueId, Rows>& patch,
                        const PatchStage& stage) const {
    const bool in_stage = stage.rows > 0;
    const std::size_t first = in_stage ? stage.first : at;
    std::int64_t through = state_bytes_, read = 0, written = 0, over_input = 0, over_result = 0;
    for (const auto& [value, born] : born_) {
      const auto found = dies_.find(value);
      const std::size_t dies = found == dies_.end() ? born : found->second;
      if (with_caller(value)) {
        through += bytes_of(graph_, value);
        continue;
      }
      const bool is_inner = in_stage && stage.first <= born && born < stage.last &&
                            !std::ranges::count(graph_.inputs, value);
      if (is_inner) {
        const auto rows = patch.find(value);
        if (rows == patch.end() || born > at || dies < at) continue;
        const std::int64_t bytes =
            rows->second.count() * bytes_of(graph_, value) / shape_of(graph_, value)[1];
        (born == at ? written : dies == at ? read : through) += bytes;
      } else if (in_stage && value == groups_[stage.last].writes.front()) {
        over_result += bytes_of(graph_, value);
      } else if (in_stage && born <= stage.last && dies >= first && dies <= stage.last) {
        over_input += bytes_of(graph_, value);
      } else if (born <= at && dies >= first) {
        const bool starts = !in_stage && born == at && !std::ranges::count(graph_.inputs, value);
        (starts ? written : !in_stage && dies == at ? read : through) += bytes_of(graph_, value);
      }
    }
    return through + std::max(read, written) + std::max(over_input, over_result);
  }

  const Graph& graph_;
  const PatchRequest& request_;
  std::vector<Group> groups_;
  std::map<ValueId, std::size_t> born_, dies_;  // groups
  std::int64_t state_bytes_ = 0;
};

std::vector<std::int64_t> rows_to_try(std::int64_t height, std::optional<std::int64_t> patches) {
  std::set<std::int64_t> rows;
  for (std::int64_t count = 2; count <= height; ++count) {
    const std::int64_t each = (height + count - 1) / count;
    if (!patches || (height + each - 1) / each == *patches) rows.insert(each);
  }
  return {rows.begin(), rows.end()};
}

std::vector<Candidate> candidates(const PatchRequest& request,
                                  std::optional<std::int64_t> patches) {
  const Graph& graph = request.module.main();
  const StageBounds bounds(request);
  std::vector<Candidate> found;
  for (std::size_t first = 0; first < request.groups.groups.size(); ++first) {
    for (std::size_t last = first; last < request.groups.groups.size(); ++last) {
      if (!is_stage(request.module, graph, request.groups, first, last)) continue;
      const Node& end = graph.nodes[request.groups.groups[last].back()];
      for (const std::int64_t rows : rows_to_try(shape_of(graph, end.outputs[0])[1], patches))
        found.push_back(bounds.candidate({first, last, rows}));
    }
  }
  return found;
}

// The candidates that no other one betters in both bytes and cycles, by rising cycles and falling
// bytes; of equal peaks the one with less in its own steps, where scratch comes on top, is lower.
std::vector<Candidate> pareto_front(std::vector<Candidate> found) {
  const auto bytes = [](const Candidate& candidate) {
    return std::pair(candidate.bytes, candidate.inner);
  };
  std::ranges::stable_sort(found, [&](const Candidate& a, const Candidate& b) {
    return a.extra_cycles != b.extra_cycles ? a.extra_cycles < b.extra_cycles : bytes(a) < bytes(b);
  });
  std::vector<Candidate> front;
  for (const Candidate& candidate : found)
    if (front.empty() || bytes(candidate) < bytes(front.back())) front.push_back(candidate);
  return front;
}

}  // namespace

std::vector<std::string> forms_with(const PatchRequest& request, const PatchStage& stage) {
  std::vector<std::string> forms = request.forms;
  if (stage.rows == 0) return forms;
  for (std::size_t group = stage.first; group <= stage.last; ++group)
    if (reads_from_outside(request.module, request.module.main(), request.groups, stage, group))
      forms[group] = request.reading_forms[group];
  return forms;
}

PatchStage best_stage(const PatchRequest& request, std::int64_t most_bytes,
                      std::optional<std::int64_t> patches) {
  const auto bytes_of_plan = [&](const PatchStage& stage) {
    return sram_bytes(assemble_mcu_plan(request.module, request.device.name,
                                        request.device.unit().name, request.groups,
                                        forms_with(request, stage), request.io, stage));
  };
  const std::vector<Candidate> front = pareto_front(candidates(request, patches));
  if (front.empty() && patches)
    throw Error("no layers can be run in ", *patches,
                " patches; patches need convolutions, poolings or element-wise layers one after "
                "the other, the last one of at least so many rows");
  const auto fits = [&](std::size_t i) { return bytes_of_plan(front[i].stage) <= most_bytes; };
  std::size_t low = 0, high = front.size();
  while (low < high && front[low].bytes > most_bytes) ++low;
  if (low < high && fits(high - 1)) {
    --high;
    while (low < high) {
      const std::size_t middle = (low + high) / 2;
      if (fits(middle))
        high = middle;
      else
        low = middle + 1;
    }
    return front[high].stage;
  }
  // Plans miss their bounds by scratch and gaps, which differ: look at others too, whatever the
  // limit, so that what is nearest to one limit is found again under a looser one.
  PatchStage nearest;
  std::int64_t least =
      patches ? std::numeric_limits<std::int64_t>::max() : bytes_of_plan(PatchStage{});
  for (std::size_t back = 1; back <= front.size(); back += (back + 1) / 2) {
    const PatchStage& stage = front[front.size() - back].stage;
    const std::int64_t bytes = bytes_of_plan(stage);
    // All that follow take fewer cycles.
    if (bytes > least && bytes > most_bytes) continue;
    least = bytes;
    nearest = stage;
  }
  return nearest;
}

}  // namespace tandem
