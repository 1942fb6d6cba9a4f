#include "tandem/runtime/program.h"

#include <algorithm>
#include <cstring>

#include "tandem/base/error.h"
#include "tandem/kernels/integer_lanes.h"
#include "tandem/runtime/code_steps.h"
#include "tandem/runtime/real_steps.h"
#include "tandem/runtime/step_program.h"

namespace tandem {
namespace {

// About so many lanes are produced before the followers see them: they stay in the first-level
// cache.
constexpr std::int64_t kBlockLanes = 4096;

std::int64_t block_lanes(std::int64_t granularity) {
  constexpr std::int64_t kTileRows = 6;  // of gemm_b16
  std::int64_t rows = std::max<std::int64_t>(kBlockLanes / granularity, 1);
  if (granularity > 1 && rows > kTileRows) rows -= rows % kTileRows;
  return rows * granularity;
}

// A head and its followers, block by block.
template <typename Lane>
class LaneStep final : public StepProgram {
 public:
  LaneStep(const Module& module, const Graph& graph, const Step& step) {
    const NodeView head{module, graph, graph.nodes[step.nodes[0]]};
    head_ = make_head<Lane>(head, step.form);
    if (step.form == "lanes") followers_.push_back(make_follower<Lane>(head, lead_operand(head)));
    ValueId lead = head.node.outputs[0];
    for (std::size_t i = 1; i < step.nodes.size(); ++i) {
      const Node& node = graph.nodes[step.nodes[i]];
      if (node.op->traits().domain == Domain::kInteger) {
        const std::size_t operand = node.inputs[0] == lead ? 0 : 1;
        followers_.push_back(make_follower<Lane>({module, graph, node}, operand));
      }  // else a Reshape: the same elements
      lead = node.outputs[0];
    }
    result_ = lead;
    const TensorType& type = graph.values[result_].type;
    storage_ = type.format.storage();
    size_ = element_count(type.static_shape());
    block_ = block_lanes(head_->granularity());
  }
  void run(const Places& places, Scratch& scratch) const override {
    head_->start(places, scratch);
    const auto bytes = static_cast<std::int64_t>(storage_bytes(storage_));
    for (std::int64_t begin = 0; begin < size_; begin += block_) {
      const std::int64_t count = std::min(block_, size_ - begin);
      Lane* lanes = scratch.take<Lane>(kLanesSlot, block_);
      head_->produce(places, scratch, begin, count, lanes);
      for (const auto& follower : followers_) follower->apply(places, scratch, begin, count, lanes);
      store_lanes(lanes, count, storage_, places.write[result_] + begin * bytes);
    }
  }

 private:
  std::unique_ptr<Head<Lane>> head_;
  std::vector<std::unique_ptr<Follower<Lane>>> followers_;
  ValueId result_ = kNone;
  Storage storage_ = Storage::kI8;
  std::int64_t size_ = 0, block_ = 1;
};

}  // namespace

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
  for (const Step& step : plan_.steps) {
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
    } else {
      add_step(step);
    }
  }
  for (ValueId value = 0; value < homes.size(); ++value)
    if (const StateId state = graph.values[value].state; state != kNone)
      homes[value] =
          homes[std::ranges::find(graph.values, state, &Value::state) - graph.values.begin()];
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

void Program::add_step(const Step& step) {
  const Graph& graph = module_.main();
  const StepContext context{module_, graph, step, layouts_};
  if (step.form.starts_with("code_")) {
    steps_.push_back(make_code_step(context));
  } else if (step.form == "dense_convolution") {
    steps_.push_back(make_dense_convolution(context));
  } else if (step.form == "dense_product") {
    steps_.push_back(make_dense_product(context));
  } else if (step.form == "real_lanes") {
    steps_.push_back(make_real_lanes(context));
  } else if (step.form == "real_pool") {
    steps_.push_back(make_real_pool(context));
  } else if (step.form == "real_rows") {
    steps_.push_back(make_real_rows(context));
  } else if (step.form == "definition") {
    steps_.push_back(make_definition(context));
  } else if (step.form == "movement") {
    add_movement(context);
  } else if (step.tile.at("lane_bits") == 32) {
    steps_.push_back(std::make_unique<LaneStep<std::int32_t>>(module_, graph, step));
  } else {
    steps_.push_back(std::make_unique<LaneStep<std::int64_t>>(module_, graph, step));
  }
}

// As even copies; as runs where elements come from all over; by its definition where they depend on
// data.
void Program::add_movement(const StepContext& context) {
  const NodeView node = context.node();
  std::vector<std::unique_ptr<StepProgram>> outputs;
  for (std::size_t output = 0; output < node.node.outputs.size(); ++output) {
    auto step = make_boxes(context, output);
    const auto is_row_major = [&](ValueId value) {
      return value == kNone || layouts_[value] == Layout::kRowMajor;
    };
    const Format& format = context.graph.values[node.node.outputs[output]].type.format;
    if (step == nullptr && format.is_integer() &&
        std::ranges::all_of(node.node.inputs, is_row_major))
      step = make_movement(node, output);
    if (step == nullptr) {
      steps_.push_back(make_definition(context));
      return;
    }
    outputs.push_back(std::move(step));
  }
  for (auto& step : outputs) steps_.push_back(std::move(step));
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
                  Workspace& workspace) const {
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
  for (const auto& step : steps_) step->run(workspace.values, workspace.scratch);
  for (const Copy& copy : copies_) {
    const std::byte* from = copy.constant != nullptr ? copy.constant->bytes().data()
                                                     : workspace.buffers.read[copy.from];
    std::memcpy(workspace.buffers.write[copy.to], from, copy.bytes);
  }
  for (const std::size_t state : updated_)
    workspace.states[state].swap(workspace.next_states[state]);
}

Tensor Program::read(ValueId value, const Workspace& workspace) const {
  const TensorType& type = module_.main().values[value].type;
  const std::byte* from = workspace.values.read[value];
  ensure(from != nullptr, "a value without memory is read");
  Tensor tensor(type.format, type.static_shape());
  std::memcpy(tensor.mutable_bytes().data(), from, tensor.bytes().size());
  return tensor;
}

}  // namespace tandem
