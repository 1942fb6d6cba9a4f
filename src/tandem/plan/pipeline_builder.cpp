#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/plan/dataflow.h"
#include "tandem/plan/recipe.h"

namespace tandem {
namespace {

std::int64_t tile(const Step& step, const std::string& key, std::int64_t otherwise) {
  const auto found = step.tile.find(key);
  return found == step.tile.end() ? otherwise : found->second;
}

// Stages and streams of a plan, first stage by stage with open requests for values, which are then
// connected through forks and width changes.
class PipelineBuilder {
 public:
  PipelineBuilder(const DataflowGraph& graph, const Plan& plan) : graph_(graph), plan_(plan) {}

  Pipeline build() {
    for (std::size_t step = 0; step < plan_.steps.size(); ++step) add_step(step);
    for (const auto& [value, producer] : producers_) connect_value(value, producer);
    for (const auto& [value, list] : requests_) {
      if (producers_.contains(value)) continue;
      for (const Request& request : list) connect_constant(value, request);
    }
    sort_stages();
    return std::move(pipeline_);
  }

 private:
  struct Request {
    StageId stage;
    std::size_t port;
    std::int64_t lanes;
  };
  struct Producer {
    StageId stage;
    std::int64_t lanes;
  };

  StageId add_stage(std::size_t step, const std::string& base, const std::string& role,
                    StageBody body) {
    Stage stage;
    stage.step = step;
    stage.nodes = plan_.steps[step].nodes;
    stage.role = role;
    const std::string wanted = role == "core" ? base : base + "_" + role;
    stage.name = wanted;
    for (int i = 2; !names_.insert(stage.name).second; ++i) stage.name = concat(wanted, "_", i);
    stage.body = std::move(body);
    pipeline_.stages.push_back(std::move(stage));
    return pipeline_.stages.size() - 1;
  }

  // `port` inputs are filled in any order, so they are made room for first.
  void link(StageId from, StageId to, std::size_t port, Stream stream) {
    Stage& reader = pipeline_.stages[to];
    const std::string key = concat("fifo_", reader.role, port);
    stream.capacity = tile(plan_.steps[reader.step], key, 2);
    if (stream.capacity < 1) throw Error("plan: ", key, " of '", reader.name, "' must be positive");
    stream.from = from;
    stream.to = to;
    stream.name = concat(reader.name, "_in", port);
    const StreamId id = pipeline_.streams.size();
    if (reader.inputs.size() <= port) reader.inputs.resize(port + 1, kNone);
    ensure(reader.inputs[port] == kNone, "an input of a stage is linked twice");
    reader.inputs[port] = id;
    pipeline_.stages[from].outputs.push_back(id);
    pipeline_.streams.push_back(std::move(stream));
  }

  Stream stream_of(ValueId value, std::int64_t lanes) const {
    Stream stream;
    stream.value = value;
    stream.format = graph_.format(value);
    stream.lanes = lanes;
    stream.beats = graph_.elements(value) / lanes;
    return stream;
  }

  void request(ValueId value, StageId stage, std::size_t port, std::int64_t lanes) {
    requests_[graph_.resolve(value)].push_back({stage, port, lanes});
  }

  void add_step(std::size_t index) {
    const Step& step = plan_.steps[index];
    const auto port = static_cast<std::size_t>(tile(step, "port", 0));
    const std::int64_t pe = tile(step, "pe", 1);
    if (step.form == "source") {
      const ValueId value = graph_.graph().inputs.at(port);
      const StageId stage = add_stage(index, "in_" + identifier(graph_.graph().values[value].name),
                                      "core", SourceStage{port});
      producers_[value] = {stage, pe};
    } else if (step.form == "sink") {
      const ValueId value = graph_.graph().outputs.at(port);
      const StageId stage =
          add_stage(index, concat("out", port, "_", identifier(graph_.graph().values[value].name)),
                    "core", SinkStage{port});
      request(value, stage, 0, pe);
    } else {
      add_nodes(index);
    }
  }

  void add_nodes(std::size_t index) {
    const Step& step = plan_.steps[index];
    const Node& first = graph_.node(step.nodes.front());
    const Folding folding{tile(step, "pe", 1), tile(step, "simd", 1), tile(step, "dsp0", 0) != 0,
                          tile(step, "block_weights", 0) != 0};
    const std::string base = identifier(first.name);
    for (Recipe& recipe : recipes_of(graph_, step.nodes.front(), folding)) {
      if (!recipe.body) {
        const StageId move = add_move(index, base, concat("move", recipe.output), recipe.feeds[0]);
        request(recipe.feeds[0].value, move, 0, recipe.lanes);
        producers_[first.outputs[recipe.output]] = {move, recipe.lanes};
        continue;
      }
      fuse_maps(step, folding, *recipe.body);
      const StageId core = add_stage(index, base, "core", std::move(*recipe.body));
      for (std::size_t i = 0; i < recipe.feeds.size(); ++i) {
        const Feed& feed = recipe.feeds[i];
        if (!needs_move(feed)) {
          request(feed.value, core, i, feed.lanes);
          continue;
        }
        const StageId move = add_move(index, base, concat("move", i), feed);
        request(feed.value, move, 0, feed.lanes);
        Stream stream = stream_of(feed.value, feed.lanes);
        stream.format = feed.format;
        stream.beats = std::get<MoveStage>(pipeline_.stages[move].body).nest.beats();
        link(move, core, i, std::move(stream));
      }
      producers_[graph_.node(step.nodes.back()).outputs[0]] = {core, recipe.lanes};
    }
  }

  bool needs_move(const Feed& feed) const {
    return feed.nest && (!is_identity(*feed.nest, graph_.elements(feed.value)) ||
                         feed.format != graph_.format(feed.value));
  }

  StageId add_move(std::size_t index, const std::string& base, const std::string& role,
                   const Feed& feed) {
    const Step& step = plan_.steps[index];
    MoveStage move;
    move.nest = in_words(simplified(*feed.nest), feed.lanes);
    ensure(graph_.elements(feed.value) % feed.lanes == 0, "a frame is no whole number of words");
    move.frame = graph_.elements(feed.value) / feed.lanes;
    move.depth = tile(step, "store_" + role, least_store(move.nest));
    if (move.depth < least_store(move.nest)) {
      throw Error("plan: store_", role, " of '", base, "' holds ", move.depth, " words of ",
                  least_store(move.nest), " needed");
    }
    move.fill = feed.fill;
    move.block_ram = tile(step, "block_" + role, 0) != 0;
    return add_stage(index, base, role, std::move(move));
  }

  // Nodes after the first of a step are maps behind its stage.
  void fuse_maps(const Step& step, const Folding& folding, StageBody& body) {
    for (std::size_t i = 1; i < step.nodes.size(); ++i) {
      auto map = map_of(graph_, step.nodes[i], folding.pe);
      ensure(map.has_value(), "a step fuses a node that is no map");
      map->dsp = tile(step, concat("dsp", i), 0) != 0;
      std::get<ComputeStage>(body).maps.push_back(std::move(*map));
    }
  }

  void connect_value(ValueId value, const Producer& producer) {
    const auto found = requests_.find(value);
    const std::size_t step = pipeline_.stages[producer.stage].step;
    if (found == requests_.end()) {
      const StageId drop =
          add_stage(step, pipeline_.stages[producer.stage].name, "drop", DropStage{});
      link(producer.stage, drop, 0, stream_of(value, producer.lanes));
      return;
    }
    if (found->second.size() == 1) {
      connect(value, producer, found->second.front());
      return;
    }
    const StageId fork =
        add_stage(step, pipeline_.stages[producer.stage].name, "fork", ForkStage{});
    pipeline_.stages[fork].role = "fork_" + pipeline_.stages[producer.stage].role;
    link(producer.stage, fork, 0, stream_of(value, producer.lanes));
    for (const Request& request : found->second) connect(value, {fork, producer.lanes}, request);
  }

  void connect_constant(ValueId value, const Request& request) {
    const Tensor* tensor = graph_.constant(value);
    ensure(tensor != nullptr, "a stage reads a value that nothing produces");
    const Stage& reader = pipeline_.stages[request.stage];
    const StageId stage = add_stage(reader.step, reader.name, concat("constant", request.port),
                                    ConstantStage{tensor->to_integers()});
    link(stage, request.stage, request.port, stream_of(value, request.lanes));
  }

  // Brings a producer's lanes to the reader's.
  void connect(ValueId value, const Producer& producer, const Request& request) {
    Stream stream = stream_of(value, producer.lanes);
    if (producer.lanes % request.lanes == 0) {
      stream.narrow = producer.lanes / request.lanes;
      link(producer.stage, request.stage, request.port, std::move(stream));
      return;
    }
    const std::int64_t common = std::gcd(producer.lanes, request.lanes);
    const Stage& reader = pipeline_.stages[request.stage];
    const StageId pack = add_stage(reader.step, reader.name, concat("pack", request.port),
                                   PackStage{request.lanes / common});
    pipeline_.stages[pack].role =
        concat("pack_", pipeline_.stages[request.stage].role, request.port);
    stream.narrow = producer.lanes / common;
    link(producer.stage, pack, 0, std::move(stream));
    link(pack, request.stage, request.port, stream_of(value, request.lanes));
  }

  // Producers before consumers; otherwise as they were added.
  void sort_stages() {
    std::vector<std::size_t> waiting(pipeline_.stages.size());
    std::set<StageId> ready;
    for (StageId s = 0; s < pipeline_.stages.size(); ++s) {
      waiting[s] = pipeline_.stages[s].inputs.size();
      if (waiting[s] == 0) ready.insert(s);
    }
    std::vector<StageId> place(pipeline_.stages.size(), kNone);
    std::vector<Stage> sorted;
    while (!ready.empty()) {
      const StageId s = *ready.begin();
      ready.erase(ready.begin());
      place[s] = sorted.size();
      sorted.push_back(std::move(pipeline_.stages[s]));
      for (const StreamId stream : sorted.back().outputs)
        if (--waiting[pipeline_.streams[stream].to] == 0)
          ready.insert(pipeline_.streams[stream].to);
    }
    ensure(sorted.size() == pipeline_.stages.size(), "the stages form a cycle");
    for (Stream& stream : pipeline_.streams) {
      stream.from = place[stream.from];
      stream.to = place[stream.to];
    }
    pipeline_.stages = std::move(sorted);
  }

  const DataflowGraph& graph_;
  const Plan& plan_;
  Pipeline pipeline_;
  std::set<std::string> names_;
  std::map<ValueId, Producer> producers_;
  std::map<ValueId, std::vector<Request>> requests_;
};

}  // namespace

Pipeline build_pipeline(const Module& module, const Plan& plan) {
  const DataflowGraph graph(module, plan.function);
  return PipelineBuilder(graph, plan).build();
}

void set_capacities(Plan& plan, const Pipeline& pipeline) {
  for (const Stage& stage : pipeline.stages) {
    Step& step = plan.steps[stage.step];
    for (std::size_t port = 0; port < stage.inputs.size(); ++port)
      step.tile[concat("fifo_", stage.role, port)] = pipeline.streams[stage.inputs[port]].capacity;
    if (const auto* move = std::get_if<MoveStage>(&stage.body)) {
      step.tile["store_" + stage.role] = move->depth;
      step.tile["block_" + stage.role] = move->block_ram ? 1 : 0;
    }
  }
}

}  // namespace tandem
