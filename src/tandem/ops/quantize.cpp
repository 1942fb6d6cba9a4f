#include "tandem/ops/quantize.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "tandem/base/error.h"
#include "tandem/graph/lowering.h"
#include "tandem/graph/registry.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/coded.h"
#include "tandem/ops/integer.h"

namespace tandem {
namespace {

void check_parameter(const NodeView& node, std::size_t index, std::string_view what) {
  if (!node.has_input(index)) return;
  const TensorType& type = node.input(index);
  if (!type.format.is_float()) throw Error(what, " must be real, not ", type.format.name());
  if (!broadcasts_to(type.shape, node.input(0).shape))
    throw Error(what, " ", type.to_string(), " does not broadcast to ", node.input(0).to_string());
  const Tensor* constant = node.constant(index);
  if (constant == nullptr) return;
  for (const double value : constant->to_reals()) {
    if (!std::isfinite(value)) throw Error(what, " contains ", value);
    // Codes may be decoded with any scale: GGUF has negative ones, and zeros for blocks of zeros.
    if (what == "scale" && value <= 0 && node.node.op->name() == "Quantize")
      throw Error("scale contains ", value, "; it must be positive");
  }
}

// x / scale + zero in f32.
class CodeDomain {
 public:
  explicit CodeDomain(std::span<const Tensor> in)
      : scale_(in[1].to_floats()), scale_at_(broadcast_offsets(in[1].shape(), in[0].shape())) {
    if (in.size() < 3 || in[2].size() == 0) return;
    zero_ = in[2].to_floats();
    zero_at_ = broadcast_offsets(in[2].shape(), in[0].shape());
  }
  float scale(std::size_t i) const { return scale_[static_cast<std::size_t>(scale_at_[i])]; }
  float zero(std::size_t i) const {
    return zero_.empty() ? 0.0F : zero_[static_cast<std::size_t>(zero_at_[i])];
  }
  // Without a zero, minus zero keeps its sign.
  float shifted(float ratio, std::size_t i) const {
    return zero_.empty() ? ratio : ratio + zero(i);
  }

 private:
  std::vector<float> scale_, zero_;
  std::vector<std::int64_t> scale_at_, zero_at_;
};

bool zero_after_rounding(const NodeView& node) {
  return node.string("zero_added") == "after_rounding";
}

void check_whole_zero(const NodeView& node) {
  const Format format = node.format("format");
  if (!format.is_integer() || format == Format::parse("bipolar"))
    throw Error("zero_added = after_rounding needs an int or uint format, not ", format.name());
  const Tensor* zero = node.constant(2);
  if (zero == nullptr) return;
  for (const double value : zero->to_reals()) {
    if (value != std::floor(value))
      throw Error("zero contains ", value, ", which is not whole; add it before rounding");
  }
}

void check_rescaling(const NodeView& node) {
  const Rescaling rescaling = parse_rescaling(node.string("rescale"));
  const std::int64_t left_shift = node.integer("left_shift");
  if (left_shift != 0 && rescaling != Rescaling::kDoubleRounding)
    throw Error("left_shift is for rescale = double_rounding only");
  if (left_shift < -31 || left_shift > 31)
    throw Error("left_shift is ", left_shift, "; it must lie in [-31,31]");
  if (rescaling == Rescaling::kDyadic) return;
  if (!zero_after_rounding(node))
    throw Error("rescale = ", name(rescaling), " needs zero_added = after_rounding");
  if (parse_overflow(node.string("overflow")) != Overflow::kSaturate)
    throw Error("rescale = ", name(rescaling), " needs overflow = saturate");
}

// Beyond 2^100 every sum with a zero saturates or wraps alike.
double rounded(float value, Rounding rounding) {
  constexpr float kMost = 0x1p100F;
  return static_cast<double>(round_real(std::clamp(value, -kMost, kMost), rounding));
}

class Quantize final : public Operator {
 public:
  std::string_view name() const override { return "Quantize"; }
  std::string_view description() const override {
    return "format.encode(x / scale + zero), limited to `limits`; scale and zero broadcast to x.";
  }
  Traits traits() const override { return {Domain::kBorder, true}; }
  std::size_t min_inputs() const override { return 2; }
  std::size_t max_inputs() const override { return 3; }
  std::vector<AttributeSpec> attributes() const override {
    return {{"format", AttributeKind::kFormat, "format of the codes", {}, {}},
            rounding_attribute(),
            overflow_attribute(),
            {"limits",
             AttributeKind::kIntegers,
             "least and greatest integer of the result where narrower than the format's",
             {std::vector<std::int64_t>{}},
             {}},
            {"zero_added",
             AttributeKind::kString,
             "before the rounding, as in QONNX, or after it, as in ONNX (whole zeros only)",
             {std::string("before_rounding")},
             {"before_rounding", "after_rounding"}},
            {"rescale",
             AttributeKind::kString,
             "how the lowered form multiplies: dyadic, or as TensorFlow Lite does",
             {std::string("dyadic")},
             rescaling_names()},
            {"left_shift",
             AttributeKind::kInteger,
             "bits by which double_rounding shifts the integers before it multiplies",
             {std::int64_t{0}},
             {}}};
  }
  std::vector<TensorType> infer(const NodeView& node) const override {
    if (!node.input(0).format.is_float())
      throw Error("its input is already coded as ", node.input(0).format.name());
    check_parameter(node, 1, "scale");
    check_parameter(node, 2, "zero");
    const Format format = node.format("format");
    const auto& limits = node.integers("limits");
    if (!limits.empty()) {
      if (!format.is_uniform()) throw Error("limits need an integer or fixed-point format");
      const IntegerRange range = format.integer_range();
      if (limits.size() != 2 || limits[0] > limits[1] || limits[0] < range.min ||
          limits[1] > range.max) {
        throw Error("limits must be two ascending integers of ", format.name());
      }
    }
    if (zero_after_rounding(node)) check_whole_zero(node);
    check_rescaling(node);
    return {{node.input(0).shape, format}};
  }
  std::vector<Tensor> evaluate(const NodeView& node, std::span<const Tensor> in) const override {
    const Format format = node.format("format");
    const Rounding rounding = parse_rounding(node.string("rounding"));
    const Overflow overflow = parse_overflow(node.string("overflow"));
    const CodeDomain domain(in);
    const auto x = in[0].to_floats();
    const bool after = zero_after_rounding(node);
    std::vector<double> scaled(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (std::isnan(x[i])) throw Error("element ", i, " of its input is NaN");
      const float ratio = x[i] / domain.scale(i);
      scaled[i] = after ? rounded(ratio, rounding) + static_cast<double>(domain.zero(i))
                        : static_cast<double>(domain.shifted(ratio, i));
    }
    Tensor codes = Tensor::from_reals(format, in[0].shape(), scaled, rounding, overflow);
    const auto& limits = node.integers("limits");
    if (limits.empty()) return {codes};
    auto integers = codes.to_integers();
    for (auto& value : integers) value = std::clamp(value, limits[0], limits[1]);
    return {Tensor::from_integers(format, in[0].shape(), integers)};
  }
  std::optional<std::vector<CodedValue>> lower(LoweringSite& site) const override {
    const NodeView& node = site.node;
    QuantizeTarget target;
    target.format = node.format("format");
    target.rounding = parse_rounding(node.string("rounding"));
    target.overflow = parse_overflow(node.string("overflow"));
    target.limits = node.integers("limits");
    target.zero_after_rounding = zero_after_rounding(node);
    target.rescaling = parse_rescaling(node.string("rescale"));
    target.left_shift = static_cast<int>(node.integer("left_shift"));
    target.scale = required_constant(site, 1, "scale");
    target.zero = node.has_input(2) ? required_constant(site, 2, "zero") : Tensor::scalar(0, f64());
    return std::vector<CodedValue>{requantize(site, site.coded(0), target)};
  }
  std::vector<SampleCase> samples() const override {
    const std::string head =
        "tandem-module 1\nconstant @s : f32[] = [0.25]\nconstant @c : f32[3] = [0.5,1,2]\n"
        "constant @z : f32[] = [3]\n"
        "graph @main(%x : f32[2,3]) -> (%y) {\n  %s = constant @s\n  %c = constant @c\n"
        "  %z = constant @z\n";
    return {
        {head + "  %y : int4[2,3] = Quantize(%x, %s, %z) {format = int4}\n}\n", ""},
        {head + "  %y : fixed<6,2>[2,3] = Quantize(%x, %c) {format = fixed<6,2>, rounding = "
                "\"floor\", overflow = \"wrap\"}\n}\n",
         ""},
        {head + "  %y : int4[2,3] = Quantize(%x, %s) {format = int4, limits = [-7,7]}\n}\n", ""},
        {head + "  %y : bipolar[2,3] = Quantize(%x, %s) {format = bipolar}\n}\n", ""},
        {head + "  %y : uint4[2,3] = Quantize(%x, %s, %z) {format = uint4, zero_added = "
                "\"after_rounding\"}\n}\n",
         ""},
        {head + "  %y : uint4[2,3] = Quantize(%x, %s, %s) {format = uint4, zero_added = "
                "\"after_rounding\"}\n}\n",
         "is not whole"},
        {head + "  %y : int8[2,3] = Quantize(%x, %c, %z) {format = int8, zero_added = "
                "\"after_rounding\", rescale = \"double_rounding\", left_shift = 20}\n}\n",
         ""},
        {head + "  %y : int8[2,3] = Quantize(%x, %c, %z) {format = int8, rescale = "
                "\"double_rounding\"}\n}\n",
         "needs zero_added = after_rounding"},
        {head + "  %y : int8[2,3] = Quantize(%x, %c, %z) {format = int8, left_shift = 2}\n}\n",
         "is for rescale = double_rounding only"},
        {head + "  %y : int4[2,3] = Quantize(%x, %s) {format = int4, limits = [-9,7]}\n}\n",
         "limits must be two ascending integers"}};
  }
};

constexpr int kWidestFloatCode = 8;  // bits of a float that stands for a code

class Dequantize final : public Operator {
 public:
  std::string_view name() const override { return "Dequantize"; }
  std::string_view description() const override {
    return "(format.decode(q) - zero) * scale as f32; scale and zero broadcast to q.";
  }
  Traits traits() const override { return {Domain::kBorder, true}; }
  std::size_t min_inputs() const override { return 2; }
  std::size_t max_inputs() const override { return 3; }
  std::vector<TensorType> infer(const NodeView& node) const override {
    const Format format = node.input(0).format;
    if ((format.is_float() && format.bits() > kWidestFloatCode) || format.is_boolean())
      throw Error("its input is ", node.input(0).format.name(), ", which is not coded");
    check_parameter(node, 1, "scale");
    check_parameter(node, 2, "zero");
    return {{node.input(0).shape, Format()}};
  }
  std::vector<Tensor> evaluate(const NodeView&, std::span<const Tensor> in) const override {
    const CodeDomain domain(in);
    Tensor result(Format(), in[0].shape());
    auto out = result.mutable_data<float>();
    const auto decoded = in[0].to_reals();
    for (std::size_t i = 0; i < out.size(); ++i) {
      const float centred =
          domain.zero(i) == 0.0F
              ? static_cast<float>(decoded[i])
              : static_cast<float>(decoded[i] - static_cast<double>(domain.zero(i)));
      out[i] = centred * domain.scale(i);
    }
    return {result};
  }
  std::optional<std::vector<CodedValue>> lower(LoweringSite& site) const override {
    const Tensor scale = required_constant(site, 1, "scale");
    for (const double value : scale.to_reals())
      if (value <= 0)
        throw Error("scale contains ", value,
                    "; integers need positive scales: quantize the reals anew with compress");
    const Tensor zero =
        site.node.has_input(2) ? required_constant(site, 2, "zero") : Tensor::scalar(0, f64());
    CodedValue value =
        site.inputs[0] ? *site.inputs[0] : coded_constant(site.builder, *site.constant(0));
    return std::vector<CodedValue>{multiplied(shifted(value, negated(zero)), scale)};
  }
  std::vector<SampleCase> samples() const override {
    const std::string head =
        "tandem-module 1\nconstant @c : f32[3] = [0.5,1,2]\nconstant @z : f32[] = [3]\n"
        "graph @main(%q : int4[2,3]) -> (%y) {\n  %c = constant @c\n  %z = constant @z\n";
    const std::string narrow =
        "tandem-module 1\nconstant @c : f32[3] = [0.5,1,2]\n"
        "graph @main(%q : e4m3[2,3]) -> (%y) {\n  %c = constant @c\n";
    return {{head + "  %y : f32[2,3] = Dequantize(%q, %c, %z)\n}\n", ""},
            {narrow + "  %y : f32[2,3] = Dequantize(%q, %c)\n}\n", ""},
            {head + "  %y : f32[2,3] = Dequantize(%q, %q)\n}\n", "scale must be real"}};
  }
};

}  // namespace

void register_quantize_operators() {
  operators().add(std::make_unique<Quantize>());
  operators().add(std::make_unique<Dequantize>());
}

}  // namespace tandem
