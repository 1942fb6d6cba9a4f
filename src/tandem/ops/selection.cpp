// Operators whose results have as many elements as the data say. Their types call that number by a
// symbol, which the run binds; see transform/data_sizes.h for how kernels live with it.
#include "tandem/ops/selection.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "tandem/graph/registry.h"
#include "tandem/graph/symbolic.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/strides.h"
#include "tandem/ops/support.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

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

// The size that data decide, by its symbol; a number once that is bound.
Dim selected_size(const NodeView& node) {
  const auto& given = std::get<std::vector<std::string>>(node.node.attributes.at("selected"));
  const auto dim = given.size() == 1 ? braced_dim(given[0]) : std::nullopt;
  if (!dim) throw Error("selected is no expression in braces such as [\"{S}\"]");
  return *dim;
}

void require_selected(const NodeView& node, std::int64_t count) {
  const Dim size = selected_size(node);
  if (size.is_constant() && size.constant() != count)
    throw Error("data select ", count, " where the network was bound to ", size.to_string(),
                "; leave that symbol to the run");
}

AttributeSpec selected_attribute() {
  return {"selected",
          AttributeKind::kStrings,
          "the symbol of the number that data decide, such as [\"{S}\"]",
          {},
          {}};
}

class NonMaxSuppression final : public Operator {
 public:
  std::string_view name() const override { return "NonMaxSuppression"; }
  std::string_view description() const override {
    return "Of boxes [N,boxes,4] and scores [N,classes,boxes] those of each class that no better "
           "one overlaps: rows (image, class, box), int64 [selected,3], the best first.";
  }
  Traits traits() const override { return {.domain = Domain::kIndex}; }
  std::vector<AttributeSpec> attributes() const override {
    return {
        selected_attribute(),
        integer_attribute("most", "boxes kept of each class", 0),
        real_attribute("overlap", "shared area over the area of both, beyond which one goes", 0),
        {"least_score",
         AttributeKind::kReals,
         "score that is not enough; empty: none",
         {std::vector<double>{}},
         {}},
        flag_attribute("center_point_box",
                       "1: boxes are (x, y, width, height) of their middle; 0: two corners "
                       "(y, x, y, x)",
                       false)};
  }
  std::size_t min_inputs() const override { return 2; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    require_reals(node);
    const auto &b = node.input(0).shape, &s = node.input(1).shape;
    if (b.size() != 3 || s.size() != 3 || b[2] != Dim(4) || s[0] != b[0] || s[2] != b[1])
      throw Error("its boxes and scores are ", node.input(0).to_string(), " and ",
                  node.input(1).to_string(), ", not [N,boxes,4] and [N,classes,boxes]");
    if (node.reals("least_score").size() > 1) throw Error("least_score has more than one entry");
    flag(node, "center_point_box");
    return {{{selected_size(node), Dim(3)}, index_format()}};
  }
  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    Suppression rule{node.integer("most"), node.real("overlap"), std::nullopt,
                     flag(node, "center_point_box")};
    if (const auto& least = node.reals("least_score"); !least.empty()) rule.least_score = least[0];
    Tensor selected = selected_boxes(inputs[0], inputs[1], rule);
    require_selected(node, selected.shape()[0]);
    return {selected};
  }
  Work work(const NodeView& node) const override {
    const std::int64_t boxes = input_elements(node, 1);
    return work_of(node, {operations(node, OperationKind::kCompare, boxes)});
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view boxes, std::string_view attributes) {
      return sample_text("symbol S in [0,12]", concat("%b : ", boxes, ", %s : f32[2,3,4]"),
                         concat("%y : int64[S,3] = NonMaxSuppression(%b, %s) ", attributes));
    };
    return {{text("f32[2,4,4]", R"({selected = ["{S}"], most = 2, overlap = 0.5})"), ""},
            {text("f32[2,4,4]",
                  R"({selected = ["{S}"], most = 4, least_score = [0.1], center_point_box = 1})"),
             ""},
            {text("f32[2,4,4]", R"({selected = ["S"]})"), "no expression in braces"},
            {text("f32[2,5,4]", R"({selected = ["{S}"]})"), "not [N,boxes,4]"}};
  }
};

class NonZero final : public Operator {
 public:
  std::string_view name() const override { return "NonZero"; }
  std::string_view description() const override {
    return "The positions of the elements of x that are not 0, int64 [rank,selected].";
  }
  Traits traits() const override { return {.domain = Domain::kIndex}; }
  std::vector<AttributeSpec> attributes() const override { return {selected_attribute()}; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const auto rank = static_cast<std::int64_t>(node.input(0).shape.size());
    return {{{Dim(rank), selected_size(node)}, index_format()}};
  }
  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    Tensor positions = nonzero_positions(inputs[0]);
    require_selected(node, positions.shape()[1]);
    return {positions};
  }
  Work work(const NodeView& node) const override {
    return work_of(node, {operations(node, OperationKind::kCompare, input_elements(node, 0))});
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view y) {
      return sample_text("symbol S in [0,12]", concat("%x : ", x),
                         concat("%y : ", y, R"( = NonZero(%x) {selected = ["{S}"]})"));
    };
    return {{text("f32[3,4]", "int64[2,S]"), ""},
            {text("bool[5]", "int64[1,S]"), ""},
            {text("f32[5]", "int64[2,S]"), "is declared int64[2,S]"}};
  }
};

}  // namespace

Tensor selected_boxes(const Tensor& boxes, const Tensor& scores, const Suppression& rule) {
  const Shape &b = boxes.shape(), &s = scores.shape();
  if (b.size() != 3 || s.size() != 3 || b[2] != 4 || s[0] != b[0] || s[2] != b[1])
    throw Error("its boxes and scores are not [N,boxes,4] and [N,classes,boxes]");
  const auto corners = boxes.to_reals(), values = scores.to_reals();
  const auto is_nan = [](double value) { return std::isnan(value); };
  if (std::ranges::any_of(corners, is_nan) || std::ranges::any_of(values, is_nan))
    throw Error("a box or score is NaN");
  Integers selected;
  for (std::int64_t image = 0; image < b[0]; ++image) {
    std::vector<Box> of_image;
    for (std::int64_t i = 0; i < b[1]; ++i)
      of_image.push_back(box_of(corners.data() + (image * b[1] + i) * 4, rule.is_centered));
    for (std::int64_t kind = 0; kind < s[1]; ++kind)
      for (const std::size_t box :
           kept_boxes(of_image, values.data() + (image * s[1] + kind) * s[2], rule))
        selected.insert(selected.end(), {image, kind, static_cast<std::int64_t>(box)});
  }
  const auto count = static_cast<std::int64_t>(selected.size()) / 3;
  return Tensor::from_integers(index_format(), {count, 3}, selected);
}

Tensor nonzero_positions(const Tensor& x) {
  const auto values = x.to_reals();
  const auto strides = row_major_strides(x.shape());
  Integers found;
  for (std::size_t i = 0; i < values.size(); ++i)
    if (values[i] != 0) found.push_back(static_cast<std::int64_t>(i));
  Integers positions;
  for (std::size_t d = 0; d < strides.size(); ++d)
    for (const std::int64_t at : found) positions.push_back(at / strides[d] % x.shape()[d]);
  return Tensor::from_integers(index_format(), {x.rank(), static_cast<std::int64_t>(found.size())},
                               positions);
}

void register_selection_operators() {
  operators().add(std::make_unique<NonMaxSuppression>());
  operators().add(std::make_unique<NonZero>());
}

}  // namespace tandem
