#include "tandem/kernels/saturation.h"

#include <algorithm>

namespace tandem {
namespace {

constexpr std::size_t kColumns = PairedPanel::kColumns, kQuad = PairedPanel::kQuad,
                      kWeights = kColumns * kQuad, kSums = 2 * kColumns;

// What the positive and the negative weights of each 16-bit sum add up to bounds every part of it.
struct Reach {
  std::array<std::int16_t, kSums> positive{}, negative{};

  void add(const std::int8_t* step) {
    for (std::size_t i = 0; i < kWeights; ++i) {
      positive[i / 2] = static_cast<std::int16_t>(positive[i / 2] + std::max<int>(step[i], 0));
      negative[i / 2] = static_cast<std::int16_t>(negative[i / 2] + std::min<int>(step[i], 0));
    }
  }
  // This and another together.
  bool fits_with(const Reach& other, int most) const {
    const int up = INT16_MAX / most, down = INT16_MIN / most;
    int beyond = 0;
    for (std::size_t s = 0; s < kSums; ++s) {
      beyond |= up - (positive[s] + other.positive[s]);
      beyond |= negative[s] + other.negative[s] - down;
    }
    return beyond >= 0;  // none of them is negative
  }
  void join(const Reach& other) {
    for (std::size_t s = 0; s < kSums; ++s) {
      positive[s] = static_cast<std::int16_t>(positive[s] + other.positive[s]);
      negative[s] = static_cast<std::int16_t>(negative[s] + other.negative[s]);
    }
  }
};

struct Step {
  std::uint32_t offset = 0;
  std::array<std::int8_t, kWeights> weights{};  // [column][element]
};

Step step_at(std::span<const std::int8_t> weights, std::size_t row) {
  Step step{static_cast<std::uint32_t>(row), {}};
  for (std::size_t i = 0; i < kQuad; ++i)
    for (std::size_t j = 0; j < kColumns; ++j)
      step.weights[j * kQuad + i] = weights[(row + i) * kColumns + j];
  return step;
}

// Puts each step to the first of some groups with which it fits.
class Groups {
 public:
  explicit Groups(int most) : most_(most) {}

  void add(const Step& step, const Reach& reach) {
    for (auto group = open_.begin(); group != open_.end(); ++group) {
      if (!group->reach.fits_with(reach, most_)) continue;
      group->steps.push_back(step);
      group->reach.join(reach);
      if (group->steps.size() == PairedPanel::kMostLength) close(group);
      return;
    }
    constexpr std::size_t kMostOpen = 12;
    if (open_.size() == kMostOpen) close(open_.begin());
    open_.push_back({{step}, reach});
  }

  void finish(PairedPanel& panel) {
    while (!open_.empty()) close(open_.begin());
    for (std::size_t length = PairedPanel::kMostLength; length > 0; --length) {
      const auto& steps = closed_[length - 1];
      panel.groups[PairedPanel::kMostLength - length] =
          static_cast<std::uint32_t>(steps.size() / length);
      for (const Step& step : steps) {
        panel.offsets.push_back(step.offset);
        panel.weights.insert(panel.weights.end(), step.weights.begin(), step.weights.end());
      }
    }
  }

 private:
  struct Group {
    std::vector<Step> steps;
    Reach reach;
  };
  void close(std::vector<Group>::iterator group) {
    auto& steps = closed_[group->steps.size() - 1];
    steps.insert(steps.end(), group->steps.begin(), group->steps.end());
    open_.erase(group);
  }

  int most_;
  std::vector<Group> open_;
  std::array<std::vector<Step>, PairedPanel::kMostLength> closed_;  // by length
};

// Words of elements 0 and 2, then of 1 and 3.
void append_wide(const Step& step, std::vector<std::int16_t>& words) {
  for (std::size_t first = 0; first < 2; ++first)
    for (std::size_t j = 0; j < kColumns; ++j)
      for (std::size_t i = 0; i < 2; ++i) words.push_back(step.weights[j * kQuad + first + 2 * i]);
}

// Pairs that may saturate in some column.
std::int64_t unproven_pairs(const Reach& reach, int most) {
  std::int64_t count = 0;
  for (std::size_t pair = 0; pair < 2; ++pair) {
    bool fits = true;
    for (std::size_t s = pair; s < kSums; s += 2)
      fits = fits && reach.positive[s] * most <= INT16_MAX && reach.negative[s] * most >= INT16_MIN;
    count += fits ? 0 : 1;
  }
  return count;
}

}  // namespace

PairedPanel pair_panel(std::span<const std::int8_t> weights, std::int64_t depth, int most) {
  PairedPanel panel;
  Groups groups(most);
  std::vector<std::uint32_t> wide;
  for (std::size_t row = 0; row < static_cast<std::size_t>(depth); row += kQuad) {
    const Step step = step_at(weights, row);
    panel.pairs += 2;
    if (std::all_of(step.weights.begin(), step.weights.end(), [](int w) { return w == 0; }))
      continue;
    Reach reach;
    reach.add(step.weights.data());
    const std::int64_t unproven = unproven_pairs(reach, most);
    if (unproven == 0) {
      groups.add(step, reach);
      continue;
    }
    panel.unproven += unproven;
    wide.push_back(step.offset);
    append_wide(step, panel.wide_weights);
  }
  groups.finish(panel);
  panel.offsets.insert(panel.offsets.end(), wide.begin(), wide.end());
  return panel;
}

bool fits_16_bits(std::span<const std::int8_t> weights, int most) {
  int positive = 0, negative = 0;
  for (const std::int8_t weight : weights) (weight > 0 ? positive : negative) += weight;
  return positive * most <= INT16_MAX && negative * most >= INT16_MIN;
}

}  // namespace tandem
