#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "tandem/graph/registry.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/lowering_rules.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/plain_integers.h"
#include "tandem/ops/strides.h"
#include "tandem/ops/support.h"

namespace tandem {
namespace {

// A reduction gives the value of nothing (kStart), joins it with the elements in turn and finishes
// the total; all of it in double, rounded once. What integers allow, `joined` gives in int64.
struct RealReduction {
  static constexpr std::optional<Reduced> kReduced = std::nullopt;
  static constexpr OperationKind kKind = OperationKind::kAdd;
  static constexpr bool kBooleans = false;  // takes booleans, as the integers 0 and 1
  static constexpr bool kShifts = false;    // sees each element less the greatest of its group
  static constexpr double kStart = 0;
  static double finish(double total, std::int64_t /*count*/, double /*greatest*/) { return total; }
};

// What integers need beyond `joined`: the total of nothing, and what becomes of the total.
struct IntegerSum {
  static std::int64_t nothing(const Format&) { return 0; }
  static std::int64_t finished(std::int64_t total, std::int64_t /*count*/) { return total; }
};

struct ReduceSum : RealReduction, IntegerSum {
  static constexpr std::string_view kName = "ReduceSum";
  static constexpr std::optional<Reduced> kReduced = Reduced::kSum;
  static constexpr std::string_view kDescription = "Sum of x over the given axes.";
  static double join(double sum, double x) { return sum + x; }
  static std::int64_t joined(std::int64_t sum, std::int64_t x) { return wrapped_sum(sum, x); }
};

struct ReduceMean : RealReduction, IntegerSum {
  static constexpr std::string_view kName = "ReduceMean";
  static constexpr std::optional<Reduced> kReduced = Reduced::kMean;
  static constexpr std::string_view kDescription =
      "Mean of x over the given axes; of integers rounded toward zero.";
  static double join(double sum, double x) { return sum + x; }
  static double finish(double sum, std::int64_t count, double) {
    return sum / static_cast<double>(count);
  }
  static std::int64_t joined(std::int64_t sum, std::int64_t x) { return wrapped_sum(sum, x); }
  static std::int64_t finished(std::int64_t sum, std::int64_t count) {
    return truncated_quotient(sum, count);
  }
};

struct ReduceMax : RealReduction, IntegerSum {
  static constexpr std::string_view kName = "ReduceMax";
  static constexpr std::optional<Reduced> kReduced = Reduced::kMax;
  static constexpr std::string_view kDescription =
      "Greatest element of x over the given axes, in any number format or bool; NaN where one is "
      "NaN.";
  static constexpr OperationKind kKind = OperationKind::kCompare;
  static constexpr bool kBooleans = true;
  static constexpr double kStart = -std::numeric_limits<double>::infinity();
  static double join(double best, double x) { return x > best || std::isnan(x) ? x : best; }
  static std::int64_t nothing(const Format& format) { return format.integer_range().min; }
  static std::int64_t joined(std::int64_t best, std::int64_t x) { return std::max(best, x); }
};

struct ReduceMin : RealReduction, IntegerSum {
  static constexpr std::string_view kName = "ReduceMin";
  static constexpr std::string_view kDescription =
      "Least element of x over the given axes, in any number format or bool; NaN where one is NaN.";
  static constexpr OperationKind kKind = OperationKind::kCompare;
  static constexpr bool kBooleans = true;
  static constexpr double kStart = std::numeric_limits<double>::infinity();
  static double join(double best, double x) { return x < best || std::isnan(x) ? x : best; }
  static std::int64_t nothing(const Format& format) { return format.integer_range().max; }
  static std::int64_t joined(std::int64_t best, std::int64_t x) { return std::min(best, x); }
};

struct ReduceProd : RealReduction, IntegerSum {
  static constexpr std::string_view kName = "ReduceProd";
  static constexpr std::string_view kDescription = "Product of x over the given axes.";
  static constexpr OperationKind kKind = OperationKind::kMultiply;
  static constexpr double kStart = 1;
  static double join(double product, double x) { return product * x; }
  static std::int64_t nothing(const Format&) { return 1; }
  static std::int64_t joined(std::int64_t product, std::int64_t x) {
    return wrapped_product(product, x);
  }
};

struct ReduceSumSquare : RealReduction, IntegerSum {
  static constexpr std::string_view kName = "ReduceSumSquare";
  static constexpr std::string_view kDescription = "Sum of x * x over the given axes.";
  static constexpr OperationKind kKind = OperationKind::kMultiplyAccumulate;
  static double join(double sum, double x) { return sum + x * x; }
  static std::int64_t joined(std::int64_t sum, std::int64_t x) {
    return wrapped_sum(sum, wrapped_product(x, x));
  }
};

struct ReduceL1 : RealReduction, IntegerSum {
  static constexpr std::string_view kName = "ReduceL1";
  static constexpr std::string_view kDescription = "Sum of |x| over the given axes.";
  static double join(double sum, double x) { return sum + std::fabs(x); }
  static std::int64_t joined(std::int64_t sum, std::int64_t x) {
    return x < 0 ? wrapped_difference(sum, x) : wrapped_sum(sum, x);
  }
};

struct ReduceL2 : RealReduction {
  static constexpr std::string_view kName = "ReduceL2";
  static constexpr std::string_view kDescription = "Square root of the sum of x * x over the axes.";
  static constexpr OperationKind kKind = OperationKind::kMultiplyAccumulate;
  static double join(double sum, double x) { return sum + x * x; }
  static double finish(double sum, std::int64_t, double) { return std::sqrt(sum); }
};

struct ReduceLogSum : RealReduction {
  static constexpr std::string_view kName = "ReduceLogSum";
  static constexpr std::string_view kDescription = "Logarithm of the sum of x over the given axes.";
  static double join(double sum, double x) { return sum + x; }
  static double finish(double sum, std::int64_t, double) { return std::log(sum); }
};

struct ReduceLogSumExp : RealReduction {
  static constexpr std::string_view kName = "ReduceLogSumExp";
  static constexpr std::string_view kDescription =
      "Logarithm of the sum of e^x over the given axes, without overflow.";
  static constexpr OperationKind kKind = OperationKind::kTranscendental;
  static constexpr bool kShifts = true;
  static double join(double sum, double x) { return sum + std::exp(x); }
  static double finish(double sum, std::int64_t, double greatest) {
    return std::log(sum) + greatest;
  }
};

template <typename F>
concept ReducesIntegers = requires {
  &F::joined;
};

std::vector<bool> reduced_axes(const NodeView& node, std::size_t rank) {
  const auto& axes = node.integers("axes");
  std::vector<bool> reduced(rank, axes.empty());
  for (const std::int64_t given : axes) {
    const std::size_t axis = normalized_axis(given, rank);
    if (reduced[axis]) throw Error("axis ", axis, " is named twice in axes");
    reduced[axis] = true;
  }
  return reduced;
}

template <typename F>
class Reduction final : public Operator {
 public:
  std::string_view name() const override { return F::kName; }
  std::string_view description() const override { return F::kDescription; }
  std::vector<AttributeSpec> attributes() const override {
    return {integers_attribute("axes", "axes reduced; empty: all"),
            flag_attribute("keepdims", "reduced axes stay, with extent 1", true)};
  }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const Format format = element_format(node);
    const std::vector<Dim>& x = node.input(0).shape;
    const auto reduced = reduced_axes(node, x.size());
    const bool keeps = flag(node, "keepdims");
    TensorType y{{}, format};
    for (std::size_t d = 0; d < x.size(); ++d) {
      if (!reduced[d])
        y.shape.push_back(x[d]);
      else if (keeps)
        y.shape.emplace_back(1);
    }
    return {y};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    const auto reduced = reduced_axes(node, inputs[0].shape().size());
    const bool keeps = flag(node, "keepdims");
    if constexpr (ReducesIntegers<F>) {
      if (!inputs[0].format().is_float()) return {reduced_integers(inputs[0], reduced, keeps)};
    }
    return compute_reals(inputs[0].format(), inputs,
                         [&]<typename T>(std::span<const Tensor> reals) {
                           return std::vector<Tensor>{reduce<T>(reals[0], reduced, keeps)};
                         });
  }

  // One operation for every element after the first of each result, and a division for a mean.
  Work work(const NodeView& node) const override {
    const std::int64_t results = output_elements(node), elements = input_elements(node, 0);
    std::vector<OperationCount> counts = {
        operations(node, F::kKind, std::max<std::int64_t>(elements - results, 0))};
    if (F::kName == ReduceMean::kName)
      counts.push_back(operations(node, OperationKind::kDivide, results));
    return work_of(node, std::move(counts));
  }

  std::optional<std::vector<CodedValue>> lower(LoweringSite& site) const override {
    if (!F::kReduced || !site.node.input(0).format.is_float()) return std::nullopt;
    return lower_reduction(site, *F::kReduced, site.node.integers("axes"),
                           flag(site.node, "keepdims"));
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view y, std::string_view attributes) {
      return sample_text("symbol N in [1,8]", concat("%x : ", x),
                         concat("%y : ", y, " = ", F::kName, "(%x) ", attributes));
    };
    return {{text("f32[N,3,4,5]", "f32[N,3,1,1]", "{axes = [2,3]}"), ""},
            {text("f32[N,3,4]", "f32[N,4]", "{axes = [-2], keepdims = 0}"), ""},
            {text("f32[N,3,4]", "f32[3]", "{axes = [0,2], keepdims = 0}"), ""},
            {text("f64[2,3]", "f64[1,1]", ""), ""},
            {text("f16[2,3]", "f16[]", "{keepdims = 0}"), ""},
            {text("f32[2,3]", "f32[2,1]", "{axes = [2]}"), "axis 2 is outside"},
            {text("f32[2,3]", "f32[2,1]", "{axes = [1,-1]}"), "named twice"},
            {text("fixed<8,3>[2]", "fixed<8,3>[1]", ""), "put a Dequantize before it"},
            {text("int32[2,3]", "int32[2,1]", "{axes = [1]}"),
             ReducesIntegers<F> ? "" : "put a Dequantize before it"},
            {text("bool[2,3]", "bool[2,1]", "{axes = [1]}"),
             F::kBooleans ? "" : "put a Dequantize before it"}};
  }

 private:
  static Format element_format(const NodeView& node) {
    if (F::kBooleans && node.input(0).format.is_boolean()) return boolean_format();
    return ReducesIntegers<F> ? require_numbers(node) : require_reals(node);
  }

  struct Shapes {
    Shape kept, result;  // with and without the reduced axes of extent 1
  };
  static Shapes shapes_of(const Tensor& x, const std::vector<bool>& reduced, bool keeps) {
    Shapes shapes{x.shape(), {}};
    for (std::size_t d = 0; d < reduced.size(); ++d) {
      if (reduced[d]) shapes.kept[d] = 1;
      if (!reduced[d] || keeps) shapes.result.push_back(shapes.kept[d]);
    }
    return shapes;
  }

  // totals[group of i] = join(totals[group of i], x[i], group of i) for every element in turn.
  template <typename T, typename Total, typename Join>
  static void join_all(const Tensor& x, const Shape& kept, std::vector<Total>& totals,
                       const Join& join) {
    const T* from = x.data<T>().data();
    for_each_run<1>(x.shape(), {broadcast_strides(kept, x.shape())},
                    [&](std::int64_t first, std::int64_t count, const auto& at, const auto& step) {
                      auto group = static_cast<std::size_t>(at[0]);
                      if (step[0] == 0) {
                        Total total = totals[group];
                        for (std::int64_t i = 0; i < count; ++i)
                          total = join(total, from[first + i], group);
                        totals[group] = total;
                      } else {
                        for (std::int64_t i = 0; i < count;
                             ++i, group += static_cast<std::size_t>(step[0]))
                          totals[group] = join(totals[group], from[first + i], group);
                      }
                    });
  }

  template <typename T>
  static Tensor reduce(const Tensor& x, const std::vector<bool>& reduced, bool keeps) {
    const Shapes shapes = shapes_of(x, reduced, keeps);
    Tensor y(x.format(), shapes.result);
    const auto groups = static_cast<std::size_t>(y.size());
    std::vector<double> totals(groups, F::kStart), greatest(F::kShifts ? groups : 0);
    if constexpr (F::kShifts) {
      std::fill(greatest.begin(), greatest.end(), ReduceMax::kStart);
      join_all<T>(x, shapes.kept, greatest,
                  [](double best, T value, std::size_t) { return ReduceMax::join(best, value); });
      for (double& value : greatest)
        if (std::isinf(value)) value = 0;
    }
    join_all<T>(x, shapes.kept, totals, [&](double total, T value, std::size_t group) {
      return F::join(total, F::kShifts ? value - greatest[group] : value);
    });
    const std::int64_t count = y.size() == 0 ? 0 : x.size() / y.size();
    const auto to = y.mutable_data<T>();
    for (std::size_t i = 0; i < groups; ++i)
      to[i] = static_cast<T>(F::finish(totals[i], count, F::kShifts ? greatest[i] : 0));
    return y;
  }

  static Tensor reduced_integers(const Tensor& x, const std::vector<bool>& reduced, bool keeps) {
    const Shapes shapes = shapes_of(x, reduced, keeps);
    Tensor y(index_format(), shapes.result);
    std::vector<std::int64_t> totals(static_cast<std::size_t>(y.size()), F::nothing(x.format()));
    join_all<std::int64_t>(widened(x), shapes.kept, totals,
                           [](std::int64_t total, std::int64_t value, std::size_t) {
                             return F::joined(total, value);
                           });
    const std::int64_t count = y.size() == 0 ? 0 : x.size() / y.size();
    const auto to = y.mutable_data<std::int64_t>();
    for (std::size_t i = 0; i < totals.size(); ++i) to[i] = F::finished(totals[i], count);
    return wrapped(y, x.format());
  }
};

}  // namespace

void register_reduction_operators() {
  add_operators<Reduction, ReduceSum, ReduceMean, ReduceMax, ReduceMin, ReduceProd, ReduceSumSquare,
                ReduceL1, ReduceL2, ReduceLogSum, ReduceLogSumExp>();
}

}  // namespace tandem
