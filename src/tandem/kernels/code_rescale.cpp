#include "tandem/kernels/code_rescale.h"

#include <algorithm>
#include <cstring>

#include "tandem/base/error.h"
#include "tandem/kernels/instruction_set.h"
#if defined(__x86_64__)
#include "tandem/kernels/code_rescale_vectors.h"
#endif

namespace tandem {
namespace {

constexpr std::int64_t kChannels = CodeRescale::kLanes;

// Each kernel takes sums, or codes themselves, of which it reads no more channels than there are.
template <typename X>
void portable_rescale(const CodeRescale& rescale, std::int64_t vector, std::int64_t channels,
                      const X* x, int left, std::int64_t rows, std::int64_t x_stride,
                      std::uint8_t* to, std::int64_t to_stride) {
  const CodeRescale::Lanes& lanes = rescale.lanes(vector);
  for (std::int64_t r = 0; r < rows; ++r, x += x_stride, to += to_stride) {
    for (std::size_t j = 0; j < static_cast<std::size_t>(channels); ++j) {
      const bool odd = j % 2 != 0;
      const std::int64_t addend = (odd ? lanes.odd_addend : lanes.even_addend)[j / 2];
      const std::int64_t shift = odd ? lanes.odd_shift[j / 2] + 32 : lanes.even_shift[j / 2];
      const std::int64_t shifted = std::int64_t{x[j]} * (std::int64_t{1} << left);
      const std::int64_t sum = shifted * lanes.multiplier[j] + addend;
      to[j] = static_cast<std::uint8_t>(
          std::clamp<std::int64_t>(sum >> shift, rescale.low(), rescale.high()));
    }
  }
}

#if defined(__x86_64__)
TANDEM_VNNI_INLINE __m512i vnni_lanes(const std::int32_t* x, __mmask16, __m128i) {
  return _mm512_loadu_si512(x);
}
TANDEM_VNNI_INLINE __m512i vnni_lanes(const std::uint8_t* x, __mmask16 mask, __m128i left) {
  return _mm512_sll_epi32(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, x)), left);
}
TANDEM_VNNI_INLINE __m512i vnni_lanes(const std::int8_t* x, __mmask16 mask, __m128i left) {
  return _mm512_sll_epi32(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(mask, x)), left);
}

template <typename X>
TANDEM_VNNI void vnni_rescale(const CodeRescale& rescale, std::int64_t vector,
                              std::int64_t channels, const X* x, int left, std::int64_t rows,
                              std::int64_t x_stride, std::uint8_t* to, std::int64_t to_stride) {
  const RescaleVnni constants(rescale, vector);
  const __m128i shift = _mm_cvtsi32_si128(left);
  const auto mask = static_cast<__mmask16>((1U << channels) - 1);
  for (std::int64_t r = 0; r < rows; ++r, x += x_stride, to += to_stride) {
    const __m128i bytes = _mm512_cvtepi32_epi8(constants.codes(vnni_lanes(x, mask, shift)));
    _mm_mask_storeu_epi8(to, mask, bytes);
  }
}

// Eight of them, from `half` of a vector of 16 on.
TANDEM_AVX2_INLINE __m256i avx2_lanes(const std::int32_t* x, int half, __m128i) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x) + half);
}
TANDEM_AVX2_INLINE __m256i avx2_lanes(const std::uint8_t* x, int half, __m128i left) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(x + 8 * half));
  return _mm256_sll_epi32(_mm256_cvtepu8_epi32(bytes), left);
}
TANDEM_AVX2_INLINE __m256i avx2_lanes(const std::int8_t* x, int half, __m128i left) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(x + 8 * half));
  return _mm256_sll_epi32(_mm256_cvtepi8_epi32(bytes), left);
}

template <typename X>
TANDEM_AVX2 void avx2_rescale(const CodeRescale& rescale, std::int64_t vector,
                              std::int64_t channels, const X* x, int left, std::int64_t rows,
                              std::int64_t x_stride, std::uint8_t* to, std::int64_t to_stride) {
  const __m128i shift = _mm_cvtsi32_si128(left);
  const RescaleAvx2 constants(rescale, vector);
  X edge_lanes[kChannels] = {};
  for (std::int64_t r = 0; r < rows; ++r, x += x_stride, to += to_stride) {
    const X* lanes = x;
    if (sizeof(X) == 1 && channels < kChannels) {
      std::copy_n(x, channels, edge_lanes);
      lanes = edge_lanes;
    }
    const __m128i bytes =
        constants.codes_in_order(avx2_lanes(lanes, 0, shift), avx2_lanes(lanes, 1, shift));
    if (channels == kChannels) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to), bytes);
    } else {
      alignas(16) std::uint8_t edge[kChannels];
      _mm_store_si128(reinterpret_cast<__m128i*>(edge), bytes);
      std::copy_n(edge, channels, to);
    }
  }
}

// All 256 entries in four registers: bit 6 chooses within a pair of them, bit 7 the pair.
TANDEM_VNNI void vnni_map(const std::uint8_t* from, std::int64_t count, const std::uint8_t* table,
                          std::uint8_t* to) {
  __m512i parts[4];
  for (int p = 0; p < 4; ++p) parts[p] = _mm512_loadu_si512(table + 64 * p);
  for (std::int64_t i = 0; i < count; i += 64) {
    const std::int64_t now = std::min<std::int64_t>(64, count - i);
    const __mmask64 mask = ~std::uint64_t{0} >> (64 - now);
    const __m512i codes = _mm512_maskz_loadu_epi8(mask, from + i);
    const __m512i lower = _mm512_permutex2var_epi8(parts[0], codes, parts[1]);
    const __m512i upper = _mm512_permutex2var_epi8(parts[2], codes, parts[3]);
    _mm512_mask_storeu_epi8(to + i, mask,
                            _mm512_mask_blend_epi8(_mm512_movepi8_mask(codes), lower, upper));
  }
}
#endif

template <typename X>
using RescaleKernelOfSet = void (*)(const CodeRescale&, std::int64_t, std::int64_t, const X*, int,
                                    std::int64_t, std::int64_t, std::uint8_t*, std::int64_t);

template <typename X>
RescaleKernelOfSet<X> rescale_kernel() {
#if defined(__x86_64__)
  if (instruction_set() >= InstructionSet::kVnni) return vnni_rescale<X>;
  if (instruction_set() >= InstructionSet::kAvx2) return avx2_rescale<X>;
#endif
  return portable_rescale<X>;
}

template <typename X>
void rescale_rows(const CodeRescale& rescale, std::int64_t first, std::int64_t channels, const X* x,
                  int left, std::int64_t rows, std::int64_t x_stride, std::uint8_t* to,
                  std::int64_t to_stride) {
  const RescaleKernelOfSet<X> kernel = rescale_kernel<X>();
  for (std::int64_t c = 0; c < channels; c += kChannels) {
    kernel(rescale, (first + c) / kChannels, std::min(kChannels, channels - c), x + c, left, rows,
           x_stride, to + c, to_stride);
  }
}

}  // namespace

CodeRescale::CodeRescale(std::span<const RescaleLine> channels, std::int32_t low, std::int32_t high)
    : lanes_((channels.size() + 15) / 16), low_(low), high_(high) {
  for (Lanes& lanes : lanes_) lanes.even_shift.fill(32);
  for (std::size_t c = 0; c < channels.size(); ++c) {
    const RescaleLine& line = channels[c];
    ensure(line.shift >= 32 && line.shift <= 61, "a rescale to codes shifts by 32 to 61");
    Lanes& lanes = lanes_[c / 16];
    const std::size_t at = c % 16;
    lanes.multiplier[at] = static_cast<std::int32_t>(line.multiplier);
    (at % 2 == 0 ? lanes.even_addend : lanes.odd_addend)[at / 2] = line.addend;
    (at % 2 == 0 ? lanes.even_shift : lanes.odd_shift)[at / 2] =
        line.shift - (at % 2 == 0 ? 0 : 32);
    lanes.shift[at] = line.shift - 32;
  }
}

void rescale_codes(const CodeRescale& rescale, std::int64_t first, std::int64_t channels,
                   const std::int32_t* x, std::int64_t rows, std::int64_t x_stride,
                   std::uint8_t* to, std::int64_t to_stride) {
  rescale_rows(rescale, first, channels, x, 0, rows, x_stride, to, to_stride);
}

void rescale_bytes(const CodeRescale& rescale, std::int64_t channels, const std::uint8_t* x,
                   bool is_signed, int left, std::int64_t rows, std::uint8_t* to) {
  if (is_signed) {
    rescale_rows(rescale, 0, channels, reinterpret_cast<const std::int8_t*>(x), left, rows,
                 channels, to, channels);
  } else {
    rescale_rows(rescale, 0, channels, x, left, rows, channels, to, channels);
  }
}

void map_codes(const std::uint8_t* from, std::int64_t count,
               const std::array<std::uint8_t, 256>& table, std::uint8_t* to) {
#if defined(__x86_64__)
  if (instruction_set() >= InstructionSet::kVnni) return vnni_map(from, count, table.data(), to);
#endif
  for (std::int64_t i = 0; i < count; ++i) to[i] = table[from[i]];
}

}  // namespace tandem
