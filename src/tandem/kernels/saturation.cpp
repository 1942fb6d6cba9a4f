#include "tandem/kernels/saturation.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>

#include "tandem/base/error.h"

namespace tandem {
namespace {

constexpr std::size_t kColumns = PairedPanel::kColumns, kQuad = PairedPanel::kQuad,
                      kWindow = PairedPanel::kWindow, kHalf = kColumns / 2;
constexpr std::int8_t kNowhere = INT8_MIN;  // 0x80: the activation is 0

// How far up and down a sum of 16 bits can go by an element, in both its columns: the positive
// weights, then the magnitudes of the negative ones.
constexpr std::size_t kParts = 4;
using Reach = std::array<std::int16_t, kParts>;

Reach reach_of(int a, int b) {
  const auto part = [](int weight) { return static_cast<std::int16_t>(std::max(weight, 0)); };
  return {part(a), part(b), part(-a), part(-b)};
}

struct Element {
  Reach reach{};
  std::int8_t position = kNowhere;  // in the window
};

// Puts the elements of a window, the largest first, into sums that cannot leave 16 bits. A sum of a
// single step takes two elements; one of a double step four, of which two lie in each step.
class Placement {
 public:
  explicit Placement(int most) {
    // Activations of 1 would let 2^15 ones go down, which 16 bits cannot count; none have so many.
    const auto limit = [most](int end) {
      return static_cast<std::int16_t>(std::min(end / std::max(most, 1), int{INT16_MAX}));
    };
    limits_ = {limit(INT16_MAX), limit(INT16_MAX), limit(-INT16_MIN), limit(-INT16_MIN)};
  }

  // Whether they fit `doubles` double steps and `singles` single ones.
  bool find(std::span<const Element> elements, std::size_t doubles, std::size_t singles) {
    elements_ = elements;
    count_ = 2 * (doubles + singles);
    if (!may_fit()) return false;
    for (std::size_t s = 0; s < kMostSums; ++s)
      rooms_[s] = s >= count_ ? 0 : s < 2 * doubles ? 4 : 2;
    clear();
    for (std::size_t e = 0; e < elements.size(); ++e) add(nearest(elements[e].reach), e);
    return mend() || (doubles == 0 && match());
  }
  // The element at `place` of a sum; none where it has fewer.
  const Element* element(std::size_t sum, std::size_t place) const {
    return place < counts_[sum] ? &elements_[taken_[sum][place]] : nullptr;
  }

 private:
  static constexpr std::size_t kMostSums = kWindow;
  static constexpr std::size_t kLanes = 8;
  // Numbers by sum: GCC makes no vectors of loops here, so they are vectors from the start.
  using Vector [[gnu::vector_size(2 * kLanes)]] = std::int16_t;
  struct BySum {
    std::array<Vector, kMostSums / kLanes> vectors{};

    std::int16_t at(std::size_t sum) const { return vectors[sum / kLanes][sum % kLanes]; }
    void set(std::size_t sum, int value) {
      vectors[sum / kLanes][sum % kLanes] = static_cast<std::int16_t>(value);
    }
  };

  void clear() {
    reach_.fill({});
    counts_.fill(0);
    for (std::size_t s = 0; s < kMostSums; ++s) full_.set(s, rooms_[s] == 0 ? kFull : 0);
  }
  void add(std::size_t sum, std::size_t element) {
    taken_[sum][counts_[sum]++] = static_cast<std::uint8_t>(element);
    for (std::size_t i = 0; i < kParts; ++i)
      reach_[i].set(sum, reach_[i].at(sum) + elements_[element].reach[i]);
    if (counts_[sum] == rooms_[sum]) full_.set(sum, kFull);
  }

  // Whether they would, could they be cut.
  bool may_fit() const {
    std::array<int, kParts> together{};
    for (const Element& element : elements_)
      for (std::size_t i = 0; i < kParts; ++i) together[i] += element.reach[i];
    bool fits = true;
    for (std::size_t i = 0; i < kParts; ++i)
      fits = fits && together[i] <= limits_[i] * static_cast<int>(count_);
    return fits;
  }

  // The sum with room that goes least far with this.
  std::size_t nearest(const Reach& more) const {
    int least = INT32_MAX;
    for (std::size_t first = 0; first < count_; first += kLanes) {
      Vector greatest = reach_[0].vectors[first / kLanes] + more[0];
      for (std::size_t i = 1; i < kParts; ++i) {
        const Vector part = reach_[i].vectors[first / kLanes] + more[i];
        greatest = part > greatest ? part : greatest;
      }
      greatest |= full_.vectors[first / kLanes];
      for (std::size_t lane = 0; lane < kLanes; ++lane)
        least =
            std::min<int>(least, greatest[lane] * int{kMostSums} + static_cast<int>(first + lane));
    }
    return static_cast<std::size_t>(least) % kMostSums;
  }

  int excess(std::size_t sum, const Reach& in = {}, const Reach& out = {}) const {
    int beyond = 0;
    for (std::size_t i = 0; i < kParts; ++i)
      beyond += std::max(0, reach_[i].at(sum) + in[i] - out[i] - limits_[i]);
    return beyond;
  }

  // Changes elements of sums that go too far with others, as long as that helps.
  bool mend() {
    for (int changes = 0;; ++changes) {
      std::size_t far = 0;
      while (far < count_ && excess(far) == 0) ++far;
      if (far == count_) return true;
      constexpr int kMostChanges = 16;
      if (changes == kMostChanges || !change_one(far)) return false;
    }
  }
  bool change_one(std::size_t far) {
    for (std::size_t other = 0; other < count_; ++other) {
      if (other == far) continue;
      const int before = excess(far) + excess(other);
      for (std::size_t a = 0; a < counts_[far]; ++a) {
        for (std::size_t b = 0; b < counts_[other]; ++b) {
          const Reach &mine = elements_[taken_[far][a]].reach,
                      &its = elements_[taken_[other][b]].reach;
          if (excess(far, its, mine) + excess(other, mine, its) >= before) continue;
          for (std::size_t i = 0; i < kParts; ++i) {
            reach_[i].set(far, reach_[i].at(far) + its[i] - mine[i]);
            reach_[i].set(other, reach_[i].at(other) + mine[i] - its[i]);
          }
          std::swap(taken_[far][a], taken_[other][b]);
          return true;
        }
      }
    }
    return false;
  }

  bool go_together(const Reach& a, const Reach& b) const {
    bool fits = true;
    for (std::size_t i = 0; i < kParts; ++i) fits = fits && a[i] + b[i] <= limits_[i];
    return fits;
  }
  // The ways to make pairs, those of elements with few partners first.
  bool match() {
    const std::size_t size = elements_.size();
    partners_.fill(0);
    for (std::size_t a = 0; a < size; ++a) {
      for (std::size_t b = a + 1; b < size; ++b) {
        if (!go_together(elements_[a].reach, elements_[b].reach)) continue;
        partners_[a] |= 1U << b;
        partners_[b] |= 1U << a;
      }
    }
    tries_ = 0;
    clear();
    return pair_up((1U << size) - 1, 2 * count_ - size, 0);
  }
  // Of the elements that are open, so many of which may stay alone, in the sums from `sum` on.
  bool pair_up(std::uint32_t open, std::size_t alone, std::size_t sum) {
    constexpr int kMostTries = 300;
    if (open == 0) return true;
    if (++tries_ > kMostTries) return false;
    std::size_t first = 0;
    int fewest = INT32_MAX;
    for (std::size_t e = 0; e < elements_.size(); ++e) {
      const int count = std::popcount(partners_[e] & open);
      if ((open >> e & 1U) == 0 || count >= fewest) continue;
      fewest = count;
      first = e;
    }
    open &= ~(1U << first);
    for (std::uint32_t left = partners_[first] & open; left != 0; left &= left - 1) {
      const auto second = static_cast<std::size_t>(std::countr_zero(left));
      taken_[sum] = {static_cast<std::uint8_t>(first), static_cast<std::uint8_t>(second)};
      counts_[sum] = 2;
      if (pair_up(open & ~(1U << second), alone, sum + 1)) return true;
    }
    taken_[sum] = {static_cast<std::uint8_t>(first)};
    counts_[sum] = 1;
    if (alone > 0 && pair_up(open, alone - 1, sum + 1)) return true;
    counts_[sum] = 0;
    return false;
  }

  static constexpr std::int16_t kFull = 1024;  // farther than any sum with room

  std::span<const Element> elements_;
  Reach limits_{};
  std::size_t count_ = 0;  // of sums
  int tries_ = 0;
  std::array<BySum, kParts> reach_{};
  BySum full_{};
  std::array<std::size_t, kMostSums> rooms_{}, counts_{};
  std::array<std::array<std::uint8_t, 4>, kMostSums> taken_{};  // elements
  std::array<std::uint32_t, kWindow> partners_{};
};

// Where each element has a sum of its own.
constexpr std::size_t kMostSteps = kWindow / 2;
using WindowWeights = std::array<std::array<std::int8_t, kColumns>, kWindow>;

// The steps of one window, in which all its columns have their places.
class WindowSteps {
 public:
  WindowSteps(const WindowWeights& weights, int most)
      : weights_(weights), placements_{Placement(most), Placement(most), Placement(most),
                                       Placement(most), Placement(most), Placement(most),
                                       Placement(most), Placement(most)} {
    std::size_t steps = 0;
    for (std::size_t j = 0; j < kHalf; ++j) {
      list(j);
      steps = std::max(steps, (counts_[j] + kQuad - 1) / kQuad);
    }
    // As few as there can be, of which as many as there can be are double. In twice as many each
    // element has a sum of its own.
    for (bool found = steps == 0; !found; ++steps) {
      ensure(steps <= kMostSteps, "weights of a window that no steps hold");
      for (doubles_ = steps / 2 + 1; !found && doubles_-- > 0;)
        found = fits(doubles_, singles_ = steps - 2 * doubles_);
    }
  }

  std::size_t doubles() const { return doubles_; }
  std::size_t singles() const { return singles_; }
  // The bytes of a step: the two of each double one come first.
  void append(std::size_t step, std::vector<std::int8_t>& to) const {
    const bool is_double = step < 2 * doubles_;
    std::array<std::int8_t, PairedPanel::kStepBytes> bytes{};
    std::fill_n(bytes.begin(), kHalf * kQuad, kNowhere);
    for (std::size_t j = 0; j < kHalf; ++j) {
      for (std::size_t i = 0; i < kQuad; ++i) {
        // Both sums of a double step go on in its second half.
        const std::size_t sum = (is_double ? step / 2 * 2 : 2 * (step - doubles_)) + i / 2;
        const Element* element =
            placements_[j].element(sum, is_double ? step % 2 * 2 + i % 2 : i % 2);
        if (element == nullptr) continue;
        const auto& row = weights_[static_cast<std::size_t>(element->position)];
        bytes[j * kQuad + i] = element->position;
        bytes[(kHalf + j) * kQuad + i] = row[j];
        bytes[(kColumns + j) * kQuad + i] = row[j + kHalf];
      }
    }
    to.insert(to.end(), bytes.begin(), bytes.end());
  }

 private:
  // The elements with weights in columns j and j + 8, the largest first.
  void list(std::size_t j) {
    std::array<int, kWindow> sizes;
    std::size_t& count = counts_[j];
    for (std::size_t k = 0; k < kWindow; ++k) {
      const int a = weights_[k][j], b = weights_[k][j + kHalf];
      const int size = std::max(std::abs(a), std::abs(b));
      if (size == 0) continue;
      std::size_t at = count++;
      for (; at > 0 && sizes[at - 1] < size; --at) {
        sizes[at] = sizes[at - 1];
        elements_[j][at] = elements_[j][at - 1];
      }
      sizes[at] = size;
      elements_[j][at] = {reach_of(a, b), static_cast<std::int8_t>(k)};
    }
  }
  bool fits(std::size_t doubles, std::size_t singles) {
    for (std::size_t j = 0; j < kHalf; ++j)
      if (!placements_[j].find(std::span(elements_[j]).first(counts_[j]), doubles, singles))
        return false;
    return true;
  }

  const WindowWeights& weights_;
  std::size_t doubles_ = 0, singles_ = 0;
  std::array<std::array<Element, kWindow>, kHalf> elements_{};
  std::array<std::size_t, kHalf> counts_{};
  std::array<Placement, kHalf> placements_;
};

}  // namespace

PairedPanel pair_panel(std::span<const std::int8_t> weights, std::int64_t depth, int most) {
  std::vector<std::uint32_t> doubles, singles;
  std::vector<std::int8_t> double_steps, single_steps;
  for (std::size_t row = 0; row < static_cast<std::size_t>(depth); row += kWindow) {
    WindowWeights window;
    for (std::size_t k = 0; k < kWindow; ++k)
      std::copy_n(weights.begin() + static_cast<std::ptrdiff_t>((row + k) * kColumns), kColumns,
                  window[k].begin());
    const WindowSteps steps(window, most);
    for (std::size_t step = 0; step < 2 * steps.doubles(); ++step) steps.append(step, double_steps);
    for (std::size_t step = 0; step < steps.singles(); ++step)
      steps.append(2 * steps.doubles() + step, single_steps);
    doubles.insert(doubles.end(), steps.doubles(), static_cast<std::uint32_t>(row));
    singles.insert(singles.end(), steps.singles(), static_cast<std::uint32_t>(row));
  }
  PairedPanel panel;
  panel.doubles = static_cast<std::uint32_t>(doubles.size());
  panel.singles = static_cast<std::uint32_t>(singles.size());
  panel.offsets.reserve(doubles.size() + singles.size());
  panel.offsets.insert(panel.offsets.end(), doubles.begin(), doubles.end());
  panel.offsets.insert(panel.offsets.end(), singles.begin(), singles.end());
  panel.steps.reserve(double_steps.size() + single_steps.size());
  panel.steps.insert(panel.steps.end(), double_steps.begin(), double_steps.end());
  panel.steps.insert(panel.steps.end(), single_steps.begin(), single_steps.end());
  return panel;
}

}  // namespace tandem
