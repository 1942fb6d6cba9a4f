#include "tandem/kernels/code_pairs.h"

#include "tandem/kernels/instruction_set.h"

namespace tandem {
namespace {

struct PairKernel {
  template <typename X, typename Y>
  [[gnu::always_inline]] static inline void run(PairTerms terms, const X* x, const Y* y,
                                                std::int64_t count, std::int32_t* to) {
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int32_t a = x[i], b = y[i];
      to[i] = a * (terms.product * b + terms.x_factor) + terms.y_factor * b + terms.constant;
    }
  }
};

// Most pairs are sums.
struct SumKernel {
  template <typename X, typename Y>
  [[gnu::always_inline]] static inline void run(PairTerms terms, const X* x, const Y* y,
                                                std::int64_t count, std::int32_t* to) {
    for (std::int64_t i = 0; i < count; ++i)
      to[i] = x[i] * terms.x_factor + y[i] * terms.y_factor + terms.constant;
  }
};

struct ScaleKernel {
  template <typename X>
  [[gnu::always_inline]] static inline void run(const X* x, const std::int32_t* factor,
                                                const std::int32_t* addend, std::int64_t count,
                                                std::int32_t* to) {
    for (std::int64_t i = 0; i < count; ++i) to[i] = x[i] * factor[i] + addend[i];
  }
};

struct AddKernel {
  template <typename X>
  [[gnu::always_inline]] static inline void run(const X* x, std::int64_t count, std::int32_t* sum) {
    for (std::int64_t i = 0; i < count; ++i) sum[i] += x[i];
  }
};

struct GreatestKernel {
  template <typename X>
  [[gnu::always_inline]] static inline void run(const X* x, const std::int64_t* offsets,
                                                std::int64_t taps, std::int64_t count, X* to) {
    constexpr std::int64_t kBlock = 32;
    std::int64_t begin = 0;
    for (; begin + kBlock <= count; begin += kBlock) {
      X greatest[kBlock];
      for (std::int64_t i = 0; i < kBlock; ++i) greatest[i] = x[offsets[0] + begin + i];
      for (std::int64_t t = 1; t < taps; ++t) {
        const X* codes = x + offsets[t] + begin;
        for (std::int64_t i = 0; i < kBlock; ++i)
          greatest[i] = codes[i] > greatest[i] ? codes[i] : greatest[i];
      }
      for (std::int64_t i = 0; i < kBlock; ++i) to[begin + i] = greatest[i];
    }
    for (; begin < count; ++begin) {
      X greatest = x[offsets[0] + begin];
      for (std::int64_t t = 1; t < taps; ++t)
        greatest = x[offsets[t] + begin] > greatest ? x[offsets[t] + begin] : greatest;
      to[begin] = greatest;
    }
  }
};

// Calls visit with the codes as what they are.
template <typename Visit>
void with_sign(const std::uint8_t* codes, bool is_signed, Visit visit) {
  if (is_signed) {
    visit(reinterpret_cast<const std::int8_t*>(codes));
  } else {
    visit(codes);
  }
}

}  // namespace

void pair_codes(const PairTerms& terms, const std::uint8_t* x, bool x_signed, const std::uint8_t* y,
                bool y_signed, std::int64_t count, std::int32_t* to) {
  with_sign(x, x_signed, [&](const auto* a) {
    with_sign(y, y_signed, [&](const auto* b) {
      if (terms.product == 0) {
        run_kernel<SumKernel>(terms, a, b, count, to);
      } else {
        run_kernel<PairKernel>(terms, a, b, count, to);
      }
    });
  });
}

void scale_codes(const std::uint8_t* x, bool x_signed, const std::int32_t* factor,
                 const std::int32_t* addend, std::int64_t count, std::int32_t* to) {
  with_sign(x, x_signed,
            [&](const auto* a) { run_kernel<ScaleKernel>(a, factor, addend, count, to); });
}

void add_codes(const std::uint8_t* x, bool x_signed, std::int64_t count, std::int32_t* sum) {
  with_sign(x, x_signed, [&](const auto* a) { run_kernel<AddKernel>(a, count, sum); });
}

void greatest_codes(const std::uint8_t* x, bool is_signed, const std::int64_t* offsets,
                    std::int64_t taps, std::int64_t count, std::uint8_t* to) {
  if (is_signed) {
    run_kernel<GreatestKernel>(reinterpret_cast<const std::int8_t*>(x), offsets, taps, count,
                               reinterpret_cast<std::int8_t*>(to));
  } else {
    run_kernel<GreatestKernel>(x, offsets, taps, count, to);
  }
}

}  // namespace tandem
