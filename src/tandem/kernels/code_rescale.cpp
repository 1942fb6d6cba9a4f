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

void portable_rescale(const CodeRescale& rescale, std::int64_t vector, std::int64_t channels,
                      const std::int32_t* x, std::int64_t rows, std::int64_t x_stride,
                      std::uint8_t* to, std::int64_t to_stride) {
  const CodeRescale::Lanes& lanes = rescale.lanes(vector);
  for (std::int64_t r = 0; r < rows; ++r, x += x_stride, to += to_stride) {
    for (std::size_t j = 0; j < static_cast<std::size_t>(channels); ++j) {
      const bool odd = j % 2 != 0;
      const std::int64_t addend = (odd ? lanes.odd_addend : lanes.even_addend)[j / 2];
      const std::int64_t shift = odd ? lanes.odd_shift[j / 2] + 32 : lanes.even_shift[j / 2];
      const std::int64_t sum = std::int64_t{x[j]} * lanes.multiplier[j] + addend;
      to[j] = static_cast<std::uint8_t>(
          std::clamp<std::int64_t>(sum >> shift, rescale.low(), rescale.high()));
    }
  }
}

#if defined(__x86_64__)
TANDEM_VNNI void vnni_rescale(const CodeRescale& rescale, std::int64_t vector,
                              std::int64_t channels, const std::int32_t* x, std::int64_t rows,
                              std::int64_t x_stride, std::uint8_t* to, std::int64_t to_stride) {
  const RescaleVnni constants(rescale, vector);
  const auto mask = static_cast<__mmask16>((1U << channels) - 1);
  for (std::int64_t r = 0; r < rows; ++r, x += x_stride, to += to_stride) {
    const __m128i bytes = _mm512_cvtepi32_epi8(constants.codes(_mm512_loadu_si512(x)));
    _mm_mask_storeu_epi8(to, mask, bytes);
  }
}

TANDEM_AVX2 void avx2_rescale(const CodeRescale& rescale, std::int64_t vector,
                              std::int64_t channels, const std::int32_t* x, std::int64_t rows,
                              std::int64_t x_stride, std::uint8_t* to, std::int64_t to_stride) {
  const RescaleAvx2 first(rescale, vector, 0), second(rescale, vector, 1);
  const __m256i byte = _mm256_set1_epi32(0xFF);
  for (std::int64_t r = 0; r < rows; ++r, x += x_stride, to += to_stride) {
    const auto* sums = reinterpret_cast<const __m256i*>(x);
    const __m256i low = _mm256_and_si256(first.codes(_mm256_loadu_si256(sums)), byte);
    const __m256i high = _mm256_and_si256(second.codes(_mm256_loadu_si256(sums + 1)), byte);
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, high), 0xD8);
    const __m128i bytes =
        _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
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

using RescaleKernelOfSet = void (*)(const CodeRescale&, std::int64_t, std::int64_t,
                                    const std::int32_t*, std::int64_t, std::int64_t, std::uint8_t*,
                                    std::int64_t);

RescaleKernelOfSet rescale_kernel() {
#if defined(__x86_64__)
  if (instruction_set() >= InstructionSet::kVnni) return vnni_rescale;
  if (instruction_set() >= InstructionSet::kAvx2) return avx2_rescale;
#endif
  return portable_rescale;
}

}  // namespace

CodeRescale::CodeRescale(std::span<const RescaleLine> channels, std::int32_t low, std::int32_t high)
    : lanes_((channels.size() + 15) / 16), low_(low), high_(high) {
  for (Lanes& lanes : lanes_) {
    lanes.even_shift.fill(32);
    lanes.bias.fill(1 << 30);
  }
  for (std::size_t c = 0; c < channels.size(); ++c) {
    const RescaleLine& line = channels[c];
    ensure(line.shift >= 32 && line.shift <= 61, "a rescale to codes shifts by 32 to 61");
    Lanes& lanes = lanes_[c / 16];
    const std::size_t at = c % 16;
    lanes.multiplier[at] = static_cast<std::int32_t>(line.multiplier);
    (at % 2 == 0 ? lanes.even_addend : lanes.odd_addend)[at / 2] = line.addend;
    (at % 2 == 0 ? lanes.even_shift : lanes.odd_shift)[at / 2] =
        line.shift - (at % 2 == 0 ? 0 : 32);
    lanes.bias[at] = static_cast<std::int32_t>((std::int64_t{1} << 62) >> line.shift);
  }
}

void rescale_codes(const CodeRescale& rescale, std::int64_t first, std::int64_t channels,
                   const std::int32_t* x, std::int64_t rows, std::int64_t x_stride,
                   std::uint8_t* to, std::int64_t to_stride) {
  const RescaleKernelOfSet kernel = rescale_kernel();
  for (std::int64_t c = 0; c < channels; c += kChannels) {
    kernel(rescale, (first + c) / kChannels, std::min(kChannels, channels - c), x + c, rows,
           x_stride, to + c, to_stride);
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
