#include <type_traits>

#include "tandem/kernels/integer_lanes.h"
#include "tandem/runtime/periodic.h"
#include "tandem/runtime/step_program.h"

namespace tandem {
namespace {

template <typename Lane>
class ClampFollower final : public Follower<Lane> {
 public:
  explicit ClampFollower(const NodeView& node)
      : low_(node.integer("min")), high_(node.integer("max")) {}
  void apply(const Places&, Scratch&, std::int64_t, std::int64_t count, Lane* x) const override {
    clamp_lanes(low_, high_, count, x);
  }

 private:
  std::int64_t low_, high_;
};

template <typename Lane>
class SquareRootFollower final : public Follower<Lane> {
 public:
  void apply(const Places&, Scratch&, std::int64_t, std::int64_t count, Lane* x) const override {
    square_root_lanes(count, x);
  }
};

template <typename Lane>
class RescaleFollower final : public Follower<Lane> {
 public:
  explicit RescaleFollower(const NodeView& node) {
    const Format format = node.format("format");
    mode_ = {parse_rounding(node.string("rounding")), parse_overflow(node.string("overflow")),
             format.bits(), format.is_signed()};
    const Shape shape = node.input(0).static_shape();
    for (std::size_t i = 1; i <= 3; ++i)
      period_ = std::max(period_, broadcast_period(node.constant(i)->shape(), shape));
    period_ = comfortable_period(period_, element_count(shape));
    multiplier_ = expanded_constant<Lane>(*node.constant(1), shape, period_);
    addend_ = expanded_constant<std::int64_t>(*node.constant(2), shape, period_);
    shift_ = expanded_constant<std::int64_t>(*node.constant(3), shape, period_);
    for (const std::int64_t shift : shift_) {
      const RoundingTerms terms = rounding_terms(mode_.rounding, static_cast<int>(shift));
      plain_.push_back(terms.plain);
      correction_.push_back(terms.correction);
    }
  }
  void apply(const Places&, Scratch&, std::int64_t begin, std::int64_t count,
             Lane* x) const override {
    for_each_period(
        period_, begin, count, [&](std::int64_t done, std::int64_t phase, std::int64_t now) {
          const RescaleLanes<Lane> constants{multiplier_.data() + phase, addend_.data() + phase,
                                             shift_.data() + phase, plain_.data() + phase,
                                             correction_.data() + phase};
          rescale_lanes(mode_, constants, now, x + done);
        });
  }

 private:
  RescaleMode mode_;
  std::int64_t period_ = 1;
  std::vector<Lane> multiplier_;
  std::vector<std::int64_t> addend_, shift_, plain_, correction_;
};

// Offsets of the rows of a constant with one more, last, axis: of every element in a period.
// Empty where there is one row.
std::vector<std::int64_t> row_offsets(const Tensor& constant, const Shape& to,
                                      std::int64_t& period) {
  Shape rows = constant.shape();
  const std::int64_t length = rows.back();
  rows.pop_back();
  if (element_count(rows) == 1) return {};
  const std::int64_t own = broadcast_period(rows, to);
  period = comfortable_period(own, element_count(to));
  const auto offsets = broadcast_offsets(rows, to);
  std::vector<std::int64_t> result;
  for (std::int64_t i = 0; i < period; ++i)
    result.push_back(offsets[static_cast<std::size_t>(i % own)] * length);
  return result;
}

template <typename Lane>
std::vector<Lane> integers_as(const Tensor& constant) {
  std::vector<Lane> result;
  for (const std::int64_t integer : constant.to_integers())
    result.push_back(static_cast<Lane>(integer));
  return result;
}

template <typename Lane>
class TableFollower final : public Follower<Lane> {
 public:
  explicit TableFollower(const NodeView& node)
      : least_(node.input(0).format.integer_range().min),
        rows_(row_offsets(*node.constant(1), node.input(0).static_shape(), period_)),
        table_(integers_as<Lane>(*node.constant(1))) {}
  void apply(const Places&, Scratch&, std::int64_t begin, std::int64_t count,
             Lane* x) const override {
    if (rows_.empty()) return table_lanes<Lane>(table_.data(), nullptr, least_, count, x);
    for_each_period(period_, begin, count,
                    [&](std::int64_t done, std::int64_t phase, std::int64_t now) {
                      table_lanes(table_.data(), rows_.data() + phase, least_, now, x + done);
                    });
  }

 private:
  std::int64_t least_, period_ = 1;
  std::vector<std::int64_t> rows_;
  std::vector<Lane> table_;
};

template <typename Lane>
class ThresholdFollower final : public Follower<Lane> {
 public:
  explicit ThresholdFollower(const NodeView& node)
      : base_(node.integer("base")),
        step_(node.integer("step")),
        levels_(node.constant(1)->shape().back()) {
    const Tensor& constant = *node.constant(1);
    const Shape shape = node.input(0).static_shape();
    const std::vector<std::int64_t> rows = row_offsets(constant, shape, period_);
    const auto thresholds = integers_as<Lane>(constant);
    if (levels_ > kFewLevels) {
      rows_ = rows;
      thresholds_ = thresholds;
      return;
    }
    if (rows.empty()) period_ = comfortable_period(1, element_count(shape));
    for (std::int64_t level = 0; level < levels_; ++level) {
      for (std::int64_t i = 0; i < period_; ++i) {
        const std::int64_t row = rows.empty() ? 0 : rows[static_cast<std::size_t>(i)];
        thresholds_.push_back(thresholds[static_cast<std::size_t>(row + level)]);
      }
    }
  }
  void apply(const Places&, Scratch&, std::int64_t begin, std::int64_t count,
             Lane* x) const override {
    if (levels_ > kFewLevels && rows_.empty()) {
      return search_levels<Lane>(thresholds_.data(), nullptr, levels_, base_, step_, count, x);
    }
    for_each_period(
        period_, begin, count, [&](std::int64_t done, std::int64_t phase, std::int64_t now) {
          if (levels_ > kFewLevels) {
            search_levels(thresholds_.data(), rows_.data() + phase, levels_, base_, step_, now,
                          x + done);
          } else {
            count_levels(thresholds_.data() + phase, levels_, period_, base_, step_, now, x + done);
          }
        });
  }

 private:
  // Up to so many thresholds, comparing with all of them (eight lanes at a time) is faster than
  // searching.
  static constexpr std::int64_t kFewLevels = 32;
  std::int64_t base_, step_, levels_, period_ = 1;
  std::vector<std::int64_t> rows_;  // of the search
  std::vector<Lane> thresholds_;    // [levels][period] of the count, as they are for the search
};

// x op other, or other op x where the lead is the right operand.
template <typename Lane>
class BinaryFollower final : public Follower<Lane> {
 public:
  BinaryFollower(const NodeView& node, std::size_t lead) : lead_is_left_(lead == 0) {
    const std::string_view op = node.node.op->name();
    divides_ = op == "IntDiv";
    if (divides_) rounding_ = parse_rounding(node.string("rounding"));
    op_ = op == "IntAdd"   ? LaneOp::kAdd
          : op == "IntSub" ? LaneOp::kSubtract
          : op == "IntMul" ? LaneOp::kMultiply
          : op == "IntMax" ? LaneOp::kMax
                           : LaneOp::kMin;
    const std::size_t other = 1 - lead;
    const Shape to = node.graph.values[node.node.outputs[0]].type.static_shape();
    const Shape from = node.input(other).static_shape();
    period_ = broadcast_period(from, to);
    if (const Tensor* constant = node.constant(other)) {
      period_ = comfortable_period(period_, element_count(to));
      constant_ = expanded_constant<Lane>(*constant, to, period_);
      return;
    }
    value_ = node.node.inputs[other];
    storage_ = node.input(other).format.storage();
    if (element_count(from) == period_) return;  // contiguous within its period
    const auto offsets = broadcast_offsets(from, to);
    offsets_.assign(offsets.begin(), offsets.begin() + period_);
  }
  void apply(const Places& places, Scratch& scratch, std::int64_t begin, std::int64_t count,
             Lane* x) const override {
    for_each_period(period_, begin, count,
                    [&](std::int64_t done, std::int64_t phase, std::int64_t now) {
                      join(other(places, scratch, phase, now), now, x + done);
                    });
  }

 private:
  const Lane* other(const Places& places, Scratch& scratch, std::int64_t phase,
                    std::int64_t count) const {
    if (value_ == kNone) return constant_.data() + phase;
    Lane* lanes = scratch.take<Lane>(kOperandSlot, count);
    const std::byte* from = places.read[value_];
    const auto bytes = static_cast<std::int64_t>(storage_bytes(storage_));
    if (offsets_.empty()) {
      load_lanes(storage_, from + phase * bytes, count, lanes);
    } else {
      for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t at = offsets_[static_cast<std::size_t>(phase + i)];
        load_lanes(storage_, from + at * bytes, 1, lanes + i);
      }
    }
    return lanes;
  }
  void join(const Lane* other, std::int64_t count, Lane* x) const {
    const Lane* left = lead_is_left_ ? x : other;
    const Lane* right = lead_is_left_ ? other : x;
    if (divides_) return divide_lanes(left, right, count, rounding_, x);
    combine_lanes(op_, left, right, count, x);
  }

  bool lead_is_left_, divides_ = false;
  LaneOp op_ = LaneOp::kAdd;
  Rounding rounding_ = Rounding::kHalfEven;
  std::int64_t period_ = 1;
  std::vector<Lane> constant_;
  ValueId value_ = kNone;  // of a computed operand
  Storage storage_ = Storage::kI8;
  std::vector<std::int64_t> offsets_;  // empty: the operand repeats as it lies
};

}  // namespace

template <typename Lane>
std::unique_ptr<Follower<Lane>> make_follower(const NodeView& node, std::size_t lead) {
  const std::string_view op = node.node.op->name();
  if (op == "Clamp") return std::make_unique<ClampFollower<Lane>>(node);
  if (op == "IntSqrt") return std::make_unique<SquareRootFollower<Lane>>();
  if (op == "Rescale") return std::make_unique<RescaleFollower<Lane>>(node);
  if (op == "Table") return std::make_unique<TableFollower<Lane>>(node);
  if (op == "Threshold") return std::make_unique<ThresholdFollower<Lane>>(node);
  ensure(node.input_count() == 2, concat("no follower for ", op));
  return std::make_unique<BinaryFollower<Lane>>(node, lead);
}

template std::unique_ptr<Follower<std::int32_t>> make_follower(const NodeView&, std::size_t);
template std::unique_ptr<Follower<std::int64_t>> make_follower(const NodeView&, std::size_t);

}  // namespace tandem
