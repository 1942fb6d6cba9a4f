#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tandem/kernels/code_rescale.h"
#include "tandem/kernels/instruction_set.h"

namespace tandem {

// Convolutions with one filter per channel, from codes to codes, exact.
class DepthwiseCodes {
 public:
  static constexpr std::int64_t kMostTaps = 256;

  // weights [taps][channels]. Of signed codes the sums are taken of code + 128, for which `lines`
  // must make up. For the instruction set that is chosen now.
  DepthwiseCodes(std::span<const std::int8_t> weights, std::int64_t channels, bool signed_codes,
                 std::span<const RescaleLine> lines, std::int32_t low, std::int32_t high);

  // Channels that the kernel of the instruction set that is chosen now computes at once.
  static std::int64_t block();

  std::int64_t taps() const { return taps_; }
  std::int64_t channels() const { return channels_; }

  // The results of `pixels` pixels, channels side by side. The codes under tap t of pixel p start
  // at from + offsets[t] + p * stride.
  void run(const std::uint8_t* from, const std::int64_t* offsets, std::int64_t stride,
           std::int64_t pixels, std::uint8_t* to) const;

 private:
  std::int64_t taps_, channels_, block_;
  bool signed_codes_;
  // In the order in which the set's kernel adds them.
  std::vector<std::int8_t>
      bytes_;  // kVnni: [block][taps / 4][channel of block][4]; portable: as given
  std::vector<std::int16_t> words_;  // kAvx2: [block][taps / 2][channel of block][2]
  CodeRescale rescale_;
};

}  // namespace tandem
