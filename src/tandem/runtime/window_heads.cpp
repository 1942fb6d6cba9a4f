#include <algorithm>

#include "tandem/kernels/integer_lanes.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/window.h"
#include "tandem/runtime/step_program.h"

namespace tandem {
namespace {

// Results that join runs of elements: pools and reductions. Pixel p of the result is the join of
// the runs that start at runs[first[p]], ..., each as long as the pixel.
struct RunLists {
  std::int64_t length = 1;
  std::vector<std::int64_t> first, runs;
};

RunLists pool_lists(const NodeView& node) {
  const Window window = window_of(node, node.integers("kernel"));
  const Shape shape = node.input(0).static_shape();
  const std::vector<std::int64_t> spatial(shape.begin() + 1, shape.end() - 1);
  const std::int64_t channels = shape.back();
  std::int64_t pixels = 1, positions = 1;
  for (const std::int64_t extent : window.output_extents(spatial)) pixels *= extent;
  for (const std::int64_t extent : spatial) positions *= extent;
  std::vector<std::vector<std::int64_t>> of_pixel(static_cast<std::size_t>(shape[0] * pixels));
  for (std::int64_t n = 0; n < shape[0]; ++n) {
    for_each_window_element(window, spatial,
                            [&](std::int64_t pixel, std::int64_t, std::int64_t position) {
                              if (position < 0) return;
                              of_pixel[static_cast<std::size_t>(n * pixels + pixel)].push_back(
                                  (n * positions + position) * channels);
                            });
  }
  RunLists lists{channels, {0}, {}};
  for (const auto& runs : of_pixel) {
    lists.runs.insert(lists.runs.end(), runs.begin(), runs.end());
    lists.first.push_back(static_cast<std::int64_t>(lists.runs.size()));
  }
  return lists;
}

RunLists reduction_lists(const NodeView& node) {
  const Shape from = node.input(0).static_shape();
  Shape to = from;
  for (const std::int64_t axis : node.integers("axes")) to[static_cast<std::size_t>(axis)] = 1;
  // The trailing axes that stay form the run.
  RunLists lists{1, {0}, {}};
  std::size_t rank = from.size();
  while (rank > 0 && to[rank - 1] == from[rank - 1]) lists.length *= from[--rank];
  Shape outer(from.begin(), from.begin() + static_cast<std::ptrdiff_t>(rank));
  Shape pixels(to.begin(), to.begin() + static_cast<std::ptrdiff_t>(rank));
  std::vector<std::vector<std::int64_t>> of_pixel(static_cast<std::size_t>(element_count(pixels)));
  const auto pixel_of = broadcast_offsets(pixels, outer);
  for (std::size_t i = 0; i < pixel_of.size(); ++i) {
    of_pixel[static_cast<std::size_t>(pixel_of[i])].push_back(static_cast<std::int64_t>(i) *
                                                              lists.length);
  }
  for (const auto& runs : of_pixel) {
    lists.runs.insert(lists.runs.end(), runs.begin(), runs.end());
    lists.first.push_back(static_cast<std::int64_t>(lists.runs.size()));
  }
  return lists;
}

template <typename Lane>
class JoinHead final : public Head<Lane> {
 public:
  JoinHead(const NodeView& node, LaneOp op, RunLists lists)
      : op_(op),
        lists_(std::move(lists)),
        value_(node.node.inputs[0]),
        storage_(node.input(0).format.storage()) {
    consecutive_ = lists_.length == 1;
    for (std::size_t p = 0; p + 1 < lists_.first.size() && consecutive_; ++p) {
      for (std::int64_t r = lists_.first[p] + 1; r < lists_.first[p + 1]; ++r)
        consecutive_ = consecutive_ && run(r) == run(r - 1) + 1;
    }
  }
  std::int64_t granularity() const override { return lists_.length; }
  void produce(const Places& places, Scratch& scratch, std::int64_t begin, std::int64_t count,
               Lane* to) const override {
    const std::int64_t length = lists_.length;
    for (std::int64_t pixel = begin / length; pixel * length < begin + count; ++pixel)
      join(places.read[value_], scratch, static_cast<std::size_t>(pixel),
           to + pixel * length - begin);
  }

 private:
  std::int64_t run(std::int64_t index) const {
    return lists_.runs[static_cast<std::size_t>(index)];
  }
  void join(const std::byte* from, Scratch& scratch, std::size_t pixel, Lane* to) const {
    const auto bytes = static_cast<std::int64_t>(storage_bytes(storage_));
    const std::int64_t first = lists_.first[pixel], last = lists_.first[pixel + 1];
    if (consecutive_) {
      Lane* lanes = scratch.take<Lane>(kOperandSlot, last - first);
      load_lanes(storage_, from + run(first) * bytes, last - first, lanes);
      *to = reduce_lanes(op_, lanes + 1, last - first - 1, lanes[0]);
      return;
    }
    Lane* lanes = scratch.take<Lane>(kOperandSlot, lists_.length);
    load_lanes(storage_, from + run(first) * bytes, lists_.length, to);
    for (std::int64_t r = first + 1; r < last; ++r) {
      load_lanes(storage_, from + run(r) * bytes, lists_.length, lanes);
      combine_lanes(op_, to, lanes, lists_.length, to);
    }
  }

  LaneOp op_;
  RunLists lists_;
  ValueId value_;
  Storage storage_;
  bool consecutive_ = false;  // single elements that lie side by side
};

template <typename Lane>
class ArgMaxHead final : public Head<Lane> {
 public:
  explicit ArgMaxHead(const NodeView& node)
      : split_(
            split_at(node.input(0).static_shape(), static_cast<std::size_t>(node.integer("axis")))),
        last_(node.integer("select_last") != 0),
        value_(node.node.inputs[0]),
        storage_(node.input(0).format.storage()) {}
  void produce(const Places& places, Scratch& scratch, std::int64_t begin, std::int64_t count,
               Lane* to) const override {
    const auto bytes = static_cast<std::int64_t>(storage_bytes(storage_));
    const std::int64_t block = split_.extent * split_.inner;
    Lane* x = scratch.take<Lane>(kOperandSlot, block);
    std::int64_t loaded = -1;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t outer = (begin + i) / split_.inner, n = (begin + i) % split_.inner;
      if (outer != loaded)
        load_lanes(storage_, places.read[value_] + outer * block * bytes, block, x);
      loaded = outer;
      std::int64_t best = 0;
      for (std::int64_t k = 1; k < split_.extent; ++k) {
        const Lane value = x[k * split_.inner + n], greatest = x[best * split_.inner + n];
        if (value > greatest || (last_ && value == greatest)) best = k;
      }
      to[i] = static_cast<Lane>(best);
    }
  }

 private:
  AxisSplit split_;
  bool last_;
  ValueId value_;
  Storage storage_;
};

}  // namespace

template <typename Lane>
std::unique_ptr<Head<Lane>> make_window_head(const NodeView& node) {
  const std::string_view op = node.node.op->name();
  if (op == "IntArgMax") return std::make_unique<ArgMaxHead<Lane>>(node);
  const bool adds = op == "IntSum" || op == "IntSumPool";
  const bool pools = op == "IntSumPool" || op == "IntMaxPool";
  ensure(pools || op == "IntSum" || op == "IntReduceMax", concat("no window head for ", op));
  return std::make_unique<JoinHead<Lane>>(node, adds ? LaneOp::kAdd : LaneOp::kMax,
                                          pools ? pool_lists(node) : reduction_lists(node));
}

template std::unique_ptr<Head<std::int32_t>> make_window_head(const NodeView&);
template std::unique_ptr<Head<std::int64_t>> make_window_head(const NodeView&);

}  // namespace tandem
