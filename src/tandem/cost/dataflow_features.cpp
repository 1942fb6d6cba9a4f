#include "tandem/cost/dataflow_features.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <set>
#include <vector>

#include "tandem/base/error.h"
#include "tandem/cost/dataflow_area.h"

namespace tandem {
namespace {

int width(std::int64_t value) {
  return static_cast<int>(
      std::bit_width(static_cast<std::uint64_t>(value < 0 ? -(value + 1) : value)));
}
// Two's complement bits of an interval.
int range_bits(std::int64_t low, std::int64_t high) {
  return 1 + std::max(width(low), width(std::max<std::int64_t>(0, high)));
}
bool is_bipolar(Format format) { return format == Format::parse("bipolar"); }

// Bit columns of a memory: column c holds bit c of every word.
class Columns {
 public:
  explicit Columns(std::int64_t words) : words_(static_cast<std::size_t>(words)) {}

  // `bits` more columns with the low bits of values[word].
  void append(const std::vector<std::int64_t>& values, int bits) {
    for (int bit = 0; bit < bits; ++bit) {
      std::vector<bool> column(words_);
      for (std::size_t w = 0; w < words_; ++w) column[w] = ((values[w] >> bit) & 1) != 0;
      total_ += 1;
      const auto ones = std::count(column.begin(), column.end(), true);
      if (ones == 0 || static_cast<std::size_t>(ones) == words_) continue;
      ++changing_;
      distinct_.insert(std::move(column));
    }
  }
  std::int64_t total() const { return total_; }
  double changing() const { return static_cast<double>(changing_); }
  double distinct() const { return static_cast<double>(distinct_.size()); }

 private:
  std::size_t words_;
  std::int64_t total_ = 0, changing_ = 0;
  std::set<std::vector<bool>> distinct_;
};

// Look-up tables for one bit of so many words.
double table_luts(std::int64_t words) {
  const std::int64_t luts = (words + 63) / 64;
  return static_cast<double>(luts);
}

RomShape rom_of(const Columns& columns, std::int64_t words, bool block_ram) {
  RomShape rom;
  rom.words = words;
  rom.bits = columns.total();
  rom.block_ram = block_ram;
  rom.address_bits = counter_bits(words - 1);
  rom.table_luts = columns.distinct() * table_luts(words);
  rom.output_registers = columns.changing();
  return rom;
}

}  // namespace

int signed_bits(Format format) {
  if (is_bipolar(format)) return 2;
  return format.is_signed() ? format.bits() : format.bits() + 1;
}

int counter_bits(std::int64_t last) {
  return std::max(1, static_cast<int>(std::bit_width(static_cast<std::uint64_t>(last))));
}

RomShape weights_rom(const ComputeStage& stage) {
  const Weights& weights = *stage.weights;
  const std::int64_t words = weights.block * weights.blocks;
  const auto lanes =
      static_cast<std::size_t>(stage.shared_weights ? stage.simd : stage.pe * stage.simd);
  Columns columns(words);
  std::vector<std::int64_t> values(static_cast<std::size_t>(words));
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    for (std::size_t w = 0; w < values.size(); ++w) {
      values[w] =
          static_cast<std::int64_t>(weights.format.code_of(weights.integers[w * lanes + lane]));
    }
    columns.append(values, weights.format.bits());
  }
  RomShape rom = rom_of(columns, words, weights.block_ram);
  if (weights.repeats > 1 && words > 1)
    rom.address_bits = counter_bits(weights.block - 1) + counter_bits(words - 1) +
                       counter_bits(weights.repeats - 1);
  return rom;
}

RomShape starts_rom(const ComputeStage& stage) {
  const Weights& weights = *stage.weights;
  const Format left = stage.left, right = stage.right;
  const std::int64_t results = weights.block * weights.blocks / stage.steps;
  // Only sums of the weights themselves differ between results; see start_of() of the emitter.
  if (!is_bipolar(left) && !is_bipolar(right)) return {};
  if (is_bipolar(left) && is_bipolar(right)) return {};
  const int bits = stage.result.bits();
  Columns columns(results);
  const std::int64_t lanes = stage.shared_weights ? 1 : stage.pe;
  const auto per_result = static_cast<std::size_t>(stage.steps * lanes * stage.simd);
  for (std::int64_t lane = 0; lane < lanes; ++lane) {
    std::vector<std::int64_t> starts;
    for (std::int64_t result = 0; result < results; ++result) {
      std::int64_t start = 0;
      for (std::int64_t step = 0; step < stage.steps; ++step) {
        for (std::int64_t i = 0; i < stage.simd; ++i) {
          const auto at = static_cast<std::size_t>(result) * per_result +
                          static_cast<std::size_t>((step * lanes + lane) * stage.simd + i);
          const std::int64_t weight = weights.integers[at];
          start += is_bipolar(left) ? -weight : weight < 0 ? 1 : 0;
        }
      }
      starts.push_back(start);
    }
    columns.append(starts, bits);
  }
  return columns.changing() == 0 ? RomShape{} : rom_of(columns, results, false);
}

RomShape constant_rom(const ConstantStage& stage, const Stream& output) {
  Columns columns(output.beats);
  const auto lanes = static_cast<std::size_t>(output.lanes);
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    std::vector<std::int64_t> values;
    for (std::size_t at = lane; at < stage.integers.size(); at += lanes)
      values.push_back(static_cast<std::int64_t>(output.format.code_of(stage.integers[at])));
    columns.append(values, output.format.bits());
  }
  return rom_of(columns, output.beats, false);
}

namespace {

std::vector<const LaneConstants*> varying_constants(const MapOp& map) {
  std::vector<const LaneConstants*> all;
  switch (map.kind) {
    case MapKind::kClamp: break;
    case MapKind::kRescale: all = {&map.operand, &map.addend, &map.shift}; break;
    case MapKind::kTable:
    case MapKind::kThreshold: all = {&map.row}; break;
    default: all = {&map.operand};
  }
  std::erase_if(all, [](const LaneConstants* c) { return c->all_equal(); });
  return all;
}

}  // namespace

RomShape map_constants_rom(const MapOp& map, std::int64_t lanes) {
  const auto constants = varying_constants(map);
  if (constants.empty()) return {};
  std::int64_t period = 1;
  for (const LaneConstants* c : constants) period = std::lcm(period, c->period);
  Columns columns(period);
  for (const LaneConstants* c : constants) {
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      std::vector<std::int64_t> values;
      for (std::int64_t beat = 0; beat < period; ++beat)
        values.push_back(c->values[static_cast<std::size_t>(beat % c->period * lanes + lane)]);
      columns.append(values, range_bits(c->least(), c->greatest()));
    }
  }
  return rom_of(columns, period, false);
}

MoveShape move_shape(const MoveStage& stage) {
  const Nest& nest = stage.nest;
  const Release release = release_rule(nest);
  MoveShape shape;
  for (const NestLoop& loop : nest.loops) shape.counter_bits += counter_bits(loop.count - 1);
  std::int64_t low = nest.base, high = nest.base;
  for (const NestLoop& loop : nest.loops) {
    low += loop.least();
    high += std::max<std::int64_t>(0, loop.last());
  }
  // A register that adds one of several constants: what it holds, for its adder and for the choice
  // of the constant.
  const auto track = [&](double bits) {
    shape.track_bits += bits;
    shape.registers += bits;
  };
  track(range_bits(low - 1, high + 1));
  if (stage.depth > 1) {
    const double bits = counter_bits(stage.depth - 1);
    track(bits);
    shape.counter_bits += bits;  // the write pointer
    if (!std::has_single_bit(static_cast<std::uint64_t>(stage.depth))) shape.track_bits += bits;
  }
  for (const NestBound& bound : nest.bounds) {
    std::int64_t from = bound.base, to = bound.base;
    for (std::size_t l = 0; l < nest.loops.size(); ++l)
      to += std::max<std::int64_t>(0, bound.strides[l] * (nest.loops[l].count - 1));
    const double bits = range_bits(from - 1, to + 1);
    track(bits);
    shape.compare_bits += bits;
  }
  std::int64_t released = std::max<std::int64_t>(0, release.start);
  for (std::size_t l = 0; l < release.loops; ++l)
    released += std::max<std::int64_t>(0, nest.loops[l].last());
  const double limit = range_bits(0, stage.depth + released + 1);
  if (release.loops > 0) {
    track(range_bits(std::min<std::int64_t>(release.start, 0) - 1, released + 1));
    shape.track_bits += limit;
  }
  const double lead = std::max<double>(limit, range_bits(-stage.frame, 0));
  track(lead);
  shape.compare_bits += 2 * lead;
  shape.registers += shape.counter_bits;
  return shape;
}

namespace {

// The operands of a lane's tree as widths, and what it takes to make them.
struct LaneOperands {
  std::vector<int> widths;
  double products = 0;  // look-up tables for bits that are no plain operand
  double masked = 0;    // operand bits that are masked or inverted on their way into an adder
  int planes = 1;
};

LaneOperands lane_operands(const ComputeStage& stage) {
  LaneOperands operands;
  const auto repeat = [&](std::int64_t count, int bits) {
    operands.widths.insert(operands.widths.end(), static_cast<std::size_t>(count), bits);
  };
  const int left = signed_bits(stage.left), right = signed_bits(stage.right);
  if (stage.head != HeadKind::kDot) {
    repeat(stage.simd, left);
  } else if (stage.dsp || !stage.weights) {
    repeat(stage.simd, left + right);
  } else if (is_bipolar(stage.left) && is_bipolar(stage.right)) {
    repeat(stage.simd, 1);
  } else if (is_bipolar(stage.left) || is_bipolar(stage.right)) {
    const int bits = is_bipolar(stage.right) ? left : right;
    repeat(stage.simd, bits);
    operands.masked = static_cast<double>(stage.simd) * bits;
  } else if (product_operands(stage) == 1) {
    const int bits = stage.left.bits() + stage.right.bits();
    repeat(stage.simd, bits);
    operands.products = static_cast<double>(stage.simd) * bits;
  } else {
    const bool by_right = stage.right.bits() <= stage.left.bits();
    const int bits = by_right ? left : right;
    const int planes = by_right ? stage.right.bits() : stage.left.bits();
    for (std::int64_t lane = 0; lane < stage.simd; ++lane)
      for (int i = 0; i < planes; ++i) operands.widths.push_back(bits + i);
    operands.masked = static_cast<double>(stage.simd * planes) * bits;
    operands.planes = planes;
  }
  // Single bits are counted six at a time.
  if (stage.head == HeadKind::kDot && !operands.widths.empty() && operands.widths[0] == 1 &&
      operands.widths.size() >= 3) {
    const std::size_t groups = (operands.widths.size() + 5) / 6;
    operands.products += 3 * static_cast<double>(groups);
    operands.widths.assign(groups, 4);
  }
  return operands;
}

struct Tree {
  double adder_bits = 0, register_bits = 0;
  int result_bits = 0;
};

Tree tree_of(const ComputeStage& stage, std::vector<int> widths) {
  Tree tree;
  const int registers = head_depth(stage) - 1;
  int level = 0, placed = stage.head == HeadKind::kDot && (stage.dsp || !stage.weights) ? 1 : 0;
  while (widths.size() > 1 || placed < registers) {
    std::vector<int> next;
    for (std::size_t i = 0; i < widths.size(); i += 2) {
      if (i + 1 == widths.size()) {
        next.push_back(widths[i]);
        continue;
      }
      const int grown = stage.head == HeadKind::kGreatest ? 0 : 1;
      next.push_back(std::max(widths[i], widths[i + 1]) + grown);
      tree.adder_bits += next.back();
    }
    widths = std::move(next);
    ++level;
    if (placed < registers && (level % kTreeLevelsPerRegister == 0 || widths.size() == 1)) {
      tree.register_bits += std::accumulate(widths.begin(), widths.end(), 0);
      ++placed;
    }
  }
  tree.result_bits = widths.front();
  return tree;
}

}  // namespace

std::string lane_form(const ComputeStage& stage) {
  switch (stage.head) {
    case HeadKind::kDot: return stage.dsp ? "dot_dsp" : stage.weights ? "dot" : "dot_streams";
    case HeadKind::kSum: return "sum";
    case HeadKind::kGreatest: return "greatest";
    case HeadKind::kArgMax: return "argmax";
    default: throw InternalError("a head without a lane");
  }
}

FeatureAmounts lane_features(const ComputeStage& stage) {
  const LaneOperands operands = lane_operands(stage);
  const Tree tree = tree_of(stage, operands.widths);
  const double result = stage.result.bits();
  FeatureAmounts features{{"one", 1}};
  switch (stage.head) {
    case HeadKind::kDot:
      features["adders"] = tree.adder_bits;
      features["accumulator"] = stage.steps > 1 || stage.weights ? result : 0;
      if (stage.dsp || !stage.weights) {
        // Yosys leaves small products to logic also where DSP blocks are asked for.
        const int left = signed_bits(stage.left), right = signed_bits(stage.right);
        const bool logic = !stage.dsp || lane_dsps(stage) == 0;
        features["products"] =
            logic ? static_cast<double>(stage.simd) * (left + right) * (std::min(left, right) - 1)
                  : 0;
        break;
      }
      features["products"] = operands.products;
      features["masked"] = operands.masked;
      break;
    case HeadKind::kSum:
      features["adders"] = tree.adder_bits;
      features["accumulator"] = stage.steps > 1 ? result : 0;
      break;
    case HeadKind::kGreatest:
      features["choices"] = tree.adder_bits + (stage.steps > 1 ? tree.result_bits : 0);
      break;
    default: features["choices"] = stage.steps > 1 ? tree.result_bits : 0;
  }
  return features;
}

double lane_registers(const ComputeStage& stage) {
  const LaneOperands operands = lane_operands(stage);
  const Tree tree = tree_of(stage, operands.widths);
  double registers = tree.register_bits;
  switch (stage.head) {
    case HeadKind::kGreatest: return registers + tree.result_bits;
    case HeadKind::kArgMax:
      return registers + (stage.steps > 1 ? tree.result_bits + stage.result.bits() : 0);
    default: break;
  }
  // Products of DSP blocks are registered inside of them.
  if (stage.head == HeadKind::kDot && (stage.dsp || !stage.weights) && lane_dsps(stage) == 0)
    registers +=
        static_cast<double>(stage.simd) * (signed_bits(stage.left) + signed_bits(stage.right));
  return registers + (is_bipolar(stage.result) ? 2 : stage.result.bits());
}

double lane_dsps(const ComputeStage& stage) {
  if (!stage.dsp || stage.head != HeadKind::kDot) return 0;
  return static_cast<double>(stage.simd) *
         dsps_of(signed_bits(stage.left), signed_bits(stage.right));
}

FeatureAmounts pair_features(const ComputeStage& stage) {
  const int left = signed_bits(stage.left), right = signed_bits(stage.right);
  const double bits = std::max({left, right, signed_bits(stage.result)});
  switch (stage.head) {
    case HeadKind::kAdd:
    case HeadKind::kSubtract: return {{"adders", stage.result.bits()}};
    case HeadKind::kMax:
    case HeadKind::kMin: return {{"choices", bits}};
    case HeadKind::kMultiply:
      if (stage.dsp) return {};
      return {{"products", bits * (std::min(left, right) - 1)}};
    default: throw InternalError("no head of two streams");
  }
}

double pair_registers(const ComputeStage& stage) {
  const double result = stage.result.bits();
  if (stage.head != HeadKind::kMultiply) return result;
  const double product =
      std::max({signed_bits(stage.left), signed_bits(stage.right), signed_bits(stage.result)});
  return stage.dsp ? result : result + product;
}

std::string map_form(const MapOp& map) {
  switch (map.kind) {
    case MapKind::kRescale: return "rescale";
    case MapKind::kClamp: return "clamp";
    case MapKind::kTable: return "table";
    case MapKind::kThreshold: return "threshold";
    case MapKind::kMax:
    case MapKind::kMin: return "limit";
    case MapKind::kMultiply: return "scale";
    default: return "offset";
  }
}

namespace {

// Nonzero digits of a constant in canonical signed form: one shifted copy each.
int signed_digits(std::int64_t value) {
  int digits = 0;
  Int128 rest = value;
  for (; rest != 0; rest >>= 1) {
    if ((rest & 1) == 0) continue;
    rest -= (rest & 3) == 3 ? -1 : 1;
    ++digits;
  }
  return digits;
}

bool uses_dsp(const MapOp& map) {
  if (!map.dsp || (map.kind != MapKind::kRescale && map.kind != MapKind::kMultiply)) return false;
  return !map.operand.all_equal() || signed_digits(map.operand.values[0]) > 1;
}

struct ProductShape {
  int factor_bits = 0, sum_bits = 0;
  // Of the shifted copies of the operand: those that a constant has a digit for, or one for every
  // bit of a factor that differs between elements.
  double constant_bits = 0, factor_copies = 0;
};

ProductShape product_shape(const MapOp& map) {
  ProductShape shape{};
  const std::int64_t low = map.operand.least(), high = map.operand.greatest();
  shape.factor_bits = range_bits(low, high);
  const int x = signed_bits(map.in);
  shape.sum_bits = x + shape.factor_bits;
  if (uses_dsp(map) && dsps_of(x, shape.factor_bits) > 0) return shape;
  if (map.operand.all_equal()) {
    shape.constant_bits = static_cast<double>(std::max(0, signed_digits(low) - 1)) * shape.sum_bits;
  } else {
    shape.factor_copies = static_cast<double>(std::min(x, shape.factor_bits) - 1) *
                          (std::max(x, shape.factor_bits) + 2);
  }
  return shape;
}

FeatureAmounts rescale_features(const MapOp& map) {
  const ProductShape product = product_shape(map);
  FeatureAmounts features{
      {"one", 1}, {"products", product.constant_bits}, {"factors", product.factor_copies}};
  const bool plain_addend = map.addend.all_equal() && map.addend.values[0] == 0;
  const bool by_addend = map.rounding == Rounding::kFloor || map.rounding == Rounding::kHalfUp ||
                         map.rounding == Rounding::kHalfDown || map.rounding == Rounding::kCeiling;
  features["sum"] = plain_addend && map.rounding == Rounding::kFloor ? 0 : product.sum_bits;
  const auto shift = static_cast<double>(map.shift.greatest());
  const double kept = std::max(1.0, product.sum_bits - shift);
  features["rounding"] = by_addend || shift == 0 ? 0 : kept + shift / 5;
  if (!map.shift.all_equal()) {
    features["shifter"] = product.sum_bits * range_bits(0, map.shift.greatest());
    features["rounding"] = 2 * product.sum_bits;
  }
  const bool fits = map.overflow == Overflow::kWrap || kept <= map.out.bits();
  features["overflow"] = fits ? 0 : map.out.bits() + (kept - map.out.bits()) / 3;
  return features;
}

// Look-up tables of the memories of thresholds, level by level as the emitter lays them out. What
// a few address bits choose becomes part of the comparison: `chosen` counts such bits.
struct ThresholdMemories {
  double limits = 0, chosen = 0;
};

ThresholdMemories threshold_memories(const MapOp& map) {
  constexpr std::size_t kFewWords = 16;
  const int levels = map_depth(map), bits = signed_bits(map.in) + 1;
  const auto count = static_cast<std::int64_t>(map.rows.front().size());
  const std::int64_t never = map.input.max + 1;
  ThresholdMemories memories;
  for (int level = 0; level < levels; ++level) {
    const std::int64_t span = std::int64_t{1} << (levels - 1 - level);
    std::vector<std::int64_t> words;
    for (const auto& row : map.rows) {
      for (std::int64_t prefix = 0; prefix < std::int64_t{1} << level; ++prefix) {
        const std::int64_t at = prefix * 2 * span + span - 1;
        words.push_back(at >= count
                            ? never
                            : std::clamp(row[static_cast<std::size_t>(at)], map.input.min, never));
      }
    }
    if (words.size() <= 1) continue;
    Columns columns(static_cast<std::int64_t>(words.size()));
    columns.append(words, bits);
    if (words.size() <= kFewWords) {
      memories.chosen += columns.distinct();
    } else {
      memories.limits += columns.distinct() * table_luts(static_cast<std::int64_t>(words.size()));
    }
  }
  return memories;
}

FeatureAmounts table_features(const MapOp& map) {
  const std::int64_t codes = std::int64_t{1} << map.in.bits();
  const std::int64_t words = static_cast<std::int64_t>(map.rows.size()) * codes;
  if (table_in_block_ram(map)) return {{"one", 1}};
  Columns columns(words);
  std::vector<std::int64_t> values;
  const std::int64_t least = map.in.integer_range().min;
  for (const auto& row : map.rows)
    for (std::int64_t code = 0; code < codes; ++code)
      values.push_back(row[static_cast<std::size_t>(
          map.in.integer_of(static_cast<std::uint64_t>(code)) - least)]);
  columns.append(values, map.out.bits());
  return {{"one", 1}, {"table", columns.distinct() * table_luts(words)}};
}

}  // namespace

FeatureAmounts map_features(const MapOp& map) {
  const double in = signed_bits(map.in), out = map.out.bits();
  switch (map.kind) {
    case MapKind::kRescale: return rescale_features(map);
    case MapKind::kTable: return table_features(map);
    case MapKind::kClamp: {
      const int sides = (map.low > map.input.min ? 1 : 0) + (map.high < map.input.max ? 1 : 0);
      return {{"one", 1}, {"compare", sides * in}, {"choice", sides > 0 ? out : 0}};
    }
    case MapKind::kThreshold: {
      const ThresholdMemories memories = threshold_memories(map);
      return {{"one", 1},
              {"compare", map_depth(map) * (in + 1)},
              {"limits", memories.limits},
              {"chosen", memories.chosen}};
    }
    case MapKind::kMultiply: {
      const ProductShape product = product_shape(map);
      return {{"one", 1}, {"products", product.constant_bits}, {"factors", product.factor_copies}};
    }
    case MapKind::kMax:
    case MapKind::kMin: return {{"one", 1}, {"compare", in}, {"choice", out}};
    default: return {{"one", 1}, {"adders", out}};
  }
}

double map_table_bits(const MapOp& map) {
  const auto rows = static_cast<std::int64_t>(map.rows.size());
  if (map.kind == MapKind::kTable)
    return static_cast<double>(rows << map.in.bits()) * map.out.bits();
  if (map.kind != MapKind::kThreshold) return 0;
  double words = 0;
  for (int level = 0; level < map_depth(map); ++level)
    if (rows << level > 1) words += static_cast<double>(rows << level);
  return words * (signed_bits(map.in) + 1);
}

double map_registers(const MapOp& map) {
  double registers = map.out.bits();
  if (map.kind == MapKind::kClamp) return 0;
  if (map.kind == MapKind::kTable) return table_in_block_ram(map) ? 0 : registers;
  if (map.kind == MapKind::kRescale && map_depth(map) == 2) {
    registers += product_shape(map).sum_bits;
    if (!map.shift.all_equal()) registers += counter_bits(map.shift.greatest());
  }
  if (map.kind == MapKind::kThreshold) {
    const int levels = map_depth(map);
    registers = levels * (levels + 1) / 2.0 + (levels - 1) * signed_bits(map.in);
    if (map.rows.size() > 1)
      registers += (levels - 1) * counter_bits(static_cast<std::int64_t>(map.rows.size()) - 1);
  }
  return registers;
}

double map_dsps(const MapOp& map) {
  return uses_dsp(map) ? dsps_of(signed_bits(map.in), product_shape(map).factor_bits) : 0;
}

double map_block_rams(const MapOp& map) {
  if (!table_in_block_ram(map)) return 0;
  return rom_block_rams_of(static_cast<std::int64_t>(map.rows.size()) << map.in.bits(),
                           map.out.bits());
}

}  // namespace tandem
