#include "tandem/cost/dataflow_area.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <set>

#include "tandem/base/error.h"
#include "tandem/cost/dataflow_features.h"

namespace tandem {
namespace {

using Features = std::map<std::string, double>;

double ceil_div(std::int64_t a, std::int64_t b) {
  const std::int64_t quotient = (a + b - 1) / b;
  return static_cast<double>(quotient);
}

class PartCollector {
 public:
  explicit PartCollector(const Pipeline& pipeline) : pipeline_(pipeline) {}

  std::vector<AreaPart> run() {
    for (stage_ = 0; stage_ < pipeline_.stages.size(); ++stage_) {
      const Stage& stage = pipeline_.stages[stage_];
      for (const StreamId id : stage.inputs) add_fifo(pipeline_.streams[id]);
      std::visit([&](const auto& body) { add_stage(stage, body); }, stage.body);
    }
    stage_ = kNone;
    add_top();
    return std::move(parts_);
  }

 private:
  AreaPart& add(const std::string& module, const std::string& form, Features features,
                double registers) {
    parts_.push_back({module, form, stage_, 1, std::move(features), registers, 0, 0});
    return parts_.back();
  }

  void add_fifo(const Stream& stream) {
    const auto bits = static_cast<double>(stream.bits());
    if (stream.capacity == 1) {
      add("fifo_one", "fifo_one", {{"one", 1}}, bits + 1);
    } else if (stream.capacity == 2) {
      add("fifo_two", "fifo_two", {{"bits", bits}, {"one", 1}}, 2 * bits + 2);
    } else {
      const double address = counter_bits(stream.capacity - 1);
      add("fifo", "fifo",
          {{"ram", lut_ram_of(stream.capacity, stream.bits())}, {"address", address}, {"one", 1}},
          3 * address + 1);
    }
    if (stream.narrow == 1) return;
    const double index = counter_bits(stream.narrow - 1);
    const auto narrow_bits = static_cast<double>(stream.read_lanes() * stream.format.bits());
    add("narrow", "narrow",
        {{"mux", narrow_bits * static_cast<double>(stream.narrow - 1)}, {"index", index}}, index);
  }

  // A ROM of words given by their bit columns.
  void add_rom(const std::string& module, const RomShape& rom) {
    if (rom.words <= 1) return;
    Features features{{"address", rom.address_bits}, {"one", 1}};
    if (!rom.block_ram) features["table"] = rom.table_luts;
    AreaPart& part =
        add(module, "rom", features, rom.address_bits + (rom.block_ram ? 0 : rom.output_registers));
    if (rom.block_ram) part.block_rams = rom_block_rams_of(rom.words, rom.bits);
  }

  void add_stage(const Stage&, const SourceStage&) {}
  void add_stage(const Stage&, const SinkStage&) {}
  void add_stage(const Stage&, const DropStage&) {}

  void add_stage(const Stage& stage, const ConstantStage& body) {
    const Stream& out = pipeline_.streams[stage.outputs[0]];
    add_rom(stage.name + "_words", constant_rom(body, out));
  }

  void add_stage(const Stage& stage, const ForkStage&) {
    add(stage.name, "fork", {{"outputs", static_cast<double>(stage.outputs.size())}}, 0);
  }

  void add_stage(const Stage& stage, const PackStage& body) {
    const Stream& in = pipeline_.streams[stage.inputs[0]];
    const double index = counter_bits(body.ratio - 1);
    const double held = static_cast<double>(in.read_lanes() * in.format.bits() * (body.ratio - 1));
    add(stage.name, "pack", {{"index", index}, {"one", 1}}, held + index);
  }

  void add_stage(const Stage& stage, const ConcatStage& body) {
    const Stream& out = pipeline_.streams[stage.outputs[0]];
    const auto inputs = static_cast<std::int64_t>(body.run.size());
    const double counters = counter_bits(inputs - 1) +
                            counter_bits(*std::max_element(body.run.begin(), body.run.end()) - 1);
    add(stage.name, "concat",
        {{"mux", static_cast<double>(out.bits() * (inputs - 1))},
         {"counters", counters},
         {"one", 1}},
        counters);
  }

  void add_stage(const Stage& stage, const MoveStage& body) {
    const Stream& out = pipeline_.streams[stage.outputs[0]];
    const Stream& in = pipeline_.streams[stage.inputs[0]];
    const MoveShape shape = move_shape(body);
    const auto word = static_cast<double>(out.lanes * in.format.bits());
    Features features{{"counters", shape.counter_bits},
                      {"tracks", shape.track_bits},
                      {"compare", shape.compare_bits},
                      {"one", 1}};
    if (!body.nest.bounds.empty()) features["fill"] = static_cast<double>(out.bits());
    const bool in_block = body.block_ram && body.depth > 1;
    if (!in_block && body.depth > 1)
      features["ram"] = lut_ram_of(body.depth, static_cast<std::int64_t>(word));
    double registers = shape.registers + (in_block ? 0 : word) + 1;
    if (body.depth == 1) registers += word;
    if (!body.nest.bounds.empty()) registers += 1;
    AreaPart& part = add(stage.name, "move", features, registers);
    if (in_block) part.block_rams = block_rams_of(body.depth, static_cast<std::int64_t>(word));
  }

  void add_stage(const Stage& stage, const ComputeStage& body) {
    const double lanes = static_cast<double>(body.pe);
    Features shell{{"depth", static_cast<double>(pipeline_depth(body))}, {"one", 1}};
    double registers = pipeline_depth(body);
    if (reduces(body.head)) {
      const int tree = head_depth(body) - 1;
      const double steps = body.steps > 1 ? counter_bits(body.steps - 1) : 0;
      shell["steps"] = steps;
      registers += steps + tree * (body.steps > 1 ? 3 : 1) - tree;
      AreaPart& lane =
          add(stage.name + "_lane", lane_form(body), lane_features(body), lane_registers(body));
      lane.instances = lanes;
      lane.dsps = lane_dsps(body);
      if (body.weights) add_rom(stage.name + "_weights", weights_rom(body));
      if (body.weights && !body.dsp) add_rom(stage.name + "_starts", starts_rom(body));
    } else if (body.head != HeadKind::kMaps) {
      for (const auto& [feature, amount] : pair_features(body)) shell[feature] += amount * lanes;
      registers += lanes * pair_registers(body);
    }
    AreaPart& part = add(stage.name, "compute", shell, registers);
    if (body.head == HeadKind::kMultiply && body.dsp)
      part.dsps = lanes * dsps_of(signed_bits(body.left), signed_bits(body.right));
    for (std::size_t i = 0; i < body.maps.size(); ++i) add_map(stage, body, i);
  }

  void add_map(const Stage& stage, const ComputeStage& body, std::size_t index) {
    const MapOp& map = body.maps[index];
    const std::string module = concat(stage.name, "_map", index);
    AreaPart& part = add(module, map_form(map), map_features(map), map_registers(map));
    part.instances = static_cast<double>(body.pe);
    part.dsps = map_dsps(map);
    part.block_rams = map_block_rams(map);
    add_rom(module + "_constants", map_constants_rom(map, body.pe));
  }

  void add_stage(const Stage& stage, const DivideStage& body) {
    const double left = signed_bits(body.left), right = signed_bits(body.right);
    const double lanes = static_cast<double>(body.lanes);
    add(stage.name, "divide",
        {{"dividend", lanes * (left + body.bits)},
         {"divisor", lanes * right},
         {"result", lanes * body.result.bits()},
         {"one", 1}},
        lanes * (body.bits + 2 * right + 2) + counter_bits(body.bits + 1));
  }

  // Its subtractor, shift registers and result are those of a divider of twice its digits by a
  // number two bits wider than the root, so the divider's fitted costs serve.
  void add_stage(const Stage& stage, const SquareRootStage& body) {
    const double lanes = static_cast<double>(body.lanes), bits = body.bits;
    add(stage.name, "divide",
        {{"dividend", lanes * 2 * bits},
         {"divisor", lanes * (bits + 2)},
         {"result", lanes * body.result.bits()},
         {"one", 1}},
        lanes * (2 * bits + bits + 2 + bits) + counter_bits(body.bits + 1));
  }

  void add_top() {
    double counters = 0, ports = 0;
    for (const Stage& stage : pipeline_.stages) {
      const bool source = std::holds_alternative<SourceStage>(stage.body);
      if (!source && !std::holds_alternative<SinkStage>(stage.body)) continue;
      ++ports;
      const std::int64_t beats = source ? pipeline_.streams[stage.outputs[0]].beats
                                        : pipeline_.streams[stage.inputs[0]].read_beats();
      if (beats > 1) counters += counter_bits(beats - 1);
    }
    add("", "top", {{"counters", counters}, {"ports", ports}}, counters + 1);
  }

  const Pipeline& pipeline_;
  StageId stage_ = kNone;
  std::vector<AreaPart> parts_;
};

}  // namespace

std::vector<AreaPart> area_parts(const Pipeline& pipeline) { return PartCollector(pipeline).run(); }

Area& Area::operator+=(const Area& other) {
  luts += other.luts;
  flip_flops += other.flip_flops;
  block_rams += other.block_rams;
  dsps += other.dsps;
  return *this;
}

Area area_of(const AreaPart& part, const Unit& unit) {
  const auto per = [&](const std::string& feature, const char* column) {
    const Cost* cost = unit.find_cost(part.form, feature);
    if (cost == nullptr || !cost->per.contains(column)) {
      throw Error("unit '", unit.name, "' has no cost for form '", part.form, "', feature '",
                  feature, "', column '", column,
                  "'; fit its costs again (bench/cost/fit_dataflow_area)");
    }
    return cost->per.at(column);
  };
  Area area;
  for (const auto& [feature, amount] : part.features)
    area.luts += part.instances * amount * per(feature, "luts");
  area.flip_flops = part.instances * part.registers * per("registers", "flip_flops");
  area.block_rams = part.instances * part.block_rams;
  area.dsps = part.instances * part.dsps;
  return area;
}

std::vector<Area> area_by_stage(const Pipeline& pipeline, const Unit& unit) {
  std::vector<Area> areas(pipeline.stages.size() + 1);
  for (const AreaPart& part : area_parts(pipeline))
    areas[part.stage == kNone ? pipeline.stages.size() : part.stage] += area_of(part, unit);
  return areas;
}

namespace {

// Shapes of half a block (18 Kbit); the widest serves one read and one write port.
constexpr std::pair<std::int64_t, std::int64_t> kHalfShapes[] = {{512, 36}, {1024, 18}, {2048, 9},
                                                                 {4096, 4}, {8192, 2},  {16384, 1}};

}  // namespace

double block_rams_of(std::int64_t words, std::int64_t bits) {
  double least = HUGE_VAL;
  for (const auto& [depth, width] : kHalfShapes)
    least = std::min(least, ceil_div(words, depth) * ceil_div(bits, width));
  return least / 2;
}

double rom_block_rams_of(std::int64_t words, std::int64_t bits) {
  double least = block_rams_of(words, bits);
  const auto pack = [&](std::int64_t depth, std::int64_t width, double blocks) {
    const std::int64_t together = width / bits;
    if (together > 1) least = std::min(least, blocks * ceil_div(words, depth * together));
  };
  for (const auto& [depth, width] : kHalfShapes) pack(depth, width, 0.5);
  pack(512, 72, 1);
  return least;
}

double lut_ram_of(std::int64_t words, std::int64_t bits) {
  if (words <= 32) return 4 * ceil_div(bits, 6);
  if (words <= 64) return 4 * ceil_div(bits, 3);
  return 4 * static_cast<double>(bits) * ceil_div(words, 128);
}

double dsps_of(int left_bits, int right_bits) {
  const int wide = std::max(left_bits, right_bits), narrow = std::min(left_bits, right_bits);
  // Narrower products stay in logic; wider factors are cut into pieces of 24 and 17 bits.
  if (wide + narrow < 9 || narrow < 2) return 0;
  const double pieces = narrow <= 18 ? 1 : ceil_div(narrow - 1, 17);
  return pieces * (wide <= 25 ? 1 : ceil_div(wide - 1, 24));
}

}  // namespace tandem
