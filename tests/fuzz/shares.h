#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tandem::fuzz {

// Counts how far inputs come, and prints the share of each stage when the program ends.
class Shares {
 public:
  // The stages in words: "past the wire format".
  explicit Shares(std::vector<std::string> stages)
      : stages_(std::move(stages)), counts_(stages_.size()) {}
  ~Shares();
  Shares(const Shares&) = delete;
  Shares& operator=(const Shares&) = delete;

  void input() { ++inputs_; }
  void reached(std::size_t stage) { ++counts_[stage]; }

 private:
  std::vector<std::string> stages_;
  std::vector<std::uint64_t> counts_;
  std::uint64_t inputs_ = 0;
};

}  // namespace tandem::fuzz
