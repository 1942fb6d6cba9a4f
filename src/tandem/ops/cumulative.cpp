#include <algorithm>
#include <memory>

#include "tandem/graph/registry.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/plain_integers.h"
#include "tandem/ops/strides.h"

namespace tandem {
namespace {

// Running sums and products.
class Cumulative final : public Operator {
 public:
  explicit Cumulative(bool product) : product_(product) {}
  std::string_view name() const override { return product_ ? "CumProd" : "CumSum"; }
  std::string_view description() const override {
    return product_ ? "The product of the elements up to each one along an axis."
                    : "The sum of the elements up to each one along an axis.";
  }
  std::vector<AttributeSpec> attributes() const override {
    return {integer_attribute("axis", "axis along which the elements follow each other"),
            flag_attribute("exclusive", "without the element itself", false),
            flag_attribute("reverse", "from the end of the axis", false)};
  }

  std::vector<TensorType> infer(const NodeView& node) const override {
    require_numbers(node);
    normalized_axis(node.integer("axis"), node.input(0).shape.size());
    flag(node, "exclusive");
    flag(node, "reverse");
    return {node.input(0)};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    if (!inputs[0].format().is_float()) {
      const auto join = [this](std::int64_t a, std::int64_t b) {
        return product_ ? wrapped_product(a, b) : wrapped_sum(a, b);
      };
      return {wrapped(run<std::int64_t, std::int64_t>(node, widened(inputs[0]), join),
                      inputs[0].format())};
    }
    return compute_reals(
        inputs[0].format(), inputs, [&]<typename T>(std::span<const Tensor> reals) {
          return std::vector{run<T, double>(
              node, reals[0], [this](double a, double b) { return product_ ? a * b : a + b; })};
        });
  }

  Work work(const NodeView& node) const override {
    const OperationKind kind = product_ ? OperationKind::kMultiply : OperationKind::kAdd;
    return work_of(node, {operations(node, kind, output_elements(node))});
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [this](std::string_view x, std::string_view attributes) {
      return sample_text("symbol N in [1,8]", concat("%x : ", x),
                         concat("%y : ", x, " = ", name(), "(%x) ", attributes));
    };
    return {{text("f32[N,3,4]", "{axis = 1}"), ""},
            {text("f16[3,N]", "{axis = -1, reverse = 1}"), ""},
            {text("int32[2,5]", "{axis = 1, exclusive = 1}"), ""},
            {text("f64[2,5]", "{axis = 1, exclusive = 1, reverse = 1}"), ""},
            {text("f32[2]", "{axis = 1}"), "axis 1 is outside"},
            {text("bool[2]", "{axis = 0}"), "put a Dequantize before it"}};
  }

 private:
  // Totals are kept in Total and rounded once for each result.
  template <typename T, typename Total, typename Join>
  Tensor run(const NodeView& node, const Tensor& x, const Join& join) const {
    const AxisSplit split =
        split_at(x.shape(), normalized_axis(node.integer("axis"), x.shape().size()));
    const bool exclusive = flag(node, "exclusive"), reverse = flag(node, "reverse");
    Tensor y(x.format(), x.shape());
    for (std::int64_t o = 0; o < split.outer; ++o) {
      for (std::int64_t n = 0; n < split.inner; ++n) {
        const std::int64_t begin = o * split.extent * split.inner + n;
        const T* from = x.data<T>().data() + begin;
        T* to = y.mutable_data<T>().data() + begin;
        Total total = product_ ? Total{1} : Total{0};
        for (std::int64_t i = 0; i < split.extent; ++i) {
          const std::int64_t at = (reverse ? split.extent - 1 - i : i) * split.inner;
          if (exclusive) to[at] = static_cast<T>(total);
          total = join(total, static_cast<Total>(from[at]));
          if (!exclusive) to[at] = static_cast<T>(total);
        }
      }
    }
    return y;
  }

  bool product_;
};

class Trilu final : public Operator {
 public:
  std::string_view name() const override { return "Trilu"; }
  std::string_view description() const override {
    return "x [...,N,M], of any format with a zero, with zeros below the k-th diagonal (upper) or "
           "above it.";
  }
  Traits traits() const override { return {.domain = Domain::kMovement}; }
  std::vector<AttributeSpec> attributes() const override {
    return {flag_attribute("upper", "keeps the upper triangle", true),
            integer_attribute("k", "diagonal: 0 the main one, positive ones above it", 0)};
  }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const TensorType& x = node.input(0);
    if (x.shape.size() < 2) throw Error("x is ", x.to_string(), ", no matrix [...,N,M]");
    if (Tensor(x.format, {}).real(0) != 0) throw Error(x.format.name(), " has no zero");
    flag(node, "upper");
    return {x};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    Tensor y = inputs[0];
    const std::int64_t columns = y.shape().back(), rows = y.shape()[y.shape().size() - 2];
    const bool upper = flag(node, "upper");
    const std::int64_t far = rows + columns;
    const std::int64_t k = std::clamp(node.integer("k"), -far, far);
    visit_storage(y.format().storage(), [&]<typename T>() {
      T* row = y.mutable_data<T>().data();
      const std::int64_t count = columns == 0 ? 0 : y.size() / columns;
      for (std::int64_t r = 0; r < count; ++r, row += columns) {
        const std::int64_t i = r % rows;
        const std::int64_t edge = std::clamp<std::int64_t>(upper ? i + k : i + k + 1, 0, columns);
        std::fill(upper ? row : row + edge, upper ? row + edge : row + columns, T{});
      }
    });
    return {y};
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view attributes) {
      return sample_text("symbol N in [1,8]", concat("%x : ", x),
                         concat("%y : ", x, " = Trilu(%x) ", attributes));
    };
    return {{text("f32[N,3,4]", ""), ""},
            {text("int8[4,3]", "{upper = 0, k = -1}"), ""},
            {text("bool[N,N]", "{k = 1}"), ""},
            {text("f32[3]", ""), "no matrix"},
            {text("bipolar[2,2]", ""), "has no zero"}};
  }
};

class ReverseSequence final : public Operator {
 public:
  std::string_view name() const override { return "ReverseSequence"; }
  std::string_view description() const override {
    return "x, of any format, in which the first elements along the time axis stand in reverse "
           "order: for every batch entry as many as its integer length, [batch].";
  }
  Traits traits() const override { return {.domain = Domain::kMovement}; }
  std::vector<AttributeSpec> attributes() const override {
    return {integer_attribute("batch_axis", "axis of the batch, 0 or 1", 1),
            integer_attribute("time_axis", "axis of the time, the other of both", 0)};
  }
  std::size_t min_inputs() const override { return 2; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const TensorType &x = node.input(0), &lengths = node.input(1);
    const std::int64_t batch = node.integer("batch_axis"), time = node.integer("time_axis");
    if (x.shape.size() < 2 || batch < 0 || batch > 1 || time != 1 - batch)
      throw Error("batch_axis ", batch, " and time_axis ", time, " of ", x.to_string(),
                  " must be 0 and 1, or 1 and 0");
    if (!lengths.format.is_integer() ||
        lengths.shape != std::vector<Dim>{x.shape[static_cast<std::size_t>(batch)]}) {
      throw Error("the lengths are ", lengths.to_string(),
                  ", not one integer for each batch entry of ", x.to_string());
    }
    return {x};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    const Tensor& x = inputs[0];
    const bool time_first = node.integer("time_axis") == 0;
    const std::int64_t times = x.shape()[time_first ? 0 : 1];
    const std::int64_t entries = x.shape()[time_first ? 1 : 0];
    const std::int64_t run = x.size() == 0 ? 0 : x.size() / (times * entries);
    const auto lengths = inputs[1].to_integers();
    for (const std::int64_t length : lengths)
      if (length < 0 || length > times)
        throw Error("a sequence has the length ", length, " of ", times, " time steps");
    Tensor y(x.format(), x.shape());
    visit_storage(x.format().storage(), [&]<typename T>() {
      const T* from = x.data<T>().data();
      T* to = y.mutable_data<T>().data();
      const auto offset = [&](std::int64_t time, std::int64_t entry) {
        return run * (time_first ? time * entries + entry : entry * times + time);
      };
      for (std::int64_t b = 0; b < entries; ++b) {
        const std::int64_t length = lengths[static_cast<std::size_t>(b)];
        for (std::int64_t t = 0; t < times; ++t)
          std::copy_n(from + offset(t < length ? length - 1 - t : t, b), run, to + offset(t, b));
      }
    });
    return {y};
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view lengths, std::string_view rest) {
      return sample_text("symbol N in [1,8]", concat("%x : ", x, ", %l : ", lengths),
                         concat("%y : ", x, " = ReverseSequence(%x, %l) ", rest));
    };
    return {{text("f32[4,N,3]", "uint2[N]", ""), ""},
            {text("int8[N,3]", "uint1[N]", "{batch_axis = 0, time_axis = 1}"), ""},
            {text("f32[4,2]", "uint2[4]", ""), "not one integer"},
            {text("f32[4,2]", "uint2[2]", "{time_axis = 1}"), "must be 0 and 1"}};
  }
};

}  // namespace

void register_cumulative_operators() {
  operators().add(std::make_unique<Cumulative>(false));
  operators().add(std::make_unique<Cumulative>(true));
  operators().add(std::make_unique<Trilu>());
  operators().add(std::make_unique<ReverseSequence>());
}

}  // namespace tandem
