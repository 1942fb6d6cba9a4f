#include "tandem/ops/pool.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>

#include "tandem/graph/builder.h"
#include "tandem/graph/registry.h"
#include "tandem/ops/lowering_rules.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/support.h"

namespace tandem {
namespace {

using Extents = std::vector<std::int64_t>;

std::int64_t reach(const Window& window, std::size_t axis) {
  return window.dilations[axis] * (window.kernel[axis] - 1) + 1;
}

// Kernel elements [first, last) of one axis that meet [low, high) from output position o.
struct KernelSpan {
  std::int64_t first, last;
};
KernelSpan kernel_span(const Window& window, std::size_t axis, std::int64_t o, std::int64_t low,
                       std::int64_t high) {
  const std::int64_t start = o * window.strides[axis] - window.pads_begin[axis];
  const std::int64_t step = window.dilations[axis];
  const auto not_below = [&](std::int64_t position) {
    return position <= start ? 0 : (position - start + step - 1) / step;
  };
  const std::int64_t last = std::min(window.kernel[axis], not_below(high));
  return {std::min(not_below(low), last), last};
}

// One axis of a pooling, position by position.
struct AxisSpans {
  std::int64_t extent = 1, stride = 1, dilation = 1, pad = 0;
  std::vector<KernelSpan> spans = {{0, 1}};
};

AxisSpans axis_spans(const Window& window, std::size_t axis, std::int64_t extent,
                     std::int64_t outputs) {
  AxisSpans result{
      extent, window.strides[axis], window.dilations[axis], window.pads_begin[axis], {}};
  for (std::int64_t o = 0; o < outputs; ++o)
    result.spans.push_back(kernel_span(window, axis, o, 0, extent));
  return result;
}

struct MaxPool {
  static constexpr std::string_view kName = "MaxPool";
  static Lowered lower(LoweringSite& site) { return lower_max_pool(site); }
  static constexpr std::string_view kDescription =
      "Greatest element of each window of x [N,C,spatial...]; padding is ignored, NaN wins.";
  static constexpr OperationKind kKind = OperationKind::kCompare;
  static constexpr bool kIsAverage = false;
  static constexpr double kStart = -std::numeric_limits<double>::infinity();
  static double join(double best, double x) { return x > best || std::isnan(x) ? x : best; }
};

struct AveragePool {
  static constexpr std::string_view kName = "AveragePool";
  static Lowered lower(LoweringSite& site) { return lower_average_pool(site); }
  static constexpr std::string_view kDescription =
      "Mean of each window of x [N,C,spatial...]; padding counts as zeros with count_include_pad "
      "and "
      "is left out otherwise.";
  static constexpr OperationKind kKind = OperationKind::kAdd;
  static constexpr bool kIsAverage = true;
  static constexpr double kStart = 0;
  static double join(double sum, double x) { return sum + x; }
};

Extents spatial(const Shape& shape) { return {shape.begin() + 2, shape.end()}; }

template <typename F>
class Pool final : public Operator {
 public:
  std::string_view name() const override { return F::kName; }
  std::string_view description() const override { return F::kDescription; }
  std::vector<AttributeSpec> attributes() const override {
    auto specs = window_attributes();
    specs.push_back(
        {"kernel", AttributeKind::kIntegers, "extent of the window per spatial axis", {}, {}});
    specs.push_back(flag_attribute("ceil_mode", "round the number of windows up", false));
    if (F::kIsAverage)
      specs.push_back(flag_attribute("count_include_pad", "count padding as zeros", false));
    return specs;
  }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const Format format = require_reals(node);
    const TensorType& x = node.input(0);
    if (F::kIsAverage) flag(node, "count_include_pad");
    return {{pooled_shape(node, x), format}};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    return compute_reals(inputs[0].format(), inputs,
                         [&]<typename T>(std::span<const Tensor> reals) {
                           return std::vector<Tensor>{pool<T>(node, reals[0])};
                         });
  }

  // One operation for each further element of a window, the padding included, and a division.
  Work work(const NodeView& node) const override {
    const auto& kernel = node.integers("kernel");
    const std::int64_t results = output_elements(node);
    const std::int64_t window =
        std::accumulate(kernel.begin(), kernel.end(), std::int64_t{1}, std::multiplies<>());
    std::vector<OperationCount> counts = {operations(node, F::kKind, results * (window - 1))};
    if (F::kIsAverage) counts.push_back(operations(node, OperationKind::kDivide, results));
    return work_of(node, std::move(counts));
  }

  std::optional<std::vector<CodedValue>> lower(LoweringSite& site) const override {
    return F::lower(site);
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view y, std::string_view attributes) {
      return sample_text("symbol N in [1,4]", concat("%x : ", x),
                         concat("%y : ", y, " = ", F::kName, "(%x) ", attributes));
    };
    std::vector<SampleCase> cases = {
        {text("f32[N,3,8,8]", "f32[N,3,4,4]", "{kernel = [2,2], strides = [2,2]}"), ""},
        {text("f32[1,2,7,6]", "f32[1,2,4,3]",
              "{kernel = [3,2], strides = [2,2], pads = [1,0,1,0]}"),
         ""},
        {text("f32[1,1,6,6]", "f32[1,1,3,3]", "{kernel = [3,3], strides = [2,2], ceil_mode = 1}"),
         ""},
        {text("f16[N,2,9]", "f16[N,2,5]", "{kernel = [3], dilations = [2]}"), ""},
        {text("f64[1,1,3,3]", "f64[1,1,1,1]", "{kernel = [3,3]}"), ""},
        {text("f32[1,1,3,3]", "f32[1,1,1,1]", "{kernel = [4,4]}"), "the window reaches over 4"},
        {text("f32[1,1,3,3]", "f32[1,1,2,2]", "{kernel = [3]}"), "kernel has 1 entries"},
        {text("f32[1,1,3,3]", "f32[1,1,5,5]", "{kernel = [2,2], pads = [2,2,1,1]}"),
         "as wide as the window"},
        {text("f32[N,2,5,4,6]", "f32[N,2,3,3,3]",
              "{kernel = [2,3,2], strides = [2,1,2], pads = [0,1,0,1,0,0]}"),
         ""},
        {text("f32[3,3]", "f32[2,2]", "{kernel = [2,2]}"), "not [N,C,spatial...]"},
        {text("int8[1,1,3,3]", "int8[1,1,2,2]", "{kernel = [2,2]}"), "put a Dequantize before it"}};
    if (F::kIsAverage) {
      cases.push_back({text("f32[N,2,5,5]", "f32[N,2,3,3]",
                            "{kernel = [3,3], strides = [2,2], pads = [1,1,1,1], "
                            "count_include_pad = 1}"),
                       ""});
    }
    return cases;
  }

 private:
  template <typename T>
  static Tensor pool(const NodeView& node, const Tensor& x) {
    const Extents extents = spatial(x.shape());
    const Window window = pool_window(node, extents);
    const Extents outputs = window.output_extents(extents);
    Shape shape = {x.shape()[0], x.shape()[1]};
    shape.insert(shape.end(), outputs.begin(), outputs.end());
    Tensor y(x.format(), std::move(shape));
    if (window.rank() > 2) {
      pool_volumes<T>(node, window, x, y);
      return y;
    }
    const std::size_t last = extents.size() - 1;
    const AxisSpans columns = axis_spans(window, last, extents[last], outputs[last]);
    const AxisSpans rows = last == 0 ? AxisSpans() : axis_spans(window, 0, extents[0], outputs[0]);
    std::vector<std::int64_t> divisors;
    if (F::kIsAverage) divisors = average_divisors(node, extents);
    const T* from = x.data<T>().data();
    T* to = y.mutable_data<T>().data();
    for (std::int64_t plane = 0; plane < x.shape()[0] * x.shape()[1]; ++plane) {
      to = pool_plane(from, rows, columns, divisors, to);
      from += rows.extent * columns.extent;
    }
    return y;
  }

  // Any number of spatial axes.
  template <typename T>
  static void pool_volumes(const NodeView& node, const Window& window, const Tensor& x, Tensor& y) {
    const Extents extents = spatial(x.shape());
    std::vector<std::int64_t> divisors;
    if (F::kIsAverage) divisors = average_divisors(node, extents);
    const std::int64_t inputs = element_count(extents), outputs = element_count(spatial(y.shape()));
    const T* from = x.data<T>().data();
    T* to = y.mutable_data<T>().data();
    std::vector<double> results(static_cast<std::size_t>(outputs));
    for (std::int64_t plane = 0; plane < x.shape()[0] * x.shape()[1]; ++plane, from += inputs) {
      std::fill(results.begin(), results.end(), F::kStart);
      for_each_window_element(window, extents,
                              [&](std::int64_t o, std::int64_t, std::int64_t position) {
                                double& result = results[static_cast<std::size_t>(o)];
                                if (position >= 0) result = F::join(result, from[position]);
                              });
      for (std::size_t o = 0; o < results.size(); ++o) {
        if constexpr (F::kIsAverage) results[o] /= static_cast<double>(divisors[o]);
        *to++ = static_cast<T>(results[o]);
      }
    }
  }

  template <typename T>
  static T* pool_plane(const T* from, const AxisSpans& rows, const AxisSpans& columns,
                       const std::vector<std::int64_t>& divisors, T* to) {
    const std::int64_t* divisor = divisors.data();
    std::int64_t top = -rows.pad;
    for (const KernelSpan& vertical : rows.spans) {
      std::int64_t left = -columns.pad;
      for (const KernelSpan& horizontal : columns.spans) {
        double result = F::kStart;
        for (std::int64_t ky = vertical.first; ky < vertical.last; ++ky) {
          const T* row = from + (top + ky * rows.dilation) * columns.extent + left;
          for (std::int64_t kx = horizontal.first; kx < horizontal.last; ++kx)
            result = F::join(result, row[kx * columns.dilation]);
        }
        if constexpr (F::kIsAverage) result /= static_cast<double>(*divisor++);
        *to++ = static_cast<T>(result);
        left += columns.stride;
      }
      top += rows.stride;
    }
    return to;
  }
};

// A reduction over all spatial axes, which stay with extent 1.
class GlobalPool final : public Operator {
 public:
  explicit GlobalPool(bool average) : average_(average) {}
  std::string_view name() const override {
    return average_ ? "GlobalAveragePool" : "GlobalMaxPool";
  }
  std::string_view description() const override {
    return average_ ? "Mean over all spatial axes of x [N,C,spatial...], which stay with extent 1."
                    : "Greatest element over all spatial axes of x [N,C,spatial...], which stay "
                      "with extent 1.";
  }
  std::vector<TensorType> infer(const NodeView& node) const override {
    TensorType y{node.input(0).shape, require_reals(node)};
    if (y.shape.size() < 3)
      throw Error("x is ", y.to_string(), ", which has no spatial axis after [N,C]");
    std::fill(y.shape.begin() + 2, y.shape.end(), Dim(1));
    return {y};
  }
  std::vector<Form> forms(const NodeView&) const override { return {{"reduction"}}; }
  std::vector<ValueId> body(Builder& builder, const NodeView& node, const Form&,
                            std::span<const ValueId> inputs) const override {
    std::vector<std::int64_t> axes(node.input(0).shape.size() - 2);
    std::iota(axes.begin(), axes.end(), 2);
    return {builder.add(average_ ? "ReduceMean" : "ReduceMax", {inputs[0]}, {{"axes", axes}})};
  }
  std::vector<SampleCase> samples() const override {
    const auto text = [&](std::string_view x, std::string_view y) {
      return sample_text("symbol N in [1,8]", concat("%x : ", x),
                         concat("%y : ", y, " = ", name(), "(%x)"));
    };
    return {{text("f32[N,3,4,5]", "f32[N,3,1,1]"), ""},
            {text("f16[2,3,4]", "f16[2,3,1]"), ""},
            {text("f32[2,3]", "f32[2,3]"), "no spatial axis"},
            {text("int8[2,3,4]", "int8[2,3,1]"), "put a Dequantize before it"}};
  }

 private:
  bool average_;
};

}  // namespace

std::vector<Dim> pooled_shape(const NodeView& node, const TensorType& x) {
  if (x.shape.size() < 3)
    throw Error("x is ", x.to_string(), ", not [N,C,spatial...] as a pooling takes");
  Extents extents;
  for (std::size_t d = 2; d < x.shape.size(); ++d) extents.push_back(x.shape[d].constant());
  std::vector<Dim> shape = {x.shape[0], x.shape[1]};
  for (const std::int64_t extent : pool_window(node, extents).output_extents(extents))
    shape.emplace_back(extent);
  return shape;
}

Window pool_window(const NodeView& node, const Extents& extents) {
  const Extents& kernel = node.integers("kernel");
  if (kernel.size() != extents.size())
    throw Error("kernel has ", kernel.size(), " entries for ", extents.size(), " spatial axes");
  Window window = window_of(node, kernel);
  for (std::size_t d = 0; d < window.rank(); ++d) {
    if (std::max(window.pads_begin[d], window.pads_end[d]) >= reach(window, d)) {
      throw Error("the padding of spatial axis ", d, " is as wide as the window (",
                  reach(window, d), "), which would then see nothing else");
    }
  }
  const Extents floors = window.output_extents(extents);
  if (!flag(node, "ceil_mode")) return window;
  for (std::size_t d = 0; d < window.rank(); ++d) {
    const std::int64_t stride = window.strides[d];
    const std::int64_t end = extents[d] + window.pads_begin[d];  // where the end padding begins
    const std::int64_t room = end + window.pads_end[d] - reach(window, d);
    std::int64_t outputs = (room + stride - 1) / stride + 1;
    if ((outputs - 1) * stride >= end) --outputs;
    if (outputs == floors[d]) continue;
    window.pads_end[d] = std::max<std::int64_t>(0, (outputs - 1) * stride + reach(window, d) - end);
  }
  return window;
}

std::vector<std::int64_t> average_divisors(const NodeView& node, const Extents& extents) {
  const Window declared = window_of(node, node.integers("kernel"));
  const Window window = pool_window(node, extents);
  const bool with_padding = flag(node, "count_include_pad");
  std::vector<std::int64_t> divisors = {1};
  for (std::size_t d = 0; d < window.rank(); ++d) {
    const std::int64_t low = with_padding ? -declared.pads_begin[d] : 0;
    const std::int64_t high = extents[d] + (with_padding ? declared.pads_end[d] : 0);
    std::vector<std::int64_t> product;
    for (const std::int64_t before : divisors) {
      for (std::int64_t o = 0; o < window.output_extents(extents)[d]; ++o) {
        const KernelSpan span = kernel_span(window, d, o, low, high);
        product.push_back(before * (span.last - span.first));
      }
    }
    divisors = std::move(product);
  }
  return divisors;
}

void register_pooling_operators() {
  operators().add(std::make_unique<Pool<MaxPool>>());
  operators().add(std::make_unique<Pool<AveragePool>>());
  operators().add(std::make_unique<GlobalPool>(true));
  operators().add(std::make_unique<GlobalPool>(false));
}

}  // namespace tandem
