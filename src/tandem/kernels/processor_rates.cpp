#include "tandem/kernels/processor_rates.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#include "tandem/kernels/instruction_set.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tandem/kernels/processor_rates.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h, which includes this file once for each instruction set.
#include <hwy/highway.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#ifndef TANDEM_PROCESSOR_RATES_CHAINS
#define TANDEM_PROCESSOR_RATES_CHAINS
namespace tandem {
// As many chains of additions as hide the latency of one (4 cycles, two units).
constexpr std::size_t kChains = 12;
}  // namespace tandem
#endif

HWY_BEFORE_NAMESPACE();
namespace tandem {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// Products of f32 in `rounds` rounds; returns how many were made. The chains start at 12 numbers,
// so that the compiler cannot take one for another, and end there.
std::int64_t f32_products(std::int64_t rounds, float* chains) {
  const hn::ScalableTag<float> d;
  const auto factor = hn::Set(d, 0.999F), addend = hn::Set(d, 0.001F);
  const auto start = [&](int chain) { return hn::Set(d, chains[chain]); };
  auto a = start(0), b = start(1), c = start(2), e = start(3), f = start(4), g = start(5),
       h = start(6), i = start(7), j = start(8), k = start(9), l = start(10), m = start(11);
  for (std::int64_t round = 0; round < rounds; ++round) {
    a = hn::MulAdd(a, factor, addend), b = hn::MulAdd(b, factor, addend);
    c = hn::MulAdd(c, factor, addend), e = hn::MulAdd(e, factor, addend);
    f = hn::MulAdd(f, factor, addend), g = hn::MulAdd(g, factor, addend);
    h = hn::MulAdd(h, factor, addend), i = hn::MulAdd(i, factor, addend);
    j = hn::MulAdd(j, factor, addend), k = hn::MulAdd(k, factor, addend);
    l = hn::MulAdd(l, factor, addend), m = hn::MulAdd(m, factor, addend);
  }
  a = hn::Add(hn::Add(hn::Add(a, b), hn::Add(c, e)), hn::Add(hn::Add(f, g), hn::Add(h, i)));
  chains[0] = hn::GetLane(hn::Add(a, hn::Add(hn::Add(j, k), hn::Add(l, m))));
  return rounds * static_cast<std::int64_t>(kChains * hn::Lanes(d));
}

float sum(const float* x, std::size_t count) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  auto a = hn::Zero(d), b = a, c = a, e = a;
  for (std::size_t i = 0; i + 4 * lanes <= count; i += 4 * lanes) {
    a = hn::Add(a, hn::Load(d, x + i));
    b = hn::Add(b, hn::Load(d, x + i + lanes));
    c = hn::Add(c, hn::Load(d, x + i + 2 * lanes));
    e = hn::Add(e, hn::Load(d, x + i + 3 * lanes));
  }
  return hn::GetLane(hn::Add(hn::Add(a, b), hn::Add(c, e)));
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tandem
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tandem {
namespace {

HWY_EXPORT(f32_products);
HWY_EXPORT(sum);

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

#if defined(__x86_64__)
// Twelve chains of integers, as above.
#define TANDEM_CHAINS(TYPE, SET, STEP)                                                      \
  TYPE a = SET(chains[0]), b = SET(chains[1]), c = SET(chains[2]), e = SET(chains[3]),      \
       f = SET(chains[4]), g = SET(chains[5]), h = SET(chains[6]), i = SET(chains[7]),      \
       j = SET(chains[8]), k = SET(chains[9]), l = SET(chains[10]), m = SET(chains[11]);    \
  for (std::int64_t round = 0; round < rounds; ++round) {                                   \
    STEP(a)                                                                                 \
    STEP(b) STEP(c) STEP(e) STEP(f) STEP(g) STEP(h) STEP(i) STEP(j) STEP(k) STEP(l) STEP(m) \
  }                                                                                         \
  const TYPE all = a ^ b ^ c ^ e ^ f ^ g ^ h ^ i ^ j ^ k ^ l ^ m;                           \
  std::memcpy(chains, &all, sizeof *chains);

__attribute__((target("avx2"))) std::int64_t avx2_i16(std::int64_t rounds, std::int32_t* chains) {
  const __m256i x = _mm256_set1_epi32(0x01020301);
#define TANDEM_STEP(v) v = _mm256_add_epi32(v, _mm256_madd_epi16(_mm256_xor_si256(x, v), x));
  TANDEM_CHAINS(__m256i, _mm256_set1_epi32, TANDEM_STEP)
#undef TANDEM_STEP
  return rounds * 12 * 16;
}

__attribute__((target("avx2"))) std::int64_t avx2_i8(std::int64_t rounds, std::int32_t* chains) {
  const __m256i x = _mm256_set1_epi32(0x01020301), ones = _mm256_set1_epi16(1);
#define TANDEM_STEP(v) \
  v = _mm256_add_epi32(v, _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_xor_si256(x, v), x), ones));
  TANDEM_CHAINS(__m256i, _mm256_set1_epi32, TANDEM_STEP)
#undef TANDEM_STEP
  return rounds * 12 * 32;
}

// As assembly: GCC 12 copies the sums of these intrinsics from register to register.
#define TANDEM_VNNI(NAME, INSTRUCTION, PRODUCTS)                                                   \
  __attribute__((target("avx512f,avx512bw,avx512vnni"))) std::int64_t NAME(std::int64_t rounds,    \
                                                                           std::int32_t* chains) { \
    const __m512i x = _mm512_set1_epi32(0x01020301);                                               \
    TANDEM_CHAINS(__m512i, _mm512_set1_epi32, INSTRUCTION)                                         \
    return rounds * 12 * PRODUCTS;                                                                 \
  }
#define TANDEM_VPDPWSSD(v) asm volatile("vpdpwssd %1, %1, %0" : "+v"(v) : "v"(x));
#define TANDEM_VPDPBUSD(v) asm volatile("vpdpbusd %1, %1, %0" : "+v"(v) : "v"(x));
TANDEM_VNNI(vnni_i16, TANDEM_VPDPWSSD, 32)
TANDEM_VNNI(vnni_i8, TANDEM_VPDPBUSD, 64)
#undef TANDEM_VPDPBUSD
#undef TANDEM_VPDPWSSD
#undef TANDEM_VNNI
#undef TANDEM_CHAINS
#endif

// Without such instructions: plain code, which the compiler may turn into vectors.
std::int64_t plain_products(std::int64_t rounds, std::int32_t* chains) {
  for (std::int64_t round = 0; round < rounds; ++round) {
    for (int chain = 0; chain < 12; ++chain) {
      const auto x = static_cast<std::uint32_t>(chains[chain]);
      chains[chain] = static_cast<std::int32_t>(x + (x ^ 0x01020301U) * 3U);
    }
  }
  return rounds * 12;
}

std::int64_t make_products(Products products, std::int64_t rounds) {
  // What the compiler cannot foresee, and cannot leave out.
  static std::atomic<int> seed{1};
  if (products == Products::kF32) {
    float chains[kChains];
    for (float& chain : chains) chain = static_cast<float>(seed++ & 0xff);
    const std::int64_t made = HWY_DYNAMIC_DISPATCH(f32_products)(rounds, chains);
    seed += chains[0] > 1 ? 1 : 2;
    return made;
  }
  std::int32_t chains[kChains];
  for (std::int32_t& chain : chains) chain = seed++;
  const bool wide = products == Products::kI16;
  std::int64_t made = 0;
#if defined(__x86_64__)
  if (instruction_set() >= InstructionSet::kVnni)
    made = wide ? vnni_i16(rounds, chains) : vnni_i8(rounds, chains);
  else if (instruction_set() == InstructionSet::kAvx2)
    made = wide ? avx2_i16(rounds, chains) : avx2_i8(rounds, chains);
#endif
  if (made == 0) made = plain_products(rounds, chains);
  seed += chains[0] & 0xff;
  return made;
}

// Runs body(thread) on `threads` threads at once, several times, and returns the shortest time.
// Threads of its own: a thread that waits for work would disturb what is measured.
template <typename Body>
double shortest_seconds(int threads, double seconds, const Body& body) {
  double best = 1e30;
  for (const double end = now() + seconds; now() < end;) {
    std::atomic<int> ready{0};
    std::vector<double> took(static_cast<std::size_t>(threads));
    const auto work = [&](int thread) {
      ++ready;
      while (ready.load() < threads) {
      }
      const double start = now();
      body(thread);
      took[static_cast<std::size_t>(thread)] = now() - start;
    };
    std::vector<std::thread> others;
    for (int thread = 1; thread < threads; ++thread) others.emplace_back(work, thread);
    work(0);
    for (std::thread& other : others) other.join();
    best = std::min(best, *std::max_element(took.begin(), took.end()));
  }
  return best;
}

}  // namespace

double operations_per_second(Products products, int threads, double seconds) {
  constexpr std::int64_t kRounds = 400'000;
  std::atomic<std::int64_t> made{0};
  const double best =
      shortest_seconds(threads, seconds, [&](int) { made = make_products(products, kRounds); });
  return 2 * static_cast<double>(made.load()) / best;
}

double read_bytes_per_second(std::size_t bytes, int threads, double seconds) {
  const std::size_t count =
      std::max<std::size_t>(bytes / sizeof(float) / static_cast<std::size_t>(threads), 256);
  std::vector<std::vector<float>> memory(static_cast<std::size_t>(threads),
                                         std::vector<float>(count + 16, 1.0F));
  // Some 100 microseconds at least, so that the clock and the start of threads do not count.
  const std::size_t rounds = std::max<std::size_t>(1, (8u << 20) / (count * sizeof(float)));
  std::atomic<float> kept{0};
  const double best = shortest_seconds(threads, seconds, [&](int thread) {
    float* x = memory[static_cast<std::size_t>(thread)].data();
    x += (64 - reinterpret_cast<std::uintptr_t>(x) % 64) % 64 / sizeof(float);
    float total = 0;
    for (std::size_t round = 0; round < rounds; ++round)
      total += HWY_DYNAMIC_DISPATCH(sum)(x, count);
    kept = total;
  });
  return static_cast<double>(rounds * count * sizeof(float)) * threads / best;
}

double clock_hertz(double seconds) {
  constexpr std::int64_t kAdditions = 1'000'000;
  std::atomic<std::uint64_t> kept{0};
  const double best = shortest_seconds(1, seconds, [&](int) {
    std::uint64_t x = 1;
    for (std::int64_t i = 0; i < kAdditions; ++i) {
      x += static_cast<std::uint64_t>(i);
      asm volatile("" : "+r"(x));  // the next addition waits for this one
    }
    kept = x;
  });
  return static_cast<double>(kAdditions) / best;
}

std::string vector_extensions() {
  const std::int64_t targets = hwy::SupportedTargets() & HWY_TARGETS;
  std::string name = hwy::TargetName(targets & -targets);
#if defined(__x86_64__)
  if (processor_has(InstructionSet::kVnni)) name += ", VNNI";
#endif
  return name;
}

}  // namespace tandem
#endif  // HWY_ONCE
