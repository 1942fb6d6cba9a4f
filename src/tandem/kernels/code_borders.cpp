#include "tandem/kernels/code_borders.h"

#include "tandem/kernels/instruction_set.h"

namespace tandem {
namespace {

struct QuantizeKernel {
  template <typename Code>
  [[gnu::always_inline]] static inline void run(CodeBorder border, const float* x,
                                                std::int64_t count, Code* to, bool* are_numbers) {
    // Limits are whole, so that clamping first changes no code; a number this small is rounded by
    // an addition that leaves it no fraction bits.
    constexpr float kNoFraction = 0x1.8p23F;
    const float low = border.low - border.zero, high = border.high - border.zero;
    std::int32_t strange = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      const float ratio = x[i] / border.scale;
      strange |= ratio == ratio ? 0 : 1;
      const float above = ratio > low ? ratio : low;
      const float within = above < high ? above : high;
      const float rounded = (within + kNoFraction) - kNoFraction;
      to[i] = static_cast<Code>(static_cast<std::int32_t>(rounded + border.zero));
    }
    *are_numbers = strange == 0;
  }
};

struct DequantizeKernel {
  template <typename Code>
  [[gnu::always_inline]] static inline void run(CodeBorder border, const Code* x,
                                                std::int64_t count, float* to) {
    for (std::int64_t i = 0; i < count; ++i)
      to[i] = (static_cast<float>(x[i]) - border.zero) * border.scale;
  }
};

}  // namespace

bool quantize_codes(const CodeBorder& border, const float* x, std::int64_t count, bool is_signed,
                    std::uint8_t* to) {
  bool are_numbers = true;
  if (is_signed) {
    run_kernel<QuantizeKernel>(border, x, count, reinterpret_cast<std::int8_t*>(to), &are_numbers);
  } else {
    run_kernel<QuantizeKernel>(border, x, count, to, &are_numbers);
  }
  return are_numbers;
}

void dequantize_codes(const CodeBorder& border, const std::uint8_t* x, bool is_signed,
                      std::int64_t count, float* to) {
  if (is_signed) {
    run_kernel<DequantizeKernel>(border, reinterpret_cast<const std::int8_t*>(x), count, to);
  } else {
    run_kernel<DequantizeKernel>(border, x, count, to);
  }
}

}  // namespace tandem
