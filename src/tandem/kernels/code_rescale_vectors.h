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

// The same for sixteen channels, as two vectors of sums. Of each sum of 64 bits the upper half is
// shifted on, since all shifts are by 32 at least.
struct RescaleAvx2 {
  __m256i multiplier[2], odd_multiplier[2], even_addend[2], odd_addend[2], shift[2];
  __m256i offset;
  __m128i low, high, flip;

  TANDEM_AVX2_INLINE RescaleAvx2(const CodeRescale& rescale, std::int64_t vector) {
    const CodeRescale::Lanes& lanes = rescale.lanes(vector);
    const auto load = [](const auto* from) TANDEM_AVX2 {
      return _mm256_load_si256(reinterpret_cast<const __m256i*>(from));
    };
    for (int half = 0; half < 2; ++half) {
      multiplier[half] = load(lanes.multiplier.data() + 8 * half);
      odd_multiplier[half] = _mm256_srli_epi64(multiplier[half], 32);
      even_addend[half] = load(lanes.even_addend.data() + 4 * half);
      odd_addend[half] = load(lanes.odd_addend.data() + 4 * half);
      shift[half] = load(lanes.shift.data() + 8 * half);
    }
    // Signed codes are limited as unsigned ones that are 128 more.
    const int more = rescale.low() < 0 ? 128 : 0;
    offset = _mm256_set1_epi16(static_cast<short>(more));
    low = _mm_set1_epi8(static_cast<char>(rescale.low() + more));
    high = _mm_set1_epi8(static_cast<char>(rescale.high() + more));
    flip = _mm_set1_epi8(static_cast<char>(more));
  }
  // Sixteen bytes in the order in which packing leaves words: the first four sums of `x`, the first
  // of `y`, the last of `x`, the last of `y`.
  TANDEM_AVX2_INLINE __m128i codes(__m256i x, __m256i y) const {
    return bytes(_mm256_packs_epi32(wholes(x, 0), wholes(y, 1)));
  }
  // In the order of the sums.
  TANDEM_AVX2_INLINE __m128i codes_in_order(__m256i x, __m256i y) const {
    return bytes(_mm256_permute4x64_epi64(_mm256_packs_epi32(wholes(x, 0), wholes(y, 1)), 0xD8));
  }

 private:
  TANDEM_AVX2_INLINE __m256i wholes(__m256i x, int half) const {
    const __m256i even = _mm256_add_epi64(_mm256_mul_epi32(x, multiplier[half]), even_addend[half]);
    const __m256i odd = _mm256_add_epi64(
        _mm256_mul_epi32(_mm256_srli_epi64(x, 32), odd_multiplier[half]), odd_addend[half]);
    return _mm256_srav_epi32(_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA),
                             shift[half]);
  }
  TANDEM_AVX2_INLINE __m128i bytes(__m256i words) const {
    words = _mm256_adds_epi16(words, offset);
    const __m128i packed =
        _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    return _mm_xor_si128(_mm_min_epu8(_mm_max_epu8(packed, low), high), flip);
  }
};

}  // namespace tandem
