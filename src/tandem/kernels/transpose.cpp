#include "tandem/kernels/transpose.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tandem/kernels/transpose.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h, which includes this file once for each instruction set.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tandem {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

void transpose_plain(const std::uint32_t* x, std::int64_t x_stride, std::uint32_t* y,
                     std::int64_t y_stride, std::int64_t rows, std::int64_t columns) {
  for (std::int64_t c = 0; c < columns; ++c)
    for (std::int64_t r = 0; r < rows; ++r) y[c * y_stride + r] = x[r * x_stride + c];
}

#if HWY_TARGET == HWY_SCALAR

void transpose(const std::uint32_t* x, std::int64_t x_stride, std::uint32_t* y,
               std::int64_t y_stride, std::int64_t rows, std::int64_t columns) {
  transpose_plain(x, x_stride, y, y_stride, rows, columns);
}

#else

// Two to four rows that become the elements of tight rows, such as colours of pixels; returns how
// many columns are done.
std::int64_t interleave(const std::uint32_t* x, std::int64_t x_stride, std::uint32_t* y,
                        std::int64_t rows, std::int64_t columns) {
  const hn::ScalableTag<std::uint32_t> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t c = 0;
  for (; c + lanes <= columns; c += lanes) {
    const auto row = [&](std::int64_t r) { return hn::LoadU(d, x + r * x_stride + c); };
    std::uint32_t* to = y + c * rows;
    if (rows == 2) hn::StoreInterleaved2(row(0), row(1), d, to);
    if (rows == 3) hn::StoreInterleaved3(row(0), row(1), row(2), d, to);
    if (rows == 4) hn::StoreInterleaved4(row(0), row(1), row(2), row(3), d, to);
  }
  return c;
}

// The same backwards: tight rows of two to four elements.
std::int64_t deinterleave(const std::uint32_t* x, std::uint32_t* y, std::int64_t y_stride,
                          std::int64_t rows, std::int64_t columns) {
  const hn::ScalableTag<std::uint32_t> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t r = 0;
  for (; r + lanes <= rows; r += lanes) {
    auto a = hn::Zero(d), b = a, c = a, e = a;
    if (columns == 2) hn::LoadInterleaved2(d, x + r * columns, a, b);
    if (columns == 3) hn::LoadInterleaved3(d, x + r * columns, a, b, c);
    if (columns == 4) hn::LoadInterleaved4(d, x + r * columns, a, b, c, e);
    hn::StoreU(a, d, y + r);
    hn::StoreU(b, d, y + y_stride + r);
    if (columns > 2) hn::StoreU(c, d, y + 2 * y_stride + r);
    if (columns > 3) hn::StoreU(e, d, y + 3 * y_stride + r);
  }
  return r;
}

// Four by four elements through registers.
HWY_INLINE void transpose_four(const std::uint32_t* x, std::int64_t x_stride, std::uint32_t* y,
                               std::int64_t y_stride) {
  const hn::Full128<std::uint32_t> d;
  const hn::Full128<std::uint64_t> pairs;
  const auto a = hn::LoadU(d, x), b = hn::LoadU(d, x + x_stride);
  const auto c = hn::LoadU(d, x + 2 * x_stride), e = hn::LoadU(d, x + 3 * x_stride);
  const auto ab_low = hn::BitCast(pairs, hn::InterleaveLower(d, a, b));
  const auto ab_high = hn::BitCast(pairs, hn::InterleaveUpper(d, a, b));
  const auto ce_low = hn::BitCast(pairs, hn::InterleaveLower(d, c, e));
  const auto ce_high = hn::BitCast(pairs, hn::InterleaveUpper(d, c, e));
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, ab_low, ce_low)), d, y);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, ab_low, ce_low)), d, y + y_stride);
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, ab_high, ce_high)), d, y + 2 * y_stride);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, ab_high, ce_high)), d, y + 3 * y_stride);
}

// Block by block, so that the lines of either side stay in the first-level cache.
void transpose_blocks(const std::uint32_t* x, std::int64_t x_stride, std::uint32_t* y,
                      std::int64_t y_stride, std::int64_t rows, std::int64_t columns) {
  constexpr std::int64_t kBlock = 16, kFour = 4;
  const std::int64_t whole_rows = rows / kFour * kFour, whole_columns = columns / kFour * kFour;
  for (std::int64_t r = 0; r < whole_rows; r += kBlock) {
    const std::int64_t rows_end = r + kBlock < whole_rows ? r + kBlock : whole_rows;
    for (std::int64_t c = 0; c < whole_columns; c += kFour)
      for (std::int64_t i = r; i < rows_end; i += kFour)
        transpose_four(x + i * x_stride + c, x_stride, y + c * y_stride + i, y_stride);
  }
  transpose_plain(x + whole_rows * x_stride, x_stride, y + whole_rows, y_stride, rows - whole_rows,
                  columns);
  transpose_plain(x + whole_columns, x_stride, y + whole_columns * y_stride, y_stride, whole_rows,
                  columns - whole_columns);
}

void transpose(const std::uint32_t* x, std::int64_t x_stride, std::uint32_t* y,
               std::int64_t y_stride, std::int64_t rows, std::int64_t columns) {
  constexpr std::int64_t kFew = 4;
  if (rows >= 2 && rows <= kFew && y_stride == rows) {
    const std::int64_t done = interleave(x, x_stride, y, rows, columns);
    transpose_plain(x + done, x_stride, y + done * y_stride, y_stride, rows, columns - done);
  } else if (columns >= 2 && columns <= kFew && x_stride == columns) {
    const std::int64_t done = deinterleave(x, y, y_stride, rows, columns);
    transpose_plain(x + done * x_stride, x_stride, y + done, y_stride, rows - done, columns);
  } else {
    transpose_blocks(x, x_stride, y, y_stride, rows, columns);
  }
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tandem
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tandem {
namespace {

HWY_EXPORT(transpose);

}  // namespace

void transpose32(const std::uint32_t* x, std::int64_t x_stride, std::uint32_t* y,
                 std::int64_t y_stride, std::int64_t rows, std::int64_t columns) {
  HWY_DYNAMIC_DISPATCH(transpose)(x, x_stride, y, y_stride, rows, columns);
}

template <typename Element>
void interleave(const Element* __restrict first, const Element* __restrict second,
                std::int64_t count, Element* __restrict to) {
  for (std::int64_t i = 0; i < count; ++i) {
    to[2 * i] = first[i];
    to[2 * i + 1] = second[i];
  }
}

template void interleave(const std::uint8_t*, const std::uint8_t*, std::int64_t, std::uint8_t*);
template void interleave(const std::uint16_t*, const std::uint16_t*, std::int64_t, std::uint16_t*);
template void interleave(const std::uint32_t*, const std::uint32_t*, std::int64_t, std::uint32_t*);
template void interleave(const std::uint64_t*, const std::uint64_t*, std::int64_t, std::uint64_t*);

}  // namespace tandem
#endif  // HWY_ONCE
