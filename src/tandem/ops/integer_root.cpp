// The square root of integers.
#include "tandem/ops/integer_root.h"

#include <memory>

#include "tandem/base/error.h"
#include "tandem/graph/registry.h"
#include "tandem/numerics/square_root.h"
#include "tandem/ops/integer.h"

namespace tandem {
namespace {

class IntSqrt final : public IntegerOperator {
 public:
  Traits traits() const override { return {Domain::kInteger, true, true}; }
  std::string_view name() const override { return "IntSqrt"; }
  std::string_view description() const override {
    return "The greatest integer whose square is at most x, which is unsigned.";
  }
  std::vector<AttributeSpec> attributes() const override { return {format_attribute()}; }
  std::vector<Dim> shape(const NodeView& node) const override {
    const Format format = node.input(0).format;
    if (format.is_signed() || format == Format::parse("bipolar"))
      throw Error("x is ", format.name(), "; a square root takes unsigned integers (Clamp at 0)");
    return node.input(0).shape;
  }
  IntegerRange range(const NodeView& node) const override {
    const IntegerRange given = input_range(node, 0), x = checked_range(given.min, given.max);
    return {floor_square_root(x.min), floor_square_root(x.max)};
  }
  std::vector<Tensor> evaluate(const NodeView& node, std::span<const Tensor> in) const override {
    auto values = in[0].to_integers();
    for (auto& value : values) value = floor_square_root(value);
    return {Tensor::from_integers(node.format("format"), in[0].shape(), values)};
  }
  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view format) {
      return concat("tandem-module 1\ngraph @main(%x : ", x, "[2,5]) -> (%y) {\n  %y : ", format,
                    "[2,5] = IntSqrt(%x) {format = ", format, "}\n}\n");
    };
    return {{text("uint8", "uint4"), ""},        {text("uint1", "uint1"), ""},
            {text("uint31", "uint16"), ""},      {text("uint33", "int20"), ""},
            {text("uint62", "uint31"), ""},      {text("uint8", "uint3"), "needs format = uint4"},
            {text("int8", "uint4"), "unsigned"}, {text("uint63", "uint32"), "may leave 63 bits"}};
  }

 protected:
  OperationKind operation() const override { return OperationKind::kDivide; }
};

}  // namespace

void register_integer_square_root() { operators().add(std::make_unique<IntSqrt>()); }

}  // namespace tandem
