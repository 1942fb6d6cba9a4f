#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "tandem/graph/registry.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/plain_integers.h"
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
           "when they become integers; integers lose their higher bits; anything but 0 becomes "
           "true. What is beyond a float of 8 bits or less becomes its largest number, or without "
           "`saturate` infinity, or NaN where there is none.";
  }
  Traits traits() const override { return {.domain = Domain::kIndex, .elementwise = true}; }
  std::vector<AttributeSpec> attributes() const override {
    return {
        {"to", AttributeKind::kFormat, "format of the result", {}, {}},
        flag_attribute("saturate", "floats of 8 bits or less end at their largest number", true)};
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
    if (to.is_uniform()) return {wrapped(x.format().is_uniform() ? widened(x) : truncated(x), to)};
    auto reals = x.to_reals();
    if (to.bits() <= 8) flag(node, "saturate") ? saturate(reals, to) : overflow(reals, to);
    return {Tensor::from_reals(to, x.shape(), reals)};
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
            {text("f32", "e4m3"), ""},
            {text("e5m2", "f16"), ""},
            {text("f32", "fixed<8,3>"), "go through Quantize"}};
  }

 private:
  static constexpr double kLargest = std::numeric_limits<double>::max();

  static Tensor truth(const Tensor& x) {
    Tensor y(boolean_format(), x.shape());
    const auto to = y.mutable_data<std::uint8_t>();
    const auto reals = x.to_reals();
    for (std::size_t i = 0; i < to.size(); ++i) to[i] = reals[i] != 0 ? 1 : 0;
    return y;
  }

  static Tensor truncated(const Tensor& x) {
    Tensor wide(index_format(), x.shape());
    const auto reals = x.to_reals();
    const auto to = wide.mutable_data<std::int64_t>();
    constexpr double kEnd = 0x1p63;
    for (std::size_t i = 0; i < to.size(); ++i) {
      if (std::isnan(reals[i])) throw Error("element ", i, " is NaN, which is no integer");
      to[i] = reals[i] >= kEnd    ? std::numeric_limits<std::int64_t>::max()
              : reals[i] <= -kEnd ? std::numeric_limits<std::int64_t>::min()
                                  : static_cast<std::int64_t>(reals[i]);
    }
    return wide;
  }

  static void saturate(std::vector<double>& reals, const Format& to) {
    const double largest =
        to.decode(to.encode(kLargest, Rounding::kHalfEven, Overflow::kSaturateSymmetric));
    for (double& real : reals)
      if (!std::isnan(real)) real = std::clamp(real, -largest, largest);
  }

  // Replaces what rounds beyond the largest number of a format without infinities by NaN.
  static void overflow(std::vector<double>& reals, const Format& to) {
    const double infinity = std::numeric_limits<double>::infinity();
    const std::uint64_t code = to.encode(infinity);
    const double largest = to.decode(code);
    if (std::isinf(largest)) return;
    const double tie = largest + (largest - to.decode(code - 1)) / 2;
    const bool tie_goes_up = (code & 1) != 0;
    for (double& real : reals) {
      const double magnitude = std::fabs(real);
      if (magnitude > tie || (magnitude == tie && tie_goes_up))
        real = std::numeric_limits<double>::quiet_NaN();
    }
  }
};

class BitCast final : public Operator {
 public:
  std::string_view name() const override { return "BitCast"; }
  std::string_view description() const override {
    return "The bits of x read in another format of the same width, of whole bytes.";
  }
  Traits traits() const override { return {.domain = Domain::kIndex, .elementwise = true}; }
  std::vector<AttributeSpec> attributes() const override {
    return {{"to", AttributeKind::kFormat, "format of the result", {}, {}}};
  }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const Format from = node.input(0).format, to = node.format("to");
    for (const Format& format : {from, to})
      if (!format.is_float() && !format.is_boolean() && !is_plain_integer(format))
        throw Error(format.name(), " is neither float nor bool nor an integer of 8 to 64 bits");
    if (stored_bits(from) != stored_bits(to) || (from.bits() < 8 && !from.is_boolean()))
      throw Error(from.name(), " and ", to.name(), " differ in width; Cast converts numbers");
    return {{node.input(0).shape, to}};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    Tensor y(node.format("to"), inputs[0].shape());
    const auto from = inputs[0].bytes();
    std::copy(from.begin(), from.end(), y.mutable_bytes().begin());
    if (y.format().is_uniform()) check_range(y);
    return {y};
  }

  Work work(const NodeView& node) const override {
    return work_of(node, {operations(node, OperationKind::kMove, output_elements(node))});
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view from, std::string_view to) {
      return sample_text("symbol N in [1,8]", concat("%x : ", from, "[N,3]"),
                         concat("%y : ", to, "[N,3] = BitCast(%x) {to = ", to, "}"));
    };
    return {{text("f32", "int32"), ""},
            {text("int16", "f16"), ""},
            {text("bool", "uint8"), ""},
            {text("f32", "int64"), "differ in width"},
            {text("fixed<8,3>", "int8"), "neither float"}};
  }

 private:
  static std::int64_t stored_bits(const Format& format) {
    return 8 * storage_bytes(format.storage());
  }

  static void check_range(const Tensor& y) {
    const IntegerRange range = y.format().integer_range();
    for (const std::int64_t value : y.to_integers())
      if (value < range.min || value > range.max)
        throw Error("bits beyond the range of ", y.format().name(), "; use another format");
  }
};

}  // namespace

void register_conversion_operators() {
  operators().add(std::make_unique<Cast>());
  operators().add(std::make_unique<BitCast>());
}

}  // namespace tandem
