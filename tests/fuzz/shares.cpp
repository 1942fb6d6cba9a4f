#include "tests/fuzz/shares.h"

#include <algorithm>
#include <cstdio>

namespace tandem::fuzz {

Shares::~Shares() {
  std::string text;
  const auto inputs = static_cast<double>(std::max<std::uint64_t>(inputs_, 1));
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    char share[48];
    std::snprintf(share, sizeof share, "%.1f %% (%llu)",
                  100 * static_cast<double>(counts_[i]) / inputs,
                  static_cast<unsigned long long>(counts_[i]));
    text += stages_[i] + ": " + share + ", ";
  }
  std::fprintf(stderr, "share %s(of %llu)\n", text.c_str(),
               static_cast<unsigned long long>(inputs_));
}

}  // namespace tandem::fuzz
