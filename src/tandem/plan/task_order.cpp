#include "tandem/plan/task_order.h"

#include <algorithm>
#include <map>

#include "tandem/base/error.h"

namespace tandem {
namespace {

using Set = std::vector<bool>;  // of tasks that are done

class OrderSearch {
 public:
  OrderSearch(const std::vector<OrderedTask>& tasks, const std::vector<OrderedValue>& values)
      : tasks_(tasks), values_(values), writer_(values.size(), kNobody), readers_(values.size()) {
    for (std::size_t t = 0; t < tasks.size(); ++t) {
      for (const std::size_t value : tasks[t].writes) writer_[value] = t;
      for (const std::size_t value : tasks[t].reads) readers_[value].push_back(t);
    }
  }

  // The order in which the tasks are listed.
  TaskOrder given() const {
    TaskOrder order;
    Set done(tasks_.size(), false);
    std::int64_t alone = 0;  // what some task needs in any order
    for (std::size_t t = 0; t < tasks_.size(); ++t) {
      ensure(is_ready(done, t), "a task is listed before what it reads is written");
      order.tasks.push_back(t);
      order.bytes = std::max(order.bytes, needed(done, t));
      done[t] = true;
      alone = std::max(alone, needed_alone(t));
    }
    order.proven = order.bytes == alone;
    return order;
  }

  // An order that needs less than the given one; that one where none is found.
  TaskOrder better_than(TaskOrder given, std::size_t most_sets) const {
    bool all = true;
    std::vector<std::vector<State>> levels{{State{Set(tasks_.size(), false), 0, 0, 0}}};
    while (levels.size() <= tasks_.size()) {
      std::vector<State> next = successors(levels.back(), given.bytes);
      if (next.empty()) {
        given.proven = all;
        return given;
      }
      if (next.size() > most_sets) {
        std::ranges::stable_sort(next, {}, &State::bytes);
        next.resize(most_sets);
        all = false;
      }
      levels.push_back(std::move(next));
    }
    TaskOrder better{{}, levels.back().front().bytes, all};
    for (std::size_t level = tasks_.size(), at = 0; level > 0; --level) {
      better.tasks.push_back(levels[level][at].task);
      at = levels[level][at].before;
    }
    std::ranges::reverse(better.tasks);
    return better;
  }

 private:
  static constexpr std::size_t kNobody = static_cast<std::size_t>(-1);

  struct State {
    Set done;
    std::int64_t bytes = 0;  // the most that a task on the best way here needs
    std::size_t task = 0;    // the last one of that way
    std::size_t before = 0;  // the state before it
  };

  // The sets of one more task that are reached with less than `limit` bytes.
  std::vector<State> successors(const std::vector<State>& states, std::int64_t limit) const {
    std::vector<State> next;
    std::map<Set, std::size_t> known;
    for (std::size_t i = 0; i < states.size(); ++i) {
      for (std::size_t t = 0; t < tasks_.size(); ++t) {
        if (!is_ready(states[i].done, t)) continue;
        State state{states[i].done, std::max(states[i].bytes, needed(states[i].done, t)), t, i};
        if (state.bytes >= limit) continue;
        state.done[t] = true;
        const auto [place, is_new] = known.try_emplace(state.done, next.size());
        if (is_new)
          next.push_back(std::move(state));
        else if (state.bytes < next[place->second].bytes)
          next[place->second] = std::move(state);
      }
    }
    return next;
  }

  bool is_ready(const Set& done, std::size_t task) const {
    if (done[task]) return false;
    const auto exists = [&](std::size_t value) {
      return values_[value].is_given || (writer_[value] != kNobody && done[writer_[value]]);
    };
    return std::ranges::all_of(tasks_[task].reads, exists) &&
           std::ranges::all_of(tasks_[task].after, [&](std::size_t other) { return done[other]; });
  }

  // Whether a value is needed once these tasks and `task` are done.
  bool lives_on(const Set& done, std::size_t task, std::size_t value) const {
    return values_[value].is_kept || std::ranges::any_of(readers_[value], [&](std::size_t reader) {
             return reader != task && !done[reader];
           });
  }

  // What a task needs if nothing else is there, and what it reads is read by no other.
  std::int64_t needed_alone(std::size_t task) const {
    Set others(tasks_.size(), true);
    others[task] = false;
    return needed(others, task, true);
  }

  // The bytes that a task needs after these: at step 1 of blocks that live from 0 to 2.
  std::int64_t needed(const Set& done, std::size_t task, bool alone = false) const {
    std::vector<LifetimeBlock> blocks;
    std::vector<std::size_t> block_of(values_.size(), kNobody);
    for (std::size_t v = 0; v < values_.size(); ++v) {
      const bool exists = values_[v].is_given || (writer_[v] != kNobody && done[writer_[v]]);
      const bool is_written = writer_[v] == task;
      const bool lasts = lives_on(done, task, v);
      const bool is_read = std::ranges::find(tasks_[task].reads, v) != tasks_[task].reads.end();
      if (!is_written && !(exists && (is_read || (lasts && !alone)))) continue;
      block_of[v] = blocks.size();
      blocks.push_back(
          {values_[v].bytes, 1, is_written ? std::size_t{1} : 0, lasts ? std::size_t{2} : 1});
    }
    for (const OrderedTakeover& takeover : tasks_[task].takeovers) {
      const std::size_t born = block_of[takeover.written], dying = block_of[takeover.read];
      if (blocks[dying].last_step == 1)
        blocks[born].takeovers.push_back({dying, takeover.distance});
    }
    return least_bytes(blocks, 1);
  }

  const std::vector<OrderedTask>& tasks_;
  const std::vector<OrderedValue>& values_;
  std::vector<std::size_t> writer_;                // by value
  std::vector<std::vector<std::size_t>> readers_;  // by value
};

}  // namespace

TaskOrder least_peak_order(const std::vector<OrderedTask>& tasks,
                           const std::vector<OrderedValue>& values, std::size_t most_sets) {
  const OrderSearch search(tasks, values);
  TaskOrder given = search.given();
  return given.proven ? given : search.better_than(std::move(given), most_sets);
}

}  // namespace tandem
