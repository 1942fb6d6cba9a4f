#include <algorithm>
#include <map>

#include "tandem/base/error.h"
#include "tandem/kernels/integer_lanes.h"
#include "tandem/runtime/code_steps.h"
#include "tandem/runtime/real_steps.h"

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

StepPrograms one(std::unique_ptr<StepProgram> program) {
  StepPrograms programs;
  programs.push_back(std::move(program));
  return programs;
}

StepPrograms integer_lanes(const StepContext& context) {
  const auto& [module, graph, step, layouts, packed] = context;
  if (step.tile.at("lane_bits") == 32)
    return one(std::make_unique<LaneStep<std::int32_t>>(module, graph, step));
  return one(std::make_unique<LaneStep<std::int64_t>>(module, graph, step));
}

// Each result as even copies; as runs where elements come from all over; at the positions that are
// computed; all of them by the definition where they depend on data otherwise.
StepPrograms movement(const StepContext& context) {
  const NodeView node = context.node();
  StepPrograms programs;
  for (std::size_t output = 0; output < node.node.outputs.size(); ++output) {
    auto program = make_boxes(context, output);
    const auto is_row_major = [&](ValueId value) {
      return value == kNone || context.layouts[value] == Layout::kRowMajor;
    };
    const Format& format = context.graph.values[node.node.outputs[output]].type.format;
    if (program == nullptr && format.is_integer() &&
        std::ranges::all_of(node.node.inputs, is_row_major))
      program = make_movement(node, output);
    if (program == nullptr) program = make_gather(context);
    if (program == nullptr) return one(make_definition(context));
    programs.push_back(std::move(program));
  }
  return programs;
}

template <std::unique_ptr<StepProgram> (*make)(const StepContext&)>
StepPrograms single(const StepContext& context) {
  return one(make(context));
}

}  // namespace

StepPrograms make_step_programs(const StepContext& context) {
  using Maker = StepPrograms (*)(const StepContext&);
  static const std::map<std::string_view, Maker> makers = {
      {"dense_convolution", single<make_dense_convolution>},
      {"dense_product", single<make_dense_product>},
      {"decode_product", single<make_decode_product>},
      {"real_lanes", single<make_real_lanes>},
      {"real_pool", single<make_real_pool>},
      {"real_rows", single<make_real_rows>},
      {"recurrent", single<make_recurrent>},
      {"trees", single<make_trees>},
      {"arg_extreme", single<make_arg_extreme>},
      {"definition", single<make_definition>},
      {"code_convolution", single<make_code_product>},
      {"code_product", single<make_code_product>},
      {"code_matmul", single<make_code_matmul>},
      {"code_depthwise", single<make_code_depthwise>},
      {"code_pair", single<make_code_pair>},
      {"code_mean", single<make_code_mean>},
      {"code_pool", single<make_code_pool>},
      {"code_rescale", single<make_code_rescale>},
      {"code_table", single<make_code_table>},
      {"code_border", single<make_code_border>},
      {"movement", movement},
      {"product16", integer_lanes},
      {"product", integer_lanes},
      {"depthwise", integer_lanes},
      {"window", integer_lanes},
      {"lanes", integer_lanes}};
  const auto maker = makers.find(context.step.form);
  ensure(maker != makers.end(), "a host plan has a step of an unknown form");
  // Where all results are empty there is nothing to do.
  const auto& results = context.graph.nodes[context.step.nodes.back()].outputs;
  const auto is_empty = [&](ValueId result) {
    return result == kNone || element_count(context.shape(result)) == 0;
  };
  if (std::ranges::all_of(results, is_empty)) return {};
  return maker->second(context);
}

}  // namespace tandem
