#include <algorithm>
#include <cmath>
#include <memory>

#include "tandem/graph/registry.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/support.h"

namespace tandem {
namespace {

class OneHot final : public Operator {
 public:
  std::string_view name() const override { return "OneHot"; }
  std::string_view description() const override {
    return "For integer positions, a new axis of `depth` elements: the second of the two values "
           "[off,on], of any format, at the position, the first elsewhere; positions from -depth "
           "on count from the end, those outside are nowhere.";
  }
  Traits traits() const override { return {.domain = Domain::kMovement}; }
  std::vector<AttributeSpec> attributes() const override {
    return {integer_attribute("depth", "extent of the new axis"),
            integer_attribute("axis", "place of the new axis in the result", -1)};
  }
  std::size_t min_inputs() const override { return 2; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const TensorType &positions = node.input(0), &values = node.input(1);
    if (!positions.format.is_integer())
      throw Error("the positions are ", positions.to_string(), ", no integers");
    if (values.shape != std::vector<Dim>{2})
      throw Error("the values are ", values.to_string(), ", not [off,on]");
    const std::int64_t depth = node.integer("depth");
    constexpr std::int64_t kDeepest = std::int64_t{1} << 31;
    if (depth < 0 || depth > kDeepest) throw Error("depth is ", depth);
    TensorType y{positions.shape, values.format};
    const std::size_t axis = normalized_axis(node.integer("axis"), y.shape.size() + 1);
    y.shape.insert(y.shape.begin() + static_cast<std::ptrdiff_t>(axis), Dim(depth));
    return {y};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    const std::int64_t depth = node.integer("depth");
    Shape shape = inputs[0].shape();
    const std::size_t axis = normalized_axis(node.integer("axis"), shape.size() + 1);
    shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(axis), depth);
    const AxisSplit split = split_at(shape, axis);
    const auto positions = inputs[0].to_integers();
    Tensor y(inputs[1].format(), shape);
    visit_storage(y.format().storage(), [&]<typename T>() {
      const auto values = inputs[1].data<T>();
      const auto to = y.mutable_data<T>();
      std::fill(to.begin(), to.end(), values[0]);
      for (std::size_t i = 0; i < positions.size(); ++i) {
        const std::int64_t at = positions[i] < 0 ? positions[i] + depth : positions[i];
        if (at < 0 || at >= depth) continue;
        const auto index = static_cast<std::int64_t>(i);
        const std::int64_t outer = index / split.inner, inner = index % split.inner;
        to[static_cast<std::size_t>((outer * depth + at) * split.inner + inner)] = values[1];
      }
    });
    return {y};
  }

  Work work(const NodeView& node) const override {
    return work_of(node, {operations(node, OperationKind::kMove, output_elements(node))});
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view at, std::string_view y, std::string_view attributes) {
      return sample_text("symbol N in [1,8]", concat("%p : ", at, ", %v : int8[2]"),
                         concat("%y : ", y, " = OneHot(%p, %v) ", attributes));
    };
    return {{text("uint2[N,2]", "int8[N,2,3]", "{depth = 3}"), ""},
            {text("int3[N,2]", "int8[4,N,2]", "{depth = 4, axis = 0}"), ""},
            {text("f32[2]", "int8[2,3]", "{depth = 3}"), "no integers"},
            {text("uint2[2]", "int8[2,3]", "{depth = -1}"), "depth is -1"}};
  }
};

class Hardmax final : public Operator {
 public:
  std::string_view name() const override { return "Hardmax"; }
  std::string_view description() const override {
    return "1 at the first greatest element along an axis, 0 elsewhere, in the shape of x.";
  }
  std::vector<AttributeSpec> attributes() const override {
    return {integer_attribute("axis", "axis along which one element becomes 1", -1)};
  }

  std::vector<TensorType> infer(const NodeView& node) const override {
    require_reals(node);
    normalized_axis(node.integer("axis"), node.input(0).shape.size());
    return {node.input(0)};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    const AxisSplit split = split_at(
        inputs[0].shape(), normalized_axis(node.integer("axis"), inputs[0].shape().size()));
    return compute_reals(
        inputs[0].format(), inputs, [&]<typename T>(std::span<const Tensor> reals) {
          Tensor y(reals[0].format(), reals[0].shape());
          const T* from = reals[0].data<T>().data();
          T* to = y.mutable_data<T>().data();
          for (std::int64_t o = 0; o < split.outer && split.extent > 0; ++o) {
            for (std::int64_t n = 0; n < split.inner; ++n) {
              const std::int64_t begin = o * split.extent * split.inner + n;
              std::int64_t best = begin;
              for (std::int64_t i = 1; i < split.extent; ++i) {
                const std::int64_t at = begin + i * split.inner;
                if (from[at] > from[best] || (std::isnan(from[at]) && !std::isnan(from[best])))
                  best = at;
              }
              to[best] = 1;
            }
          }
          return std::vector<Tensor>{std::move(y)};
        });
  }

  Work work(const NodeView& node) const override {
    return work_of(node, {operations(node, OperationKind::kCompare, output_elements(node))});
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view attributes) {
      return sample_text("symbol N in [1,8]", concat("%x : ", x),
                         concat("%y : ", x, " = Hardmax(%x) ", attributes));
    };
    return {{text("f32[N,5]", ""), ""},
            {text("f16[2,3,N]", "{axis = 1}"), ""},
            {text("f32[3]", "{axis = 1}"), "axis 1 is outside"},
            {text("int8[3]", ""), "put a Dequantize before it"}};
  }
};

}  // namespace

void register_one_hot_operators() {
  operators().add(std::make_unique<OneHot>());
  operators().add(std::make_unique<Hardmax>());
}

}  // namespace tandem
