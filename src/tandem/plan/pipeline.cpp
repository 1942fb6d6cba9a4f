#include "tandem/plan/pipeline.h"

#include <algorithm>
#include <bit>

#include "tandem/base/error.h"

namespace tandem {

bool LaneConstants::all_equal() const {
  return std::all_of(values.begin(), values.end(),
                     [&](std::int64_t value) { return value == values.front(); });
}

std::int64_t LaneConstants::least() const {
  return *std::min_element(values.begin(), values.end());
}

std::int64_t LaneConstants::greatest() const {
  return *std::max_element(values.begin(), values.end());
}

bool reduces(HeadKind head) {
  return head == HeadKind::kDot || head == HeadKind::kSum || head == HeadKind::kGreatest ||
         head == HeadKind::kArgMax;
}

namespace {

std::string_view head_name(const ComputeStage& stage) {
  switch (stage.head) {
    case HeadKind::kMaps: return "map";
    case HeadKind::kAdd: return "add";
    case HeadKind::kSubtract: return "subtract";
    case HeadKind::kMultiply: return "multiply";
    case HeadKind::kMax: return "max";
    case HeadKind::kMin: return "min";
    case HeadKind::kDot: return "dot";
    case HeadKind::kSum: return "sum";
    case HeadKind::kGreatest: return "greatest";
    case HeadKind::kArgMax: return "argmax";
  }
  throw InternalError("unknown head");
}

struct FormOf {
  std::string_view operator()(const SourceStage&) const { return "source"; }
  std::string_view operator()(const SinkStage&) const { return "sink"; }
  std::string_view operator()(const DropStage&) const { return "drop"; }
  std::string_view operator()(const ConstantStage&) const { return "constant"; }
  std::string_view operator()(const ForkStage&) const { return "fork"; }
  std::string_view operator()(const PackStage&) const { return "pack"; }
  std::string_view operator()(const ConcatStage&) const { return "concat"; }
  std::string_view operator()(const MoveStage&) const { return "move"; }
  std::string_view operator()(const ComputeStage& stage) const { return head_name(stage); }
  std::string_view operator()(const DivideStage&) const { return "divide"; }
  std::string_view operator()(const SquareRootStage&) const { return "square_root"; }
};

bool is_power_of_two(std::int64_t value) {
  return value != 0 && std::has_single_bit(static_cast<std::uint64_t>(value < 0 ? -value : value));
}

}  // namespace

std::string_view form_of(const Stage& stage) { return std::visit(FormOf{}, stage.body); }

int tree_levels(std::int64_t operands) {
  return static_cast<int>(std::bit_width(static_cast<std::uint64_t>(operands - 1)));
}

std::int64_t product_operands(const ComputeStage& stage) {
  if (stage.dsp || !stage.weights) return 1;
  const int left = stage.left.bits(), right = stage.right.bits();
  const Format bipolar = Format::parse("bipolar");
  if (stage.left == bipolar || stage.right == bipolar || left + right <= kProductTableBits)
    return 1;
  return std::min(left, right);
}

int head_depth(const ComputeStage& stage) {
  if (stage.head == HeadKind::kMaps) return 0;
  if (stage.head == HeadKind::kMultiply) return 2;
  if (!reduces(stage.head)) return 1;
  const bool dot = stage.head == HeadKind::kDot;
  const std::int64_t operands = stage.simd * (dot ? product_operands(stage) : 1);
  // The last register is the accumulator; every full group of levels before it has its own, and
  // so have products of DSP blocks.
  return 1 + tree_levels(operands) / kTreeLevelsPerRegister +
         (dot && (stage.dsp || !stage.weights) ? 1 : 0);
}

int map_depth(const MapOp& map) {
  switch (map.kind) {
    case MapKind::kClamp: return 0;
    case MapKind::kRescale: {
      const auto& m = map.operand.values;
      return std::all_of(m.begin(), m.end(), is_power_of_two) && map.operand.all_equal() ? 1 : 2;
    }
    case MapKind::kThreshold: return static_cast<int>(std::bit_width(map.rows.front().size()));
    case MapKind::kTable:
    case MapKind::kAdd:
    case MapKind::kSubtract:
    case MapKind::kSubtractFrom:
    case MapKind::kMultiply:
    case MapKind::kMax:
    case MapKind::kMin: return 1;
  }
  throw InternalError("unknown map");
}

int pipeline_depth(const ComputeStage& stage) {
  int depth = head_depth(stage);
  for (const MapOp& map : stage.maps) depth += map_depth(map);
  return depth;
}

bool table_in_block_ram(const MapOp& map) {
  // From here on a block RAM is cheaper than the logic of a table.
  constexpr std::int64_t kEntries = 512;
  return map.kind == MapKind::kTable &&
         static_cast<std::int64_t>(map.rows.size()) << map.in.bits() >= kEntries;
}

std::int64_t digit_cycles(const StageBody& body) {
  if (const auto* divide = std::get_if<DivideStage>(&body)) return divide->bits;
  if (const auto* root = std::get_if<SquareRootStage>(&body)) return root->bits;
  return 0;
}

namespace {

std::string details(const Stage& stage) {
  std::string text;
  if (const auto* move = std::get_if<MoveStage>(&stage.body)) {
    text += concat(" frame=", move->frame, " depth=", move->depth, " base=", move->nest.base,
                   " loops=");
    for (const NestLoop& loop : move->nest.loops) {
      text += concat("(", loop.count, ",",
                     loop.table.empty() ? std::to_string(loop.stride) : "table", ")");
    }
    if (!move->nest.bounds.empty())
      text += concat(" bounds=", move->nest.bounds.size(), " fill=", move->fill);
    if (move->block_ram) text += " block_ram";
  } else if (const auto* compute = std::get_if<ComputeStage>(&stage.body)) {
    text += concat(" pe=", compute->pe, " simd=", compute->simd, " steps=", compute->steps,
                   " maps=", compute->maps.size(), " depth=", pipeline_depth(*compute));
    if (compute->dsp) text += " dsp";
    if (compute->weights) {
      text += concat(" weights=", compute->weights->block * compute->weights->blocks, "x",
                     compute->shared_weights ? 1 : compute->pe * compute->simd, "x",
                     compute->weights->format.name());
    }
  } else if (const auto* divide = std::get_if<DivideStage>(&stage.body)) {
    text += concat(" lanes=", divide->lanes, " bits=", divide->bits);
  } else if (const auto* root = std::get_if<SquareRootStage>(&stage.body)) {
    text += concat(" lanes=", root->lanes, " bits=", root->bits);
  } else if (const auto* concat_stage = std::get_if<ConcatStage>(&stage.body)) {
    text += " run=";
    for (const std::int64_t run : concat_stage->run) text += concat("(", run, ")");
  } else if (const auto* pack = std::get_if<PackStage>(&stage.body)) {
    text += concat(" ratio=", pack->ratio);
  }
  return text;
}

}  // namespace

std::string print_pipeline(const Pipeline& pipeline) {
  std::string text;
  for (const Stage& stage : pipeline.stages) {
    text += concat("stage ", stage.name, ": ", form_of(stage), details(stage), "\n");
    for (const StreamId id : stage.inputs) {
      const Stream& stream = pipeline.streams[id];
      text +=
          concat("  from ", pipeline.stages[stream.from].name, ": ", stream.format.name(), " x ",
                 stream.lanes, " lanes, ", stream.beats, " beats, capacity ", stream.capacity);
      if (stream.narrow > 1) text += concat(", narrowed by ", stream.narrow);
      text += "\n";
    }
  }
  return text;
}

}  // namespace tandem
