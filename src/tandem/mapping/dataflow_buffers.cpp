#include "tandem/mapping/dataflow_buffers.h"

#include <algorithm>
#include <vector>

#include "tandem/base/error.h"
#include "tandem/cost/dataflow_simulation.h"
#include "tandem/plan/dataflow.h"

namespace tandem {
namespace {

class BufferSizer {
 public:
  BufferSizer(Pipeline& pipeline, const BufferOptions& options)
      : pipeline_(pipeline), work_left_(options.work), interval_(options.interval) {}

  void run() {
    for (Stage& stage : pipeline_.stages) {
      if (auto* move = std::get_if<MoveStage>(&stage.body))
        buffers_.push_back({&move->depth, least_store(move->nest)});
    }
    for (Stream& stream : pipeline_.streams) buffers_.push_back({&stream.capacity, 1});
    make_generous();
    const SimulationResult base = simulate(pipeline_);
    ensure(base.deadlock.empty(),
           concat("a pipeline with generous buffers locks up: ", base.deadlock));
    interval_ = std::max(interval_, base.interval);
    latency_ = base.latency;
    cycles_ = std::max<std::int64_t>(1, base.cycles);
    use_what_was_held(base);
    // Large ones first: what they give up is worth most.
    std::stable_sort(buffers_.begin(), buffers_.end(),
                     [](const Buffer& a, const Buffer& b) { return *a.size > *b.size; });
    for (const Buffer& buffer : buffers_) shrink(buffer);
  }

 private:
  struct Buffer {
    std::int64_t* size;
    std::int64_t least;
  };

  void make_generous() {
    for (Stage& stage : pipeline_.stages)
      if (auto* move = std::get_if<MoveStage>(&stage.body))
        move->depth = std::max(move->depth, 2 * move->frame);
    for (Stream& stream : pipeline_.streams) {
      stream.capacity = 2;
      if (pipeline_.stages[stream.to].inputs.size() > 1) stream.capacity = 2 * stream.beats + 2;
    }
  }

  // A FIFO that never held more in this run needs no more for the same run.
  void use_what_was_held(const SimulationResult& base) {
    for (StreamId id = 0; id < pipeline_.streams.size(); ++id) {
      Stream& stream = pipeline_.streams[id];
      stream.capacity = std::clamp<std::int64_t>(base.most_held[id], 2, stream.capacity);
    }
  }

  bool works() {
    SimulationOptions options;
    // A lock-up or a late first frame shows within the time that the generous run took.
    options.cycles = 2 * cycles_ + 1000;
    const SimulationResult result = simulate(pipeline_, options);
    work_left_ -= result.cycles * static_cast<std::int64_t>(pipeline_.stages.size());
    return result.deadlock.empty() && result.periodic && result.latency <= latency_ &&
           result.interval <= interval_;
  }

  void shrink(const Buffer& buffer) {
    if (*buffer.size <= buffer.least || work_left_ < 0) return;
    std::int64_t works_at = *buffer.size, low = buffer.least;
    while (low < works_at && work_left_ >= 0) {
      *buffer.size = (low + works_at) / 2;
      if (works())
        works_at = *buffer.size;
      else
        low = *buffer.size + 1;
    }
    *buffer.size = works_at;
  }

  Pipeline& pipeline_;
  std::int64_t work_left_;
  double interval_;
  std::int64_t latency_ = 0, cycles_ = 0;
  std::vector<Buffer> buffers_;
};

}  // namespace

void size_buffers(Pipeline& pipeline, const BufferOptions& options) {
  BufferSizer(pipeline, options).run();
}

void size_buffers(const Module& module, Plan& plan, const BufferOptions& options) {
  Pipeline pipeline = build_pipeline(module, plan);
  size_buffers(pipeline, options);
  set_capacities(plan, pipeline);
}

}  // namespace tandem
