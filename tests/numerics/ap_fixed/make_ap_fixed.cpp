// Writes ap_fixed.txt, the casts of the HLS types ap_fixed and ap_ufixed in all their modes, as an
// oracle for our formats. The types are those of AMD's headers, which PyPI's hls4ml carries:
//
//   pip download --no-deps hls4ml && unzip -q hls4ml-*.whl
//   g++ -std=c++17 -O1 -w -I hls4ml/templates/vivado/ap_types make_ap_fixed.cpp -o make_ap_fixed
//   ./make_ap_fixed > ap_fixed.txt
//
// A block begins with "inputs", the format and the inputs as integers of a quarter of the format's
// step; then follows, for each rounding and overflow, a line with the integers of the codes.

#include <ap_fixed.h>
#include <cstdio>
#include <vector>

namespace {

constexpr int kSourceFraction = 24;
using Source = ap_fixed<64, 64 - kSourceFraction>;

// Every quarter step of narrow formats; of wide ones those near zero and near both ends.
std::vector<long> inputs_of(int bits, bool is_signed) {
  const long steps = 1L << bits;
  const long min = is_signed ? -steps / 2 : 0;
  const long max = min + steps - 1;
  std::vector<long> inputs;
  for (long quarter = 4 * (min - 3); quarter <= 4 * (max + 3); ++quarter) {
    const bool is_near_end = quarter < 4 * min + 5 || quarter > 4 * max - 5;
    const bool is_near_zero = quarter > -8 && quarter < 8;
    if (bits <= 3 || is_near_end || is_near_zero) inputs.push_back(quarter);
  }
  return inputs;
}

template <int bits, int fraction, bool is_signed, ap_q_mode rounding, ap_o_mode overflow>
void cast_all(const char* names, const std::vector<long>& inputs) {
  std::printf("%s", names);
  for (const long quarter : inputs) {
    Source source = 0;
    source.range() = static_cast<ap_int<64>>(quarter) << (kSourceFraction - fraction - 2);
    long code = 0;
    if constexpr (is_signed) {
      const ap_fixed<bits, bits - fraction, rounding, overflow> target = source;
      code = ap_int<bits>(target.range()).to_long();
    } else {
      const ap_ufixed<bits, bits - fraction, rounding, overflow> target = source;
      code = ap_uint<bits>(target.range()).to_long();
    }
    std::printf(" %ld", code);
  }
  std::printf("\n");
}

template <int bits, int fraction, bool is_signed, ap_q_mode rounding>
void every_overflow(const char* rounding_name, const std::vector<long>& inputs) {
  char names[80];
  const auto named = [&](const char* overflow_name) {
    std::snprintf(names, sizeof names, "%s %s", rounding_name, overflow_name);
    return names;
  };
  cast_all<bits, fraction, is_signed, rounding, AP_WRAP>(named("wrap"), inputs);
  cast_all<bits, fraction, is_signed, rounding, AP_SAT>(named("saturate"), inputs);
  cast_all<bits, fraction, is_signed, rounding, AP_SAT_ZERO>(named("saturate_zero"), inputs);
  cast_all<bits, fraction, is_signed, rounding, AP_SAT_SYM>(named("saturate_symmetric"), inputs);
}

template <int bits, int fraction, bool is_signed>
void every_mode() {
  const std::vector<long> inputs = inputs_of(bits, is_signed);
  std::printf("inputs %s<%d,%d>", is_signed ? "fixed" : "ufixed", bits, fraction);
  for (const long input : inputs) std::printf(" %ld", input);
  std::printf("\n");
  every_overflow<bits, fraction, is_signed, AP_TRN>("floor", inputs);
  every_overflow<bits, fraction, is_signed, AP_TRN_ZERO>("toward_zero", inputs);
  every_overflow<bits, fraction, is_signed, AP_RND>("half_up", inputs);
  every_overflow<bits, fraction, is_signed, AP_RND_ZERO>("half_toward_zero", inputs);
  every_overflow<bits, fraction, is_signed, AP_RND_MIN_INF>("half_down", inputs);
  every_overflow<bits, fraction, is_signed, AP_RND_INF>("half_away_from_zero", inputs);
  every_overflow<bits, fraction, is_signed, AP_RND_CONV>("half_even", inputs);
}

}  // namespace

int main() {
  every_mode<1, 0, true>();
  every_mode<1, 0, false>();
  every_mode<2, 5, true>();
  every_mode<2, 1, false>();
  every_mode<3, 1, true>();
  every_mode<3, -2, false>();
  every_mode<8, 3, true>();
  every_mode<8, 12, false>();
  every_mode<12, -4, true>();
  every_mode<12, 16, false>();
}
