#include <array>
#include <cmath>
#include <memory>

#include "tandem/graph/registry.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/unary.h"

namespace tandem {
namespace {

struct Trigonometric : RealFunction {
  using RealFunction::RealFunction;
  static constexpr std::array kCosts = {ElementCost{OperationKind::kTranscendental}};
};

struct Sin : Trigonometric {
  using Trigonometric::Trigonometric;
  static constexpr std::string_view kName = "Sin";
  static constexpr std::string_view kDescription = "Sine of x in radians, element by element.";
  template <typename T>
  T operator()(T x) const {
    return std::sin(x);
  }
};

struct Cos : Trigonometric {
  using Trigonometric::Trigonometric;
  static constexpr std::string_view kName = "Cos";
  static constexpr std::string_view kDescription = "Cosine of x in radians, element by element.";
  template <typename T>
  T operator()(T x) const {
    return std::cos(x);
  }
};

struct Tan : Trigonometric {
  using Trigonometric::Trigonometric;
  static constexpr std::string_view kName = "Tan";
  static constexpr std::string_view kDescription = "Tangent of x in radians, element by element.";
  template <typename T>
  T operator()(T x) const {
    return std::tan(x);
  }
};

struct Asin : Trigonometric {
  using Trigonometric::Trigonometric;
  static constexpr std::string_view kName = "Asin";
  static constexpr std::string_view kDescription =
      "Arc sine in radians, element by element; NaN outside [-1, 1].";
  template <typename T>
  T operator()(T x) const {
    return std::asin(x);
  }
};

struct Acos : Trigonometric {
  using Trigonometric::Trigonometric;
  static constexpr std::string_view kName = "Acos";
  static constexpr std::string_view kDescription =
      "Arc cosine in radians, element by element; NaN outside [-1, 1].";
  template <typename T>
  T operator()(T x) const {
    return std::acos(x);
  }
};

struct Atan : Trigonometric {
  using Trigonometric::Trigonometric;
  static constexpr std::string_view kName = "Atan";
  static constexpr std::string_view kDescription = "Arc tangent in radians, element by element.";
  template <typename T>
  T operator()(T x) const {
    return std::atan(x);
  }
};

struct Sinh : Trigonometric {
  using Trigonometric::Trigonometric;
  static constexpr std::string_view kName = "Sinh";
  static constexpr std::string_view kDescription = "Hyperbolic sine, element by element.";
  template <typename T>
  T operator()(T x) const {
    return std::sinh(x);
  }
};

struct Cosh : Trigonometric {
  using Trigonometric::Trigonometric;
  static constexpr std::string_view kName = "Cosh";
  static constexpr std::string_view kDescription = "Hyperbolic cosine, element by element.";
  template <typename T>
  T operator()(T x) const {
    return std::cosh(x);
  }
};

struct Asinh : Trigonometric {
  using Trigonometric::Trigonometric;
  static constexpr std::string_view kName = "Asinh";
  static constexpr std::string_view kDescription = "Inverse hyperbolic sine, element by element.";
  template <typename T>
  T operator()(T x) const {
    return std::asinh(x);
  }
};

struct Acosh : Trigonometric {
  using Trigonometric::Trigonometric;
  static constexpr std::string_view kName = "Acosh";
  static constexpr std::string_view kDescription =
      "Inverse hyperbolic cosine, element by element; NaN below 1.";
  template <typename T>
  T operator()(T x) const {
    return std::acosh(x);
  }
};

struct Atanh : Trigonometric {
  using Trigonometric::Trigonometric;
  static constexpr std::string_view kName = "Atanh";
  static constexpr std::string_view kDescription =
      "Inverse hyperbolic tangent, element by element; NaN outside [-1, 1].";
  template <typename T>
  T operator()(T x) const {
    return std::atanh(x);
  }
};

}  // namespace

void register_trigonometric_operators() {
  add_operators<UnaryOperator, Sin, Cos, Tan, Asin, Acos, Atan, Sinh, Cosh, Asinh, Acosh, Atanh>();
}

}  // namespace tandem
