#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

#include "tandem/graph/registry.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/coded.h"
#include "tandem/ops/lowering_rules.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/plain_integers.h"
#include "tandem/ops/positions.h"

namespace tandem {
namespace {

template <typename T>
bool is_nan(T value) {
  if constexpr (std::is_floating_point_v<T>) return std::isnan(value);
  return false;
}

// True when a stands before b in descending order; NaN is above every number.
template <typename T>
bool is_above(T a, T b) {
  return !is_nan(b) && (a > b || is_nan(a));
}

// The same in ascending order; NaN is below every number.
template <typename T>
bool is_below(T a, T b) {
  return !is_nan(b) && (a < b || is_nan(a));
}

// Runs `compute.operator()<T>(x)` on reals as compute_reals() does, and on plain integers as they
// are stored.
template <typename Compute>
std::vector<Tensor> compute_numbers(std::span<const Tensor> inputs, const Compute& compute) {
  if (inputs[0].format().is_float()) return compute_reals(inputs[0].format(), inputs, compute);
  return visit_storage(inputs[0].format().storage(),
                       [&]<typename T>() { return compute.template operator()<T>(inputs); });
}

class ArgExtreme final : public Operator {
 public:
  explicit ArgExtreme(bool greatest) : greatest_(greatest) {}
  std::string_view name() const override { return greatest_ ? "ArgMax" : "ArgMin"; }
  std::string_view description() const override {
    return greatest_ ? "int64 position of the greatest element of x along an axis; the first of "
                       "equals, or the last; NaN is the greatest."
                     : "int64 position of the least element of x along an axis; the first of "
                       "equals, or the last; NaN is the least.";
  }
  Traits traits() const override { return {.domain = Domain::kIndex}; }
  std::vector<AttributeSpec> attributes() const override {
    return {integer_attribute("axis", "axis searched", 0),
            flag_attribute("keepdims", "the axis stays, with extent 1", true),
            flag_attribute("select_last_index", "of equal elements the last", false)};
  }

  std::vector<TensorType> infer(const NodeView& node) const override {
    require_numbers(node);
    flag(node, "select_last_index");
    std::vector<Dim> shape = node.input(0).shape;
    const std::size_t axis = normalized_axis(node.integer("axis"), shape.size());
    if (shape[axis] == Dim(0))
      throw Error("axis ", axis, " of ", node.input(0).to_string(), " has no elements");
    if (flag(node, "keepdims"))
      shape[axis] = 1;
    else
      shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(axis));
    return {{shape, index_format()}};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    Shape shape = inputs[0].shape();
    const std::size_t axis = normalized_axis(node.integer("axis"), shape.size());
    const AxisSplit split = split_at(shape, axis);
    const bool last = flag(node, "select_last_index");
    if (flag(node, "keepdims"))
      shape[axis] = 1;
    else
      shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(axis));
    return compute_numbers(inputs, [&]<typename T>(std::span<const Tensor> reals) {
      Tensor y(index_format(), shape);
      const T* x = reals[0].data<T>().data();
      std::int64_t* to = y.mutable_data<std::int64_t>().data();
      for (std::int64_t o = 0; o < split.outer; ++o)
        for (std::int64_t n = 0; n < split.inner; ++n)
          *to++ = find(x + o * split.extent * split.inner + n, split, last);
      return std::vector<Tensor>{std::move(y)};
    });
  }

  Work work(const NodeView& node) const override {
    return work_of(node, {operations(node, OperationKind::kCompare,
                                     input_elements(node, 0) - output_elements(node))});
  }

  // The least element of x is the greatest of -x.
  std::optional<std::vector<CodedValue>> lower(LoweringSite& site) const override {
    const NodeView& node = site.node;
    if (!node.input(0).format.is_float()) return std::nullopt;
    if (!greatest_) site.inputs[0] = multiplied(site.coded(0), Tensor::scalar(-1, f64()));
    return lower_arg_max(site, normalized_axis(node.integer("axis"), node.input(0).shape.size()),
                         flag(node, "keepdims"), flag(node, "select_last_index"));
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [this](std::string_view x, std::string_view y, std::string_view attributes) {
      return sample_text("symbol N in [1,8]", concat("%x : ", x),
                         concat("%y : ", y, " = ", name(), "(%x) ", attributes));
    };
    return {{text("f32[N,10]", "int64[N]", "{axis = 1, keepdims = 0}"), ""},
            {text("f32[2,3,4]", "int64[2,1,4]", "{axis = -2, select_last_index = 1}"), ""},
            {text("f16[3,N]", "int64[1,N]", ""), ""},
            {text("f32[2]", "int64[1]", "{axis = 1}"), "axis 1 is outside"},
            {text("int8[4]", "int64[1]", ""), ""},
            {text("fixed<8,3>[2]", "int64[1]", ""), "put a Dequantize before it"}};
  }

 private:
  template <typename T>
  std::int64_t find(const T* x, const AxisSplit& split, bool last) const {
    const auto is_better = [this](T a, T b) { return greatest_ ? is_above(a, b) : is_below(a, b); };
    std::int64_t best = 0;
    for (std::int64_t i = 1; i < split.extent; ++i) {
      const T value = x[i * split.inner], known = x[best * split.inner];
      if (is_better(value, known) || (last && !is_better(known, value))) best = i;
    }
    return best;
  }

  bool greatest_;
};

class TopK final : public Operator {
 public:
  std::string_view name() const override { return "TopK"; }
  std::string_view description() const override {
    return "The k greatest (or least) elements of x along an axis in order, and their int64 "
           "positions; of equals the first stands first.";
  }
  std::vector<AttributeSpec> attributes() const override {
    return {integer_attribute("k", "number of elements kept"),
            integer_attribute("axis", "axis searched", -1),
            flag_attribute("largest", "the greatest rather than the least", true)};
  }

  std::vector<TensorType> infer(const NodeView& node) const override {
    TensorType values{node.input(0).shape, require_numbers(node)};
    flag(node, "largest");
    Dim& extent = values.shape[normalized_axis(node.integer("axis"), values.shape.size())];
    const std::int64_t k = node.integer("k");
    if (k < 0 || k > extent.constant())
      throw Error("k is ", k, ", but the axis has ", extent.to_string(), " elements");
    extent = k;
    return {values, {values.shape, index_format()}};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    Shape shape = inputs[0].shape();
    const std::size_t axis = normalized_axis(node.integer("axis"), shape.size());
    const AxisSplit split = split_at(shape, axis);
    const std::int64_t k = node.integer("k");
    const bool largest = flag(node, "largest");
    shape[axis] = k;
    return compute_numbers(inputs, [&]<typename T>(std::span<const Tensor> reals) {
      Tensor values(reals[0].format(), shape), positions(index_format(), shape);
      T* to = values.mutable_data<T>().data();
      std::int64_t* to_position = positions.mutable_data<std::int64_t>().data();
      std::vector<std::int64_t> order(static_cast<std::size_t>(split.extent));
      for (std::int64_t o = 0; o < split.outer; ++o) {
        for (std::int64_t n = 0; n < split.inner; ++n) {
          const T* x = reals[0].data<T>().data() + o * split.extent * split.inner + n;
          std::iota(order.begin(), order.end(), 0);
          std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
            const T left = x[a * split.inner], right = x[b * split.inner];
            return largest ? is_above(left, right) : is_below(left, right);
          });
          for (std::int64_t i = 0; i < k; ++i) {
            const std::int64_t at = (o * k + i) * split.inner + n;
            to_position[at] = order[static_cast<std::size_t>(i)];
            to[at] = x[to_position[at] * split.inner];
          }
        }
      }
      return std::vector<Tensor>{std::move(values), std::move(positions)};
    });
  }

  // Comparisons of a selection that looks for each result among what is left.
  Work work(const NodeView& node) const override {
    const std::int64_t k = node.integer("k"), elements = input_elements(node, 0);
    const Shape shape = node.input(0).static_shape();
    const std::int64_t extent =
        std::max<std::int64_t>(1, shape[normalized_axis(node.integer("axis"), shape.size())]);
    const std::int64_t comparisons = k * (extent - 1) - k * (k - 1) / 2;
    return work_of(node,
                   {operations(node, OperationKind::kCompare, elements / extent * comparisons)});
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view y, std::string_view z,
                         std::string_view attributes) {
      return sample_text("symbol N in [1,8]", concat("%x : ", x),
                         concat("%y : ", y, ", %z : ", z, " = TopK(%x) ", attributes), "%y, %z");
    };
    return {
        {text("f32[N,10]", "f32[N,3]", "int64[N,3]", "{k = 3}"), ""},
        {text("f16[2,4,3]", "f16[2,2,3]", "int64[2,2,3]", "{k = 2, axis = 1, largest = 0}"), ""},
        {text("f32[4]", "f32[5]", "int64[5]", "{k = 5}"), "the axis has 4 elements"},
        {text("f32[4]", "f32[1]", "int64[1]", "{k = 1, axis = 2}"), "axis 2 is outside"},
        {text("int8[4]", "int8[2]", "int64[2]", "{k = 2}"), ""},
        {text("bool[4]", "bool[1]", "int64[1]", "{k = 1}"), "put a Dequantize before it"}};
  }
};

class Gather final : public Operator {
 public:
  std::string_view name() const override { return "Gather"; }
  std::string_view description() const override {
    return "Elements of x, of any format, at integer positions along an axis, which gives way to "
           "the axes of the positions; negative positions count from the end.";
  }
  Traits traits() const override { return {.domain = Domain::kMovement}; }
  std::vector<AttributeSpec> attributes() const override {
    return {integer_attribute("axis", "axis from which elements are taken", 0)};
  }
  std::size_t min_inputs() const override { return 2; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const TensorType& x = node.input(0);
    const TensorType& positions = node.input(1);
    if (!positions.format.is_integer())
      throw Error("the positions are ", positions.to_string(), ", no integers");
    const std::size_t axis = normalized_axis(node.integer("axis"), x.shape.size());
    if (const Tensor* constant = node.constant(1); constant && x.shape[axis].is_constant())
      resolved_positions(*constant, x.shape[axis].constant());
    TensorType y = x;
    const auto at = y.shape.erase(y.shape.begin() + static_cast<std::ptrdiff_t>(axis));
    y.shape.insert(at, positions.shape.begin(), positions.shape.end());
    return {y};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    const Tensor& x = inputs[0];
    const std::size_t axis = normalized_axis(node.integer("axis"), x.shape().size());
    const AxisSplit split = split_at(x.shape(), axis);
    const auto positions = resolved_positions(inputs[1], split.extent);
    Shape shape = x.shape();
    const auto place = shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(axis));
    shape.insert(place, inputs[1].shape().begin(), inputs[1].shape().end());
    Tensor y(x.format(), std::move(shape));
    const std::int64_t run =
        split.inner * static_cast<std::int64_t>(storage_bytes(x.format().storage()));
    const std::byte* from = x.bytes().data();
    std::byte* to = y.mutable_bytes().data();
    for (std::int64_t o = 0; o < split.outer; ++o, from += split.extent * run)
      for (const std::int64_t position : positions)
        to = std::copy_n(from + position * run, run, to);
    return {y};
  }

  Work work(const NodeView& node) const override {
    return work_of(node, {operations(node, OperationKind::kMove, output_elements(node))});
  }

  std::optional<std::vector<CodedValue>> lower(LoweringSite& site) const override {
    return lower_movement(site);
  }

  std::vector<SampleCase> samples() const override {
    const std::string prologue =
        "symbol N in [1,8]\nconstant @p : int64[2] = [2,-1]\nconstant @q : int64[1] = [3]";
    const auto text = [&](std::string_view x, std::string_view y, std::string_view rest) {
      return sample_text(
          prologue, concat("%x : ", x, ", %i : uint1[2,3], %f : f32[2]"),
          concat("%p = constant @p\n  %q = constant @q\n  %y : ", y, " = Gather(%x, ", rest));
    };
    return {{text("f32[N,3,2]", "f32[N,2,2]", "%p) {axis = 1}"), ""},
            {text("int8[4,5]", "int8[2,3,5]", "%i)"), ""},
            {text("bipolar[2,3]", "bipolar[2,2]", "%p) {axis = -1}"), ""},
            {text("f32[3]", "f32[1]", "%q)"), "position 3 is outside"},
            {text("f32[3]", "f32[2]", "%f)"), "no integers"},
            {text("f32[3]", "f32[2]", "%p) {axis = 1}"), "axis 1 is outside"}};
  }
};

class ShapeOperator final : public Operator {
 public:
  std::string_view name() const override { return "Shape"; }
  std::string_view description() const override {
    return "The dimensions of x, of any format, as int64 [rank].";
  }
  Traits traits() const override { return {.domain = Domain::kIndex}; }
  std::vector<TensorType> infer(const NodeView& node) const override {
    return {{{static_cast<std::int64_t>(node.input(0).shape.size())}, index_format()}};
  }
  std::vector<Tensor> evaluate(const NodeView&, std::span<const Tensor> inputs) const override {
    const Shape& shape = inputs[0].shape();
    return {Tensor::from_integers(index_format(), {inputs[0].rank()}, shape)};
  }
  // The shape is known without reading x.
  Work work(const NodeView& node) const override {
    Work work;
    work.output_bits = output_elements(node) * index_format().bits();
    return work;
  }
  std::vector<SampleCase> samples() const override {
    return {{sample_text("symbol N in [1,8]", "%x : int4[N,3]", "%y : int64[2] = Shape(%x)"), ""},
            {sample_text("", "%x : f32[1,2,3]", "%y : int64[3] = Shape(%x)"), ""},
            {sample_text("", "%x : f32[2]", "%y : int64[2] = Shape(%x)"), "declared int64[2]"}};
  }
};

}  // namespace

void register_indexing_operators() {
  operators().add(std::make_unique<ArgExtreme>(true));
  operators().add(std::make_unique<ArgExtreme>(false));
  operators().add(std::make_unique<TopK>());
  operators().add(std::make_unique<Gather>());
  operators().add(std::make_unique<ShapeOperator>());
}

}  // namespace tandem
