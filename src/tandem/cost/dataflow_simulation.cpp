#include "tandem/cost/dataflow_simulation.h"

#include <algorithm>
#include <map>
#include <memory>

#include "tandem/base/error.h"

namespace tandem {
namespace {

// A FIFO's control. Stages see the count at the start of the cycle; what they do takes effect at
// its end.
struct Fifo {
  std::int64_t capacity = 2, narrow = 1;
  std::int64_t count = 0, narrow_at = 0, most = 0;
  bool push = false, take = false;

  bool available() const { return count > 0; }
  bool space() const { return count < capacity; }
  bool settle() {
    const bool changed = push || take;
    if (push) ++count;
    if (take && ++narrow_at == narrow) {
      narrow_at = 0;
      --count;
    }
    most = std::max(most, count);
    push = take = false;
    return changed;
  }
};

using State = std::vector<std::int64_t>;

// The state machine of one stage. step() looks at its FIFOs' counts only, marks what it takes and
// gives, advances its own state, and returns whether anything changed.
class StageModel {
 public:
  virtual ~StageModel() = default;
  virtual bool step() = 0;
  virtual void add_state(State&) const {}

  std::vector<Fifo*> in, out;
};

class SourceModel final : public StageModel {
 public:
  bool step() override {
    out[0]->push = out[0]->space();
    return out[0]->push;
  }
};

class ConstantModel final : public StageModel {
 public:
  bool step() override {
    out[0]->push = out[0]->space();
    return out[0]->push;
  }
};

class SinkModel final : public StageModel {
 public:
  bool step() override {
    if (!in[0]->available()) return false;
    in[0]->take = true;
    ++taken;
    return true;
  }
  std::int64_t taken = 0;
};

class ForkModel final : public StageModel {
 public:
  bool step() override {
    if (!in[0]->available()) return false;
    for (const Fifo* fifo : out)
      if (!fifo->space()) return false;
    in[0]->take = true;
    for (Fifo* fifo : out) fifo->push = true;
    return true;
  }
};

class PackModel final : public StageModel {
 public:
  explicit PackModel(const PackStage& stage) : ratio_(stage.ratio) {}
  bool step() override {
    const bool last = held_ == ratio_ - 1;
    if (!in[0]->available() || (last && !out[0]->space())) return false;
    in[0]->take = true;
    if (last) out[0]->push = true;
    held_ = last ? 0 : held_ + 1;
    return true;
  }
  void add_state(State& state) const override { state.push_back(held_); }

 private:
  std::int64_t ratio_, held_ = 0;
};

class ConcatModel final : public StageModel {
 public:
  explicit ConcatModel(const ConcatStage& stage) : run_(stage.run) {}
  bool step() override {
    if (!in[input_]->available() || !out[0]->space()) return false;
    in[input_]->take = true;
    out[0]->push = true;
    if (++at_ == run_[input_]) {
      at_ = 0;
      input_ = input_ + 1 == run_.size() ? 0 : input_ + 1;
    }
    return true;
  }
  void add_state(State& state) const override {
    state.push_back(static_cast<std::int64_t>(input_));
    state.push_back(at_);
  }

 private:
  std::vector<std::int64_t> run_;
  std::size_t input_ = 0;
  std::int64_t at_ = 0;
};

class MoveModel final : public StageModel {
 public:
  explicit MoveModel(const MoveStage& stage)
      : stage_(stage),
        release_(release_rule(stage.nest)),
        walker_(stage.nest),
        released_(release_.start) {}

  bool step() override {
    const bool write = in[0]->available() &&
                       lead_ < stage_.depth + std::clamp<std::int64_t>(released_, 0, stage_.frame);
    if (write) in[0]->take = true;
    const bool enable = !valid_ || out[0]->space();
    if (valid_ && enable) out[0]->push = true;
    const bool read = enable && (!walker_.inside() || walker_.address() < lead_);
    if (write) ++lead_;
    const bool changed = write || read || (enable && valid_);
    if (enable) valid_ = read;
    if (read) advance();
    return changed;
  }
  void add_state(State& state) const override {
    state.push_back(lead_);
    state.push_back(beat_);
    state.push_back(valid_ ? 1 : 0);
  }

 private:
  void advance() {
    const std::size_t loop = walker_.advance();
    ++beat_;
    if (loop == stage_.nest.loops.size()) {
      lead_ -= stage_.frame;
      released_ = release_.start;
      beat_ = 0;
    } else if (loop < release_.loops) {
      released_ = release_.start;
      for (std::size_t l = 0; l < release_.loops; ++l)
        released_ += stage_.nest.loops[l].at(walker_.index(l));
    }
  }

  const MoveStage& stage_;
  Release release_;
  NestWalker walker_;
  std::int64_t released_;
  std::int64_t lead_ = 0;  // words written since the start of the frame that is read
  std::int64_t beat_ = 0;
  bool valid_ = false;
};

class ComputeModel final : public StageModel {
 public:
  explicit ComputeModel(const ComputeStage& stage)
      : steps_(reduces(stage.head) ? stage.steps : 1), depth_(pipeline_depth(stage)) {
    ensure(depth_ <= 64, "a stage has more than 64 pipeline registers");
  }

  bool step() override {
    const bool top = depth_ > 0 && ((mask_ >> (depth_ - 1)) & 1) != 0;
    const bool enable = depth_ == 0 ? out[0]->space() : !top || out[0]->space();
    if (!enable) return false;
    if (top) out[0]->push = true;
    bool fire = true;
    for (const Fifo* fifo : in) fire = fire && fifo->available();
    const bool changed = fire || mask_ != 0;
    bool emits = false;
    if (fire) {
      for (Fifo* fifo : in) fifo->take = true;
      emits = ++at_ == steps_;
      if (emits) at_ = 0;
    }
    if (depth_ == 0) {
      out[0]->push = fire;
    } else {
      mask_ = (mask_ << 1) | (emits ? 1U : 0U);
      if (depth_ < 64) mask_ &= (std::uint64_t{1} << depth_) - 1;
    }
    return changed;
  }
  void add_state(State& state) const override {
    state.push_back(at_);
    state.push_back(static_cast<std::int64_t>(mask_));
  }

 private:
  std::int64_t steps_, at_ = 0;
  int depth_;
  std::uint64_t mask_ = 0;  // bit i: a result lies in register i + 1
};

class DigitModel final : public StageModel {
 public:
  explicit DigitModel(const StageBody& body) : cycles_(digit_cycles(body)) {}
  bool step() override {
    if (busy_ == 0) {
      for (const Fifo* fifo : in)
        if (!fifo->available()) return false;
      for (Fifo* fifo : in) fifo->take = true;
      busy_ = cycles_ + 1;
      return true;
    }
    if (busy_ == 1) {
      if (!out[0]->space()) return false;
      out[0]->push = true;
    }
    --busy_;
    return true;
  }
  void add_state(State& state) const override { state.push_back(busy_); }

 private:
  std::int64_t cycles_, busy_ = 0;
};

struct ModelOf {
  using Pointer = std::unique_ptr<StageModel>;
  Pointer operator()(const SourceStage&) const { return std::make_unique<SourceModel>(); }
  Pointer operator()(const SinkStage&) const { return std::make_unique<SinkModel>(); }
  Pointer operator()(const DropStage&) const { return std::make_unique<SinkModel>(); }
  Pointer operator()(const ConstantStage&) const { return std::make_unique<ConstantModel>(); }
  Pointer operator()(const ForkStage&) const { return std::make_unique<ForkModel>(); }
  Pointer operator()(const PackStage& s) const { return std::make_unique<PackModel>(s); }
  Pointer operator()(const ConcatStage& s) const { return std::make_unique<ConcatModel>(s); }
  Pointer operator()(const MoveStage& s) const { return std::make_unique<MoveModel>(s); }
  Pointer operator()(const ComputeStage& s) const { return std::make_unique<ComputeModel>(s); }
  Pointer operator()(const DivideStage& s) const { return std::make_unique<DigitModel>(s); }
  Pointer operator()(const SquareRootStage& s) const { return std::make_unique<DigitModel>(s); }
};

class Simulator {
 public:
  explicit Simulator(const Pipeline& pipeline) : pipeline_(pipeline) {
    for (const Stream& stream : pipeline.streams) {
      Fifo fifo;
      fifo.capacity = stream.capacity;
      fifo.narrow = stream.narrow;
      fifos_.push_back(fifo);
    }
    for (const Stage& stage : pipeline.stages) {
      models_.push_back(std::visit(ModelOf{}, stage.body));
      StageModel& model = *models_.back();
      for (const StreamId id : stage.inputs) model.in.push_back(&fifos_[id]);
      for (const StreamId id : stage.outputs) model.out.push_back(&fifos_[id]);
      if (std::holds_alternative<SinkStage>(stage.body)) {
        sinks_.push_back({static_cast<const SinkModel*>(&model),
                          pipeline.streams[stage.inputs[0]].read_beats()});
      }
    }
    ensure(!sinks_.empty(), "a pipeline without outputs");
    result_.active_cycles.assign(models_.size(), 0);
  }

  SimulationResult run(const SimulationOptions& options) {
    std::map<State, std::size_t> seen;
    std::int64_t cycle = 0;
    while (static_cast<std::int64_t>(result_.frame_ends.size()) < options.frames &&
           cycle < options.cycles) {
      if (!step()) {
        result_.deadlock = describe_deadlock();
        break;
      }
      if (frames_done() > static_cast<std::int64_t>(result_.frame_ends.size())) {
        result_.frame_ends.push_back(cycle);
        const auto [at, added] = seen.emplace(state(), result_.frame_ends.size() - 1);
        if (!added) {
          const std::size_t now = result_.frame_ends.size() - 1;
          result_.periodic = true;
          result_.interval = static_cast<double>(cycle - result_.frame_ends[at->second]) /
                             static_cast<double>(now - at->second);
          ++cycle;
          break;
        }
      }
      ++cycle;
    }
    finish(cycle);
    return std::move(result_);
  }

 private:
  struct Sink {
    const SinkModel* model;
    std::int64_t beats;
  };

  bool step() {
    bool changed = false;
    for (std::size_t s = 0; s < models_.size(); ++s) {
      if (!models_[s]->step()) continue;
      changed = true;
      ++result_.active_cycles[s];
    }
    for (Fifo& fifo : fifos_) fifo.settle();
    return changed;
  }

  std::int64_t frames_done() const {
    std::int64_t frames = INT64_MAX;
    for (const Sink& sink : sinks_) frames = std::min(frames, sink.model->taken / sink.beats);
    return frames;
  }

  State state() const {
    State state;
    for (const Fifo& fifo : fifos_) {
      state.push_back(fifo.count);
      state.push_back(fifo.narrow_at);
    }
    for (const auto& model : models_) model->add_state(state);
    for (const Sink& sink : sinks_) state.push_back(sink.model->taken - frames_done() * sink.beats);
    return state;
  }

  std::string describe_deadlock() const {
    std::string text;
    for (StreamId id = 0; id < fifos_.size(); ++id) {
      const Stream& stream = pipeline_.streams[id];
      if (fifos_[id].space()) continue;
      text += concat(text.empty() ? "" : ", ", pipeline_.stages[stream.from].name, " -> ",
                     pipeline_.stages[stream.to].name, " is full");
    }
    return text.empty() ? "no stage can go on" : text;
  }

  void finish(std::int64_t cycle) {
    result_.cycles = cycle;
    for (const Fifo& fifo : fifos_) result_.most_held.push_back(fifo.most);
    const auto& ends = result_.frame_ends;
    if (!ends.empty()) result_.latency = ends.front() + 1;
    if (!result_.periodic && ends.size() > 1)
      result_.interval = static_cast<double>(ends.back() - ends[ends.size() - 2]);
  }

  const Pipeline& pipeline_;
  std::vector<Fifo> fifos_;
  std::vector<std::unique_ptr<StageModel>> models_;
  std::vector<Sink> sinks_;
  SimulationResult result_;
};

}  // namespace

SimulationResult simulate(const Pipeline& pipeline, const SimulationOptions& options) {
  return Simulator(pipeline).run(options);
}

namespace {

std::string timing_of(const Nest& nest) {
  std::string text = concat("base ", nest.base);
  for (const NestLoop& loop : nest.loops) {
    text += concat(" loop ", loop.count, " ", loop.stride);
    for (const std::int64_t entry : loop.table) text += concat(" ", entry);
  }
  for (const NestBound& bound : nest.bounds) {
    text += concat(" bound ", bound.base, " ", bound.extent);
    for (const std::int64_t stride : bound.strides) text += concat(" ", stride);
  }
  return text;
}

std::string timing_of(const Stage& stage, bool depths) {
  std::string text(form_of(stage));
  if (const auto* move = std::get_if<MoveStage>(&stage.body)) {
    text += concat(" frame ", move->frame, " ", timing_of(move->nest));
  } else if (const auto* compute = std::get_if<ComputeStage>(&stage.body)) {
    if (depths) text += concat(" depth ", pipeline_depth(*compute));
    if (reduces(compute->head)) text += concat(" steps ", compute->steps);
  } else if (const std::int64_t cycles = digit_cycles(stage.body); cycles > 0) {
    text += concat(" cycles ", cycles);
  } else if (const auto* pack = std::get_if<PackStage>(&stage.body)) {
    text += concat(" ratio ", pack->ratio);
  } else if (const auto* joined = std::get_if<ConcatStage>(&stage.body)) {
    for (const std::int64_t run : joined->run) text += concat(" run ", run);
  }
  for (const StreamId in : stage.inputs) text += concat(" in ", in);
  for (const StreamId out : stage.outputs) text += concat(" out ", out);
  return text + "\n";
}

}  // namespace

std::string timing_of(const Pipeline& pipeline, bool depths) {
  std::string text;
  for (const Stage& stage : pipeline.stages) text += timing_of(stage, depths);
  for (const Stream& stream : pipeline.streams)
    text += concat("stream ", stream.beats, " ", stream.narrow, "\n");
  return text;
}

std::int64_t least_cycles(const Pipeline& pipeline, StageId id) {
  const Stage& stage = pipeline.stages[id];
  std::int64_t cycles = 0;
  for (const StreamId in : stage.inputs)
    cycles = std::max(cycles, pipeline.streams[in].read_beats());
  for (const StreamId out : stage.outputs) cycles = std::max(cycles, pipeline.streams[out].beats);
  if (const std::int64_t busy = digit_cycles(stage.body); busy > 0) cycles *= busy + 2;
  return cycles;
}

std::int64_t least_interval(const Pipeline& pipeline) {
  std::int64_t interval = 1;
  for (StageId id = 0; id < pipeline.stages.size(); ++id)
    interval = std::max(interval, least_cycles(pipeline, id));
  for (const Stream& stream : pipeline.streams) {
    // A FIFO of one beat gives and takes in turn.
    if (stream.capacity == 1)
      interval = std::max(interval, stream.beats * (stream.narrow == 1 ? 2 : stream.narrow + 1));
  }
  return interval;
}

}  // namespace tandem
