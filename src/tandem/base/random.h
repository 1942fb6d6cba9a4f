#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace tandem {

// One block of the Philox4x32-10 counter-based generator (Salmon, Moraes, Dror, Shaw: "Parallel
// random numbers: as easy as 1, 2, 3", SC 2011): four random words from a counter and a key.
std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key);

// Random numbers by index: number i of a (seed, stream) is the same in any order of asking, on any
// thread and machine. Streams of one seed, and substreams, are independent of each other. The four
// kinds of number are drawn from the same bits: use an index for one of them only.
class CounterRandom {
 public:
  CounterRandom(std::uint64_t seed, std::uint64_t stream);
  // A stream by its purpose: CounterRandom(seed, "data/split").
  CounterRandom(std::uint64_t seed, std::string_view stream);

  // For a step, a layer, a worker: CounterRandom(seed, "dropout").substream(step).
  CounterRandom substream(std::uint64_t number) const;

  std::uint64_t bits(std::uint64_t index) const;
  double uniform(std::uint64_t index) const;  // in [0, 1), a multiple of 2^-53
  // In [lo, hi], every value equally likely (Lemire 2019, rejection without division);
  // InternalError when lo > hi.
  std::int64_t integer(std::uint64_t index, std::int64_t lo, std::int64_t hi) const;
  // Standard normal (Box and Muller 1958). Computed with +, -, *, / and sqrt alone, so the bits are
  // the same on every machine with IEEE 754 doubles.
  double normal(std::uint64_t index) const;

 private:
  explicit CounterRandom(std::array<std::uint32_t, 2> key) : key_(key) {}
  std::array<std::uint64_t, 2> draw(std::uint64_t index, std::uint32_t attempt) const;
  std::array<std::uint32_t, 2> key_{};
};

// The same numbers one after another, for code that has no natural index.
class RandomSequence {
 public:
  explicit RandomSequence(CounterRandom source) : source_(source) {}
  RandomSequence(std::uint64_t seed, std::string_view stream) : source_(seed, stream) {}

  std::uint64_t bits() { return source_.bits(next_++); }
  double uniform() { return source_.uniform(next_++); }
  std::int64_t integer(std::int64_t lo, std::int64_t hi) {
    return source_.integer(next_++, lo, hi);
  }
  double normal() { return source_.normal(next_++); }
  bool chance(double probability) { return uniform() < probability; }

 private:
  CounterRandom source_;
  std::uint64_t next_ = 0;
};

// 0 to count - 1 in random order (Fisher and Yates).
std::vector<std::int64_t> random_permutation(std::int64_t count, const CounterRandom& source);

}  // namespace tandem
