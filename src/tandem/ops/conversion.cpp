#include <algorithm>
#include <memory>

#include "tandem/graph/registry.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/support.h"

namespace tandem {
namespace {

bool is_castable(const Format& format) {
  return format.is_float() || format.is_boolean() || format.is_integer();
}

class Cast final : public Operator {
 public:
  std::string_view name() const override { return "Cast"; }
  std::string_view description() const override {
    return "The numbers of x in another format: reals are rounded to nearest even, or toward zero "
           "when they become integers; integers keep the bits that the format has, the upper ones "
           "are dropped; anything but 0 becomes true.";
  }
  Traits traits() const override { return {.domain = Domain::kIndex, .elementwise = true}; }
  std::vector<AttributeSpec> attributes() const override {
    return {{"to", AttributeKind::kFormat, "format of the result", {}, {}}};
  }

  std::vector<TensorType> infer(const NodeView& node) const override {
    for (const Format& format : {node.input(0).format, node.format("to")}) {
      if (!is_castable(format)) {
        throw Error(format.name(),
                    " is neither float, integer nor bool; coded numbers go through "
                    "Quantize and Dequantize");
      }
    }
    return {{node.input(0).shape, node.format("to")}};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    const Tensor& x = inputs[0];
    const Format to = node.format("to");
    if (to == x.format()) return {x};
    if (to.is_boolean()) return {truth(x)};
    if (to.is_uniform()) return {lower_bits(x, to)};
    return {Tensor::from_reals(to, x.shape(), x.to_reals(), Rounding::kHalfEven)};
  }

  Work work(const NodeView& node) const override {
    const Format from = node.input(0).format, to = node.format("to");
    return work_of(node,
                   {{OperationKind::kAdd, from, from, to, from == to ? 0 : output_elements(node)}});
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view from, std::string_view to) {
      return sample_text("symbol N in [1,8]", concat("%x : ", from, "[N,3]"),
                         concat("%y : ", to, "[N,3] = Cast(%x) {to = ", to, "}"));
    };
    return {{text("f32", "f16"), ""},
            {text("f64", "f32"), ""},
            {text("int64", "f32"), ""},
            {text("f32", "int8"), ""},
            {text("int64", "uint4"), ""},
            {text("f32", "bool"), ""},
            {text("bool", "f32"), ""},
            {text("bf16", "bf16"), ""},
            {text("f32", "fixed<8,3>"), "go through Quantize"}};
  }

 private:
  static Tensor truth(const Tensor& x) {
    Tensor y(boolean_format(), x.shape());
    const auto to = y.mutable_data<std::uint8_t>();
    const auto reals = x.to_reals();
    for (std::size_t i = 0; i < to.size(); ++i) to[i] = reals[i] != 0 ? 1 : 0;
    return y;
  }

  // As integers of 64 bits, of which the lower ones are kept.
  static Tensor lower_bits(const Tensor& x, Format to) {
    const Format wide = Format::integer(64, true);
    auto integers = x.format().is_uniform()
                        ? x.to_integers()
                        : Tensor::from_reals(wide, x.shape(), x.to_reals(), Rounding::kTowardZero)
                              .to_integers();
    const std::uint64_t mask = ~std::uint64_t{0} >> (64 - to.bits());
    for (std::int64_t& value : integers)
      value = to.integer_of(static_cast<std::uint64_t>(value) & mask);
    return Tensor::from_integers(to, x.shape(), integers);
  }
};

}  // namespace

void register_conversion_operators() { operators().add(std::make_unique<Cast>()); }

}  // namespace tandem
