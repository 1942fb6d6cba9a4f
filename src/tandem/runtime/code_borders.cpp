#include "tandem/kernels/code_borders.h"

#include <algorithm>
#include <cmath>

#include "tandem/base/error.h"
#include "tandem/base/threads.h"
#include "tandem/runtime/code_groups.h"
#include "tandem/runtime/code_steps.h"

namespace tandem {
namespace {

constexpr std::int64_t kBorderPart = 16384;

CodeBorder border_of(const NodeView& node, const Format& codes) {
  CodeBorder border;
  border.scale = node.constant(1)->to_floats()[0];
  if (node.has_input(2)) border.zero = node.constant(2)->to_floats()[0];
  const IntegerRange range = codes.integer_range();
  border.low = static_cast<float>(range.min);
  border.high = static_cast<float>(range.max);
  return border;
}

// From reals to codes, or back.
class CodeBorderStep final : public StepProgram {
 public:
  explicit CodeBorderStep(const StepContext& context)
      : name_(context.node().node.name),
        x_(context.node().node.inputs[0]),
        result_(context.node().node.outputs[0]),
        count_(element_count(context.shape(result_))) {
    const bool quantizes = context.node().node.op->name() == "Quantize";
    const Format codes = context.graph.values[quantizes ? result_ : x_].type.format;
    quantizes_ = quantizes;
    is_signed_ = is_signed_byte(codes);
    border_ = border_of(context.node(), codes);
    if (!quantizes) return;
    const auto& limits = context.node().integers("limits");
    if (limits.empty()) return;
    border_.low = static_cast<float>(limits[0]);
    border_.high = static_cast<float>(limits[1]);
  }
  void run(const Places& places, Scratch&) const override {
    parallel_for(0, count_, kBorderPart, [&](std::int64_t begin, std::int64_t end) {
      const std::byte* x = places.read[x_];
      std::byte* to = places.write[result_];
      if (!quantizes_) {
        dequantize_codes(border_, reinterpret_cast<const std::uint8_t*>(x) + begin, is_signed_,
                         end - begin, reinterpret_cast<float*>(to) + begin);
      } else if (!quantize_codes(border_, reinterpret_cast<const float*>(x) + begin, end - begin,
                                 is_signed_, reinterpret_cast<std::uint8_t*>(to) + begin)) {
        throw Error("Quantize '", name_, "': an element of its input is NaN");
      }
    });
  }

 private:
  std::string name_;
  ValueId x_, result_;
  std::int64_t count_;
  bool quantizes_ = false, is_signed_ = false;
  CodeBorder border_;
};

}  // namespace

bool is_code_border(const NodeView& node) {
  const std::string_view op = node.node.op->name();
  if ((op != "Quantize" && op != "Dequantize") || node.constant(0) != nullptr) return false;
  const auto single = [&](std::size_t index) {
    return node.constant(index) != nullptr && node.constant(index)->size() == 1;
  };
  if (!single(1) || (node.has_input(2) && !single(2))) return false;
  const float zero = node.has_input(2) ? node.constant(2)->to_floats()[0] : 0;
  if (zero != std::floor(zero) || std::abs(zero) > 255) return false;
  if (op == "Dequantize") return is_byte(node.input(0).format);
  const bool zero_comes_last = node.string("zero_added") == "after_rounding" || zero == 0;
  return zero_comes_last && node.input(0).format == Format() && is_byte(node.format("format")) &&
         node.format("format") != Format::parse("bipolar") &&
         node.string("rounding") == "half_even" && node.string("overflow") == "saturate";
}

std::unique_ptr<StepProgram> make_code_border(const StepContext& context) {
  return std::make_unique<CodeBorderStep>(context);
}

}  // namespace tandem
