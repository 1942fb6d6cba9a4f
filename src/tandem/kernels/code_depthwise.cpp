#include "tandem/kernels/code_depthwise.h"

#include <algorithm>
#include <cstring>

#include "tandem/base/error.h"
#if defined(__x86_64__)
#include "tandem/kernels/code_rescale_vectors.h"
#endif

namespace tandem {
namespace {

constexpr std::int64_t kVnniBlock = 64, kAvx2Block = 16;

// Interleaving bytes or words within 128 bits leaves the channels of a block in
// this order, which packing the codes undoes. Position of a channel among the
// block's sums.
std::int64_t position_of(std::int64_t channel, std::int64_t block) {
  const std::int64_t lanes = block / 16;  // of 128 bits
  if (block == kAvx2Block)                // two vectors of two lanes
    return channel / 4 % 2 * 8 + channel / 8 * 4 + channel % 4;
  return channel / 4 % 4 * (4 * lanes) + channel / 16 * 4 + channel % 4;
}

void portable_pixels(const CodeRescale& rescale, const std::int8_t* weights, std::int64_t taps,
                     std::int64_t channels, bool is_signed, const std::uint8_t* from,
                     const std::int64_t* offsets, std::uint8_t* to) {
  const int flip = is_signed ? 0x80 : 0;
  for (std::int64_t c = 0; c < channels; ++c) {
    std::int32_t sum = 0;
    for (std::int64_t t = 0; t < taps; ++t)
      sum += (from[offsets[t] + c] ^ flip) * weights[t * channels + c];
    const CodeRescale::Lanes& lanes = rescale.lanes(c / 16);
    const auto at = static_cast<std::size_t>(c % 16);
    const bool odd = at % 2 != 0;
    const std::int64_t addend = (odd ? lanes.odd_addend : lanes.even_addend)[at / 2];
    const std::int64_t shift = odd ? lanes.odd_shift[at / 2] + 32 : lanes.even_shift[at / 2];
    to[c] = static_cast<std::uint8_t>(
        std::clamp<std::int64_t>((std::int64_t{sum} * lanes.multiplier[at] + addend) >> shift,
                                 rescale.low(), rescale.high()));
  }
}

#if defined(__x86_64__)
// 64 channels, of which `mask` exist.
struct VnniBlock {
  const CodeRescale& rescale;
  const std::int8_t* weights;
  std::int64_t quads, vector;
  __mmask64 mask;
};

template <bool kSigned>
TANDEM_VNNI void vnni_pixels(const VnniBlock& block, const std::uint8_t* from,
                             const std::int64_t* offsets, std::int64_t stride, std::int64_t pixels,
                             std::uint8_t* to, std::int64_t to_stride) {
  const RescaleVnni first(block.rescale, block.vector), second(block.rescale, block.vector + 1),
      third(block.rescale, block.vector + 2), fourth(block.rescale, block.vector + 3);
  [[maybe_unused]] const __m512i flip = _mm512_set1_epi8(static_cast<char>(0x80));
  const __m512i byte = _mm512_set1_epi32(0xFF);
  for (std::int64_t p = 0; p < pixels; ++p, from += stride, to += to_stride) {
    __m512i sums[4];
    for (auto& sum : sums) sum = _mm512_setzero_si512();
    for (std::int64_t q = 0; q < block.quads; ++q) {
      __m512i taps[4];
      for (int t = 0; t < 4; ++t) {
        taps[t] = _mm512_maskz_loadu_epi8(block.mask, from + offsets[4 * q + t]);
        if constexpr (kSigned) taps[t] = _mm512_xor_si512(taps[t], flip);
      }
      const __m512i low01 = _mm512_unpacklo_epi8(taps[0], taps[1]);
      const __m512i high01 = _mm512_unpackhi_epi8(taps[0], taps[1]);
      const __m512i low23 = _mm512_unpacklo_epi8(taps[2], taps[3]);
      const __m512i high23 = _mm512_unpackhi_epi8(taps[2], taps[3]);
      const std::int8_t* weights = block.weights + q * 256;
      sums[0] =
          add_products(sums[0], _mm512_unpacklo_epi16(low01, low23), _mm512_loadu_si512(weights));
      sums[1] = add_products(sums[1], _mm512_unpackhi_epi16(low01, low23),
                             _mm512_loadu_si512(weights + 64));
      sums[2] = add_products(sums[2], _mm512_unpacklo_epi16(high01, high23),
                             _mm512_loadu_si512(weights + 128));
      sums[3] = add_products(sums[3], _mm512_unpackhi_epi16(high01, high23),
                             _mm512_loadu_si512(weights + 192));
    }
    const __m512i low = _mm512_packus_epi32(_mm512_and_si512(first.codes(sums[0]), byte),
                                            _mm512_and_si512(second.codes(sums[1]), byte));
    const __m512i high = _mm512_packus_epi32(_mm512_and_si512(third.codes(sums[2]), byte),
                                             _mm512_and_si512(fourth.codes(sums[3]), byte));
    _mm512_mask_storeu_epi8(to, block.mask, _mm512_packus_epi16(low, high));
  }
}

// Sixteen channels, of which `count` exist; pairs of taps as words, whose
// products cannot saturate.
struct Avx2Block {
  const CodeRescale& rescale;
  const std::int16_t* weights;
  std::int64_t pairs, vector, count;
  bool is_signed;
};

template <bool kWhole>
TANDEM_AVX2_INLINE __m256i words_of(const std::uint8_t* from, std::int64_t count, __m128i flip) {
  __m128i bytes;
  if constexpr (kWhole) {
    bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  } else {
    alignas(16) std::uint8_t edge[kAvx2Block] = {};
    std::copy_n(from, count, edge);
    bytes = _mm_load_si128(reinterpret_cast<const __m128i*>(edge));
  }
  return _mm256_cvtepu8_epi16(_mm_xor_si128(bytes, flip));
}

// Several pixels at a time, whose sums do not wait for each other, share what
// is read of weights.
template <int kPixels, bool kWhole>
TANDEM_AVX2_INLINE void avx2_together(const Avx2Block& block, const RescaleAvx2& tail, __m128i flip,
                                      const std::uint8_t* from, const std::int64_t* offsets,
                                      std::int64_t stride, std::uint8_t* to,
                                      std::int64_t to_stride) {
  __m256i low[kPixels], high[kPixels];
#pragma GCC unroll 4
  for (int p = 0; p < kPixels; ++p) low[p] = high[p] = _mm256_setzero_si256();
  for (std::int64_t q = 0; q < block.pairs; ++q) {
    const auto* weights = reinterpret_cast<const __m256i*>(block.weights + q * 32);
    const __m256i first = _mm256_loadu_si256(weights), second = _mm256_loadu_si256(weights + 1);
    const std::uint8_t *x = from + offsets[2 * q], *y = from + offsets[2 * q + 1];
#pragma GCC unroll 4
    for (int p = 0; p < kPixels; ++p) {
      const __m256i a = words_of<kWhole>(x + p * stride, block.count, flip);
      const __m256i b = words_of<kWhole>(y + p * stride, block.count, flip);
      low[p] = _mm256_add_epi32(low[p], _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), first));
      high[p] = _mm256_add_epi32(high[p], _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), second));
    }
  }
#pragma GCC unroll 4
  for (int p = 0; p < kPixels; ++p) {
    const __m128i codes = tail.codes(low[p], high[p]);
    if constexpr (kWhole) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + p * to_stride), codes);
    } else {
      alignas(16) std::uint8_t edge[kAvx2Block];
      _mm_store_si128(reinterpret_cast<__m128i*>(edge), codes);
      std::copy_n(edge, block.count, to + p * to_stride);
    }
  }
}

template <bool kWhole>
TANDEM_AVX2 void avx2_pixels(const Avx2Block& block, const std::uint8_t* from,
                             const std::int64_t* offsets, std::int64_t stride, std::int64_t pixels,
                             std::uint8_t* to, std::int64_t to_stride) {
  const RescaleAvx2 tail(block.rescale, block.vector);
  const __m128i flip = _mm_set1_epi8(static_cast<char>(block.is_signed ? 0x80 : 0));
  constexpr int kTogether = 3;
  std::int64_t p = 0;
  for (; p + kTogether <= pixels; p += kTogether)
    avx2_together<kTogether, kWhole>(block, tail, flip, from + p * stride, offsets, stride,
                                     to + p * to_stride, to_stride);
  for (; p < pixels; ++p)
    avx2_together<1, kWhole>(block, tail, flip, from + p * stride, offsets, stride,
                             to + p * to_stride, to_stride);
}
#endif

// Weights as the kernels of a block read them: `join` taps of a channel side by
// side.
template <typename Weight>
std::vector<Weight> joined_taps(std::span<const std::int8_t> weights, std::int64_t taps,
                                std::int64_t channels, std::int64_t block, std::int64_t join) {
  const std::int64_t groups = (taps + join - 1) / join, blocks = (channels + block - 1) / block;
  std::vector<Weight> joined(static_cast<std::size_t>(blocks * groups * block * join));
  for (std::int64_t t = 0; t < taps; ++t) {
    for (std::int64_t c = 0; c < channels; ++c) {
      const std::int64_t at =
          ((c / block * groups + t / join) * block + position_of(c % block, block)) * join +
          t % join;
      joined[static_cast<std::size_t>(at)] = weights[static_cast<std::size_t>(t * channels + c)];
    }
  }
  return joined;
}

}  // namespace

std::int64_t DepthwiseCodes::block() {
  if (instruction_set() >= InstructionSet::kVnni) return kVnniBlock;
  return instruction_set() == InstructionSet::kAvx2 ? kAvx2Block : 1;
}

DepthwiseCodes::DepthwiseCodes(std::span<const std::int8_t> weights, std::int64_t channels,
                               bool signed_codes, std::span<const RescaleLine> lines,
                               std::int32_t low, std::int32_t high)
    : taps_(static_cast<std::int64_t>(weights.size()) / channels),
      channels_(channels),
      block_(block()),
      signed_codes_(signed_codes) {
  ensure(taps_ <= kMostTaps, "a depthwise kernel with too many taps");
  if (block_ == 1) {
    bytes_.assign(weights.begin(), weights.end());
    rescale_ = CodeRescale(lines, low, high);
    return;
  }
  const std::int64_t blocks = (channels + block_ - 1) / block_;
  std::vector<RescaleLine> placed(static_cast<std::size_t>(blocks * block_));
  for (std::int64_t c = 0; c < channels; ++c)
    placed[static_cast<std::size_t>(c / block_ * block_ + position_of(c % block_, block_))] =
        lines[static_cast<std::size_t>(c)];
  rescale_ = CodeRescale(placed, low, high);
  if (block_ == kVnniBlock) {
    bytes_ = joined_taps<std::int8_t>(weights, taps_, channels, block_, 4);
  } else {
    words_ = joined_taps<std::int16_t>(weights, taps_, channels, block_, 2);
  }
}

void DepthwiseCodes::run(const std::uint8_t* from, const std::int64_t* offsets, std::int64_t stride,
                         std::int64_t pixels, std::uint8_t* to) const {
#if defined(__x86_64__)
  // Taps without weights repeat the last one.
  std::int64_t filled[kMostTaps + 3];
  const std::int64_t groups = block_ == kVnniBlock ? (taps_ + 3) / 4 : (taps_ + 1) / 2;
  if (block_ > 1) {
    std::copy_n(offsets, taps_, filled);
    std::fill_n(filled + taps_, 3, offsets[taps_ - 1]);
  }
  for (std::int64_t c = 0; block_ > 1 && c < channels_; c += block_) {
    const std::int64_t count = std::min(block_, channels_ - c);
    if (block_ == kVnniBlock) {
      const VnniBlock block{rescale_, bytes_.data() + c * groups * 4, groups, c / 16,
                            ~std::uint64_t{0} >> (64 - count)};
      const auto kernel = signed_codes_ ? vnni_pixels<true> : vnni_pixels<false>;
      kernel(block, from + c, filled, stride, pixels, to + c, channels_);
    } else {
      const Avx2Block block{rescale_,     words_.data() + c * groups * 2, groups, c / 16, count,
                            signed_codes_};
      const auto kernel = count == kAvx2Block ? avx2_pixels<true> : avx2_pixels<false>;
      kernel(block, from + c, filled, stride, pixels, to + c, channels_);
    }
  }
  if (block_ > 1) return;
#endif
  for (std::int64_t p = 0; p < pixels; ++p)
    portable_pixels(rescale_, bytes_.data(), taps_, channels_, signed_codes_, from + p * stride,
                    offsets, to + p * channels_);
}

}  // namespace tandem
