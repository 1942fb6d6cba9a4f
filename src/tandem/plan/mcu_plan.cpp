#include "tandem/plan/mcu_plan.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/graph/operator.h"
#include "tandem/ops/coded.h"
#include "tandem/plan/kept_states.h"
#include "tandem/plan/lifetime_planner.h"
#include "tandem/plan/overlap_distance.h"
#include "tandem/plan/task_order.h"

namespace tandem {
namespace {

std::int64_t round_up(std::int64_t value, std::int64_t to) { return (value + to - 1) / to * to; }

bool is_written(const Array& array) {
  return array.role == ArrayRole::kOutput || array.role == ArrayRole::kScratch;
}

// A program may turn out not to read an operand (a product with 0, a clamp to one number); groups
// that only fed such operands are left out.
GroupWork group_work(const Module& module, const McuGroups& groups,
                     const std::vector<std::string>& forms) {
  const Graph& graph = module.main();
  GroupWork work;
  std::vector<bool> wanted(graph.values.size(), false);
  for (const ValueId output : graph.outputs) wanted[groups.base_of[output]] = true;
  for (const StateUpdate& update : graph.updates) wanted[groups.base_of[update.value]] = true;
  const std::size_t count = groups.groups.size();
  work.programs.resize(count);
  work.overlaps.resize(count);
  for (std::size_t i = count; i-- > 0;) {
    LoopProgram& program = work.programs[i];
    program = build_kernel(module, graph, groups.base_of, groups.groups[i], forms[i]);
    if (std::ranges::none_of(program.arrays, [&](const Array& array) {
          return array.role == ArrayRole::kOutput && wanted[array.value];
        }))
      continue;
    work.needed.insert(work.needed.begin(), i);
    work.overlaps[i] = overlap_distances(program);
    for (const Array& array : program.arrays)
      if (array.role == ArrayRole::kInput) wanted[array.value] = true;
  }
  return work;
}

// The order of the needed groups that takes the smallest arena, as positions among them.
TaskOrder smallest_order(const Graph& graph, const McuGroups& groups, const GroupWork& work,
                         const std::vector<KeptState>& states, IoPlace io) {
  std::vector<OrderedValue> values;
  std::vector<std::size_t> value_of(graph.values.size(), kNone);
  const auto is_one_of = [&](const std::vector<ValueId>& ends, ValueId base) {
    return std::ranges::any_of(ends, [&](ValueId end) { return groups.base_of[end] == base; });
  };
  const auto value = [&](const Array& array) {
    if (array.role == ArrayRole::kScratch) {
      values.push_back({array.bytes(), false, false});
      return values.size() - 1;
    }
    if (value_of[array.value] != kNone) return value_of[array.value];
    const bool is_input = is_one_of(graph.inputs, array.value);
    const bool is_output = is_one_of(graph.outputs, array.value);
    const bool is_state = std::ranges::any_of(states, [&](const KeptState& kept) {
      return array.value == kept.read ||
             (kept.writer != kNone && is_one_of({kept.update}, array.value));
    });
    const bool is_copied = std::ranges::any_of(states, [&](const KeptState& kept) {
      return kept.update != kNone && kept.writer == kNone && is_one_of({kept.update}, array.value);
    });
    const bool with_caller = io == IoPlace::kCaller && (is_input || is_output);
    OrderedValue added;
    added.is_given = is_input || graph.values[array.value].state != kNone;
    added.is_kept = is_output || is_copied;
    added.bytes = with_caller || is_state ? 0 : array.bytes();
    values.push_back(added);
    return value_of[array.value] = values.size() - 1;
  };
  std::vector<OrderedTask> tasks;
  for (const std::size_t group : work.needed) {
    const std::vector<Array>& arrays = work.programs[group].arrays;
    OrderedTask task;
    std::vector<std::size_t> array_values;
    for (const Array& array : arrays) {
      array_values.push_back(array.is_constant() ? kNone : value(array));
      if (array.role == ArrayRole::kInput) task.reads.push_back(array_values.back());
      if (is_written(array)) task.writes.push_back(array_values.back());
    }
    for (const OverlapDistance& overlap : work.overlaps[group])
      task.takeovers.push_back(
          {array_values[overlap.written], array_values[overlap.read], overlap.bytes});
    for (const KeptState& kept : states)
      if (kept.writer == group)
        for (const std::size_t reader : kept.readers)
          task.after.push_back(static_cast<std::size_t>(std::ranges::find(work.needed, reader) -
                                                        work.needed.begin()));
    tasks.push_back(std::move(task));
  }
  return least_peak_order(tasks, values);
}

// Makes the plan that runs groups in one order.
class Assembler {
 public:
  Assembler(const Module& module, const McuGroups& groups, const std::vector<std::string>& forms,
            const GroupWork& work, const std::vector<KeptState>& states, const std::string& device,
            const std::string& unit, IoPlace io)
      : module_(module),
        graph_(module.main()),
        groups_(groups),
        forms_(forms),
        work_(work),
        states_(states),
        unit_(unit) {
    plan_.device = device;
    plan_.io = io;
    buffer_of_.assign(graph_.values.size(), kNone);
  }

  Plan run(const std::vector<std::size_t>& order) {
    add_ends();
    for (const std::size_t group : order) add_step(group);
    for (std::size_t i = 0; i < graph_.outputs.size(); ++i) add_copied_output(i);
    add_copied_states();
    for (const Output& output : outputs_)
      plan_.buffers[output.buffer].last_step = plan_.steps.size() - 1;
    for (const std::vector<std::size_t>& buffers : state_buffers_)
      plan_.buffers[buffers.back()].last_step = plan_.steps.size() - 1;
    place_arena();
    place_states();
    place_constants();
    return std::move(plan_);
  }

 private:
  bool is_computed(ValueId base) const { return graph_.values[base].producer != kNone; }

  std::size_t add_buffer(const std::string& name, BufferRole role, ValueId value,
                         std::int64_t bytes, Storage storage) {
    Buffer buffer;
    buffer.name = unique_name(name);
    buffer.role = role;
    buffer.value = value;
    const bool constant = role == BufferRole::kWeights || role == BufferRole::kTable;
    buffer.memory = constant ? "flash" : "sram";
    buffer.bytes = bytes;
    buffer.element_bits = 8 * storage_bytes(storage);
    buffer.first_step = buffer.last_step = plan_.steps.size();
    plan_.buffers.push_back(std::move(buffer));
    return plan_.buffers.size() - 1;
  }

  std::string unique_name(const std::string& wanted) const {
    const auto taken = [&](const std::string& name) {
      return std::ranges::any_of(plan_.buffers, [&](const Buffer& b) { return b.name == name; });
    };
    std::string name = wanted;
    for (int i = 2; taken(name); ++i) name = concat(wanted, "_", i);
    return name;
  }

  std::size_t value_buffer(ValueId value, BufferRole role) {
    const TensorType& type = graph_.values[value].type;
    const Storage storage = type.format.storage();
    return add_buffer(identifier(graph_.values[value].name), role, value,
                      element_count(type.static_shape()) * storage_bytes(storage), storage);
  }

  // The buffers of inputs and outputs.
  void add_ends() {
    for (const ValueId input : graph_.inputs)
      buffer_of_[input] = value_buffer(input, BufferRole::kInput);
    for (const ValueId output : graph_.outputs) {
      const ValueId base = groups_.base_of[output];
      // What is computed once can be computed into one output; others are copied at the end.
      // Outputs live from the step that writes them to the end of the run.
      const bool direct = is_computed(base) && buffer_of_[base] == kNone;
      const std::size_t buffer = value_buffer(output, BufferRole::kOutput);
      if (direct) buffer_of_[base] = buffer;
      outputs_.push_back({buffer, direct});
    }
    for (const KeptState& kept : states_) add_state(kept);
  }

  void add_state(const KeptState& kept) {
    const std::size_t buffer = value_buffer(kept.read, BufferRole::kState);
    buffer_of_[kept.read] = buffer;
    state_buffers_.push_back({buffer});
    const Tensor& initial = module_.constants[module_.states[kept.state].initial].tensor;
    if (is_uniform(initial)) return;
    const std::string name = concat(plan_.buffers[buffer].name, "_initial");
    add_buffer(name, BufferRole::kTable, kept.read, plan_.buffers[buffer].bytes,
               initial.format().storage());
  }

  void write(Step& step, std::size_t buffer) {
    plan_.buffers[buffer].first_step = plan_.steps.size();
    use(buffer);
    step.writes.push_back(buffer);
  }

  void use(std::size_t buffer) {
    plan_.buffers[buffer].last_step = std::max(plan_.buffers[buffer].last_step, plan_.steps.size());
  }

  void add_step(std::size_t group) {
    const std::vector<NodeId>& nodes = groups_.groups[group];
    const LoopProgram& program = work_.programs[group];
    Step step;
    step.nodes = nodes;
    step.unit = unit_;
    step.form = forms_[group];
    const std::string name = identifier(graph_.nodes[nodes.front()].name);
    for (const Array& array : program.arrays) {
      if (array.role == ArrayRole::kInput) {
        ensure(buffer_of_[array.value] != kNone,
               concat("'", graph_.values[array.value].name, "' is read before it is computed"));
        use(buffer_of_[array.value]);
        step.reads.push_back(buffer_of_[array.value]);
      } else if (array.is_constant()) {
        const BufferRole role =
            array.role == ArrayRole::kWeights ? BufferRole::kWeights : BufferRole::kTable;
        step.reads.push_back(
            add_buffer(concat(name, "_", array.name), role, kNone, array.bytes(), array.storage));
      } else if (array.role == ArrayRole::kScratch) {
        step.writes.push_back(add_buffer(concat(name, "_", array.name), BufferRole::kScratch, kNone,
                                         array.bytes(), array.storage));
      } else {
        if (buffer_of_[array.value] == kNone) buffer_of_[array.value] = result_buffer(array.value);
        write(step, buffer_of_[array.value]);
      }
    }
    plan_.steps.push_back(std::move(step));
    group_of_step_.push_back(group);
  }

  // Where a step writes a value that is no output.
  std::size_t result_buffer(ValueId value) {
    for (std::size_t i = 0; i < states_.size(); ++i)
      if (states_[i].writer != kNone && groups_.base_of[states_[i].update] == value)
        return next_state_buffer(i, value);
    return value_buffer(value, BufferRole::kValue);
  }

  std::size_t next_state_buffer(std::size_t state, ValueId value) {
    state_buffers_[state].push_back(value_buffer(value, BufferRole::kState));
    return state_buffers_[state].back();
  }

  void add_copied_output(std::size_t index) {
    const auto [buffer, direct] = outputs_[index];
    if (!direct) add_copy(groups_.base_of[graph_.outputs[index]], buffer);
  }

  // Updates the states that no step wrote. A state waits until no other one needs its old value; of
  // states that wait for each other, an old value is set aside.
  void add_copied_states() {
    std::vector<std::size_t> waiting;
    for (std::size_t i = 0; i < states_.size(); ++i)
      if (states_[i].update != kNone && states_[i].writer == kNone) waiting.push_back(i);
    const auto source = [&](std::size_t i) { return groups_.base_of[states_[i].update]; };
    std::vector<ValueId> set_aside;
    const auto is_free = [&](std::size_t i) {
      return std::ranges::count(set_aside, states_[i].read) > 0 ||
             std::ranges::count(waiting, states_[i].read, source) == 0;
    };
    while (!waiting.empty()) {
      const auto free = std::ranges::find_if(waiting, is_free);
      if (free == waiting.end()) {
        set_aside.push_back(source(waiting.front()));
        const std::size_t buffer = value_buffer(set_aside.back(), BufferRole::kValue);
        add_copy(set_aside.back(), buffer);
        buffer_of_[set_aside.back()] = buffer;
        continue;
      }
      add_copy(source(*free), next_state_buffer(*free, states_[*free].update));
      waiting.erase(free);
    }
  }

  void add_copy(ValueId base, std::size_t buffer) {
    Step step;
    step.kind = StepKind::kMove;
    step.unit = unit_;
    step.form = "copy";
    const Tensor* constant = constant_of(module_, graph_, base);
    if (constant != nullptr) {
      const auto values = constant->to_integers();
      const auto [low, high] = std::ranges::minmax(values);
      const Storage storage = storage_for({low, high});
      step.reads = {add_buffer(concat(plan_.buffers[buffer].name, "_weights"), BufferRole::kWeights,
                               base, constant->size() * storage_bytes(storage), storage)};
    } else {
      use(buffer_of_[base]);
      step.reads = {buffer_of_[base]};
    }
    write(step, buffer);
    plan_.steps.push_back(std::move(step));
  }

  void place_arena() {
    std::vector<LifetimeBlock> blocks;
    std::vector<std::size_t> block_of(plan_.buffers.size(), kNone);
    std::int64_t alignment = 1;
    for (std::size_t i = 0; i < plan_.buffers.size(); ++i) {
      const Buffer& buffer = plan_.buffers[i];
      if (!in_arena(plan_, buffer)) continue;
      const std::int64_t element = buffer.element_bits / 8;
      alignment = std::max(alignment, element);
      block_of[i] = blocks.size();
      // The caller reads outputs when the last step has ended: none dies in it.
      const bool is_output = buffer.role == BufferRole::kOutput;
      blocks.push_back({buffer.bytes, element, buffer.first_step,
                        is_output ? plan_.steps.size() : buffer.last_step});
    }
    for (std::size_t step = 0; step < group_of_step_.size(); ++step)
      add_takeovers(step, block_of, blocks);
    const LifetimeLayout layout = plan_lifetimes(blocks);
    for (std::size_t i = 0; i < plan_.buffers.size(); ++i)
      if (block_of[i] != kNone) plan_.buffers[i].offset = layout.offsets[block_of[i]];
    plan_.peak_bytes["sram"] = round_up(layout.peak_bytes, alignment);
    plan_.bound_bytes["sram"] = layout.bound_bytes;
  }

  // Lets what a step writes share bytes with what it is the last to read.
  void add_takeovers(std::size_t index, const std::vector<std::size_t>& block_of,
                     std::vector<LifetimeBlock>& blocks) const {
    const std::size_t group = group_of_step_[index];
    const std::vector<std::size_t> buffers =
        array_buffers(plan_.steps[index], work_.programs[group]);
    for (const OverlapDistance& overlap : work_.overlaps[group]) {
      const std::size_t dying = block_of[buffers[overlap.read]],
                        born = block_of[buffers[overlap.written]];
      if (dying == kNone || born == kNone || blocks[dying].last_step != index ||
          blocks[born].first_step != index)
        continue;
      blocks[born].takeovers.push_back({dying, overlap.bytes});
      for (const std::size_t block : {dying, born})
        blocks[block].alignment = std::lcm(blocks[block].alignment, overlap.multiple);
    }
  }

  // Wide elements first, so that no gap is needed between states.
  void place_states() {
    std::vector<std::size_t> order(states_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto first = [&](std::size_t i) -> const Buffer& {
      return plan_.buffers[state_buffers_[i].front()];
    };
    std::ranges::stable_sort(order, std::ranges::greater(),
                             [&](std::size_t i) { return first(i).element_bits; });
    std::int64_t end = 0;
    for (const std::size_t i : order) {
      for (const std::size_t buffer : state_buffers_[i]) plan_.buffers[buffer].offset = end;
      end += first(i).bytes;
    }
  }

  void place_constants() {
    std::int64_t end = 0;
    for (Buffer& buffer : plan_.buffers) {
      if (buffer.memory != "flash") continue;
      end = round_up(end, buffer.element_bits / 8);
      buffer.offset = end;
      end += buffer.bytes;
      buffer.first_step = 0;
      buffer.last_step = plan_.steps.empty() ? 0 : plan_.steps.size() - 1;
    }
    plan_.peak_bytes["flash"] = plan_.bound_bytes["flash"] = end;
  }

  struct Output {
    std::size_t buffer;
    bool direct;
  };
  const Module& module_;
  const Graph& graph_;
  const McuGroups& groups_;
  const std::vector<std::string>& forms_;
  const GroupWork& work_;
  const std::vector<KeptState>& states_;
  const std::string& unit_;
  std::vector<std::size_t> group_of_step_;  // of steps that run nodes; they come first
  Plan plan_;
  std::vector<std::size_t> buffer_of_;  // by base value
  std::vector<Output> outputs_;
  std::vector<std::vector<std::size_t>> state_buffers_;  // of each state: its old and new value
};

}  // namespace

Plan assemble_mcu_plan(const Module& module, const std::string& device, const std::string& unit,
                       const McuGroups& groups, const std::vector<std::string>& forms, IoPlace io) {
  ensure(forms.size() == groups.groups.size(), "one form for each group");
  const GroupWork work = group_work(module, groups, forms);
  const std::vector<KeptState> states = kept_states(module, groups, work);
  const auto plan_in = [&](const std::vector<std::size_t>& order) {
    return Assembler(module, groups, forms, work, states, device, unit, io).run(order);
  };
  const TaskOrder best = smallest_order(module.main(), groups, work, states, io);
  Plan plan = plan_in(work.needed);
  plan.order = "as in the network";
  if (!std::ranges::is_sorted(best.tasks)) {
    std::vector<std::size_t> order;
    for (const std::size_t task : best.tasks) order.push_back(work.needed[task]);
    Plan reordered = plan_in(order);
    reordered.order = "for the least peak";
    if (reordered.peak_bytes["sram"] < plan.peak_bytes["sram"]) plan = std::move(reordered);
  }
  plan.order += best.proven ? concat("; in any order some step needs ", best.bytes, " bytes")
                            : std::string("; not all orders were compared");
  return plan;
}

LoopProgram copy_program(const Graph& graph, ValueId from, ValueId to,
                         const std::vector<std::int64_t>& constant) {
  LoopProgram program;
  if (!constant.empty()) {
    const auto [low, high] = std::ranges::minmax(constant);
    Array array;
    array.name = "weights";
    array.role = ArrayRole::kWeights;
    array.storage = storage_for({low, high});
    array.size = static_cast<std::int64_t>(constant.size());
    array.values = constant;
    program.arrays.push_back(std::move(array));
  } else {
    input_array(program, graph, from);
  }
  const Array source = program.arrays[0];
  Array array;
  array.name = "y";
  array.role = ArrayRole::kOutput;
  array.storage = graph.values[to].type.format.storage();
  array.size = source.size;
  array.value = to;
  program.arrays.push_back(array);
  if (source.storage == array.storage) {
    program.body.push_back(copy_statement("y", constant_expr(0), source.name, constant_expr(0),
                                          array.storage, array.size));
    return program;
  }
  const std::string i = program.fresh("i");
  program.body.push_back(
      for_statement(i, array.size,
                    {store_statement("y", array.storage, variable_expr(i),
                                     load_expr(source.name, source.storage, variable_expr(i)))}));
  return program;
}

std::vector<LoopProgram> step_programs(const Module& module, const Plan& plan) {
  const Graph& graph = module.function(plan.function);
  const McuGroups groups = group_nodes(module, graph);
  std::vector<LoopProgram> programs;
  for (const Step& step : plan.steps) {
    if (!step.nodes.empty()) {
      programs.push_back(build_kernel(module, graph, groups.base_of, step.nodes, step.form));
      continue;
    }
    const ValueId from = plan.buffers[step.reads[0]].value, to = plan.buffers[step.writes[0]].value;
    const Tensor* constant = constant_of(module, graph, from);
    programs.push_back(
        copy_program(graph, from, to,
                     constant == nullptr ? std::vector<std::int64_t>{} : constant->to_integers()));
  }
  return programs;
}

StepFunctions step_functions(const Module& module, const Plan& plan) {
  StepFunctions result{step_programs(module, plan), {}};
  result.shared = share_programs(result.programs);
  return result;
}

std::vector<std::size_t> array_buffers(const Step& step, const LoopProgram& program) {
  std::vector<std::size_t> buffers;
  std::size_t reads = 0, writes = 0;
  for (const Array& array : program.arrays)
    buffers.push_back(is_written(array) ? step.writes.at(writes++) : step.reads.at(reads++));
  return buffers;
}

}  // namespace tandem
