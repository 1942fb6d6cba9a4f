#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "tandem/files/onnx_import.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/movement.h"

namespace tandem {
namespace {

// Operators whose results have as many elements as the data say. Types tell shapes, so they are
// evaluated while reading, on constants (or inputs bound to values), and refused on anything else.

using Integers = std::vector<std::int64_t>;

Tensor index_tensor(Shape shape, const Integers& values) {
  return Tensor::from_integers(Format::parse("int64"), std::move(shape), values);
}

void set_constant(OnnxNode& node, std::size_t output, Tensor tensor) {
  if (!node.has_output(output)) return;
  node.charge(tensor.size());
  node.set(output, node.add_constant(std::move(tensor)));
}

constexpr std::string_view kData = "what it selects from";

// Positions [rank, count] of the elements that are not zero, in order.
void non_zero(OnnxNode& node) {
  const Tensor& x = node.required_constant(0, kData);
  const auto values = x.to_reals();
  const auto strides = row_major_strides(x.shape());
  Integers found;
  for (std::size_t i = 0; i < values.size(); ++i)
    if (values[i] != 0) found.push_back(static_cast<std::int64_t>(i));
  Integers positions;
  for (std::size_t d = 0; d < strides.size(); ++d)
    for (const std::int64_t at : found) positions.push_back(at / strides[d] % x.shape()[d]);
  set_constant(node, 0,
               index_tensor({x.rank(), static_cast<std::int64_t>(found.size())}, positions));
}

// The slices of an axis, or the elements, where the condition holds.
void compress(OnnxNode& node) {
  const Tensor& condition = node.required_constant(1, "its condition");
  if (!condition.format().is_boolean() || condition.rank() != 1)
    OnnxNode::refuse("its condition is no list of booleans", "correct the input");
  Integers kept;
  const auto holds = condition.to_integers();
  for (std::size_t i = 0; i < holds.size(); ++i)
    if (holds[i] != 0) kept.push_back(static_cast<std::int64_t>(i));
  ValueId x = node.value(0);
  std::int64_t axis = 0;
  if (node.has_attribute("axis")) {
    axis = node.integer("axis");
  } else {
    Dim count = 1;
    for (const Dim& dim : node.type(0).shape) count = count * dim;
    x = node.reshape(x, {count});
  }
  const auto count = static_cast<std::int64_t>(kept.size());
  const ValueId positions = node.add_constant(index_tensor({count}, kept));
  node.set(0, node.add("Gather", {x, positions}, {{"axis", axis}}));
}

// Rows of equal extent, compared element by element.
struct Rows {
  std::vector<double> values;
  std::size_t width;

  bool before(std::size_t a, std::size_t b) const {
    const double *left = values.data() + a * width, *right = values.data() + b * width;
    return std::lexicographical_compare(left, left + width, right, right + width);
  }
  bool equal(std::size_t a, std::size_t b) const {
    const double *left = values.data() + a * width, *right = values.data() + b * width;
    return std::equal(left, left + width, right);
  }
};

// The distinct rows: where each comes first, its number among the distinct, how often it comes.
struct Distinct {
  Integers first, number, count;
};

Distinct distinct_rows(const Rows& rows, std::size_t count, bool sorted) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return rows.before(a, b); });
  Distinct result;
  result.number.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    if (i == 0 || !rows.equal(order[i - 1], order[i])) {
      result.first.push_back(static_cast<std::int64_t>(order[i]));
      result.count.push_back(0);
    }
    result.number[order[i]] = static_cast<std::int64_t>(result.first.size()) - 1;
    ++result.count.back();
  }
  if (sorted) return result;
  // In the order of their first appearance.
  std::vector<std::size_t> places(result.first.size());
  std::iota(places.begin(), places.end(), std::size_t{0});
  std::sort(places.begin(), places.end(),
            [&](std::size_t a, std::size_t b) { return result.first[a] < result.first[b]; });
  Integers renumbered(places.size());
  Distinct turned;
  for (std::size_t i = 0; i < places.size(); ++i) {
    renumbered[places[i]] = static_cast<std::int64_t>(i);
    turned.first.push_back(result.first[places[i]]);
    turned.count.push_back(result.count[places[i]]);
  }
  for (const std::int64_t number : result.number)
    turned.number.push_back(renumbered[static_cast<std::size_t>(number)]);
  return turned;
}

void unique(OnnxNode& node) {
  Tensor x = node.required_constant(0, kData);
  const auto reals = x.to_reals();
  if (std::any_of(reals.begin(), reals.end(), [](double value) { return std::isnan(value); }))
    OnnxNode::refuse("it has a NaN, which equals nothing", "clean the data");
  const bool flat = !node.has_attribute("axis");
  if (flat) x = x.reshaped({x.size()});
  const std::size_t axis = flat ? 0 : normalized_axis(node.integer("axis"), x.shape().size());
  const Format format = x.format();
  if (format.is_integer() && format.bits() > 53)
    for (const std::int64_t value : x.to_integers())
      if (value > (std::int64_t{1} << 53) || value < -(std::int64_t{1} << 53))
        OnnxNode::refuse("its integers exceed 2^53", "use smaller integers");
  Integers perm(x.shape().size());
  std::iota(perm.begin(), perm.end(), 0);
  std::rotate(perm.begin(), perm.begin() + static_cast<std::ptrdiff_t>(axis),
              perm.begin() + static_cast<std::ptrdiff_t>(axis) + 1);
  const auto count = static_cast<std::size_t>(x.shape()[axis]);
  const Rows rows{transposed_tensor(x, perm).to_reals(),
                  count == 0 ? 1 : static_cast<std::size_t>(x.size()) / count};
  const Distinct found = distinct_rows(rows, count, node.integer("sorted", 1) != 0);
  const auto kinds = static_cast<std::int64_t>(found.first.size());
  const ValueId positions = node.add_constant(index_tensor({kinds}, found.first));
  node.set(0, node.add("Gather", {node.add_constant(x), positions},
                       {{"axis", static_cast<std::int64_t>(axis)}}));
  set_constant(node, 1, index_tensor({kinds}, found.first));
  set_constant(node, 2, index_tensor({static_cast<std::int64_t>(count)}, found.number));
  set_constant(node, 3, index_tensor({kinds}, found.count));
}

// ---- NonMaxSuppression ----

struct Box {
  double left, top, right, bottom;
  double area() const { return (right - left) * (bottom - top); }
};

Box box_of(const double* corners, bool is_centered) {
  if (is_centered) {
    const double half_width = corners[2] / 2, half_height = corners[3] / 2;
    return {corners[0] - half_width, corners[1] - half_height, corners[0] + half_width,
            corners[1] + half_height};
  }
  return {std::min(corners[1], corners[3]), std::min(corners[0], corners[2]),
          std::max(corners[1], corners[3]), std::max(corners[0], corners[2])};
}

double overlap(const Box& a, const Box& b) {
  const double width = std::min(a.right, b.right) - std::max(a.left, b.left);
  const double height = std::min(a.bottom, b.bottom) - std::max(a.top, b.top);
  if (width <= 0 || height <= 0 || a.area() <= 0 || b.area() <= 0) return 0;
  return width * height / (a.area() + b.area() - width * height);
}

struct Suppression {
  std::int64_t most = 0;
  double overlap = 0;
  std::optional<double> least_score;
};

// The boxes kept of one class, the best first.
std::vector<std::size_t> kept_boxes(const std::vector<Box>& boxes, const double* scores,
                                    const Suppression& rule) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < boxes.size(); ++i)
    if (!rule.least_score || scores[i] > *rule.least_score) order.push_back(i);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  std::vector<std::size_t> kept;
  for (const std::size_t candidate : order) {
    if (static_cast<std::int64_t>(kept.size()) >= rule.most) break;
    const bool hidden = std::any_of(kept.begin(), kept.end(), [&](std::size_t other) {
      return overlap(boxes[candidate], boxes[other]) > rule.overlap;
    });
    if (!hidden) kept.push_back(candidate);
  }
  return kept;
}

// Rows (image, class, box) of [selected,3].
void non_max_suppression(OnnxNode& node) {
  const Tensor& boxes = node.required_constant(0, "its list of boxes");
  const Tensor& scores = node.required_constant(1, "its list of scores");
  const Shape &b = boxes.shape(), &s = scores.shape();
  if (b.size() != 3 || s.size() != 3 || b[2] != 4 || s[0] != b[0] || s[2] != b[1])
    OnnxNode::refuse("its boxes and scores are not [N,boxes,4] and [N,classes,boxes]",
                     "correct the inputs");
  const auto corners = boxes.to_reals(), values = scores.to_reals();
  const auto no_number = [](double value) { return std::isnan(value); };
  if (std::any_of(corners.begin(), corners.end(), no_number) ||
      std::any_of(values.begin(), values.end(), no_number)) {
    OnnxNode::refuse("a box or score is NaN", "clean the data");
  }
  Suppression rule;
  if (node.has(2)) {
    const double most = node.scalar(2, "its number of boxes");
    rule.most = static_cast<std::int64_t>(std::clamp(most, 0.0, static_cast<double>(b[1])));
  }
  if (node.has(3)) rule.overlap = node.scalar(3, "its iou_threshold");
  if (node.has(4)) rule.least_score = node.scalar(4, "its score_threshold");
  const bool is_centered = node.integer("center_point_box", 0) != 0;
  Integers selected;
  for (std::int64_t image = 0; image < b[0]; ++image) {
    std::vector<Box> of_image;
    for (std::int64_t i = 0; i < b[1]; ++i)
      of_image.push_back(box_of(corners.data() + (image * b[1] + i) * 4, is_centered));
    for (std::int64_t kind = 0; kind < s[1]; ++kind)
      for (const std::size_t box :
           kept_boxes(of_image, values.data() + (image * s[1] + kind) * s[2], rule))
        selected.insert(selected.end(), {image, kind, static_cast<std::int64_t>(box)});
  }
  const auto count = static_cast<std::int64_t>(selected.size()) / 3;
  set_constant(node, 0, index_tensor({count, 3}, selected));
}

// ---- Range ----

// start, start + delta, ... before limit: max(ceil((limit - start) / delta), 0) of them.
void range(OnnxNode& node) {
  const double start = node.scalar(0, "its start"), limit = node.scalar(1, "its limit");
  const double delta = node.scalar(2, "its delta");
  const Format format = node.type(0).format;
  if (node.type(1).format != format || node.type(2).format != format)
    OnnxNode::refuse("its start, limit and delta differ in type", "correct the inputs");
  if (delta == 0 || !std::isfinite((limit - start) / delta))
    OnnxNode::refuse(concat("it goes from ", start, " to ", limit, " by ", delta),
                     "give it a step that is not 0");
  const double count = std::max(std::ceil((limit - start) / delta), 0.0);
  constexpr double kMost = 1 << 24;
  if (count > kMost) OnnxNode::refuse(concat("it makes ", count, " elements"), "make fewer");
  node.charge(static_cast<std::int64_t>(count));
  const Shape shape = {static_cast<std::int64_t>(count)};
  if (format.is_integer()) {
    const std::int64_t first = node.required_constant(0, "its start").integer(0);
    const std::int64_t step = node.required_constant(2, "its delta").integer(0);
    Integers values;
    std::uint64_t value = static_cast<std::uint64_t>(first);  // the next one may be out of range
    for (std::int64_t i = 0; i < shape[0]; ++i, value += static_cast<std::uint64_t>(step))
      values.push_back(static_cast<std::int64_t>(value));
    return node.set(0, node.add_constant(Tensor::from_integers(format, shape, values)));
  }
  std::vector<double> values;
  for (std::int64_t i = 0; i < shape[0]; ++i)
    values.push_back(start + static_cast<double>(i) * delta);
  node.set(0, node.add_constant(Tensor::from_reals(format, shape, values)));
}

void random_numbers(OnnxNode&) {
  OnnxNode::refuse("it makes random numbers, which no two runs share",
                   "feed them to the network as an input");
}

}  // namespace

void add_selection_handlers(OnnxHandlers& handlers) {
  handlers["NonZero"] = non_zero;
  handlers["Compress"] = compress;
  handlers["Unique"] = unique;
  handlers["NonMaxSuppression"] = non_max_suppression;
  handlers["Range"] = range;
  for (const char* name : {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike",
                           "RandomUniform", "RandomUniformLike"})
    handlers[name] = random_numbers;
}

}  // namespace tandem
