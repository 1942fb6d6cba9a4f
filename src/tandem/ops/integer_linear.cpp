#include "tandem/ops/integer_linear.h"

#include <algorithm>
#include <memory>
#include <span>
#include <utility>

#include "tandem/base/error.h"
#include "tandem/graph/registry.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/integer.h"
#include "tandem/ops/window.h"

namespace tandem {
namespace {

// Least and greatest partial sum of terms added in any order: each end collects the terms of its
// sign only.
struct SumBounds {
  Int128 low = 0, high = 0;

  void add_product(IntegerRange x, std::int64_t weight) {
    const Int128 a = Int128{x.min} * weight, b = Int128{x.max} * weight;
    low += std::min<Int128>({a, b, 0});
    high += std::max<Int128>({a, b, 0});
  }
  // All products with weights that add up to these, by their sign.
  static SumBounds of_weights(IntegerRange x, Int128 positive, Int128 negative) {
    const Int128 least = std::min<std::int64_t>(x.min, 0), most = std::max<std::int64_t>(x.max, 0);
    return {positive * least + negative * most, positive * most + negative * least};
  }
  void widen(const SumBounds& other) {
    low = std::min(low, other.low);
    high = std::max(high, other.high);
  }
};

// What the positive and what the negative weights add up to.
template <typename Sum, typename Stored>
std::pair<Int128, Int128> sums_by_sign(std::span<const Stored> weights) {
  Sum positive = 0, negative = 0;
  for (const Stored stored : weights) {
    const auto weight = static_cast<std::int64_t>(stored);
    positive += std::max<std::int64_t>(weight, 0);
    negative += std::min<std::int64_t>(weight, 0);
  }
  return {positive, negative};
}

// The bounds of the sums of each filter, `depth` weights in a row, over x. Weights are read where
// they lie: all of a layer as 64 bits may be most of the memory that a network takes.
SumBounds bounds_of_filters(const Tensor& weights, std::size_t depth, IntegerRange x) {
  constexpr int kWord = 32;  // so many of which have a sum of 64 bits
  const bool is_narrow = weights.format().bits() <= kWord;
  SumBounds bounds;
  visit_storage(weights.format().storage(), [&]<typename T>() {
    const std::span<const T> stored = weights.data<T>();
    for (std::size_t begin = 0; begin < stored.size(); begin += depth) {
      const auto filter = stored.subspan(begin, depth);
      const auto [positive, negative] =
          is_narrow ? sums_by_sign<std::int64_t>(filter) : sums_by_sign<Int128>(filter);
      bounds.widen(SumBounds::of_weights(x, positive, negative));
    }
  });
  return bounds;
}

// The same of the columns of a matrix.
SumBounds bounds_of_columns(const Tensor& matrix, IntegerRange x) {
  const auto columns = static_cast<std::size_t>(matrix.shape()[1]);
  std::vector<Int128> positive(columns, 0), negative(columns, 0);
  visit_storage(matrix.format().storage(), [&]<typename T>() {
    const std::span<const T> stored = matrix.data<T>();
    for (std::size_t i = 0; i < stored.size(); ++i) {
      const auto weight = static_cast<std::int64_t>(stored[i]);
      (weight > 0 ? positive : negative)[i % columns] += weight;
    }
  });
  SumBounds bounds;
  for (std::size_t j = 0; j < columns; ++j)
    bounds.widen(SumBounds::of_weights(x, positive[j], negative[j]));
  return bounds;
}

// `count` terms that are each a product of one of x and one of y.
SumBounds dense_bounds(IntegerRange x, IntegerRange y, std::int64_t count) {
  SumBounds one;
  one.add_product(x, y.min);
  SumBounds other;
  other.add_product(x, y.max);
  one.widen(other);
  // A weight between the ends cannot exceed both.
  return {one.low * count, one.high * count};
}

std::int64_t product_of(const Shape& shape, std::size_t begin, std::size_t end) {
  std::int64_t product = 1;
  for (std::size_t i = begin; i < end; ++i) product *= shape[i];
  return product;
}

// The elements as the accumulator type.
template <typename T>
std::vector<T> elements_as(const Tensor& tensor) {
  std::vector<T> result(static_cast<std::size_t>(tensor.size()));
  visit_storage(tensor.format().storage(), [&]<typename Stored>() {
    const auto stored = tensor.data<Stored>();
    for (std::size_t i = 0; i < result.size(); ++i) result[i] = static_cast<T>(stored[i]);
  });
  return result;
}

template <typename T>
Tensor tensor_from(const Format& format, const Shape& shape, const std::vector<T>& values) {
  Tensor tensor(format, shape);
  visit_storage(format.storage(), [&]<typename Stored>() {
    auto stored = tensor.mutable_data<Stored>();
    for (std::size_t i = 0; i < values.size(); ++i) stored[i] = static_cast<Stored>(values[i]);
  });
  return tensor;
}

// Runs `compute` with int32 sums where the proven format allows, else int64.
template <typename Compute>
Tensor accumulate(const NodeView& node, Compute compute) {
  const IntegerRange range = node.format("format").integer_range();
  const bool narrow = range.min >= INT32_MIN && range.max <= INT32_MAX;
  return narrow ? compute.template operator()<std::int32_t>()
                : compute.template operator()<std::int64_t>();
}

class IntMatMul final : public IntegerOperator {
 public:
  std::string_view name() const override { return "IntMatMul"; }
  std::string_view description() const override {
    return "a[..., M, K] times b[K, N] or b[..., K, N] with the same leading axes.";
  }
  std::size_t min_inputs() const override { return 2; }
  std::vector<AttributeSpec> attributes() const override { return {format_attribute()}; }
  std::vector<Dim> shape(const NodeView& node) const override {
    const auto &a = node.input(0).shape, &b = node.input(1).shape;
    if (a.size() < 2 || b.size() < 2 || (b.size() != 2 && b.size() != a.size()))
      throw Error("takes a[..., M, K] and b[K, N] or b of a's rank");
    if (a.back() != b[b.size() - 2]) {
      throw Error("the reduced axes differ: ", a.back().to_string(), " of a, ",
                  b[b.size() - 2].to_string(), " of b");
    }
    if (b.size() > 2 && !std::equal(a.begin(), a.end() - 2, b.begin()))
      throw Error("the leading axes of a and b differ");
    std::vector<Dim> result(a.begin(), a.end() - 1);
    result.push_back(b.back());
    return result;
  }
  IntegerRange range(const NodeView& node) const override {
    const std::int64_t depth = node.input(0).shape.back().constant();
    const Tensor* b = node.constant(1);
    SumBounds bounds;
    if (b != nullptr && b->rank() == 2) {
      bounds = bounds_of_columns(*b, input_range(node, 0));
    } else {
      bounds = dense_bounds(input_range(node, 0), input_range(node, 1), depth);
    }
    return checked_range(bounds.low, bounds.high);
  }
  std::vector<Tensor> evaluate(const NodeView& node, std::span<const Tensor> in) const override {
    Shape to = in[0].shape();
    const std::int64_t depth = to.back(), columns = in[1].shape().back();
    const std::int64_t rows = to[to.size() - 2];
    const std::int64_t batches = product_of(to, 0, to.size() - 2);
    const std::int64_t b_stride = in[1].rank() == 2 ? 0 : depth * columns;
    to.back() = columns;
    return {accumulate(node, [&]<typename Sum>() {
      const auto a = elements_as<Sum>(in[0]), b = elements_as<Sum>(in[1]);
      std::vector<Sum> c(static_cast<std::size_t>(batches * rows * columns), 0);
      for (std::int64_t row = 0; row < batches * rows; ++row) {
        const Sum* weights = b.data() + row / rows * b_stride;
        Sum* sums = c.data() + row * columns;
        for (std::int64_t k = 0; k < depth; ++k) {
          const Sum factor = a[static_cast<std::size_t>(row * depth + k)];
          if (factor == 0) continue;
          for (std::int64_t n = 0; n < columns; ++n) sums[n] += factor * weights[k * columns + n];
        }
      }
      return tensor_from(node.format("format"), to, c);
    })};
  }
  std::vector<SampleCase> samples() const override {
    const std::string head =
        "tandem-module 1\nconstant @w : int4[3,2] = [1,-2,7,-8,0,5]\n"
        "graph @main(%x : int8[2,3]) -> (%y) {\n  %w = constant @w\n";
    return {{head + "  %y : int12[2,2] = IntMatMul(%x, %w) {format = int12}\n}\n", ""},
            {"tandem-module 1\ngraph @main(%a : int4[2,2,3], %b : uint3[2,3,4]) -> (%y) {\n"
             "  %y : int10[2,2,4] = IntMatMul(%a, %b) {format = int10}\n}\n",
             ""},
            {head + "  %y : int8[2,2] = IntMatMul(%x, %w) {format = int8}\n}\n",
             "needs format = int12"}};
  }

 protected:
  OperationKind operation() const override { return OperationKind::kMultiplyAccumulate; }
  std::int64_t operations_per_result(const NodeView& node) const override {
    return node.input(0).shape.back().constant();
  }
};

std::vector<std::int64_t> spatial_of(const Shape& shape) {
  return {shape.begin() + 1, shape.end() - 1};
}

std::vector<std::int64_t> static_spatial(const TensorType& type) {
  if (type.shape.size() < 3) throw Error("takes x of shape [N, spatial..., C]");
  std::vector<std::int64_t> spatial;
  for (std::size_t d = 1; d + 1 < type.shape.size(); ++d)
    spatial.push_back(type.shape[d].constant());
  return spatial;
}

std::vector<AttributeSpec> with_window(std::vector<AttributeSpec> specs) {
  for (AttributeSpec& spec : window_attributes()) specs.push_back(std::move(spec));
  return specs;
}

class IntConv final : public IntegerOperator {
 public:
  std::string_view name() const override { return "IntConv"; }
  std::string_view description() const override {
    return "Convolution of x[N, spatial..., C] with w[O, kernel..., C/group]; pad_value outside.";
  }
  std::size_t min_inputs() const override { return 2; }
  std::vector<AttributeSpec> attributes() const override {
    return with_window(
        {format_attribute(),
         {"group", AttributeKind::kInteger, "independent channel groups", {std::int64_t{1}}, {}},
         {"pad_value", AttributeKind::kInteger, "integer outside of x", {std::int64_t{0}}, {}}});
  }
  std::vector<Dim> shape(const NodeView& node) const override {
    const auto &x = node.input(0), &w = node.input(1);
    const auto spatial = static_spatial(x);
    if (w.shape.size() != x.shape.size()) throw Error("w must have the rank of x");
    const Shape weight = w.static_shape();
    const std::int64_t channels = x.shape.back().constant(), group = node.integer("group");
    if (group < 1 || channels % group != 0 || weight[0] % group != 0 ||
        weight.back() != channels / group) {
      throw Error("w ", to_string(weight), " does not fit ", channels, " channels in ", group,
                  " groups");
    }
    const IntegerRange held = x.format.integer_range();
    const std::int64_t pad = node.integer("pad_value");
    if (pad < held.min || pad > held.max)
      throw Error("pad_value ", pad, " is no ", x.format.name());
    std::vector<Dim> result{x.shape[0]};
    for (const auto extent : window(node).output_extents(spatial)) result.emplace_back(extent);
    result.emplace_back(weight[0]);
    return result;
  }
  IntegerRange range(const NodeView& node) const override {
    const Shape weight = node.input(1).static_shape();
    const std::int64_t depth = product_of(weight, 1, weight.size());
    IntegerRange x = input_range(node, 0);
    x.min = std::min(x.min, node.integer("pad_value"));
    x.max = std::max(x.max, node.integer("pad_value"));
    SumBounds bounds;
    if (const Tensor* w = node.constant(1)) {
      bounds = bounds_of_filters(*w, static_cast<std::size_t>(depth), x);
    } else {
      bounds = dense_bounds(x, input_range(node, 1), depth);
    }
    return checked_range(bounds.low, bounds.high);
  }
  std::vector<Tensor> evaluate(const NodeView& node, std::span<const Tensor> in) const override {
    return {accumulate(node, [&]<typename Sum>() { return convolve<Sum>(node, in[0], in[1]); })};
  }
  std::vector<SampleCase> samples() const override {
    const std::string head =
        "tandem-module 1\nconstant @w : int4[2,2,2,1] = [1,-2,7,-8,0,5,3,3]\n"
        "graph @main(%x : uint4[1,3,4,2]) -> (%y) {\n  %w = constant @w\n";
    return {
        {head + "  %y : int10[1,4,3,2] = IntConv(%x, %w) {format = int10, group = 2, "
                "pads = [1,0,1,0], pad_value = 3}\n}\n",
         ""},
        {"tandem-module 1\nconstant @w : bipolar[2,3,2] = [1,-1,1,1,-1,-1,1,1,1,-1,1,-1]\n"
         "graph @main(%x : int3[1,9,2]) -> (%y) {\n  %w = constant @w\n"
         "  %y : int6[1,3,2] = IntConv(%x, %w) {format = int6, strides = [2], "
         "dilations = [2]}\n}\n",
         ""},
        {head + "  %y : int10[1,2,3,2] = IntConv(%x, %w) {format = int10}\n}\n", "does not fit"}};
  }

 protected:
  OperationKind operation() const override { return OperationKind::kMultiplyAccumulate; }
  std::int64_t operations_per_result(const NodeView& node) const override {
    const Shape weight = node.input(1).static_shape();
    return product_of(weight, 1, weight.size());
  }

 private:
  static Window window(const NodeView& node) {
    const Shape weight = node.input(1).static_shape();
    return window_of(node, {weight.begin() + 1, weight.end() - 1});
  }

  template <typename Sum>
  static Tensor convolve(const NodeView& node, const Tensor& x, const Tensor& w) {
    const Window win = window(node);
    const auto spatial = spatial_of(x.shape());
    const auto extents = win.output_extents(spatial);
    const std::int64_t channels = x.shape().back(), group = node.integer("group");
    const std::int64_t outputs = w.shape()[0], per_group = channels / group;
    const std::int64_t outputs_per_group = outputs / group;
    const std::int64_t image = product_of(x.shape(), 1, x.shape().size());
    const std::int64_t depth = product_of(w.shape(), 1, w.shape().size());
    Shape to{x.shape()[0]};
    to.insert(to.end(), extents.begin(), extents.end());
    to.push_back(outputs);
    const std::int64_t out_image = product_of(to, 1, to.size());
    const auto values = elements_as<Sum>(x), weights = elements_as<Sum>(w);
    const std::vector<Sum> padding(static_cast<std::size_t>(per_group),
                                   static_cast<Sum>(node.integer("pad_value")));
    std::vector<Sum> sums(static_cast<std::size_t>(element_count(to)), 0);
    for (std::int64_t n = 0; n < x.shape()[0]; ++n) {
      for_each_window_element(
          win, spatial, [&](std::int64_t o, std::int64_t k, std::int64_t position) {
            Sum* out = sums.data() + n * out_image + o * outputs;
            for (std::int64_t c = 0; c < outputs; ++c) {
              const Sum* from = position < 0 ? padding.data()
                                             : values.data() + n * image + position * channels +
                                                   c / outputs_per_group * per_group;
              const Sum* factors = weights.data() + c * depth + k * per_group;
              Sum sum = 0;
              for (std::int64_t i = 0; i < per_group; ++i) sum += from[i] * factors[i];
              out[c] += sum;
            }
          });
    }
    return tensor_from(node.format("format"), to, sums);
  }
};

// ---- Pools ------------------------------------------------------------------------------------

class IntPool : public IntegerOperator {
 public:
  std::vector<AttributeSpec> attributes() const override {
    return with_window(
        {format_attribute(), {"kernel", AttributeKind::kIntegers, "window extents", {}, {}}});
  }
  std::vector<Dim> shape(const NodeView& node) const override {
    const TensorType& x = node.input(0);
    const auto spatial = static_spatial(x);
    if (node.integers("kernel").size() != spatial.size())
      throw Error("kernel has ", node.integers("kernel").size(), " extents, not ", spatial.size());
    const Window window = window_of(node, node.integers("kernel"));
    for (std::size_t d = 0; d < window.rank(); ++d) {
      const std::int64_t reach = window.dilations[d] * (window.kernel[d] - 1) + 1;
      if (std::max(window.pads_begin[d], window.pads_end[d]) >= reach)
        throw Error("padding of spatial axis ", d, " leaves windows without any element");
    }
    std::vector<Dim> result{x.shape[0]};
    for (const auto extent : window.output_extents(spatial)) result.emplace_back(extent);
    result.push_back(x.shape.back());
    return result;
  }
  std::vector<Tensor> evaluate(const NodeView& node, std::span<const Tensor> in) const override {
    const Window window = window_of(node, node.integers("kernel"));
    const auto spatial = spatial_of(in[0].shape());
    const auto extents = window.output_extents(spatial);
    const std::int64_t channels = in[0].shape().back();
    Shape to{in[0].shape()[0]};
    to.insert(to.end(), extents.begin(), extents.end());
    to.push_back(channels);
    const auto x = in[0].to_integers();
    std::vector<std::int64_t> result(static_cast<std::size_t>(element_count(to)), start());
    const std::int64_t image = product_of(in[0].shape(), 1, in[0].shape().size());
    const std::int64_t out_image = product_of(to, 1, to.size());
    for (std::int64_t n = 0; n < to[0]; ++n) {
      for_each_window_element(
          window, spatial, [&](std::int64_t o, std::int64_t, std::int64_t position) {
            if (position < 0) return;
            for (std::int64_t c = 0; c < channels; ++c) {
              auto& out = result[static_cast<std::size_t>(n * out_image + o * channels + c)];
              out = join(out, x[static_cast<std::size_t>(n * image + position * channels + c)]);
            }
          });
    }
    return {Tensor::from_integers(node.format("format"), to, result)};
  }
  std::vector<SampleCase> samples() const override {
    const std::string head = "tandem-module 1\ngraph @main(%x : int4[1,5,4,3]) -> (%y) {\n";
    return {{concat(head, "  %y : int8[1,3,2,3] = ", name(),
                    "(%x) {format = int8, kernel = [3,2], strides = [2,2], pads = [1,0,1,0]}\n}\n"),
             ""},
            {concat(head, "  %y : int8[1,3,3,3] = ", name(),
                    "(%x) {format = int8, kernel = [3,2], pads = [3,0,1,0]}\n}\n"),
             "without any element"}};
  }

 protected:
  virtual std::int64_t start() const = 0;
  virtual std::int64_t join(std::int64_t a, std::int64_t b) const = 0;
  std::int64_t operations_per_result(const NodeView& node) const override {
    return product_of(node.integers("kernel"), 0, node.integers("kernel").size());
  }
};

class IntSumPool final : public IntPool {
 public:
  std::string_view name() const override { return "IntSumPool"; }
  std::string_view description() const override {
    return "Sum over windows of x[N, spatial..., C]; padding adds 0.";
  }
  IntegerRange range(const NodeView& node) const override {
    const SumBounds bounds =
        dense_bounds(input_range(node, 0), {1, 1}, operations_per_result(node));
    return checked_range(bounds.low, bounds.high);
  }

 protected:
  OperationKind operation() const override { return OperationKind::kAdd; }
  std::int64_t start() const override { return 0; }
  std::int64_t join(std::int64_t a, std::int64_t b) const override { return a + b; }
};

class IntMaxPool final : public IntPool {
 public:
  std::string_view name() const override { return "IntMaxPool"; }
  std::string_view description() const override {
    return "Maximum over windows of x[N, spatial..., C]; padding is ignored.";
  }
  IntegerRange range(const NodeView& node) const override { return input_range(node, 0); }

 protected:
  OperationKind operation() const override { return OperationKind::kCompare; }
  std::int64_t start() const override { return INT64_MIN; }
  std::int64_t join(std::int64_t a, std::int64_t b) const override { return std::max(a, b); }
};

// ---- Reductions over axes -----------------------------------------------------------------------

class IntReduce : public IntegerOperator {
 public:
  std::vector<AttributeSpec> attributes() const override {
    return {format_attribute(),
            {"axes", AttributeKind::kIntegers, "axes that become 1, non-negative", {}, {}}};
  }
  std::vector<Dim> shape(const NodeView& node) const override {
    std::vector<Dim> result = node.input(0).shape;
    std::vector<bool> seen(result.size());
    for (const std::int64_t axis : node.integers("axes")) {
      if (axis < 0) throw Error("axes must not be negative");
      const std::size_t at = normalized_axis(axis, result.size());
      if (seen[at]) throw Error("axis ", axis, " is listed twice");
      seen[at] = true;
      result[at] = 1;
    }
    return result;
  }
  std::vector<Tensor> evaluate(const NodeView& node, std::span<const Tensor> in) const override {
    Shape to = in[0].shape();
    for (const std::int64_t axis : node.integers("axes")) to[static_cast<std::size_t>(axis)] = 1;
    const auto x = in[0].to_integers();
    std::vector<std::int64_t> result(static_cast<std::size_t>(element_count(to)), start());
    const auto at = broadcast_offsets(to, in[0].shape());
    for (std::size_t i = 0; i < x.size(); ++i) {
      auto& out = result[static_cast<std::size_t>(at[i])];
      out = join(out, x[i]);
    }
    return {Tensor::from_integers(node.format("format"), to, result)};
  }
  std::vector<SampleCase> samples() const override {
    const std::string head = "tandem-module 1\ngraph @main(%x : int4[2,5,3]) -> (%y) {\n";
    return {
        {concat(head, "  %y : int8[2,1,1] = ", name(), "(%x) {format = int8, axes = [1,2]}\n}\n"),
         ""},
        {concat(head, "  %y : int8[2,5,1] = ", name(), "(%x) {format = int8, axes = [2]}\n}\n"),
         ""},
        {concat(head, "  %y : int8[2,1,3] = ", name(), "(%x) {format = int8, axes = [1,1]}\n}\n"),
         "listed twice"}};
  }

 protected:
  virtual std::int64_t start() const = 0;
  virtual std::int64_t join(std::int64_t a, std::int64_t b) const = 0;
  std::int64_t operations_per_result(const NodeView& node) const override {
    std::int64_t count = 1;
    for (const std::int64_t axis : node.integers("axes"))
      count *= node.input(0).shape[static_cast<std::size_t>(axis)].constant();
    return count;
  }
};

class IntSum final : public IntReduce {
 public:
  std::string_view name() const override { return "IntSum"; }
  std::string_view description() const override { return "Sum over axes, which become 1."; }
  IntegerRange range(const NodeView& node) const override {
    const SumBounds bounds =
        dense_bounds(input_range(node, 0), {1, 1}, operations_per_result(node));
    return checked_range(bounds.low, bounds.high);
  }

 protected:
  OperationKind operation() const override { return OperationKind::kAdd; }
  std::int64_t start() const override { return 0; }
  std::int64_t join(std::int64_t a, std::int64_t b) const override { return a + b; }
};

class IntReduceMax final : public IntReduce {
 public:
  std::string_view name() const override { return "IntReduceMax"; }
  std::string_view description() const override { return "Maximum over axes, which become 1."; }
  IntegerRange range(const NodeView& node) const override { return input_range(node, 0); }

 protected:
  OperationKind operation() const override { return OperationKind::kCompare; }
  std::int64_t start() const override { return INT64_MIN; }
  std::int64_t join(std::int64_t a, std::int64_t b) const override { return std::max(a, b); }
};

class IntArgMax final : public IntegerOperator {
 public:
  std::string_view name() const override { return "IntArgMax"; }
  std::string_view description() const override {
    return "Index of the maximum along an axis, which becomes 1; the first one, or the last.";
  }
  std::vector<AttributeSpec> attributes() const override {
    return {format_attribute(),
            {"axis", AttributeKind::kInteger, "axis that becomes 1, non-negative", {}, {}},
            {"select_last",
             AttributeKind::kInteger,
             "1: the last of equal maxima",
             {std::int64_t{0}},
             {}}};
  }
  std::vector<Dim> shape(const NodeView& node) const override {
    if (node.integer("axis") < 0) throw Error("axis must not be negative");
    std::vector<Dim> result = node.input(0).shape;
    result[normalized_axis(node.integer("axis"), result.size())] = 1;
    return result;
  }
  IntegerRange range(const NodeView& node) const override {
    const auto axis = static_cast<std::size_t>(node.integer("axis"));
    return {0, std::max<std::int64_t>(node.input(0).shape[axis].constant() - 1, 0)};
  }
  std::vector<Tensor> evaluate(const NodeView& node, std::span<const Tensor> in) const override {
    const auto axis = static_cast<std::size_t>(node.integer("axis"));
    const bool last = node.integer("select_last") != 0;
    const AxisSplit split = split_at(in[0].shape(), axis);
    Shape to = in[0].shape();
    to[axis] = 1;
    std::vector<std::int64_t> result;
    for (std::int64_t o = 0; o < split.outer; ++o) {
      for (std::int64_t n = 0; n < split.inner; ++n) {
        const auto value = [&](std::int64_t i) {
          return in[0].integer((o * split.extent + i) * split.inner + n);
        };
        std::int64_t best = 0;
        for (std::int64_t i = 1; i < split.extent; ++i)
          if (value(i) > value(best) || (last && value(i) == value(best))) best = i;
        result.push_back(best);
      }
    }
    return {Tensor::from_integers(node.format("format"), to, result)};
  }
  std::vector<SampleCase> samples() const override {
    const std::string head = "tandem-module 1\ngraph @main(%x : int2[2,5,3]) -> (%y) {\n";
    return {{head + "  %y : uint3[2,1,3] = IntArgMax(%x) {format = uint3, axis = 1}\n}\n", ""},
            {head + "  %y : uint8[2,5,1] = IntArgMax(%x) {format = uint8, axis = 2, "
                    "select_last = 1}\n}\n",
             ""},
            {head + "  %y : uint1[2,1,3] = IntArgMax(%x) {format = uint1, axis = 1}\n}\n",
             "needs format"}};
  }

 protected:
  OperationKind operation() const override { return OperationKind::kCompare; }
  std::int64_t operations_per_result(const NodeView& node) const override {
    return node.input(0).shape[static_cast<std::size_t>(node.integer("axis"))].constant();
  }
};

}  // namespace

void register_linear_integer_operators() {
  OperatorRegistry& registry = operators();
  registry.add(std::make_unique<IntMatMul>());
  registry.add(std::make_unique<IntConv>());
  registry.add(std::make_unique<IntSum>());
  registry.add(std::make_unique<IntReduceMax>());
  registry.add(std::make_unique<IntSumPool>());
  registry.add(std::make_unique<IntMaxPool>());
  registry.add(std::make_unique<IntArgMax>());
}

}  // namespace tandem
