#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "tandem/graph/registry.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/lowering_rules.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/strides.h"
#include "tandem/ops/support.h"

namespace tandem {
namespace {

// Sums are kept in double and rounded once.
struct ReduceSum {
  static constexpr std::string_view kName = "ReduceSum";
  static constexpr std::optional<Reduced> kReduced = Reduced::kSum;
  static constexpr std::string_view kDescription = "Sum of x over the given axes.";
  static constexpr OperationKind kKind = OperationKind::kAdd;
  static constexpr double kStart = 0;
  static double join(double sum, double x) { return sum + x; }
  static double finish(double sum, std::int64_t) { return sum; }
};

struct ReduceMean {
  static constexpr std::string_view kName = "ReduceMean";
  static constexpr std::optional<Reduced> kReduced = Reduced::kMean;
  static constexpr std::string_view kDescription = "Mean of x over the given axes.";
  static constexpr OperationKind kKind = OperationKind::kAdd;
  static constexpr double kStart = 0;
  static double join(double sum, double x) { return sum + x; }
  static double finish(double sum, std::int64_t count) { return sum / static_cast<double>(count); }
};

struct ReduceMax {
  static constexpr std::string_view kName = "ReduceMax";
  static constexpr std::optional<Reduced> kReduced = Reduced::kMax;
  static constexpr std::string_view kDescription =
      "Greatest element of x over the given axes; NaN where one is NaN.";
  static constexpr OperationKind kKind = OperationKind::kCompare;
  static constexpr double kStart = -std::numeric_limits<double>::infinity();
  static double join(double best, double x) { return x > best || std::isnan(x) ? x : best; }
  static double finish(double best, std::int64_t) { return best; }
};

struct ReduceMin {
  static constexpr std::string_view kName = "ReduceMin";
  static constexpr std::optional<Reduced> kReduced = std::nullopt;
  static constexpr std::string_view kDescription =
      "Least element of x over the given axes; NaN where one is NaN.";
  static constexpr OperationKind kKind = OperationKind::kCompare;
  static constexpr double kStart = std::numeric_limits<double>::infinity();
  static double join(double best, double x) { return x < best || std::isnan(x) ? x : best; }
  static double finish(double best, std::int64_t) { return best; }
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
    const Format format = require_reals(node);
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
    return compute_reals(inputs[0].format(), inputs,
                         [&]<typename T>(std::span<const Tensor> reals) {
                           return std::vector<Tensor>{reduce<T>(reals[0], reduced, keeps)};
                         });
  }

  // One operation for every element after the first of each result, and a division for a mean.
  Work work(const NodeView& node) const override {
    const std::int64_t results = output_elements(node), elements = input_elements(node, 0);
    std::vector<OperationCount> counts = {operations(node, F::kKind, elements - results)};
    if (F::kName == ReduceMean::kName)
      counts.push_back(operations(node, OperationKind::kDivide, results));
    return work_of(node, std::move(counts));
  }

  std::optional<std::vector<CodedValue>> lower(LoweringSite& site) const override {
    if (!F::kReduced) return std::nullopt;
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
            {text("int8[2,3]", "int8[2,1]", "{axes = [1]}"), "put a Dequantize before it"}};
  }

 private:
  template <typename T>
  static Tensor reduce(const Tensor& x, const std::vector<bool>& reduced, bool keeps) {
    Shape kept = x.shape(), shape;
    for (std::size_t d = 0; d < kept.size(); ++d) {
      if (reduced[d]) kept[d] = 1;
      if (!reduced[d] || keeps) shape.push_back(kept[d]);
    }
    Tensor y(x.format(), std::move(shape));
    std::vector<double> totals(static_cast<std::size_t>(y.size()), F::kStart);
    const T* from = x.data<T>().data();
    for_each_run<1>(x.shape(), {broadcast_strides(kept, x.shape())},
                    [&](std::int64_t first, std::int64_t count, const auto& at, const auto& step) {
                      double* to = totals.data() + at[0];
                      if (step[0] == 0) {
                        double total = *to;
                        for (std::int64_t i = 0; i < count; ++i)
                          total = F::join(total, from[first + i]);
                        *to = total;
                      } else {
                        for (std::int64_t i = 0; i < count; ++i)
                          to[i * step[0]] = F::join(to[i * step[0]], from[first + i]);
                      }
                    });
    const std::int64_t group = y.size() == 0 ? 0 : x.size() / y.size();
    std::transform(totals.begin(), totals.end(), y.mutable_data<T>().begin(),
                   [&](double total) { return static_cast<T>(F::finish(total, group)); });
    return y;
  }
};

}  // namespace

void register_reduction_operators() {
  add_operators<Reduction, ReduceSum, ReduceMean, ReduceMax, ReduceMin>();
}

}  // namespace tandem
