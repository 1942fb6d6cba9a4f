#pragma once

#include <cstdint>

#include "tandem/kernels/code_rescale.h"
#include "tandem/kernels/intrinsics.h"

// Internal to the room: sums to codes within registers.

#define TANDEM_AVX2 __attribute__((target("avx2")))
#define TANDEM_VNNI \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni")))
#define TANDEM_AVX2_INLINE TANDEM_AVX2 inline __attribute__((always_inline))
#define TANDEM_VNNI_INLINE TANDEM_VNNI inline __attribute__((always_inline))

namespace tandem {

// sum + the products of four unsigned codes with four signed weights in every lane. As assembly,
// since GCC 12 copies the sums of the intrinsic from register to register.
TANDEM_VNNI_INLINE __m512i add_products(__m512i sum, __m512i codes, __m512i weights) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(codes), "vm"(weights));
  return sum;
}

// 32-bit lanes take the products of 64 bits of even and odd channels apart: the odd ones' codes
// stay in the upper halves.
struct RescaleVnni {
  __m512i multiplier, odd_multiplier, even_addend, odd_addend, even_shift, odd_shift;
  __m512i low, high;

  TANDEM_VNNI_INLINE RescaleVnni(const CodeRescale& rescale, std::int64_t vector) {
    const CodeRescale::Lanes& lanes = rescale.lanes(vector);
    multiplier = _mm512_load_si512(lanes.multiplier.data());
    odd_multiplier = _mm512_srli_epi64(multiplier, 32);
    even_addend = _mm512_load_si512(lanes.even_addend.data());
    odd_addend = _mm512_load_si512(lanes.odd_addend.data());
    even_shift = _mm512_load_si512(lanes.even_shift.data());
    odd_shift = _mm512_load_si512(lanes.odd_shift.data());
    low = _mm512_set1_epi32(rescale.low());
    high = _mm512_set1_epi32(rescale.high());
  }
  TANDEM_VNNI_INLINE __m512i codes(__m512i x) const {
    const __m512i even = _mm512_add_epi64(_mm512_mul_epi32(x, multiplier), even_addend);
    const __m512i odd =
        _mm512_add_epi64(_mm512_mul_epi32(_mm512_srli_epi64(x, 32), odd_multiplier), odd_addend);
    const __m512i joined = _mm512_mask_mov_epi32(_mm512_srav_epi64(even, even_shift), 0xAAAA,
                                                 _mm512_srav_epi64(odd, odd_shift));
    return _mm512_min_epi32(_mm512_max_epi32(joined, low), high);
  }
};

// The same for eight channels; without arithmetic shifts of 64 bits, on sums made positive.
struct RescaleAvx2 {
  __m256i multiplier, odd_multiplier, even_addend, odd_addend, even_shift, odd_shift, bias;
  __m256i low, high;

  // Half 0 or 1 of a vector of 16 channels.
  TANDEM_AVX2_INLINE RescaleAvx2(const CodeRescale& rescale, std::int64_t vector, int half) {
    const CodeRescale::Lanes& lanes = rescale.lanes(vector);
    const auto load = [](const auto* from) TANDEM_AVX2 {
      return _mm256_load_si256(reinterpret_cast<const __m256i*>(from));
    };
    const __m256i positive = _mm256_set1_epi64x(std::int64_t{1} << 62);
    multiplier = load(lanes.multiplier.data() + 8 * half);
    odd_multiplier = _mm256_srli_epi64(multiplier, 32);
    even_addend = _mm256_add_epi64(load(lanes.even_addend.data() + 4 * half), positive);
    odd_addend = _mm256_add_epi64(load(lanes.odd_addend.data() + 4 * half), positive);
    even_shift = load(lanes.even_shift.data() + 4 * half);
    odd_shift = load(lanes.odd_shift.data() + 4 * half);
    bias = load(lanes.bias.data() + 8 * half);
    low = _mm256_set1_epi32(rescale.low());
    high = _mm256_set1_epi32(rescale.high());
  }
  TANDEM_AVX2_INLINE __m256i codes(__m256i x) const {
    const __m256i even = _mm256_add_epi64(_mm256_mul_epi32(x, multiplier), even_addend);
    const __m256i odd =
        _mm256_add_epi64(_mm256_mul_epi32(_mm256_srli_epi64(x, 32), odd_multiplier), odd_addend);
    const __m256i joined = _mm256_blend_epi32(_mm256_srlv_epi64(even, even_shift),
                                              _mm256_srlv_epi64(odd, odd_shift), 0xAA);
    const __m256i code = _mm256_sub_epi32(joined, bias);
    return _mm256_min_epi32(_mm256_max_epi32(code, low), high);
  }
};

}  // namespace tandem
