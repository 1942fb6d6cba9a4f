#include <algorithm>
#include <memory>

#include "tandem/graph/builder.h"
#include "tandem/graph/registry.h"
#include "tandem/kernels/gemm.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/lowering_rules.h"
#include "tandem/ops/movement.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/strides.h"
#include "tandem/ops/support.h"

namespace tandem {
namespace {

class MatMul final : public Operator {
 public:
  std::string_view name() const override { return "MatMul"; }
  std::string_view description() const override {
    return "Matrix product of a [...,M,K] and b [...,K,N] to [...,M,N]; leading axes broadcast, a "
           "vector [K] on either side loses its axis in the result.";
  }
  std::size_t min_inputs() const override { return 2; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const Format format = require_reals(node);
    std::vector<Dim> a = node.input(0).shape, b = node.input(1).shape;
    if (a.empty() || b.empty()) throw Error("a scalar is no matrix; use Mul");
    const bool row = a.size() == 1, column = b.size() == 1;
    if (row) a.insert(a.begin(), 1);
    if (column) b.emplace_back(1);
    if (a.back() != b[b.size() - 2]) {
      throw Error("the inner dimensions of ", node.input(0).to_string(), " and ",
                  node.input(1).to_string(), " differ: ", a.back().to_string(), " against ",
                  b[b.size() - 2].to_string());
    }
    std::vector<Dim> shape = broadcast_dims({a.begin(), a.end() - 2}, {b.begin(), b.end() - 2});
    if (!row) shape.push_back(a[a.size() - 2]);
    if (!column) shape.push_back(b.back());
    return {{shape, format}};
  }

  std::vector<Tensor> evaluate(const NodeView&, std::span<const Tensor> inputs) const override {
    return compute_reals(inputs[0].format(), inputs, []<typename T>(std::span<const Tensor> reals) {
      return std::vector<Tensor>{multiply<T>(reals[0], reals[1])};
    });
  }

  Work work(const NodeView& node) const override {
    const std::int64_t depth = node.input(0).shape.back().constant();
    return work_of(node, {operations(node, OperationKind::kMultiplyAccumulate,
                                     output_elements(node) * depth)});
  }

  std::optional<std::vector<CodedValue>> lower(LoweringSite& site) const override {
    return lower_matrix_product(site);
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view a, std::string_view b, std::string_view y) {
      return sample_text("symbol N in [1,8]", concat("%a : ", a, ", %b : ", b),
                         concat("%y : ", y, " = MatMul(%a, %b)"));
    };
    return {{text("f32[N,20]", "f32[20,7]", "f32[N,7]"), ""},
            {text("f32[2,3,4]", "f32[2,4,5]", "f32[2,3,5]"), ""},
            {text("f32[2,1,3,4]", "f32[6,4,5]", "f32[2,6,3,5]"), ""},
            {text("f64[4]", "f64[N,4,2]", "f64[N,2]"), ""},
            {text("f16[3,4]", "f16[4]", "f16[3]"), ""},
            {text("f32[3]", "f32[3]", "f32[]"), ""},
            {text("f32[N,20]", "f32[21,7]", "f32[N,7]"), "inner dimensions"},
            {text("f32[2,3,4]", "f32[3,4,5]", "f32[2,3,5]"), "do not broadcast"},
            {text("f32[]", "f32[3]", "f32[3]"), "use Mul"}};
  }

 private:
  template <typename T>
  static Tensor multiply(const Tensor& left, const Tensor& right) {
    Shape a = left.shape(), b = right.shape();
    if (a.size() == 1) a.insert(a.begin(), 1);
    if (b.size() == 1) b.push_back(1);
    const std::int64_t depth = a.back(), columns = b.back();
    std::int64_t rows = a[a.size() - 2];
    const Shape a_lead(a.begin(), a.end() - 2), b_lead(b.begin(), b.end() - 2);
    Shape shape = broadcast_shapes(a_lead, b_lead);
    const Shape lead = shape;
    if (left.rank() > 1) shape.push_back(rows);
    if (right.rank() > 1) shape.push_back(columns);
    Tensor result(left.format(), shape);
    const T* from_a = left.data<T>().data();
    const T* from_b = right.data<T>().data();
    T* to = result.mutable_data<T>().data();
    if (element_count(b_lead) == 1) {  // all leading axes of a are rows of one product
      rows *= element_count(a_lead);
      gemm<T>({rows, columns, depth, columns}, from_a, from_b, to);
      return result;
    }
    const auto a_offsets = broadcast_offsets(a_lead, lead);
    const auto b_offsets = broadcast_offsets(b_lead, lead);
    for (std::size_t i = 0; i < a_offsets.size(); ++i, to += rows * columns) {
      gemm<T>({rows, columns, depth, columns}, from_a + a_offsets[i] * rows * depth,
              from_b + b_offsets[i] * depth * columns, to);
    }
    return result;
  }
};

class Gemm final : public Operator {
 public:
  std::string_view name() const override { return "Gemm"; }
  std::string_view description() const override {
    return "alpha * A * B + beta * c for matrices A [M,K] and B [K,N], either of them given "
           "transposed, and an optional c that broadcasts to [M,N].";
  }
  std::vector<AttributeSpec> attributes() const override {
    return {real_attribute("alpha", "factor of the product", 1.0),
            real_attribute("beta", "factor of c", 1.0),
            flag_attribute("transA", "the first input is A transposed", false),
            flag_attribute("transB", "the second input is B transposed", false)};
  }
  std::size_t min_inputs() const override { return 2; }
  std::size_t max_inputs() const override { return 3; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const Format format = require_reals(node);
    for (std::size_t i = 0; i < 2; ++i) {
      if (node.input(i).shape.size() != 2)
        throw Error("input ", i, " is ", node.input(i).to_string(), ", no matrix; use MatMul");
    }
    const std::vector<Dim>& a = node.input(0).shape;
    const std::vector<Dim>& b = node.input(1).shape;
    const bool left = flag(node, "transA"), right = flag(node, "transB");
    if (a[left ? 0 : 1] != b[right ? 1 : 0]) {
      throw Error("the inner dimensions of ", node.input(0).to_string(), " and ",
                  node.input(1).to_string(), " differ: ", a[left ? 0 : 1].to_string(), " against ",
                  b[right ? 1 : 0].to_string(), "; check transA and transB");
    }
    TensorType y{{a[left ? 1 : 0], b[right ? 0 : 1]}, format};
    if (node.has_input(2) && !broadcasts_to(node.input(2).shape, y.shape)) {
      throw Error("c ", node.input(2).to_string(), " does not broadcast to the product ",
                  y.to_string());
    }
    return {y};
  }

  std::vector<Form> forms(const NodeView&) const override { return {{"product"}}; }

  std::vector<ValueId> body(Builder& builder, const NodeView& node, const Form&,
                            std::span<const ValueId> inputs) const override {
    const auto operand = [&](std::size_t i, std::string_view transposed) {
      if (!flag(node, transposed)) return inputs[i];
      // Transposed weights are stored so, rather than transposed at every run.
      if (const Tensor* matrix = node.constant(i))
        return builder.constant(transposed_tensor(*matrix, {1, 0}));
      return builder.add("Transpose", {inputs[i]}, {{"perm", std::vector<std::int64_t>{1, 0}}});
    };
    const auto scaled = [&](ValueId value, double factor) {
      if (factor == 1) return value;
      const Format format = node.input(0).format;
      return builder.add("Mul", {value, builder.constant(Tensor::scalar(factor, format))});
    };
    const ValueId product = scaled(
        builder.add("MatMul", {operand(0, "transA"), operand(1, "transB")}), node.real("alpha"));
    if (!node.has_input(2)) return {product};
    return {builder.add("Add", {product, scaled(inputs[2], node.real("beta"))})};
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view a, std::string_view b, std::string_view y,
                         std::string_view attributes) {
      return sample_text("symbol N in [1,8]", concat("%a : ", a, ", %b : ", b),
                         concat("%y : ", y, " = Gemm(%a, %b) ", attributes));
    };
    return {
        {text("f32[N,5]", "f32[5,3]", "f32[N,3]", ""), ""},
        {text("f32[5,N]", "f32[3,5]", "f32[N,3]", "{transA = 1, transB = 1, alpha = 0.5}"), ""},
        {sample_text("constant @w : f32[3,2] = [1,2,3,4,5,6]\nconstant @c : f32[3] = [1,-1,0.5]",
                     "%a : f32[4,2]",
                     "%w = constant @w\n  %c = constant @c\n"
                     "  %y : f32[4,3] = Gemm(%a, %w, %c) {transB = 1, beta = -2}"),
         ""},
        {text("f32[N,5]", "f32[3,5]", "f32[N,3]", ""), "check transA and transB"},
        {text("f32[2,N,5]", "f32[5,3]", "f32[2,N,3]", ""), "use MatMul"},
        {text("f32[2,5]", "f32[5,3]", "f32[2,3]", "{transA = 2}"), "must be 0 or 1"}};
  }
};

}  // namespace

void register_matrix_operators() {
  operators().add(std::make_unique<MatMul>());
  operators().add(std::make_unique<Gemm>());
}

}  // namespace tandem
