#include <algorithm>
#include <memory>

#include "tandem/graph/registry.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/support.h"

namespace tandem {
namespace {

class NegativeLogLikelihoodLoss final : public Operator {
 public:
  std::string_view name() const override { return "NegativeLogLikelihoodLoss"; }
  std::string_view description() const override {
    return "For log-probabilities x [N,C,d...] and integer classes [N,d...], minus the entry of "
           "the class, times the optional weight [C] of the class; per class entry, as a sum, or "
           "as a mean weighted alike.";
  }
  std::vector<AttributeSpec> attributes() const override {
    return {choice_attribute("reduction", "what becomes of the losses", {"mean", "sum", "none"}),
            integers_attribute("ignored", "classes that count for nothing")};
  }
  std::size_t min_inputs() const override { return 2; }
  std::size_t max_inputs() const override { return 3; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const Format format = require_real(node, 0);
    const auto& x = node.input(0).shape;
    const TensorType& classes = node.input(1);
    std::vector<Dim> wanted = x;
    if (x.size() >= 2) wanted.erase(wanted.begin() + 1);
    if (x.size() < 2 || classes.shape != wanted || !classes.format.is_integer())
      throw Error("x is ", node.input(0).to_string(), " and the classes are ", classes.to_string(),
                  "; they must be [N,C,d...] and integers [N,d...]");
    if (node.has_input(2) &&
        (require_real(node, 2) != format || node.input(2).shape != std::vector<Dim>{x[1]})) {
      throw Error("the weights are ", node.input(2).to_string(), ", not one for each class of ",
                  node.input(0).to_string());
    }
    return {{node.string("reduction") == "none" ? classes.shape : std::vector<Dim>{}, format}};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    return compute_reals(inputs[0].format(), inputs,
                         [&]<typename T>(std::span<const Tensor> reals) {
                           return std::vector{run<T>(node, reals)};
                         });
  }

  Work work(const NodeView& node) const override {
    return work_of(node,
                   {operations(node, OperationKind::kMultiplyAccumulate, input_elements(node, 1))});
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view classes, std::string_view y,
                         std::string_view rest) {
      return sample_text("symbol N in [1,8]",
                         concat("%x : ", x, ", %c : ", classes, ", %w : f32[4]"),
                         concat("%y : ", y, " = NegativeLogLikelihoodLoss(%x, %c", rest));
    };
    return {
        {text("f32[N,4]", "uint2[N]", "f32[]", ", %w)"), ""},
        {text("f32[N,4,3]", "uint2[N,3]", "f32[N,3]", ") {reduction = \"none\"}"), ""},
        {text("f16[N,4,2,2]", "uint2[N,2,2]", "f16[]", ") {reduction = \"sum\", ignored = [2]}"),
         ""},
        {text("f32[N,4]", "uint2[3]", "f32[]", ")"), "they must be"},
        {text("f32[N,3]", "uint1[N]", "f32[]", ", %w)"), "not one for each class"}};
  }

 private:
  template <typename T>
  static Tensor run(const NodeView& node, std::span<const Tensor> inputs) {
    const std::string& reduction = node.string("reduction");
    const auto& ignored = node.integers("ignored");
    const AxisSplit split = split_at(inputs[0].shape(), 1);
    const auto classes = inputs[1].to_integers();
    const T* x = inputs[0].data<T>().data();
    Tensor losses(inputs[0].format(), inputs[1].shape());
    const auto to = losses.mutable_data<T>();
    double total = 0, weights = 0;
    for (std::size_t i = 0; i < classes.size(); ++i) {
      const std::int64_t kind = classes[i];
      if (std::find(ignored.begin(), ignored.end(), kind) != ignored.end()) continue;
      if (kind < 0 || kind >= split.extent)
        throw Error("class ", kind, " is none of the ", split.extent);
      const auto at = static_cast<std::int64_t>(i);
      const std::int64_t outer = at / split.inner, inner = at % split.inner;
      const double weight =
          node.has_input(2) ? inputs[2].data<T>()[static_cast<std::size_t>(kind)] : 1;
      const double loss = -weight * x[(outer * split.extent + kind) * split.inner + inner];
      to[i] = static_cast<T>(loss);
      total += loss;
      weights += weight;
    }
    if (reduction == "none") return losses;
    Tensor y(inputs[0].format(), {});
    y.mutable_data<T>()[0] = static_cast<T>(reduction == "sum" ? total : total / weights);
    return y;
  }
};

}  // namespace

void register_loss_operators() { operators().add(std::make_unique<NegativeLogLikelihoodLoss>()); }

}  // namespace tandem
