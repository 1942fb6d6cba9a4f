#include "tandem/base/random.h"

#include <cmath>
#include <numeric>
#include <utility>

#include "tandem/base/error.h"

namespace tandem {
namespace {

__extension__ using UInt128 = unsigned __int128;

constexpr double kPi = 3.14159265358979323846;

std::array<std::uint32_t, 2> words_of(std::uint64_t value) {
  return {static_cast<std::uint32_t>(value), static_cast<std::uint32_t>(value >> 32)};
}

// FNV-1a, 64 bits.
std::uint64_t hash_of(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

std::array<std::uint32_t, 2> derive_key(std::array<std::uint32_t, 2> key, std::uint64_t number) {
  const auto [low, high] = words_of(number);
  // The last counter word keeps derived keys apart from drawn numbers, where it is 0.
  const auto block = philox4x32({low, high, 0, 1}, key);
  return {block[0], block[1]};
}

double unit_of(std::uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1p-53; }

// sum of coefficients[i] * x^i.
template <std::size_t N>
double polynomial(const std::array<double, N>& coefficients, double x) {
  double sum = 0;
  for (std::size_t i = N; i-- > 0;) sum = sum * x + coefficients[i];
  return sum;
}

// Natural logarithm of a normal positive number, to about one unit in the last place: the series of
// 2 artanh((m - 1) / (m + 1)) for a mantissa m within a factor sqrt(2) of 1.
double portable_log(double x) {
  constexpr std::array<double, 11> kSeries = {1.0,      1.0 / 3,  1.0 / 5,  1.0 / 7,
                                              1.0 / 9,  1.0 / 11, 1.0 / 13, 1.0 / 15,
                                              1.0 / 17, 1.0 / 19, 1.0 / 21};
  constexpr double kLog2 = 0.69314718055994530942;
  int exponent = 0;
  double mantissa = std::frexp(x, &exponent);
  if (mantissa < 0.70710678118654752440) {
    mantissa *= 2;
    --exponent;
  }
  const double s = (mantissa - 1) / (mantissa + 1);
  return exponent * kLog2 + 2 * s * polynomial(kSeries, s * s);
}

// cos(2 pi t) for t in [0, 1): Taylor series within an eighth of a turn.
double portable_cos_turn(double t) {
  constexpr std::array<double, 10> kCos = {1.0,
                                           -1.0 / 2,
                                           1.0 / 24,
                                           -1.0 / 720,
                                           1.0 / 40320,
                                           -1.0 / 3628800,
                                           1.0 / 479001600,
                                           -1.0 / 87178291200,
                                           1.0 / 20922789888000,
                                           -1.0 / 6402373705728000};
  constexpr std::array<double, 9> kSin = {1.0,
                                          -1.0 / 6,
                                          1.0 / 120,
                                          -1.0 / 5040,
                                          1.0 / 362880,
                                          -1.0 / 39916800,
                                          1.0 / 6227020800,
                                          -1.0 / 1307674368000,
                                          1.0 / 355687428096000};
  const auto quarter = static_cast<int>(std::lround(4 * t));  // the nearest quarter turn, 0 to 4
  const double angle = 2 * kPi * (t - 0.25 * quarter);
  const double square = angle * angle;
  switch (quarter % 4) {
    case 0: return polynomial(kCos, square);
    case 1: return -angle * polynomial(kSin, square);
    case 2: return -polynomial(kCos, square);
    default: return angle * polynomial(kSin, square);
  }
}

}  // namespace

std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key) {
  constexpr std::uint64_t kMultiplier0 = 0xD2511F53;
  constexpr std::uint64_t kMultiplier1 = 0xCD9E8D57;
  for (int round = 0; round < 10; ++round) {
    const auto [low0, high0] = words_of(kMultiplier0 * counter[0]);
    const auto [low1, high1] = words_of(kMultiplier1 * counter[2]);
    counter = {high1 ^ counter[1] ^ key[0], low1, high0 ^ counter[3] ^ key[1], low0};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

CounterRandom::CounterRandom(std::uint64_t seed, std::uint64_t stream)
    : key_(derive_key(words_of(seed), stream)) {}

CounterRandom::CounterRandom(std::uint64_t seed, std::string_view stream)
    : CounterRandom(seed, hash_of(stream)) {}

CounterRandom CounterRandom::substream(std::uint64_t number) const {
  return CounterRandom(derive_key(key_, number));
}

std::array<std::uint64_t, 2> CounterRandom::draw(std::uint64_t index, std::uint32_t attempt) const {
  const auto [low, high] = words_of(index);
  const auto block = philox4x32({low, high, attempt, 0}, key_);
  return {std::uint64_t{block[1]} << 32 | block[0], std::uint64_t{block[3]} << 32 | block[2]};
}

std::uint64_t CounterRandom::bits(std::uint64_t index) const { return draw(index, 0)[0]; }

double CounterRandom::uniform(std::uint64_t index) const { return unit_of(bits(index)); }

std::int64_t CounterRandom::integer(std::uint64_t index, std::int64_t lo, std::int64_t hi) const {
  ensure(lo <= hi, "CounterRandom::integer: empty range");
  const std::uint64_t count = static_cast<std::uint64_t>(hi) - static_cast<std::uint64_t>(lo) + 1;
  std::uint64_t offset = bits(index);
  if (count != 0) {
    // The high word of bits * count is the offset; low words below 2^64 mod count are too many by
    // one for some offsets, and are drawn again.
    const std::uint64_t surplus = (0 - count) % count;
    UInt128 product = UInt128{offset} * count;
    for (std::uint32_t attempt = 1; static_cast<std::uint64_t>(product) < surplus; ++attempt)
      product = UInt128{draw(index, attempt)[0]} * count;
    offset = static_cast<std::uint64_t>(product >> 64);
  }
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(lo) + offset);
}

double CounterRandom::normal(std::uint64_t index) const {
  const auto [first, second] = draw(index, 0);
  const double above_zero = unit_of(first) + 0x1p-53;
  return std::sqrt(-2 * portable_log(above_zero)) * portable_cos_turn(unit_of(second));
}

std::vector<std::int64_t> random_permutation(std::int64_t count, const CounterRandom& source) {
  ensure(count >= 0, "random_permutation: negative count");
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  for (std::size_t i = order.size(); i-- > 1;) {
    const auto other = source.integer(i, 0, static_cast<std::int64_t>(i));
    std::swap(order[i], order[static_cast<std::size_t>(other)]);
  }
  return order;
}

}  // namespace tandem
