#include <array>
#include <cmath>
#include <memory>

#include "tandem/graph/registry.h"
#include "tandem/ops/coded.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/unary.h"

namespace tandem {
namespace {

constexpr std::array kOneTranscendental = {ElementCost{OperationKind::kTranscendental}};
constexpr std::array kOneComparison = {ElementCost{OperationKind::kCompare}};
constexpr std::array kOneAddition = {ElementCost{OperationKind::kAdd}};

struct Exp : RealFunction {
  using RealFunction::RealFunction;
  static constexpr std::string_view kName = "Exp";
  static constexpr std::string_view kDescription = "y = e^x, element by element.";
  static constexpr auto kCosts = kOneTranscendental;
  template <typename T>
  T operator()(T x) const {
    return std::exp(x);
  }
};

struct Log : RealFunction {
  using RealFunction::RealFunction;
  static constexpr std::string_view kName = "Log";
  static constexpr std::string_view kDescription =
      "Natural logarithm, element by element; NaN below 0, minus infinity at 0.";
  static constexpr auto kCosts = kOneTranscendental;
  template <typename T>
  T operator()(T x) const {
    return std::log(x);
  }
};

struct Sqrt : RealFunction {
  using RealFunction::RealFunction;
  static constexpr std::string_view kName = "Sqrt";
  static constexpr std::string_view kDescription = "Square root, element by element; NaN below 0.";
  static constexpr auto kCosts = kOneTranscendental;
  template <typename T>
  T operator()(T x) const {
    return std::sqrt(x);
  }
};

struct Erf : RealFunction {
  using RealFunction::RealFunction;
  static constexpr std::string_view kName = "Erf";
  static constexpr std::string_view kDescription = "Gauss error function, element by element.";
  static constexpr auto kCosts = kOneTranscendental;
  template <typename T>
  T operator()(T x) const {
    return std::erf(x);
  }
};

struct Abs : RealFunction {
  using RealFunction::RealFunction;
  static constexpr std::string_view kName = "Abs";
  static constexpr std::string_view kDescription = "Absolute value, element by element.";
  static constexpr auto kCosts = kOneComparison;
  template <typename T>
  T operator()(T x) const {
    return std::fabs(x);
  }
  static std::int64_t integer(std::int64_t x) { return x < 0 ? wrapped_difference(0, x) : x; }
};

struct Neg : RealFunction {
  using RealFunction::RealFunction;
  static constexpr std::string_view kName = "Neg";
  static constexpr std::string_view kDescription = "y = -x, element by element.";
  static constexpr auto kCosts = kOneAddition;
  static Lowered lower(LoweringSite& site) {
    return std::vector{multiplied(site.coded(0), Tensor::scalar(-1, f64()))};
  }
  template <typename T>
  T operator()(T x) const {
    return -x;
  }
  static std::int64_t integer(std::int64_t x) { return wrapped_difference(0, x); }
};

struct Reciprocal : RealFunction {
  using RealFunction::RealFunction;
  static constexpr std::string_view kName = "Reciprocal";
  static constexpr std::string_view kDescription = "y = 1 / x, element by element.";
  static constexpr std::array kCosts = {ElementCost{OperationKind::kDivide}};
  template <typename T>
  T operator()(T x) const {
    return T{1} / x;
  }
};

struct Floor : RealFunction {
  using RealFunction::RealFunction;
  static constexpr std::string_view kName = "Floor";
  static constexpr std::string_view kDescription = "The integer not above x, element by element.";
  static constexpr auto kCosts = kOneAddition;
  template <typename T>
  T operator()(T x) const {
    return std::floor(x);
  }
};

struct Ceil : RealFunction {
  using RealFunction::RealFunction;
  static constexpr std::string_view kName = "Ceil";
  static constexpr std::string_view kDescription = "The integer not below x, element by element.";
  static constexpr auto kCosts = kOneAddition;
  template <typename T>
  T operator()(T x) const {
    return std::ceil(x);
  }
};

struct Round : RealFunction {
  using RealFunction::RealFunction;
  static constexpr std::string_view kName = "Round";
  static constexpr std::string_view kDescription =
      "The nearest integer, ties to the even one, element by element.";
  static constexpr auto kCosts = kOneAddition;
  template <typename T>
  T operator()(T x) const {
    return std::nearbyint(x);
  }
};

struct Sign : RealFunction {
  using RealFunction::RealFunction;
  static constexpr std::string_view kName = "Sign";
  static constexpr std::string_view kDescription = "-1, 0 or 1 by the sign of x; NaN stays NaN.";
  static constexpr std::array kCosts = {ElementCost{OperationKind::kCompare, 2}};
  template <typename T>
  T operator()(T x) const {
    if (std::isnan(x)) return x;
    return static_cast<T>((x > 0) - (x < 0));
  }
  static std::int64_t integer(std::int64_t x) { return (x > 0) - (x < 0); }
};

}  // namespace

void register_function_operators() {
  add_operators<UnaryOperator, Exp, Log, Sqrt, Erf, Abs, Neg, Reciprocal, Floor, Ceil, Round,
                Sign>();
}

}  // namespace tandem
