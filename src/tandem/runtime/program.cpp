#include "tandem/runtime/program.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "tandem/base/error.h"
#include "tandem/base/interrupt.h"
#include "tandem/plan/movement_map.h"
#include "tandem/runtime/real_steps.h"

namespace tandem {

Program::Program(const Module& module, Plan plan) : module_(module), plan_(std::move(plan)) {
  const Graph& graph = module_.main();
  layouts_.resize(graph.values.size(), Layout::kRowMajor);
  for (const ValueId value : plan_.channels_last) layouts_[value] = Layout::kChannelsLast;
  std::vector<ValueId> homes(graph.values.size(), kNone);
  for (std::size_t i = 0; i < plan_.buffers.size(); ++i) {
    const Buffer& buffer = plan_.buffers[i];
    ensure(buffer.value != kNone, "a host plan has buffers of values only");
    places_.push_back({buffer.role, position_of(buffer)});
    if (homes[buffer.value] == kNone) homes[buffer.value] = i;
  }
  for (std::size_t at = 0; at < plan_.steps.size(); ++at) {
    throw_if_interrupted();  // packing weights takes its time
    const Step& step = plan_.steps[at];
    if (step.kind == StepKind::kMove) {
      const Buffer& from = plan_.buffers[step.reads[0]];
      const bool constant = graph.values[from.value].constant != kNone;
      copies_.push_back({step.reads[0], step.writes[0], static_cast<std::size_t>(from.bytes),
                         constant ? constant_of(module_, graph, from.value) : nullptr});
      if (const BufferPlace& to = places_[step.writes[0]]; to.role == BufferRole::kState)
        updated_.push_back(static_cast<std::size_t>(to.position));
    } else if (step.form == "alias") {
      const Node& node = graph.nodes[step.nodes[0]];
      homes[node.outputs[0]] = homes[node.inputs[0]];
    } else if (step.form != "packed") {
      const std::vector<ValueId>& results = graph.nodes[step.nodes.back()].outputs;
      for (std::size_t i = 0; i < results.size(); ++i) homes[results[i]] = step.writes[i];
      for (auto& program : make_step_programs({module_, graph, step, layouts_, packed_}))
        steps_.emplace_back(std::move(program), at);
    }
  }
  for (ValueId value = 0; value < homes.size(); ++value)
    if (const StateId state = graph.values[value].state; state != kNone)
      homes[value] = homes[static_cast<std::size_t>(
          std::ranges::find(graph.values, state, &Value::state) - graph.values.begin())];
  for (ValueId value = 0; value < homes.size(); ++value)
    if (homes[value] != kNone && graph.values[value].constant == kNone)
      values_.push_back({value, homes[value]});
}

// Of an output that is listed several times, each place has a buffer.
std::int64_t Program::position_of(const Buffer& buffer) const {
  const Graph& graph = module_.main();
  const auto is_taken = [&](std::int64_t position) {
    return std::ranges::any_of(places_, [&](const BufferPlace& place) {
      return place.role == buffer.role && place.position == position;
    });
  };
  const auto listed = [&](const std::vector<ValueId>& ends) {
    std::int64_t position = 0;
    for (const ValueId end : ends) {
      if (end == buffer.value && !is_taken(position)) return position;
      ++position;
    }
    throw InternalError("a buffer of an input or output that is none");
  };
  switch (buffer.role) {
    case BufferRole::kInput: return listed(graph.inputs);
    case BufferRole::kOutput: return listed(graph.outputs);
    case BufferRole::kState: return static_cast<std::int64_t>(graph.values[buffer.value].state);
    default: return buffer.offset;
  }
}

Program::Workspace Program::workspace() const {
  Workspace workspace;
  workspace.arena.resize(static_cast<std::size_t>(plan_.peak_bytes.at("ram")));
  for (const State& state : module_.states) {
    const auto bytes = module_.constants[state.initial].tensor.bytes();
    workspace.states.emplace_back(bytes.begin(), bytes.end());
  }
  workspace.next_states = workspace.states;
  workspace.buffers.read.resize(places_.size());
  workspace.buffers.write.resize(places_.size());
  const Graph& graph = module_.main();
  workspace.values.read.resize(graph.values.size());
  workspace.values.write.resize(graph.values.size());
  for (ValueId value = 0; value < graph.values.size(); ++value)
    if (const Tensor* constant = constant_of(module_, graph, value))
      workspace.values.read[value] = constant->bytes().data();
  return workspace;
}

void Program::run(std::span<const std::byte* const> inputs, std::span<std::byte* const> outputs,
                  Workspace& workspace, std::vector<StepSpan>* spans) const {
  for (std::size_t i = 0; i < places_.size(); ++i) {
    const auto at = static_cast<std::size_t>(places_[i].position);
    std::byte*& write = workspace.buffers.write[i];
    const std::byte*& read = workspace.buffers.read[i];
    switch (places_[i].role) {
      case BufferRole::kInput:
        write = nullptr;
        read = inputs[at];
        break;
      case BufferRole::kOutput: read = write = outputs[at]; break;
      case BufferRole::kState:
        write = workspace.next_states[at].data();
        read = workspace.states[at].data();
        break;
      default: read = write = workspace.arena.data() + at;
    }
  }
  for (const auto& [value, buffer] : values_) {
    workspace.values.read[value] = workspace.buffers.read[buffer];
    workspace.values.write[value] = workspace.buffers.write[buffer];
  }
  if (spans == nullptr) {
    for (const auto& [step, at] : steps_) step->run(workspace.values, workspace.scratch);
  } else {
    *spans = run_timed(workspace);
  }
  for (const Copy& copy : copies_) {
    const std::byte* from = copy.constant != nullptr ? copy.constant->bytes().data()
                                                     : workspace.buffers.read[copy.from];
    std::memcpy(workspace.buffers.write[copy.to], from, copy.bytes);
  }
  for (const std::size_t state : updated_)
    workspace.states[state].swap(workspace.next_states[state]);
}

std::vector<StepSpan> Program::run_timed(Workspace& workspace) const {
  using Watch = std::chrono::steady_clock;
  const Watch::time_point start = Watch::now();
  const auto now = [&] { return std::chrono::duration<double>(Watch::now() - start).count(); };
  std::vector<StepSpan> spans(plan_.steps.size());
  for (const auto& [step, at] : steps_) {
    StepSpan& span = spans[at];
    if (span.end == 0) span.begin = now();
    step->run(workspace.values, workspace.scratch);
    span.end = now();
  }
  return spans;
}

void Program::restart(Workspace& workspace) const {
  for (std::size_t state = 0; state < module_.states.size(); ++state) {
    const auto initial = module_.constants[module_.states[state].initial].tensor.bytes();
    std::ranges::copy(initial, workspace.states[state].begin());
  }
}

Tensor Program::read(ValueId value, const Workspace& workspace) const {
  const TensorType& type = module_.main().values[value].type;
  const std::byte* from = workspace.values.read[value];
  ensure(from != nullptr, "a value without memory is read");
  const Shape shape = type.static_shape();
  Tensor tensor(type.format, shape);
  std::byte* to = tensor.mutable_bytes().data();
  if (layouts_[value] == Layout::kRowMajor || has_one_order(shape)) {
    std::memcpy(to, from, tensor.bytes().size());
    return tensor;
  }
  const auto size = static_cast<std::size_t>(storage_bytes(type.format.storage()));
  const auto strides = strides_of(shape, layouts_[value]);
  std::vector<std::int64_t> at(shape.size(), 0);
  for (std::int64_t i = 0; i < tensor.size(); ++i, to += size) {
    std::int64_t offset = 0;
    for (std::size_t d = 0; d < shape.size(); ++d) offset += at[d] * strides[d];
    std::memcpy(to, from + static_cast<std::size_t>(offset) * size, size);
    for (std::size_t d = shape.size(); d-- > 0;) {
      if (++at[d] < shape[d]) break;
      at[d] = 0;
    }
  }
  return tensor;
}

}  // namespace tandem
