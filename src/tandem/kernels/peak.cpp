#include "tandem/kernels/peak.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "tandem/base/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tandem/kernels/peak.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h, which includes this file once for each instruction set.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tandem {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// More chains than a fused multiply-add takes cycles, on two units.
constexpr int kChains = 12;

// Operations of `rounds` rounds; their result, so that none is left out.
float multiply_add(std::int64_t rounds, std::int64_t* operations) {
  const hn::ScalableTag<float> d;
  const auto factor = hn::Set(d, 0.5F), addend = hn::Set(d, 1.0F);
  auto a = hn::Zero(d), b = a, c = a, e = a, f = a, g = a, h = a, i = a, j = a, k = a, l = a, m = a;
  for (std::int64_t round = 0; round < rounds; ++round) {
    a = hn::MulAdd(a, factor, addend);
    b = hn::MulAdd(b, factor, addend);
    c = hn::MulAdd(c, factor, addend);
    e = hn::MulAdd(e, factor, addend);
    f = hn::MulAdd(f, factor, addend);
    g = hn::MulAdd(g, factor, addend);
    h = hn::MulAdd(h, factor, addend);
    i = hn::MulAdd(i, factor, addend);
    j = hn::MulAdd(j, factor, addend);
    k = hn::MulAdd(k, factor, addend);
    l = hn::MulAdd(l, factor, addend);
    m = hn::MulAdd(m, factor, addend);
  }
  *operations = rounds * kChains * 2 * static_cast<std::int64_t>(hn::Lanes(d));
  const auto all = hn::Add(
      hn::Add(hn::Add(a, b), hn::Add(c, e)),
      hn::Add(hn::Add(hn::Add(f, g), hn::Add(h, i)), hn::Add(hn::Add(j, k), hn::Add(l, m))));
  return hn::GetLane(all);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tandem
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tandem {
namespace {

HWY_EXPORT(multiply_add);

}  // namespace

std::string vector_instructions() {
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  const std::int64_t targets = hwy::SupportedTargets() & HWY_TARGETS;
  return hwy::TargetName(targets & -targets);
}

double measure_float_peak() {
  constexpr std::int64_t kRounds = 1'000'000;
  constexpr int kTries = 5;
  double best = 0;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    std::atomic<std::int64_t> total{0};
    std::atomic<float> results{0};
    const auto start = std::chrono::steady_clock::now();
    parallel_for(0, thread_count(), 1, [&](std::int64_t, std::int64_t) {
      std::int64_t operations = 0;
      results = HWY_DYNAMIC_DISPATCH(multiply_add)(kRounds, &operations);
      total += operations;
    });
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, static_cast<double>(total) / seconds.count());
  }
  return best;
}

}  // namespace tandem
#endif  // HWY_ONCE
