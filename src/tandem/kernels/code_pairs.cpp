#include "tandem/kernels/code_pairs.h"

#include <algorithm>
#include <cmath>
#include <cstring>

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

template <typename X, typename Y>
void portable_wide_pair(const WidePairTerms& terms, const X* x, const Y* y, std::int64_t count,
                        std::uint8_t* to) {
  for (std::int64_t i = 0; i < count; ++i) {
    const double sum = std::floor(x[i] * terms.x_factor + y[i] * terms.y_factor + terms.constant);
    to[i] = static_cast<std::uint8_t>(
        std::clamp(static_cast<std::int32_t>(sum), terms.low, terms.high));
  }
}

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
// Sixteen codes at a time; returns how many it took.
template <bool kXSigned, bool kYSigned>
TANDEM_VNNI std::int64_t vnni_wide_pair(const WidePairTerms& terms, const std::uint8_t* x,
                                        const std::uint8_t* y, std::int64_t count,
                                        std::uint8_t* to) {
  const __m512d x_factor = _mm512_set1_pd(terms.x_factor),
                y_factor = _mm512_set1_pd(terms.y_factor),
                constant = _mm512_set1_pd(terms.constant);
  const __m512i low = _mm512_set1_epi32(terms.low), high = _mm512_set1_epi32(terms.high);
  const auto codes = [&](__m256i a, __m256i b) TANDEM_VNNI {
    const __m512d sum = _mm512_fmadd_pd(_mm512_cvtepi32_pd(a), x_factor,
                                        _mm512_fmadd_pd(_mm512_cvtepi32_pd(b), y_factor, constant));
    return _mm512_cvt_roundpd_epi32(sum, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  };
  std::int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    const __m128i xs = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + i)),
                  ys = _mm_loadu_si128(reinterpret_cast<const __m128i*>(y + i));
    const __m512i a = kXSigned ? _mm512_cvtepi8_epi32(xs) : _mm512_cvtepu8_epi32(xs),
                  b = kYSigned ? _mm512_cvtepi8_epi32(ys) : _mm512_cvtepu8_epi32(ys);
    const __m256i first = codes(_mm512_castsi512_si256(a), _mm512_castsi512_si256(b)),
                  second = codes(_mm512_extracti64x4_epi64(a, 1), _mm512_extracti64x4_epi64(b, 1));
    const __m512i joined = _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
    const __m512i clamped = _mm512_min_epi32(_mm512_max_epi32(joined, low), high);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), _mm512_cvtepi32_epi8(clamped));
  }
  return i;
}

template <bool kXSigned, bool kYSigned>
TANDEM_AVX2 std::int64_t avx2_wide_pair(const WidePairTerms& terms, const std::uint8_t* x,
                                        const std::uint8_t* y, std::int64_t count,
                                        std::uint8_t* to) {
  const __m256d x_factor = _mm256_set1_pd(terms.x_factor),
                y_factor = _mm256_set1_pd(terms.y_factor),
                constant = _mm256_set1_pd(terms.constant);
  const __m128i low = _mm_set1_epi32(terms.low), high = _mm_set1_epi32(terms.high),
                byte = _mm_set1_epi32(0xFF);
  const auto codes = [&](std::int64_t at) TANDEM_AVX2 {
    std::int32_t four_x, four_y;
    std::memcpy(&four_x, x + at, sizeof four_x);
    std::memcpy(&four_y, y + at, sizeof four_y);
    const __m128i xs = _mm_cvtsi32_si128(four_x), ys = _mm_cvtsi32_si128(four_y);
    const __m256d a = _mm256_cvtepi32_pd(kXSigned ? _mm_cvtepi8_epi32(xs) : _mm_cvtepu8_epi32(xs)),
                  b = _mm256_cvtepi32_pd(kYSigned ? _mm_cvtepi8_epi32(ys) : _mm_cvtepu8_epi32(ys));
    const __m256d sum = _mm256_add_pd(_mm256_mul_pd(a, x_factor),
                                      _mm256_add_pd(_mm256_mul_pd(b, y_factor), constant));
    const __m128i code = _mm256_cvttpd_epi32(_mm256_floor_pd(sum));
    return _mm_and_si128(_mm_min_epi32(_mm_max_epi32(code, low), high), byte);
  };
  std::int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    const __m128i first = _mm_packus_epi32(codes(i), codes(i + 4)),
                  second = _mm_packus_epi32(codes(i + 8), codes(i + 12));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), _mm_packus_epi16(first, second));
  }
  return i;
}

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

// Returns how many codes it took; the others are fewer than eight.
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
  for (; i + 8 <= count; i += 8) {
    const auto load = [&](std::int64_t t) TANDEM_AVX2 {
      return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(x + offsets[t] + i));
    };
    __m128i greatest = load(0);
    for (std::int64_t t = 1; t < taps; ++t)
      greatest = kSigned ? _mm_max_epi8(greatest, load(t)) : _mm_max_epu8(greatest, load(t));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to + i), greatest);
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

void wide_pair_codes(const WidePairTerms& terms, const std::uint8_t* x, bool x_signed,
                     const std::uint8_t* y, bool y_signed, std::int64_t count, std::uint8_t* to) {
  std::int64_t done = 0;
#if defined(__x86_64__)
  const auto take = [&](auto plain, auto y_only, auto x_only, auto both) {
    const auto kernel = x_signed ? (y_signed ? both : x_only) : (y_signed ? y_only : plain);
    done = kernel(terms, x, y, count, to);
  };
  if (instruction_set() >= InstructionSet::kVnni) {
    take(vnni_wide_pair<false, false>, vnni_wide_pair<false, true>, vnni_wide_pair<true, false>,
         vnni_wide_pair<true, true>);
  } else if (instruction_set() == InstructionSet::kAvx2) {
    take(avx2_wide_pair<false, false>, avx2_wide_pair<false, true>, avx2_wide_pair<true, false>,
         avx2_wide_pair<true, true>);
  }
#endif
  with_sign(x + done, x_signed, [&](const auto* a) {
    with_sign(y + done, y_signed,
              [&](const auto* b) { portable_wide_pair(terms, a, b, count - done, to + done); });
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
