#include <cmath>
#include <memory>
#include <utility>

#include "tandem/graph/registry.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/support.h"

namespace tandem {
namespace {

class Det final : public Operator {
 public:
  std::string_view name() const override { return "Det"; }
  std::string_view description() const override {
    return "The determinants of square matrices [...,M,M], in double, as [...].";
  }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const Format format = require_reals(node);
    const auto& x = node.input(0).shape;
    if (x.size() < 2 || x[x.size() - 1] != x[x.size() - 2])
      throw Error("x is ", node.input(0).to_string(), ", no square matrix [...,M,M]");
    return {{{x.begin(), x.end() - 2}, format}};
  }

  std::vector<Tensor> evaluate(const NodeView&, std::span<const Tensor> inputs) const override {
    const Shape& x = inputs[0].shape();
    const auto size = static_cast<std::size_t>(x.back());
    const Shape shape(x.begin(), x.end() - 2);
    const std::vector<double> elements = inputs[0].to_reals();
    std::vector<double> results(static_cast<std::size_t>(element_count(shape)));
    for (std::size_t i = 0; i < results.size(); ++i) {
      const auto begin = elements.begin() + static_cast<std::ptrdiff_t>(i * size * size);
      results[i] = determinant({begin, begin + static_cast<std::ptrdiff_t>(size * size)}, size);
    }
    return {Tensor::from_reals(inputs[0].format(), shape, results)};
  }

  Work work(const NodeView& node) const override {
    const std::int64_t size = node.input(0).shape.back().constant();
    return work_of(node, {operations(node, OperationKind::kMultiplyAccumulate,
                                     output_elements(node) * (size * (size * size - 1) / 3))});
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view y) {
      return sample_text("symbol N in [1,8]", concat("%x : ", x), concat("%y : ", y, " = Det(%x)"));
    };
    return {{text("f32[N,3,3]", "f32[N]"), ""},
            {text("f64[2,2]", "f64[]"), ""},
            {text("f32[2,3]", "f32[]"), "no square matrix"}};
  }

 private:
  // Gaussian elimination with the greatest pivot of each column.
  static double determinant(std::vector<double> a, std::size_t size) {
    double product = 1;
    for (std::size_t k = 0; k < size; ++k) {
      std::size_t pivot = k;
      for (std::size_t r = k + 1; r < size; ++r)
        if (std::fabs(a[r * size + k]) > std::fabs(a[pivot * size + k])) pivot = r;
      const double value = a[pivot * size + k];
      if (value == 0) return 0;
      if (pivot != k) {
        for (std::size_t c = k; c < size; ++c) std::swap(a[k * size + c], a[pivot * size + c]);
        product = -product;
      }
      product *= value;
      for (std::size_t r = k + 1; r < size; ++r) {
        const double factor = a[r * size + k] / value;
        for (std::size_t c = k + 1; c < size; ++c) a[r * size + c] -= factor * a[k * size + c];
      }
    }
    return product;
  }
};

}  // namespace

void register_determinant_operators() { operators().add(std::make_unique<Det>()); }

}  // namespace tandem
