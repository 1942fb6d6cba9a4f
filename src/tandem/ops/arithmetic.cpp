#include <cmath>
#include <memory>

#include "tandem/graph/registry.h"
#include "tandem/ops/binary.h"
#include "tandem/ops/lowering_rules.h"
#include "tandem/ops/operators.h"

namespace tandem {
namespace {

struct Add {
  static constexpr std::string_view kName = "Add";
  static constexpr std::string_view kDescription = "y = a + b, element by element, broadcast.";
  static constexpr OperationKind kKind = OperationKind::kAdd;
  static constexpr bool kCommutative = true;
  static Lowered lower(LoweringSite& site) { return lower_sum(site, false); }
  template <typename T>
  T operator()(T a, T b) const {
    return a + b;
  }
};

struct Sub {
  static constexpr std::string_view kName = "Sub";
  static constexpr std::string_view kDescription = "y = a - b, element by element, broadcast.";
  static constexpr OperationKind kKind = OperationKind::kAdd;
  static constexpr bool kCommutative = false;
  static Lowered lower(LoweringSite& site) { return lower_sum(site, true); }
  template <typename T>
  T operator()(T a, T b) const {
    return a - b;
  }
};

struct Mul {
  static constexpr std::string_view kName = "Mul";
  static constexpr std::string_view kDescription = "y = a * b, element by element, broadcast.";
  static constexpr OperationKind kKind = OperationKind::kMultiply;
  static constexpr bool kCommutative = true;
  static Lowered lower(LoweringSite& site) { return lower_product(site); }
  template <typename T>
  T operator()(T a, T b) const {
    return a * b;
  }
};

struct Div {
  static constexpr std::string_view kName = "Div";
  static constexpr std::string_view kDescription = "y = a / b, element by element, broadcast.";
  static constexpr OperationKind kKind = OperationKind::kDivide;
  static constexpr bool kCommutative = false;
  static Lowered lower(LoweringSite& site) { return lower_quotient(site); }
  template <typename T>
  T operator()(T a, T b) const {
    return a / b;
  }
};

struct Pow {
  static constexpr std::string_view kName = "Pow";
  static constexpr std::string_view kDescription =
      "y = a to the power b, element by element, broadcast.";
  static constexpr OperationKind kKind = OperationKind::kTranscendental;
  static constexpr bool kCommutative = false;
  static Lowered lower(LoweringSite& site) { return lower_by_table(site); }
  template <typename T>
  T operator()(T a, T b) const {
    return std::pow(a, b);
  }
};

// The smaller and the larger operand; NaN when either is.
struct Min {
  static constexpr std::string_view kName = "Min";
  static constexpr std::string_view kDescription =
      "The smaller of a and b, element by element, broadcast; NaN when either is.";
  static constexpr OperationKind kKind = OperationKind::kCompare;
  static constexpr bool kCommutative = true;
  static Lowered lower(LoweringSite& site) { return lower_by_table(site); }
  template <typename T>
  T operator()(T a, T b) const {
    return a < b || std::isnan(a) ? a : b;
  }
};

struct Max {
  static constexpr std::string_view kName = "Max";
  static constexpr std::string_view kDescription =
      "The larger of a and b, element by element, broadcast; NaN when either is.";
  static constexpr OperationKind kKind = OperationKind::kCompare;
  static constexpr bool kCommutative = true;
  static Lowered lower(LoweringSite& site) { return lower_by_table(site); }
  template <typename T>
  T operator()(T a, T b) const {
    return a > b || std::isnan(a) ? a : b;
  }
};

template <typename F>
class BinaryOperator final : public Operator {
 public:
  std::string_view name() const override { return F::kName; }
  std::string_view description() const override { return F::kDescription; }
  Traits traits() const override {
    return {.domain = Domain::kReal,
            .elementwise = true,
            .in_place = true,
            .commutative = F::kCommutative};
  }
  std::size_t min_inputs() const override { return 2; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const Format format = require_reals(node);
    return {{broadcast_dims(node.input(0).shape, node.input(1).shape), format}};
  }

  std::vector<Tensor> evaluate(const NodeView&, std::span<const Tensor> inputs) const override {
    return compute_reals(inputs[0].format(), inputs, []<typename T>(std::span<const Tensor> reals) {
      return std::vector<Tensor>{map_pairs<T, T>(reals[0], reals[1], reals[0].format(), F())};
    });
  }

  Work work(const NodeView& node) const override {
    return work_of(node, {operations(node, F::kKind, output_elements(node))});
  }

  std::optional<std::vector<CodedValue>> lower(LoweringSite& site) const override {
    return F::lower(site);
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view a, std::string_view b, std::string_view y) {
      return sample_text("symbol N in [1,8]", concat("%a : ", a, ", %b : ", b),
                         concat("%y : ", y, " = ", F::kName, "(%a, %b)"));
    };
    return {{text("f32[2,3]", "f32[2,3]", "f32[2,3]"), ""},
            {text("f32[N,3,2]", "f32[3,1]", "f32[N,3,2]"), ""},
            {text("f32[]", "f64[]", "f32[]"), "put a Cast before one of them"},
            {text("f16[4,1]", "f16[1,5]", "f16[4,5]"), ""},
            {text("f64[3]", "f64[]", "f64[3]"), ""},
            {text("f32[2,3]", "f32[2]", "f32[2,3]"), "do not broadcast"},
            {text("int8[2]", "int8[2]", "int8[2]"), "put a Dequantize before it"}};
  }
};

}  // namespace

void register_arithmetic_operators() {
  add_operators<BinaryOperator, Add, Sub, Mul, Div, Pow, Min, Max>();
}

}  // namespace tandem
