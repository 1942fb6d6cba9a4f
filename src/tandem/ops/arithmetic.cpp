#include <algorithm>
#include <cmath>
#include <memory>

#include "tandem/graph/registry.h"
#include "tandem/ops/binary.h"
#include "tandem/ops/lowering_rules.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/plain_integers.h"

namespace tandem {
namespace {

struct Add {
  static constexpr std::string_view kName = "Add";
  static constexpr std::string_view kDescription =
      "y = a + b, element by element, broadcast; integers modulo 2^bits.";
  static constexpr OperationKind kKind = OperationKind::kAdd;
  static constexpr bool kCommutative = true;
  static Lowered lower(LoweringSite& site) { return lower_sum(site, false); }
  template <typename T>
  T operator()(T a, T b) const {
    return a + b;
  }
  static std::int64_t integer(std::int64_t a, std::int64_t b) { return wrapped_sum(a, b); }
};

struct Sub {
  static constexpr std::string_view kName = "Sub";
  static constexpr std::string_view kDescription =
      "y = a - b, element by element, broadcast; integers modulo 2^bits.";
  static constexpr OperationKind kKind = OperationKind::kAdd;
  static constexpr bool kCommutative = false;
  static Lowered lower(LoweringSite& site) { return lower_sum(site, true); }
  template <typename T>
  T operator()(T a, T b) const {
    return a - b;
  }
  static std::int64_t integer(std::int64_t a, std::int64_t b) { return wrapped_difference(a, b); }
};

struct Mul {
  static constexpr std::string_view kName = "Mul";
  static constexpr std::string_view kDescription =
      "y = a * b, element by element, broadcast; integers modulo 2^bits.";
  static constexpr OperationKind kKind = OperationKind::kMultiply;
  static constexpr bool kCommutative = true;
  static Lowered lower(LoweringSite& site) { return lower_product(site); }
  template <typename T>
  T operator()(T a, T b) const {
    return a * b;
  }
  static std::int64_t integer(std::int64_t a, std::int64_t b) { return wrapped_product(a, b); }
};

struct Div {
  static constexpr std::string_view kName = "Div";
  static constexpr std::string_view kDescription =
      "y = a / b, element by element, broadcast; integers toward zero.";
  static constexpr OperationKind kKind = OperationKind::kDivide;
  static constexpr bool kCommutative = false;
  static Lowered lower(LoweringSite& site) { return lower_quotient(site); }
  template <typename T>
  T operator()(T a, T b) const {
    return a / b;
  }
  static std::int64_t integer(std::int64_t a, std::int64_t b) { return truncated_quotient(a, b); }
};

struct Pow {
  static constexpr std::string_view kName = "Pow";
  static constexpr std::string_view kDescription =
      "y = a to the power b, element by element, broadcast; integers modulo 2^bits.";
  static constexpr OperationKind kKind = OperationKind::kTranscendental;
  static constexpr bool kCommutative = false;
  static Lowered lower(LoweringSite& site) { return lower_by_table(site); }
  template <typename T>
  T operator()(T a, T b) const {
    return std::pow(a, b);
  }
  static std::int64_t integer(std::int64_t a, std::int64_t b) { return wrapped_power(a, b); }
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
  static std::int64_t integer(std::int64_t a, std::int64_t b) { return std::min(a, b); }
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
  static std::int64_t integer(std::int64_t a, std::int64_t b) { return std::max(a, b); }
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
    const Format format = require_numbers(node);
    return {{broadcast_dims(node.input(0).shape, node.input(1).shape), format}};
  }

  std::vector<Tensor> evaluate(const NodeView&, std::span<const Tensor> inputs) const override {
    if (!inputs[0].format().is_float())
      return {map_integer_pairs(inputs[0], inputs[1], F::integer)};
    return compute_reals(inputs[0].format(), inputs, []<typename T>(std::span<const Tensor> reals) {
      return std::vector<Tensor>{map_pairs<T, T>(reals[0], reals[1], reals[0].format(), F())};
    });
  }

  Work work(const NodeView& node) const override {
    return work_of(node, {operations(node, F::kKind, output_elements(node))});
  }

  std::optional<std::vector<CodedValue>> lower(LoweringSite& site) const override {
    if (!site.node.input(0).format.is_float()) return std::nullopt;
    return F::lower(site);
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view a, std::string_view b, std::string_view y) {
      return sample_text("symbol N in [1,8]", concat("%a : ", a, ", %b : ", b),
                         concat("%y : ", y, " = ", F::kName, "(%a, %b)"));
    };
    return {
        {text("f32[2,3]", "f32[2,3]", "f32[2,3]"), ""},
        {text("f32[N,3,2]", "f32[3,1]", "f32[N,3,2]"), ""},
        {text("f32[]", "f64[]", "f32[]"), "put a Cast before one of them"},
        {text("f16[4,1]", "f16[1,5]", "f16[4,5]"), ""},
        {text("f64[3]", "f64[]", "f64[3]"), ""},
        {text("f32[2,3]", "f32[2]", "f32[2,3]"), "do not broadcast"},
        {sample_text("constant @b : int32[3] = [2,-3,5]", "%a : int32[4,3]",
                     concat("%b = constant @b\n  %y : int32[4,3] = ", F::kName, "(%a, %b)")),
         ""},
        {sample_text("constant @b : uint8[] = [7]", "%a : uint8[5]",
                     concat("%b = constant @b\n  %y : uint8[5] = ", F::kName, "(%a, %b)")),
         ""},
        {text("int8[2]", "int16[2]", "int8[2]"), "put a Cast before one of them"},
        {text("fixed<8,3>[2]", "fixed<8,3>[2]", "fixed<8,3>[2]"), "put a Dequantize before it"}};
  }
};

// With the sign of b, zeros included.
template <typename T>
T floored_remainder(T a, T b) {
  const T rest = std::fmod(a, b);
  if (rest == 0) return std::copysign(rest, b);
  return (rest < 0) != (b < 0) ? rest + b : rest;
}

class Mod final : public Operator {
 public:
  std::string_view name() const override { return "Mod"; }
  std::string_view description() const override {
    return "The remainder of a / b, element by element, broadcast: a - floor(a / b) * b, which has "
           "the sign of b, or with the quotient rounded toward zero that of a (fmod).";
  }
  Traits traits() const override { return {.domain = Domain::kReal, .elementwise = true}; }
  std::vector<AttributeSpec> attributes() const override {
    return {flag_attribute("fmod", "the remainder has the sign of a", false)};
  }
  std::size_t min_inputs() const override { return 2; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const Format format = require_numbers(node);
    flag(node, "fmod");
    return {{broadcast_dims(node.input(0).shape, node.input(1).shape), format}};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    const bool fmod = flag(node, "fmod");
    if (!inputs[0].format().is_float()) {
      return {map_integer_pairs(inputs[0], inputs[1], [fmod](std::int64_t a, std::int64_t b) {
        return remainder(a, b, fmod);
      })};
    }
    return compute_reals(
        inputs[0].format(), inputs, [&]<typename T>(std::span<const Tensor> reals) {
          return std::vector<Tensor>{map_pairs<T, T>(
              reals[0], reals[1], reals[0].format(),
              [&](T a, T b) { return fmod ? std::fmod(a, b) : floored_remainder(a, b); })};
        });
  }

  Work work(const NodeView& node) const override {
    return work_of(node, {operations(node, OperationKind::kDivide, output_elements(node))});
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view type, std::string_view divisors, std::string_view rest) {
      return sample_text(concat("symbol N in [1,8]\nconstant @b : ", type, "[3] = ", divisors),
                         concat("%a : ", type, "[N,3]"),
                         concat("%b = constant @b\n  %y : ", type, "[N,3] = Mod(%a, %b) ", rest));
    };
    return {{text("int32", "[2,-3,5]", ""), ""},
            {text("int8", "[2,-3,5]", "{fmod = 1}"), ""},
            {text("f32", "[0.5,-1.5,2]", "{fmod = 1}"), ""},
            {text("f16", "[0.5,-1.5,2]", ""), ""},
            {text("fixed<8,3>", "[1,2,3]", ""), "put a Dequantize before it"}};
  }
};

}  // namespace

void register_arithmetic_operators() {
  add_operators<BinaryOperator, Add, Sub, Mul, Div, Pow, Min, Max>();
  operators().add(std::make_unique<Mod>());
}

}  // namespace tandem
