#include "tandem/plan/mcu_plan.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/graph/operator.h"
#include "tandem/ops/coded.h"
#include "tandem/plan/kept_states.h"
#include "tandem/plan/lifetime_planner.h"
#include "tandem/plan/mcu_tasks.h"
#include "tandem/plan/smallest_order.h"

namespace tandem {
namespace {

std::int64_t round_up(std::int64_t value, std::int64_t to) { return (value + to - 1) / to * to; }

// Makes the plan that runs tasks in one order.
class Assembler {
 public:
  Assembler(const Module& module, const McuGroups& groups, const std::vector<McuTask>& tasks,
            const std::vector<KeptState>& states, const std::string& device,
            const std::string& unit, IoPlace io)
      : module_(module),
        graph_(module.main()),
        groups_(groups),
        tasks_(tasks),
        states_(states),
        unit_(unit) {
    plan_.device = device;
    plan_.io = io;
    buffer_of_.assign(graph_.values.size(), kNone);
  }

  Plan run(const std::vector<std::size_t>& order) {
    add_ends();
    for (const std::size_t task : order) add_task(tasks_[task]);
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
  struct Stage {
    const McuTask* task = nullptr;
    std::size_t end = 0;  // the step behind its last one
  };

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

  void use(std::size_t buffer) {
    plan_.buffers[buffer].last_step = std::max(plan_.buffers[buffer].last_step, plan_.steps.size());
  }

  // A patch writes a part of a buffer that others have begun.
  void write(Step& step, std::size_t buffer) {
    if (!std::exchange(is_written_[buffer], true))
      plan_.buffers[buffer].first_step = plan_.steps.size();
    use(buffer);
    step.writes.push_back(buffer);
  }

  void add_task(const McuTask& task) {
    const McuTask* stage = task.patches.empty() ? nullptr : &task;
    for (const McuRun& run : task.runs) {
      if (run.kind == McuRunKind::kCompute)
        add_step(run, stage);
      else
        add_move(run, task);
    }
    if (stage != nullptr) stages_.push_back({&task, plan_.steps.size()});
  }

  // `stage`: that the step belongs to, if it does.
  void add_step(const McuRun& run, const McuTask* stage) {
    const std::vector<NodeId>& nodes = groups_.groups[run.group];
    Step step;
    step.nodes = nodes;
    step.unit = unit_;
    step.form = run.form;
    if (run.rows) step.tile = {{"row", run.rows->begin}, {"rows", run.rows->count()}};
    const std::string name = identifier(graph_.nodes[nodes.front()].name);
    for (const Array& array : run.program.arrays) {
      if (array.role == ArrayRole::kInput) {
        ensure(buffer_of_[array.value] != kNone,
               concat("'", graph_.values[array.value].name, "' is read before it is computed"));
        const std::size_t buffer = buffer_of_[array.value];
        use(buffer);
        step.reads.push_back(buffer);
        if (stage != nullptr)
          set_start(step, buffer, *stage, array.value, run.reads.at(array.value).begin);
      } else if (array.is_constant()) {
        step.reads.push_back(constant_buffer(run.group, name, array));
      } else if (array.role == ArrayRole::kScratch) {
        step.writes.push_back(add_buffer(concat(name, "_", array.name), BufferRole::kScratch, kNone,
                                         array.bytes(), array.storage));
      } else {
        const bool is_part = stage != nullptr && array.value != stage->result;
        const std::size_t buffer =
            is_part ? rows_buffer(run, *stage, array) : whole_buffer(array.value);
        write(step, buffer);
        if (stage != nullptr) set_start(step, buffer, *stage, array.value, run.rows->begin);
      }
    }
    plan_.steps.push_back(std::move(step));
    runs_.push_back(&run);
  }

  std::size_t whole_buffer(ValueId value) {
    if (buffer_of_[value] == kNone) buffer_of_[value] = result_buffer(value);
    return buffer_of_[value];
  }

  // Copies rows of a value between the buffer of its patch and the one in which they are kept.
  void add_move(const McuRun& run, const McuTask& stage) {
    const Array& to = run.program.arrays[1];
    Step step;
    step.kind = StepKind::kMove;
    step.nodes = groups_.groups[run.group];
    step.unit = unit_;
    step.form = run.form;
    step.tile = {{"row", run.rows->begin}, {"rows", run.rows->count()}};
    const bool keeps = run.kind == McuRunKind::kKeep;
    const std::size_t read = keeps ? buffer_of_[to.value] : kept_.at(to.value);
    use(read);
    step.reads = {read};
    if (keeps) set_start(step, read, stage, to.value, run.rows->begin);
    const std::size_t written =
        keeps ? part_buffer(to, "_kept", to.bytes()) : rows_buffer(run, stage, to);
    if (keeps) kept_[to.value] = written;
    write(step, written);
    plan_.steps.push_back(std::move(step));
    runs_.push_back(&run);
  }

  std::size_t part_buffer(const Array& array, std::string_view part, std::int64_t bytes) {
    return add_buffer(concat(identifier(graph_.values[array.value].name), part), BufferRole::kValue,
                      kNone, bytes, array.storage);
  }

  // The buffer for the rows of a value that a patch holds.
  std::size_t rows_buffer(const McuRun& run, const McuTask& stage, const Array& array) {
    const ValueId value = array.value;
    if (const auto known = patch_of_.find(value);
        known != patch_of_.end() && known->second == run.patch)
      return buffer_of_[value];
    patch_of_[value] = run.patch;
    const Rows held = stage.patches[run.patch].held.at(value);
    first_row_[value] = held.begin;
    return buffer_of_[value] =
               part_buffer(array, "_rows", held.count() * stage.row_bytes.at(value));
  }

  // Where in its buffer a step of a stage finds a value from some row on.
  void set_start(Step& step, std::size_t buffer, const McuTask& stage, ValueId value,
                 std::int64_t row) const {
    const auto first = first_row_.find(value);
    const std::int64_t start =
        (row - (first == first_row_.end() ? 0 : first->second)) * stage.row_bytes.at(value);
    if (start > 0) step.starts[buffer] = start;
  }

  // Patches share the constants of their group.
  std::size_t constant_buffer(std::size_t group, const std::string& node, const Array& array) {
    for (const Constant& known : constants_)
      if (known.group == group && known.array->name == array.name &&
          known.array->storage == array.storage && known.array->values == array.values)
        return known.buffer;
    const BufferRole role =
        array.role == ArrayRole::kWeights ? BufferRole::kWeights : BufferRole::kTable;
    const std::size_t buffer =
        add_buffer(concat(node, "_", array.name), role, kNone, array.bytes(), array.storage);
    constants_.push_back({group, &array, buffer});
    return buffer;
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
    for (std::size_t step = 0; step < runs_.size(); ++step) add_takeovers(step, block_of, blocks);
    for (const Stage& stage : stages_) add_takeovers(stage, block_of, blocks);
    const LifetimeLayout layout = plan_lifetimes(blocks);
    for (std::size_t i = 0; i < plan_.buffers.size(); ++i)
      if (block_of[i] != kNone) plan_.buffers[i].offset = layout.offsets[block_of[i]];
    plan_.peak_bytes["sram"] = round_up(layout.peak_bytes, alignment);
    plan_.bound_bytes["sram"] = layout.bound_bytes;
  }

  // Lets what a step writes share bytes with what it is the last to read.
  void add_takeovers(std::size_t index, const std::vector<std::size_t>& block_of,
                     std::vector<LifetimeBlock>& blocks) const {
    const Step& step = plan_.steps[index];
    const McuRun& run = *runs_[index];
    const std::vector<std::size_t> buffers = array_buffers(step, run.program);
    for (const OverlapDistance& overlap : run.overlaps) {
      const std::size_t read = buffers[overlap.read], written = buffers[overlap.written];
      const std::size_t dying = block_of[read], born = block_of[written];
      if (dying == kNone || born == kNone || blocks[dying].last_step != index ||
          blocks[born].first_step != index)
        continue;
      const std::int64_t shift = start_of(step, written) - start_of(step, read);
      if (shift % overlap.multiple != 0) continue;
      blocks[born].takeovers.push_back({dying, overlap.bytes + shift});
      for (const std::size_t block : {dying, born})
        blocks[block].alignment = std::lcm(blocks[block].alignment, overlap.multiple);
    }
  }

  // The same for the result of a stage, which is begun before its input is read to the end.
  void add_takeovers(const Stage& stage, const std::vector<std::size_t>& block_of,
                     std::vector<LifetimeBlock>& blocks) const {
    const std::size_t born = block_of[buffer_of_[stage.task->result]];
    if (born == kNone) return;
    for (const ValueId read : outer_reads(*stage.task)) {
      const std::size_t dying = block_of[buffer_of_[read]];
      if (dying == kNone || blocks[dying].last_step >= stage.end ||
          blocks[dying].last_step <= blocks[born].first_step)
        continue;
      if (const auto distance = distance_over_patches(*stage.task, read))
        blocks[born].takeovers.push_back({dying, *distance});
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
  struct Constant {
    std::size_t group;
    const Array* array;
    std::size_t buffer;
  };
  const Module& module_;
  const Graph& graph_;
  const McuGroups& groups_;
  const std::vector<McuTask>& tasks_;
  const std::vector<KeptState>& states_;
  const std::string& unit_;
  std::vector<const McuRun*> runs_;  // of the first steps; copies at the end follow
  std::vector<Stage> stages_;
  Plan plan_;
  std::vector<std::size_t> buffer_of_;  // by base value
  // Of values within a stage: the patch of the buffer, its first row, and where rows are kept.
  std::map<ValueId, std::size_t> patch_of_;
  std::map<ValueId, std::int64_t> first_row_;
  std::map<ValueId, std::size_t> kept_;
  std::map<std::size_t, bool> is_written_;  // by buffer, of values
  std::vector<Constant> constants_;
  std::vector<Output> outputs_;
  std::vector<std::vector<std::size_t>> state_buffers_;  // of each state: its old and new value
};

}  // namespace

Plan assemble_mcu_plan(const Module& module, const std::string& device, const std::string& unit,
                       const McuGroups& groups, const std::vector<std::string>& forms, IoPlace io,
                       const PatchStage& stage) {
  ensure(forms.size() == groups.groups.size(), "one form for each group");
  const std::vector<McuTask> tasks = mcu_tasks(module, groups, forms, stage);
  const std::vector<KeptState> states = kept_states(module, groups, tasks);
  const auto plan_in = [&](const std::vector<std::size_t>& order) {
    return Assembler(module, groups, tasks, states, device, unit, io).run(order);
  };
  const TaskOrder best = smallest_order(module.main(), groups, tasks, states, io);
  std::vector<std::size_t> listed(tasks.size());
  std::iota(listed.begin(), listed.end(), std::size_t{0});
  Plan plan = plan_in(listed);
  plan.order = "as in the network";
  if (best.tasks != listed) {
    Plan reordered = plan_in(best.tasks);
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
      const std::optional<Rows> rows = rows_of(step);
      const Graph patch = rows ? patch_graph(module, graph, groups, step.nodes, *rows) : Graph();
      if (step.kind == StepKind::kMove) {
        const ValueId value = groups.base_of[graph.nodes[step.nodes.back()].outputs[0]];
        programs.push_back(move_program(patch, value));
        continue;
      }
      programs.push_back(
          build_kernel(module, rows ? patch : graph, groups.base_of, step.nodes, step.form));
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
  std::vector<std::vector<std::size_t>> buffers;
  for (std::size_t i = 0; i < plan.steps.size(); ++i)
    buffers.push_back(array_buffers(plan.steps[i], result.programs[i]));
  result.shared = share_programs(result.programs, buffers);
  return result;
}

std::vector<std::size_t> array_buffers(const Step& step, const LoopProgram& program) {
  std::vector<std::size_t> buffers;
  std::size_t reads = 0, writes = 0;
  for (const Array& array : program.arrays)
    buffers.push_back(array.is_written() ? step.writes.at(writes++) : step.reads.at(reads++));
  return buffers;
}

}  // namespace tandem
