#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tandem {

// Memory of one thread that grows as asked for and begins at a cache line. What lay in it is lost
// with each call.
class ThreadMemory {
 public:
  void* take(std::size_t bytes) {
    constexpr std::size_t kAlignment = 64;
    if (memory_.size() < bytes + kAlignment) {
      memory_ = {};
      memory_.resize(bytes + kAlignment);
    }
    auto address = reinterpret_cast<std::uintptr_t>(memory_.data());
    address += (kAlignment - address % kAlignment) % kAlignment;
    return reinterpret_cast<void*>(address);
  }
  float* floats(std::int64_t count) {
    return static_cast<float*>(take(static_cast<std::size_t>(count) * sizeof(float)));
  }

 private:
  std::vector<std::byte> memory_;
};

}  // namespace tandem
