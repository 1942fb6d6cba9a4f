#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "tandem/files/onnx_import.h"
#include "tandem/graph/symbolic.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/movement.h"
#include "tandem/ops/selection.h"

namespace tandem {
namespace {

// Operators whose results have as many elements as the data say. Of constants (or inputs bound to
// values) they are evaluated while reading; else a symbol stands for that number.

using Integers = std::vector<std::int64_t>;
using Strings = std::vector<std::string>;

constexpr std::int64_t kMostSelected = std::int64_t{1} << 40;

Tensor index_tensor(Shape shape, const Integers& values) {
  return Tensor::from_integers(Format::parse("int64"), std::move(shape), values);
}

void set_constant(OnnxNode& node, std::size_t output, Tensor tensor) {
  if (!node.has_output(output)) return;
  node.charge(tensor.size());
  node.set(output, node.add_constant(std::move(tensor)));
}

constexpr std::string_view kData = "what it selects from";

Dim elements(const TensorType& type) {
  Dim count = 1;
  for (const Dim& dim : type.shape) count = count * dim;
  return count;
}

// Positions [rank, count] of the elements that are not zero, in order.
ValueId positions_of(OnnxNode& node, std::size_t input) {
  const Dim size = node.data_size(kData, node.value(input), elements(node.type(input)));
  const ValueId y = node.add("NonZero", {node.value(input)}, {{"selected", Strings{braced(size)}}});
  node.decides(size, y);
  return y;
}

void non_zero(OnnxNode& node) {
  if (const Tensor* x = node.constant(0)) return set_constant(node, 0, nonzero_positions(*x));
  node.set(0, positions_of(node, 0));
}

// The slices of an axis, or the elements, where the condition holds.
void compress(OnnxNode& node) {
  const TensorType condition = node.type(1);
  if (!condition.format.is_boolean() || condition.shape.size() != 1)
    OnnxNode::refuse("its condition is no list of booleans", "correct the input");
  ValueId x = node.value(0);
  std::int64_t axis = 0;
  if (node.has_attribute("axis")) {
    axis = node.integer("axis");
  } else {
    x = node.reshape(x, {elements(node.type(0))});
  }
  const Tensor* known = node.constant(1);
  ValueId positions = kNone;
  if (known != nullptr) {
    const Tensor kept = nonzero_positions(*known);
    positions = node.add_constant(kept.reshaped({kept.size()}));
  } else {
    positions = positions_of(node, 1);
    positions = node.reshape(positions, {node.type_of_value(positions).shape[1]});
  }
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

// Rows (image, class, box) of [selected,3].
void non_max_suppression(OnnxNode& node) {
  Suppression rule;
  if (node.has(2))
    rule.most = static_cast<std::int64_t>(
        std::clamp(node.scalar(2, "its number of boxes"), 0.0, static_cast<double>(kMostSelected)));
  if (node.has(3)) rule.overlap = node.scalar(3, "its iou_threshold");
  if (node.has(4)) rule.least_score = node.scalar(4, "its score_threshold");
  rule.is_centered = node.integer("center_point_box", 0) != 0;
  if (node.constant(0) != nullptr && node.constant(1) != nullptr)
    return set_constant(node, 0, selected_boxes(*node.constant(0), *node.constant(1), rule));
  const std::vector<Dim> shape = node.type(1).shape;
  if (shape.size() != 3)
    OnnxNode::refuse(concat("its scores are ", node.type(1).to_string()),
                     "give it [N,classes,boxes]");
  const bool is_less = shape[2].is_constant() && shape[2].constant() < rule.most;
  const Dim most = shape[0] * shape[1] * (is_less ? shape[2] : Dim(rule.most));
  std::vector<double> least;
  if (rule.least_score) least.push_back(*rule.least_score);
  const Dim size = node.data_size("its list of boxes", kNone, most);
  const ValueId y = node.add("NonMaxSuppression", {node.value(0), node.value(1)},
                             {{"selected", Strings{braced(size)}},
                              {"most", rule.most},
                              {"overlap", rule.overlap},
                              {"least_score", least},
                              {"center_point_box", std::int64_t{rule.is_centered}}});
  node.decides(size, y);
  node.set(0, y);
}

// ---- Range ----

// The size that an input is, or a whole number where it is constant.
std::optional<Dim> size_of(const OnnxNode& node, std::size_t input) {
  if (const auto dims = node.dims(input); dims && dims->elements.size() == 1)
    return dims->elements[0];
  const Tensor* constant = node.constant(input);
  constexpr double kLargest = 1 << 24;  // of which f32 knows each
  if (constant == nullptr || constant->size() != 1) return std::nullopt;
  const double value = constant->real(0);
  if (std::abs(value) > kLargest || value != std::floor(value)) return std::nullopt;
  return Dim(static_cast<std::int64_t>(value));
}

// Between sizes of the network; whether they are that.
bool symbolic_range(OnnxNode& node) {
  const auto start = size_of(node, 0), limit = size_of(node, 1), delta = size_of(node, 2);
  if (!start || !limit || !delta || !delta->is_constant() ||
      (start->is_constant() && limit->is_constant()))
    return false;
  const bool is_start = !start->is_constant();
  const Format format = node.dims(is_start ? 0 : 1)->format;
  ValueId y = node.add("Range", node.deciding_values({*start, *limit}),
                       {{"bounds", Strings{braced(*start), braced(*limit)}},
                        {"step", delta->constant()},
                        {"to", format.is_float() ? Format::integer(64, true) : format}});
  if (format.is_float()) y = node.add("Cast", {y}, {{"to", format}});
  node.set(0, y);
  return true;
}

// start, start + delta, ... before limit: max(ceil((limit - start) / delta), 0) of them.
void range(OnnxNode& node) {
  if (symbolic_range(node)) return;
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
