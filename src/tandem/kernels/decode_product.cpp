#include "tandem/kernels/decode_product.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tandem/base/error.h"
#include "tandem/base/threads.h"
#include "tandem/kernels/decode_panels.h"
#include "tandem/kernels/instruction_set.h"
#include "tandem/kernels/thread_memory.h"
#include "tandem/kernels/tile_product.h"

namespace tandem {
namespace {

constexpr int kMostRows = DecodePanels::kMostRows;
using Kind = CodeDecoder::Kind;

// Bytes of codes that one thread reads at a time.
constexpr std::int64_t kPartBytes = std::int64_t{1} << 16;

// ---- Without vectors of a kind ----

// The codes of a tile, [kDecodeTile][kDecodePanel].
class TileCodes {
 public:
  explicit TileCodes(const DecodeWeights& w) : w_(w) {
    for (int k = 0; k < kDecodeTile; ++k)
      for (int i = 0; i < kDecodePanel; ++i)
        places_[k * kDecodePanel + i] = DecodeWeights::place(w.decoder().kind, i, k);
  }
  void read(const std::uint8_t* tile) {
    std::uint8_t codes[kDecodeTile * kDecodePanel] = {};
    int from = 0;
    for (const int width : w_.packing().planes) {
      const int fields = 8 / width, mask = (1 << width) - 1;
      for (int i = 0; i < kDecodeTile * kDecodePanel; ++i) {
        const int row = i / w_.packing().lanes, lane = i % w_.packing().lanes;
        const int bits = tile[row / fields * w_.packing().lanes + lane] >> row % fields * width;
        codes[i] = static_cast<std::uint8_t>(codes[i] | (bits & mask) << from);
      }
      tile += kDecodeTile * kDecodePanel / 8 * width;
      from += width;
    }
    for (int i = 0; i < kDecodeTile * kDecodePanel; ++i) at[i] = codes[places_[i]];
  }
  std::uint8_t at[kDecodeTile * kDecodePanel] = {};

 private:
  const DecodeWeights& w_;
  int places_[kDecodeTile * kDecodePanel];
};

// Each weight as a real. The definition of what all kernels compute, up to the order of sums; for
// processors without vectors and for x that is not finite.
void plain_real_panel(const DecodeWeights& w, const DecodeWeights::Panel& panel, const float* x,
                      std::int64_t x_stride, int rows, float* y) {
  const CodeDecoder& decoder = w.decoder();
  float reals[256] = {};
  for (unsigned code = 0; code < 1U << decoder.bits; ++code) reals[code] = decoder.real(code);
  TileCodes tile(w);
  float sums[kMostRows * kDecodePanel] = {};
  std::fill_n(y, rows * kDecodePanel, 0.0F);
  for (std::int64_t k = 0; k < w.depth(); ++k) {
    if (k % kDecodeTile == 0) tile.read(panel.codes + k * (kDecodePanel / 8) * decoder.bits);
    const std::int64_t group = k / w.group();
    for (std::int64_t i = 0; i < kDecodePanel; ++i) {
      float weight = reals[tile.at[k % kDecodeTile * kDecodePanel + i]];
      if (panel.zeros != nullptr)
        weight = decoder.unit * static_cast<float>(tile.at[k % kDecodeTile * kDecodePanel + i] -
                                                   panel.zeros[group * kDecodePanel + i]);
      for (int m = 0; m < rows; ++m) sums[m * kDecodePanel + i] += weight * x[m * x_stride + k];
    }
    if ((k + 1) % w.group() != 0 && k + 1 < w.depth()) continue;
    for (std::int64_t i = 0; i < kDecodePanel; ++i) {
      const float scale = w.scale(panel, i, group);
      for (int m = 0; m < rows; ++m) y[m * kDecodePanel + i] += scale * sums[m * kDecodePanel + i];
    }
    std::fill(std::begin(sums), std::end(sums), 0.0F);
  }
}

// As avx2_code_panel()'s, with the same bits.
void plain_code_panel(const DecodeWeights& w, const DecodeWeights::Panel& panel,
                      const DecodePanels::CodeRows& rows, int count, float* y) {
  const bool nested = w.scale_kind() == ScaleKind::kNested;
  const std::int64_t depth = w.padded_depth(), groups = w.groups();
  const std::int64_t scaled = nested ? DecodeWeights::kSuperGroup : w.group();
  TileCodes tile(w);
  std::int32_t sums[kMostRows * kDecodePanel] = {}, total[kMostRows * kDecodePanel] = {};
  std::fill_n(y, count * kDecodePanel, 0.0F);
  for (std::int64_t k = 0; k < depth; ++k) {
    if (k % kDecodeTile == 0) tile.read(panel.codes + k * (kDecodePanel / 8) * w.decoder().bits);
    const std::int64_t group = k / w.group();
    for (std::int64_t i = 0; i < kDecodePanel; ++i) {
      const int zero =
          panel.zeros != nullptr ? panel.zeros[group * kDecodePanel + i] : w.decoder().zero;
      const int weight = tile.at[k % kDecodeTile * kDecodePanel + i] - zero;
      for (int m = 0; m < count; ++m) sums[m * kDecodePanel + i] += weight * rows.x[m * depth + k];
    }
    if ((k + 1) % w.group() != 0) continue;
    for (std::int64_t i = 0; i < kDecodePanel; ++i) {
      const int factor =
          nested ? static_cast<std::int8_t>(panel.scales[group * kDecodePanel + i]) : 1;
      for (int m = 0; m < count; ++m) {
        total[m * kDecodePanel + i] += factor * sums[m * kDecodePanel + i];
        sums[m * kDecodePanel + i] = 0;
      }
    }
    if ((k + 1) % scaled != 0) continue;
    const std::int64_t at = k / scaled;
    for (std::int64_t i = 0; i < kDecodePanel; ++i) {
      const float scale = nested ? w.super_scale(panel, i, at) : w.scale(panel, i, group);
      for (int m = 0; m < count; ++m) {
        const float both = scale * rows.scales[m * (nested ? depth / scaled : groups) + at];
        y[m * kDecodePanel + i] += static_cast<float>(total[m * kDecodePanel + i]) * both;
        total[m * kDecodePanel + i] = 0;
      }
    }
  }
}

// ---- Preparation of x ----

constexpr int kSumLanes = 8;  // of sums and maxima, which the compiler makes vectors

float greatest_magnitude(const float* x, std::int64_t count) {
  float lanes[kSumLanes] = {}, most = 0;
  std::int64_t k = 0;
  for (; k + kSumLanes <= count; k += kSumLanes)
    for (int i = 0; i < kSumLanes; ++i) {
      const float magnitude = std::abs(x[k + i]);
      lanes[i] = magnitude > lanes[i] ? magnitude : lanes[i];
    }
  for (; k < count; ++k) most = std::max(most, std::abs(x[k]));
  return std::max(most, *std::max_element(lanes, lanes + kSumLanes));
}

double sum_of(const float* x, std::int64_t count) {
  double lanes[kSumLanes] = {}, total = 0;
  std::int64_t k = 0;
  for (; k + kSumLanes <= count; k += kSumLanes)
    for (int i = 0; i < kSumLanes; ++i) lanes[i] += static_cast<double>(x[k + i]);
  for (; k < count; ++k) total += static_cast<double>(x[k]);
  for (const double lane : lanes) total += lane;
  return total;
}

// Up to kMostRows rows side by side, as DecodePanels::RealRows says: elements in [-2, 2] times the
// powers of two that the places of codes ask for, so that nothing that matters is lost to the ends
// of the exponents. factors[m] is the power of two that was taken out of row m.
void prepare_real(const DecodeWeights& w, const float* x, int rows, std::int64_t x_stride,
                  float* prepared, float* group_sums, float* factors) {
  float prescales[kDecodeTile];
  for (int k = 0; k < kDecodeTile; ++k) prescales[k] = decode_prescale(w.decoder(), k);
  for (int m = 0; m < rows; ++m) {
    const float* from = x + m * x_stride;
    int exponent = 0;
    std::frexp(greatest_magnitude(from, w.depth()), &exponent);
    exponent = std::clamp(exponent, -100, 127);
    factors[m] = std::ldexp(1.0F, exponent);
    const float down = std::ldexp(1.0F, -exponent);
    std::int64_t k = 0;
    for (; k + kDecodeTile <= w.depth(); k += kDecodeTile)
      for (int i = 0; i < kDecodeTile; ++i)
        prepared[(k + i) * rows + m] = from[k + i] * down * prescales[i];
    for (; k < w.padded_depth(); ++k)
      prepared[k * rows + m] = k < w.depth() ? from[k] * down * prescales[k % kDecodeTile] : 0;
    if (w.decoder().kind != Kind::kInteger) continue;
    for (std::int64_t g = 0; g < w.groups(); ++g) {
      const std::int64_t begin = g * w.group(), end = std::min(begin + w.group(), w.depth());
      group_sums[g * rows + m] = static_cast<float>(sum_of(from + begin, end - begin)) * down;
    }
  }
}

// What zero points take off the sums of coded rows; see DecodePanels::CodeRows.
void prepare_zero_sums(const DecodeWeights& w, const std::int8_t* codes, bool has_zeros,
                       std::int32_t* sums) {
  const int zero = has_zeros ? 1 : code_zero(w.decoder());
  for (std::int64_t g = 0; g < w.groups(); ++g) {
    const std::int8_t* of_group = codes + g * w.group();
    sums[g] = zero * std::accumulate(of_group, of_group + w.group(), 0);
  }
}

bool has_vectors() { return instruction_set() >= InstructionSet::kAvx2; }

// Calls compute(panel, index, m, count) for all panels and blocks of rows, on all threads.
template <typename Compute>
void for_each_panel(const DecodeWeights& w, std::int64_t rows, const Compute& compute) {
  const std::int64_t panel_bytes = std::max<std::int64_t>(1, w.bytes() / w.panels());
  const std::int64_t grain = std::max<std::int64_t>(1, kPartBytes / panel_bytes);
  parallel_for(0, w.panels(), grain, [&](std::int64_t from, std::int64_t to) {
    for (std::int64_t index = from; index < to; ++index) {
      const DecodeWeights::Panel panel = w.panel(index);
      int count = 0;
      for (std::int64_t m = 0; m < rows; m += count) {
        count = DecodePanels::rows_of(rows - m);
        compute(panel, index, m, count);
      }
    }
  });
}

// Results of a panel to their places in y.
void store_panel(const DecodeWeights& w, std::int64_t index, const float* sums, int rows,
                 const float* factors, float* y, std::int64_t y_stride) {
  const std::int64_t first = index * kDecodePanel,
                     count = std::min<std::int64_t>(kDecodePanel, w.rows() - first);
  for (int m = 0; m < rows; ++m)
    for (std::int64_t i = 0; i < count; ++i)
      y[m * y_stride + first + i] =
          sums[m * kDecodePanel + i] * w.decoder().unit * (factors == nullptr ? 1.0F : factors[m]);
}

void plain_product(const DecodeWeights& w, const float* x, std::int64_t rows, std::int64_t x_stride,
                   float* y, std::int64_t y_stride) {
  for_each_panel(
      w, rows,
      [&](const DecodeWeights::Panel& panel, std::int64_t index, std::int64_t m, int count) {
        float sums[kMostRows * kDecodePanel];
        plain_real_panel(w, panel, x + m * x_stride, x_stride, count, sums);
        const std::int64_t first = index * kDecodePanel,
                           columns = std::min<std::int64_t>(kDecodePanel, w.rows() - first);
        for (int r = 0; r < count; ++r)
          std::copy_n(sums + r * kDecodePanel, columns, y + (m + r) * y_stride + first);
      });
}

}  // namespace

float decode_prescale(const CodeDecoder& decoder, int k) {
  if (decoder.kind != Kind::kInteger) return 1;
  const int bit = 8 * (k % 4);
  return bit + decoder.bits == 32 ? 1.0F : std::ldexp(1.0F, -bit);
}

int code_zero(const CodeDecoder& decoder) {
  return decoder.bits == 8 ? decoder.zero - 128 : decoder.zero;
}

void decode_product(const DecodeWeights& w, const float* x, std::int64_t rows,
                    std::int64_t x_stride, float* y, std::int64_t y_stride) {
  bool finite = true;
  for (std::int64_t m = 0; m < rows; ++m)
    finite = finite && all_finite(x + m * x_stride, w.depth());
  if (!finite || !has_vectors()) return plain_product(w, x, rows, x_stride, y, y_stride);
#if defined(__x86_64__)
  const std::int64_t depth = w.padded_depth(), groups = w.groups();
  thread_local ThreadMemory memory;
  float* prepared = memory.floats(rows * (depth + groups + 1));
  float *sums = prepared + rows * depth, *factors = sums + rows * groups;
  for (std::int64_t m = 0; m < rows;) {
    const int together = DecodePanels::rows_of(rows - m);
    prepare_real(w, x + m * x_stride, together, x_stride, prepared + m * depth, sums + m * groups,
                 factors + m);
    m += together;
  }
  for_each_panel(
      w, rows,
      [&](const DecodeWeights::Panel& panel, std::int64_t index, std::int64_t m, int count) {
        alignas(32) float results[kMostRows * kDecodePanel];
        const DecodePanels::RealRows from{prepared + m * depth, sums + m * groups};
        avx2_real_panel(w, count)(w, panel, from, results);
        store_panel(w, index, results, count, factors + m, y + m * y_stride, y_stride);
      });
#endif
}

bool takes_coded_rows(const DecodeWeights& w) {
  constexpr std::int64_t kMostGroup = std::int64_t{1} << 16;  // 255 * 127 * 2^16 < 2^31
  return w.decoder().kind == Kind::kInteger && w.group() <= kMostGroup &&
         (w.scale_kind() != ScaleKind::kNested || !w.panel(0).zeros);
}

void code_rows(const DecodeWeights& w, const float* x, std::int64_t rows, std::int64_t x_stride,
               CodedRows& coded) {
  coded.rows = rows;
  coded.depth = w.depth();
  coded.padded_depth = w.padded_depth();
  coded.group = w.scale_kind() == ScaleKind::kNested ? DecodeWeights::kSuperGroup : w.group();
  const std::int64_t groups = coded.groups();
  coded.codes.assign(static_cast<std::size_t>(rows * coded.padded_depth), 0);
  coded.scales.assign(static_cast<std::size_t>(rows * groups), 0.0F);
  for (std::int64_t m = 0; m < rows; ++m) {
    for (std::int64_t g = 0; g < groups; ++g) {
      const std::int64_t begin = g * coded.group, end = std::min(begin + coded.group, w.depth());
      const float* from = x + m * x_stride;
      if (!all_finite(from + begin, end - begin))
        throw Error("codes of activations: x has a NaN or an infinity among its elements ", begin,
                    " to ", end - 1, " of row ", m, "; compute with f32 activations");
      const float most = greatest_magnitude(from + begin, end - begin);
      if (most == 0) continue;
      const float scale = most / 127;
      coded.scales[static_cast<std::size_t>(m * groups + g)] = scale;
      for (std::int64_t k = begin; k < end; ++k)
        coded.codes[static_cast<std::size_t>(m * coded.padded_depth + k)] =
            static_cast<std::int8_t>(std::clamp(std::nearbyint(from[k] / scale), -127.0F, 127.0F));
    }
  }
}

void decode_product(const DecodeWeights& w, const CodedRows& x, float* y, std::int64_t y_stride) {
  ensure(takes_coded_rows(w), "packed weights that do not multiply codes");
  ensure(x.padded_depth == w.padded_depth(), "coded rows of another depth");
  const bool has_zeros = w.panel(0).zeros != nullptr;
  const std::int64_t depth = w.padded_depth(), groups = w.groups();
  std::vector<std::int32_t> zero_sums(static_cast<std::size_t>(x.rows * groups));
  for (std::int64_t m = 0; m < x.rows; ++m)
    prepare_zero_sums(w, x.codes.data() + m * depth, has_zeros, zero_sums.data() + m * groups);
  for_each_panel(
      w, x.rows,
      [&](const DecodeWeights::Panel& panel, std::int64_t index, std::int64_t m, int count) {
        alignas(32) float results[kMostRows * kDecodePanel];
        const DecodePanels::CodeRows from{x.codes.data() + m * depth,
                                          x.scales.data() + m * x.groups(),
                                          zero_sums.data() + m * groups};
#if defined(__x86_64__)
        if (has_vectors())
          avx2_code_panel(w, count)(w, panel, from, results);
        else
#endif
          plain_code_panel(w, panel, from, count, results);
        store_panel(w, index, results, count, nullptr, y + m * y_stride, y_stride);
      });
}

}  // namespace tandem
