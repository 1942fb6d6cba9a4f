#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <memory>
#include <numbers>

#include "tandem/graph/registry.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/coded.h"
#include "tandem/ops/lowering_rules.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/strides.h"
#include "tandem/ops/unary.h"

namespace tandem {
namespace {

struct Relu : RealFunction {
  using RealFunction::RealFunction;
  static constexpr std::string_view kName = "Relu";
  static constexpr std::string_view kDescription = "y = max(x, 0), element by element.";
  static constexpr std::array kCosts = {ElementCost{OperationKind::kCompare}};
  static Lowered lower(LoweringSite& site) {
    return lower_clamp(site, 0, std::numeric_limits<double>::infinity());
  }
  template <typename T>
  T operator()(T x) const {
    return x < 0 ? T{0} : x;
  }
  static std::int64_t integer(std::int64_t x) { return x < 0 ? 0 : x; }
};

struct LeakyRelu : RealFunction {
  explicit LeakyRelu(const NodeView& node) : RealFunction(node), alpha(node.real("alpha")) {}
  static constexpr std::string_view kName = "LeakyRelu";
  static constexpr std::string_view kDescription =
      "y = x where x >= 0, alpha * x elsewhere, element by element.";
  static constexpr std::array kCosts = {ElementCost{OperationKind::kCompare},
                                        ElementCost{OperationKind::kMultiply}};
  static std::vector<AttributeSpec> attributes() {
    return {real_attribute("alpha", "slope below 0", 0.01)};
  }
  static std::vector<std::string> sample_attributes() { return {"{alpha = 0.25}"}; }
  template <typename T>
  T operator()(T x) const {
    return x < 0 ? static_cast<T>(alpha) * x : x;
  }
  double alpha;
};

struct ThresholdedRelu : RealFunction {
  explicit ThresholdedRelu(const NodeView& node) : RealFunction(node), alpha(node.real("alpha")) {}
  static constexpr std::string_view kName = "ThresholdedRelu";
  static constexpr std::string_view kDescription =
      "y = x where x > alpha, 0 elsewhere, element by element.";
  static constexpr std::array kCosts = {ElementCost{OperationKind::kCompare}};
  static std::vector<AttributeSpec> attributes() {
    return {real_attribute("alpha", "largest input that gives 0", 1.0)};
  }
  static std::vector<std::string> sample_attributes() { return {"{alpha = -0.5}"}; }
  template <typename T>
  T operator()(T x) const {
    return x > static_cast<T>(alpha) ? x : T{0};
  }
  double alpha;
};

struct Elu : RealFunction {
  explicit Elu(const NodeView& node) : RealFunction(node), alpha(node.real("alpha")) {}
  static constexpr std::string_view kName = "Elu";
  static constexpr std::string_view kDescription =
      "y = x where x >= 0, alpha * (e^x - 1) elsewhere, element by element.";
  static constexpr std::array kCosts = {
      ElementCost{OperationKind::kCompare}, ElementCost{OperationKind::kTranscendental},
      ElementCost{OperationKind::kAdd}, ElementCost{OperationKind::kMultiply}};
  static std::vector<AttributeSpec> attributes() {
    return {real_attribute("alpha", "negated limit at minus infinity", 1.0)};
  }
  static std::vector<std::string> sample_attributes() { return {"{alpha = 0.5}"}; }
  template <typename T>
  T operator()(T x) const {
    return x < 0 ? static_cast<T>(alpha) * std::expm1(x) : x;
  }
  double alpha;
};

struct Celu : RealFunction {
  explicit Celu(const NodeView& node) : RealFunction(node), alpha(node.real("alpha")) {
    if (alpha == 0) throw Error("alpha is 0; give it another value");
  }
  static constexpr std::string_view kName = "Celu";
  static constexpr std::string_view kDescription =
      "y = max(x, 0) + min(0, alpha * (e^(x / alpha) - 1)), element by element.";
  static constexpr std::array kCosts = {
      ElementCost{OperationKind::kCompare, 2}, ElementCost{OperationKind::kTranscendental},
      ElementCost{OperationKind::kAdd, 2}, ElementCost{OperationKind::kMultiply, 2}};
  static std::vector<AttributeSpec> attributes() {
    return {real_attribute("alpha", "negated limit at minus infinity", 1.0)};
  }
  static std::vector<std::string> sample_attributes() { return {"{alpha = 2.0}"}; }
  template <typename T>
  T operator()(T x) const {
    const T scale = static_cast<T>(alpha);
    return std::max(x, T{0}) + std::min(T{0}, scale * std::expm1(x / scale));
  }
  double alpha;
};

struct Shrink : RealFunction {
  explicit Shrink(const NodeView& node)
      : RealFunction(node), lambda(node.real("lambda")), bias(node.real("bias")) {}
  static constexpr std::string_view kName = "Shrink";
  static constexpr std::string_view kDescription =
      "y = x + bias where x < -lambda, x - bias where x > lambda, 0 elsewhere, element by element.";
  static constexpr std::array kCosts = {ElementCost{OperationKind::kCompare, 2},
                                        ElementCost{OperationKind::kAdd}};
  static std::vector<AttributeSpec> attributes() {
    return {real_attribute("lambda", "half the width of what becomes 0", 0.5),
            real_attribute("bias", "what is taken from the rest", 0)};
  }
  static std::vector<std::string> sample_attributes() { return {"{lambda = 1.0, bias = 0.5}"}; }
  template <typename T>
  T operator()(T x) const {
    if (x < static_cast<T>(-lambda)) return x + static_cast<T>(bias);
    return x > static_cast<T>(lambda) ? x - static_cast<T>(bias) : std::isnan(x) ? x : T{0};
  }
  double lambda, bias;
};

constexpr std::array kLogistic = {ElementCost{OperationKind::kTranscendental},
                                  ElementCost{OperationKind::kAdd},
                                  ElementCost{OperationKind::kDivide}};

struct Sigmoid : RealFunction {
  using RealFunction::RealFunction;
  static constexpr std::string_view kName = "Sigmoid";
  static constexpr std::string_view kDescription = "y = 1 / (1 + e^-x), element by element.";
  static constexpr auto kCosts = kLogistic;
  template <typename T>
  T operator()(T x) const {
    return T{1} / (T{1} + std::exp(-x));
  }
};

struct HardSigmoid : RealFunction {
  explicit HardSigmoid(const NodeView& node)
      : RealFunction(node), alpha(node.real("alpha")), beta(node.real("beta")) {}
  static constexpr std::string_view kName = "HardSigmoid";
  static constexpr std::string_view kDescription =
      "y = max(0, min(1, alpha * x + beta)), element by element.";
  static constexpr std::array kCosts = {ElementCost{OperationKind::kMultiply},
                                        ElementCost{OperationKind::kAdd},
                                        ElementCost{OperationKind::kCompare, 2}};
  static std::vector<AttributeSpec> attributes() {
    return {real_attribute("alpha", "slope", 0.2), real_attribute("beta", "value at 0", 0.5)};
  }
  static std::vector<std::string> sample_attributes() { return {"{alpha = 0.5, beta = 0.25}"}; }
  template <typename T>
  T operator()(T x) const {
    const T line = static_cast<T>(alpha) * x + static_cast<T>(beta);
    return line < 0 ? T{0} : line > 1 ? T{1} : line;
  }
  double alpha, beta;
};

struct HardSwish : RealFunction {
  using RealFunction::RealFunction;
  static constexpr std::string_view kName = "HardSwish";
  static constexpr std::string_view kDescription =
      "y = x * max(0, min(1, x / 6 + 1 / 2)), element by element.";
  static constexpr std::array kCosts = {ElementCost{OperationKind::kMultiply, 2},
                                        ElementCost{OperationKind::kAdd},
                                        ElementCost{OperationKind::kCompare, 2}};
  template <typename T>
  T operator()(T x) const {
    const T line = x / T{6} + T{0.5};
    return x * (line < 0 ? T{0} : line > 1 ? T{1} : line);
  }
};

struct Tanh : RealFunction {
  using RealFunction::RealFunction;
  static constexpr std::string_view kName = "Tanh";
  static constexpr std::string_view kDescription = "Hyperbolic tangent, element by element.";
  static constexpr std::array kCosts = {ElementCost{OperationKind::kTranscendental}};
  template <typename T>
  T operator()(T x) const {
    return std::tanh(x);
  }
};

struct Softplus : RealFunction {
  using RealFunction::RealFunction;
  static constexpr std::string_view kName = "Softplus";
  static constexpr std::string_view kDescription = "y = log(1 + e^x), element by element.";
  static constexpr std::array kCosts = {ElementCost{OperationKind::kTranscendental, 2},
                                        ElementCost{OperationKind::kAdd}};
  template <typename T>
  T operator()(T x) const {
    return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
  }
};

struct Gelu : RealFunction {
  explicit Gelu(const NodeView& node)
      : RealFunction(node), by_tanh(node.string("approximate") == "tanh") {}
  static constexpr std::string_view kName = "Gelu";
  static constexpr std::string_view kDescription =
      "y = x * P(Z <= x) for a standard normal Z, element by element; `tanh` is the approximation "
      "x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))).";
  static constexpr std::array kCosts = {ElementCost{OperationKind::kTranscendental},
                                        ElementCost{OperationKind::kAdd},
                                        ElementCost{OperationKind::kMultiply, 3}};
  static std::vector<AttributeSpec> attributes() {
    return {choice_attribute("approximate", "formula", {"none", "tanh"})};
  }
  static std::vector<std::string> sample_attributes() { return {"{approximate = \"tanh\"}"}; }
  template <typename T>
  T operator()(T x) const {
    if (by_tanh) {
      const T scale = static_cast<T>(std::numbers::sqrt2 * std::numbers::inv_sqrtpi);
      const T inner = scale * (x + static_cast<T>(0.044715) * x * x * x);
      return T{0.5} * x * (T{1} + std::tanh(inner));
    }
    return T{0.5} * x * (T{1} + std::erf(x / std::numbers::sqrt2_v<T>));
  }
  bool by_tanh;
};

class PRelu final : public Operator {
 public:
  std::string_view name() const override { return "PRelu"; }
  std::string_view description() const override {
    return "y = x where x >= 0, slope * x elsewhere; the slope broadcasts to x.";
  }
  Traits traits() const override {
    return {.domain = Domain::kReal, .elementwise = true, .in_place = true};
  }
  std::size_t min_inputs() const override { return 2; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    require_reals(node);
    if (!broadcasts_to(node.input(1).shape, node.input(0).shape)) {
      throw Error("the slope ", node.input(1).to_string(), " does not broadcast to ",
                  node.input(0).to_string(), "; a slope per channel has the shape [C,1,1]");
    }
    return {node.input(0)};
  }

  std::vector<Tensor> evaluate(const NodeView&, std::span<const Tensor> inputs) const override {
    return compute_reals(inputs[0].format(), inputs, []<typename T>(std::span<const Tensor> reals) {
      Tensor y(reals[0].format(), reals[0].shape());
      const T* x = reals[0].data<T>().data();
      const T* slope = reals[1].data<T>().data();
      T* to = y.mutable_data<T>().data();
      for_each_run<1>(
          y.shape(), {broadcast_strides(reals[1].shape(), y.shape())},
          [&](std::int64_t first, std::int64_t count, const auto& at, const auto& step) {
            for (std::int64_t i = 0; i < count; ++i) {
              const T value = x[first + i];
              to[first + i] = value < 0 ? slope[at[0] + i * step[0]] * value : value;
            }
          });
      return std::vector<Tensor>{std::move(y)};
    });
  }

  Work work(const NodeView& node) const override {
    const std::int64_t count = output_elements(node);
    return work_of(node, {operations(node, OperationKind::kCompare, count),
                          operations(node, OperationKind::kMultiply, count)});
  }

  std::optional<std::vector<CodedValue>> lower(LoweringSite& site) const override {
    return lower_by_table(site);
  }

  std::vector<SampleCase> samples() const override {
    return {{sample_text("symbol N in [1,4]\nconstant @s : f32[3,1] = [0.25,-1,0]",
                         "%x : f32[N,3,5]", "%s = constant @s\n  %y : f32[N,3,5] = PRelu(%x, %s)"),
             ""},
            {sample_text("", "%x : f32[2,3], %s : f32[]", "%y : f32[2,3] = PRelu(%x, %s)"), ""},
            {sample_text("", "%x : f32[2,3], %s : f32[2]", "%y : f32[2,3] = PRelu(%x, %s)"),
             "does not broadcast"}};
  }
};

class Clip final : public Operator {
 public:
  std::string_view name() const override { return "Clip"; }
  std::string_view description() const override {
    return "y = min(max(x, low), high) with the scalar inputs low and high, each optional.";
  }
  Traits traits() const override {
    return {.domain = Domain::kReal, .elementwise = true, .in_place = true};
  }
  std::size_t max_inputs() const override { return 3; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    require_numbers(node);
    for (std::size_t i = 1; i < node.input_count(); ++i) {
      if (node.has_input(i) && !node.input(i).shape.empty()) {
        throw Error("the limit ", node.input(i).to_string(),
                    " is no scalar; use Min and Max for limits that differ by element");
      }
    }
    return {node.input(0)};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    const auto limit = [&]<typename T>(Tensor& y, std::span<const Tensor> limits) {
      const bool has_low = node.has_input(1), has_high = node.has_input(2);
      const T low = has_low ? limits[1].data<T>()[0] : T{0};
      const T high = has_high ? limits[2].data<T>()[0] : T{0};
      for (T& value : y.mutable_data<T>()) {
        if (has_low && value < low) value = low;
        if (has_high && value > high) value = high;
      }
    };
    if (!inputs[0].format().is_float()) {
      Tensor y = inputs[0];
      visit_storage(y.format().storage(),
                    [&]<typename T>() { limit.template operator()<T>(y, inputs); });
      return {y};
    }
    return compute_reals(inputs[0].format(), inputs,
                         [&]<typename T>(std::span<const Tensor> reals) {
                           Tensor y = reals[0];
                           limit.template operator()<T>(y, reals);
                           return std::vector<Tensor>{std::move(y)};
                         });
  }

  Work work(const NodeView& node) const override {
    const std::int64_t limits = int{node.has_input(1)} + int{node.has_input(2)};
    return work_of(node,
                   {operations(node, OperationKind::kCompare, limits * output_elements(node))});
  }

  std::optional<std::vector<CodedValue>> lower(LoweringSite& site) const override {
    if (!site.node.input(0).format.is_float()) return std::nullopt;
    const auto limit = [&](std::size_t index, double open) {
      return site.node.has_input(index) ? required_constant(site, index, "a limit").real(0) : open;
    };
    const double infinity = std::numeric_limits<double>::infinity();
    return lower_clamp(site, limit(1, -infinity), limit(2, infinity));
  }

  std::vector<SampleCase> samples() const override {
    const std::string limits = "constant @lo : f32[] = [-0.5]\nconstant @hi : f32[] = [1]";
    return {
        {sample_text(
             limits, "%x : f32[2,3]",
             "%lo = constant @lo\n  %hi = constant @hi\n  %y : f32[2,3] = Clip(%x, %lo, %hi)"),
         ""},
        {sample_text(limits, "%x : f32[4]", "%hi = constant @hi\n  %y : f32[4] = Clip(%x, _, %hi)"),
         ""},
        {sample_text("", "%x : f32[4]", "%y : f32[4] = Clip(%x)"), ""},
        {sample_text("constant @lo : int8[] = [-3]", "%x : int8[2,3]",
                     "%lo = constant @lo\n  %y : int8[2,3] = Clip(%x, %lo)"),
         ""},
        {sample_text("", "%x : f32[4], %lo : f32[4]", "%y : f32[4] = Clip(%x, %lo)"),
         "is no scalar"}};
  }
};

}  // namespace

void register_activation_operators() {
  add_operators<UnaryOperator, Relu, LeakyRelu, ThresholdedRelu, Elu, Celu, Shrink, Sigmoid,
                HardSigmoid, HardSwish, Tanh, Softplus, Gelu>();
  operators().add(std::make_unique<PRelu>());
  operators().add(std::make_unique<Clip>());
}

}  // namespace tandem
