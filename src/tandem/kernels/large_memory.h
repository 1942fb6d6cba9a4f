#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <sys/mman.h>
#include <vector>

namespace tandem {

// Memory in few large pieces, on large pages where the system has them: constants are read from end
// to end in every run, and a small page takes a look into the page table each time.
class LargeMemory {
 public:
  void* take(std::size_t bytes) {
    constexpr std::size_t kLine = 64;
    bytes = (bytes + kLine - 1) / kLine * kLine;
    if (bytes > left_) add_piece(bytes);
    void* taken = next_;
    next_ += bytes;
    left_ -= bytes;
    return taken;
  }

 private:
  struct Release {
    void operator()(void* memory) const { std::free(memory); }  // NOLINT: of aligned_alloc
  };

  void add_piece(std::size_t bytes) {
    constexpr std::size_t kPage = std::size_t{2} << 20, kLeast = std::size_t{16} << 20;
    const std::size_t size = (std::max(bytes, kLeast) + kPage - 1) / kPage * kPage;
    pieces_.emplace_back(std::aligned_alloc(kPage, size));
    if (pieces_.back() == nullptr) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
    madvise(pieces_.back().get(), size, MADV_HUGEPAGE);  // a wish: nothing depends on it
#endif
    next_ = static_cast<std::byte*>(pieces_.back().get());
    left_ = size;
  }

  std::vector<std::unique_ptr<void, Release>> pieces_;
  std::byte* next_ = nullptr;
  std::size_t left_ = 0;
};

}  // namespace tandem
