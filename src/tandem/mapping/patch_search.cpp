#include "tandem/mapping/patch_search.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "tandem/base/error.h"

namespace tandem {
namespace {

std::int64_t bytes_of(const Graph& graph, ValueId value) {
  const TensorType& type = graph.values[value].type;
  return element_count(type.static_shape()) * storage_bytes(type.format.storage());
}

// What is known about the groups before patches are chosen.
class StageBounds {
 public:
  StageBounds(const Module& module, const Device& device, const McuGroups& groups,
              const std::vector<std::string>& forms, IoPlace io)
      : module_(module), graph_(module.main()), network_(groups), io_(io), costs_(device) {
    for (std::size_t i = 0; i < network_.groups.size(); ++i) {
      const LoopProgram program =
          build_kernel(module, graph_, network_.base_of, network_.groups[i], forms[i]);
      Group group;
      group.cycles = costs_.of(program).cycles;
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
    for (const ValueId output : graph_.outputs) dies_[network_.base_of[output]] = groups_.size();
    add_states();
  }

  PatchCandidate candidate(const PatchStage& stage) const {
    const std::vector<PatchRows> patches = patch_rows(module_, graph_, network_, stage);
    PatchCandidate result{stage};
    for (std::size_t i = stage.first; i <= stage.last; ++i)
      result.extra_cycles += extra_cycles(i, patches);
    for (std::size_t p = 0; p < patches.size(); ++p) {
      const InPatch in{&stage, &patches[p], p + 1 < patches.size() ? &patches[p + 1] : nullptr,
                       p == 0};
      for (std::size_t i = stage.first; i <= stage.last; ++i)
        result.inner = std::max(result.inner, bytes_in(i, in));
    }
    result.bytes = result.inner;
    for (std::size_t i = 0; i < groups_.size(); ++i)
      if (i < stage.first || stage.last < i) result.bytes = std::max(result.bytes, bytes_in(i, {}));
    return result;
  }

 private:
  struct Group {
    std::vector<ValueId> reads, writes;
    double cycles = 0;
  };

  // A stage, one of its patches, and the next one if there is one.
  struct InPatch {
    const PatchStage* stage = nullptr;
    const PatchRows *rows = nullptr, *next = nullptr;
    bool is_first = false;
  };
  // Bytes that are needed in a group; those that it reads last and those that it writes may be the
  // same ones.
  struct Needed {
    std::int64_t through = 0, read = 0, written = 0;
    std::int64_t bytes() const { return through + std::max(read, written); }
  };

  // New values may lie where the old ones are.
  void add_states() {
    for (const StateUpdate& update : graph_.updates) born_.erase(network_.base_of[update.value]);
    for (ValueId value = 0; value < graph_.values.size(); ++value)
      if (graph_.values[value].state != kNone && network_.base_of[value] == value)
        state_bytes_ += bytes_of(graph_, value);
  }

  double extra_cycles(std::size_t group, const std::vector<PatchRows>& patches) const {
    const ValueId value = groups_[group].writes.front();
    double computed = 0, copies = 0;
    for (const PatchRows& patch : patches) {
      if (const auto rows = patch.computed.find(value); rows != patch.computed.end())
        computed += static_cast<double>(rows->second.count());
      if (const std::int64_t kept = patch.kept(value).count(); kept > 0)
        copies += 2 * cycles_of_copy(kept * row_bytes(value));
    }
    const auto height = static_cast<double>(shape_of(graph_, value)[1]);
    return groups_[group].cycles * (computed / height - 1) + copies;
  }

  double cycles_of_copy(std::int64_t bytes) const {
    LoopProgram program;
    for (const auto& [name, role] :
         {std::pair{"x", ArrayRole::kInput}, {"y", ArrayRole::kOutput}}) {
      Array array;
      array.name = name;
      array.role = role;
      array.storage = Storage::kI8;
      array.size = bytes;
      program.arrays.push_back(std::move(array));
    }
    program.body.push_back(
        copy_statement("y", constant_expr(0), "x", constant_expr(0), Storage::kI8, bytes));
    return costs_.of(program).cycles;
  }

  std::int64_t row_bytes(ValueId value) const {
    return bytes_of(graph_, value) / shape_of(graph_, value)[1];
  }

  bool with_caller(ValueId value) const {
    const auto is_in = [&](const std::vector<ValueId>& ends) {
      return std::ranges::any_of(ends, [&](ValueId end) { return network_.base_of[end] == value; });
    };
    return io_ == IoPlace::kCaller && (is_in(graph_.inputs) || is_in(graph_.outputs));
  }

  // States, what lives through group `at`, and the larger of what it reads last and what it writes.
  // In a stage its input lies under its result, and of other values the rows of the patch exist.
  std::int64_t bytes_in(std::size_t at, const InPatch& in) const {
    const PatchStage* stage = in.stage;
    Needed own{.through = state_bytes_}, ends;
    for (const auto& [value, born] : born_) {
      const auto found = dies_.find(value);
      const std::size_t dies = found == dies_.end() ? born : found->second;
      const bool is_given = std::ranges::count(graph_.inputs, value) > 0;
      if (with_caller(value)) {
        own.through += bytes_of(graph_, value);
      } else if (stage == nullptr) {
        if (at < born || dies < at) continue;
        const bool starts = born == at && !is_given;
        (starts ? own.written : dies == at ? own.read : own.through) += bytes_of(graph_, value);
      } else if (stage->first <= born && born < stage->last && !is_given) {
        add_rows(value, {born, dies}, at, in, own);
      } else if (value == groups_[stage->last].writes.front()) {
        if (!in.is_first || at == stage->last) ends.written += bytes_of(graph_, value);
      } else if (born <= stage->last && stage->first <= dies) {
        (dies <= stage->last ? ends.read : own.through) += bytes_of(graph_, value);
      }
    }
    return own.bytes() + ends.bytes();
  }

  // The rows of a value within a stage: held from the group that computes it to the last one that
  // reads it, and before and behind these kept. Copies are held on both sides of them.
  void add_rows(ValueId value, std::pair<std::size_t, std::size_t> lives, std::size_t at,
                const InPatch& in, Needed& needed) const {
    const auto& [born, dies] = lives;
    const auto held = in.rows->held.find(value);
    if (held == in.rows->held.end()) return;
    const std::int64_t restored = in.rows->kept(value).count();
    const std::int64_t kept =
        in.next == nullptr ? 0 : std::max<std::int64_t>(in.next->kept(value).count(), 0);
    if (at < born)
      needed.through += restored * row_bytes(value);
    else if (dies < at)
      needed.through += kept * row_bytes(value);
    else
      (born == at && restored == 0 ? needed.written
       : dies == at && kept == 0   ? needed.read
                                   : needed.through) += held->second.count() * row_bytes(value);
  }

  const Module& module_;
  const Graph& graph_;
  const McuGroups& network_;
  IoPlace io_;
  McuCosts costs_;
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

// Those that no other one betters. Of equal peaks the one with less in its own steps, where scratch
// comes on top, is lower. What is hardly lower is left out.
std::vector<PatchCandidate> pareto_front(std::vector<PatchCandidate> found) {
  constexpr double kLower = 0.99, kInnerLower = 0.9;
  const auto bytes = [](const PatchCandidate& candidate) {
    return std::pair(candidate.bytes, candidate.inner);
  };
  const auto is_below = [](std::int64_t a, std::int64_t b, double share) {
    return static_cast<double>(a) < share * static_cast<double>(b);
  };
  std::ranges::stable_sort(found, [&](const PatchCandidate& a, const PatchCandidate& b) {
    return a.extra_cycles != b.extra_cycles ? a.extra_cycles < b.extra_cycles : bytes(a) < bytes(b);
  });
  std::vector<PatchCandidate> front;
  for (const PatchCandidate& candidate : found)
    if (front.empty() || is_below(candidate.bytes, front.back().bytes, kLower) ||
        (candidate.bytes <= front.back().bytes &&
         is_below(candidate.inner, front.back().inner, kInnerLower)))
      front.push_back(candidate);
  return front;
}

}  // namespace

std::vector<PatchCandidate> patch_candidates(const Module& module, const Device& device,
                                             const McuGroups& groups,
                                             const std::vector<std::string>& forms, IoPlace io,
                                             std::optional<std::int64_t> patches) {
  const Graph& graph = module.main();
  const StageBounds bounds(module, device, groups, forms, io);
  std::vector<PatchCandidate> found;
  for (std::size_t first = 0; first < groups.groups.size(); ++first) {
    for (std::size_t last = first; last < groups.groups.size(); ++last) {
      if (!is_stage(module, graph, groups, first, last)) continue;
      const Node& end = graph.nodes[groups.groups[last].back()];
      for (const std::int64_t rows : rows_to_try(shape_of(graph, end.outputs[0])[1], patches))
        for (const bool keeps : {false, true})
          found.push_back(bounds.candidate({first, last, rows, keeps}));
    }
  }
  return pareto_front(std::move(found));
}

}  // namespace tandem
