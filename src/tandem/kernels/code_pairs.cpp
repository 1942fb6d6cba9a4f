#include "tandem/kernels/code_pairs.h"

#include <algorithm>

#include "tandem/kernels/instruction_set.h"
#if defined(__x86_64__)
#include "tandem/kernels/code_rescale_vectors.h"
#endif

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

template <typename X>
void portable_greatest(const X* x, const std::int64_t* offsets, std::int64_t taps,
                       std::int64_t count, X* to) {
  for (std::int64_t i = 0; i < count; ++i) {
    X greatest = x[offsets[0] + i];
    for (std::int64_t t = 1; t < taps; ++t) greatest = std::max(greatest, x[offsets[t] + i]);
    to[i] = greatest;
  }
}

#if defined(__x86_64__)
template <bool kSigned>
TANDEM_VNNI void vnni_greatest(const std::uint8_t* x, const std::int64_t* offsets,
                               std::int64_t taps, std::int64_t count, std::uint8_t* to) {
  for (std::int64_t i = 0; i < count; i += 64) {
    const __mmask64 mask = ~std::uint64_t{0} >> (64 - std::min<std::int64_t>(64, count - i));
    __m512i greatest = _mm512_maskz_loadu_epi8(mask, x + offsets[0] + i);
    for (std::int64_t t = 1; t < taps; ++t) {
      const __m512i codes = _mm512_maskz_loadu_epi8(mask, x + offsets[t] + i);
      greatest = kSigned ? _mm512_max_epi8(greatest, codes) : _mm512_max_epu8(greatest, codes);
    }
    _mm512_mask_storeu_epi8(to + i, mask, greatest);
  }
}

// Returns how many codes it took; the others are fewer than a vector.
template <bool kSigned>
TANDEM_AVX2 std::int64_t avx2_greatest(const std::uint8_t* x, const std::int64_t* offsets,
                                       std::int64_t taps, std::int64_t count, std::uint8_t* to) {
  std::int64_t i = 0;
  for (; i + 32 <= count; i += 32) {
    const auto load = [&](std::int64_t t) TANDEM_AVX2 {
      return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + offsets[t] + i));
    };
    __m256i greatest = load(0);
    for (std::int64_t t = 1; t < taps; ++t)
      greatest = kSigned ? _mm256_max_epi8(greatest, load(t)) : _mm256_max_epu8(greatest, load(t));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i), greatest);
  }
  return i;
}
#endif

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
#if defined(__x86_64__)
  if (instruction_set() >= InstructionSet::kVnni)
    return (is_signed ? vnni_greatest<true> : vnni_greatest<false>)(x, offsets, taps, count, to);
  if (instruction_set() >= InstructionSet::kAvx2) {
    const std::int64_t done =
        (is_signed ? avx2_greatest<true> : avx2_greatest<false>)(x, offsets, taps, count, to);
    x += done;
    to += done;
    count -= done;
  }
#endif
  if (is_signed) {
    portable_greatest(reinterpret_cast<const std::int8_t*>(x), offsets, taps, count,
                      reinterpret_cast<std::int8_t*>(to));
  } else {
    portable_greatest(x, offsets, taps, count, to);
  }
}

}  // namespace tandem
