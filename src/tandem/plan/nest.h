#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "tandem/tensor/tensor.h"

namespace tandem {

// One loop of an address nest. Index i adds i * stride to the address, or table[i] where the
// table is not empty (table[0] = 0).
struct NestLoop {
  std::int64_t count = 1;
  std::int64_t stride = 0;
  std::vector<std::int64_t> table;

  std::int64_t at(std::int64_t index) const {
    return table.empty() ? index * stride : table[static_cast<std::size_t>(index)];
  }
  std::int64_t last() const { return at(count - 1); }
  std::int64_t least() const;
};

// An address is inside only where 0 <= base + sum over loops of index * stride < extent.
struct NestBound {
  std::int64_t extent = 0, base = 0;
  std::vector<std::int64_t> strides;  // one per loop
};

// The addresses that a stage reads from its store, in the order of its output: nested loops, the
// last one fastest. Where a bound fails the element is the fill value and nothing is read.
struct Nest {
  std::vector<NestLoop> loops;
  std::int64_t base = 0;
  std::vector<NestBound> bounds;

  std::int64_t beats() const;  // addresses per frame
};

// Walks a nest from beat to beat.
class NestWalker {
 public:
  explicit NestWalker(const Nest& nest);
  std::int64_t address() const { return address_; }
  bool inside() const;
  std::int64_t index(std::size_t loop) const { return index_[loop]; }
  // To the next beat; returns the loop that advanced (loops after it restarted), or the number of
  // loops when the frame ended and all restarted.
  std::size_t advance();

 private:
  const Nest* nest_;
  std::vector<std::int64_t> index_;
  std::int64_t address_;
  std::vector<std::int64_t> coordinates_;
};

// When elements that no later beat of the frame reads may be overwritten: at the start of a frame
// those below `start`; each time one of the first `loops` loops advances, those below
// start + the contribution of these loops to the address.
struct Release {
  std::size_t loops = 0;
  std::int64_t start = 0;
};
Release release_rule(const Nest& nest);

// The least number of elements a circular store must hold so that the nest can run to its end.
std::int64_t least_store(const Nest& nest);

// The nest that reads `map` (element of the frame per output element, -1: fill), where `shape` is
// the shape of the output. nullopt when the rest of the fills is no box in that shape, or is not
// read in even steps; nest_of_map() throws InternalError then.
std::optional<Nest> find_nest(const Shape& shape, std::span<const std::int64_t> map);
Nest nest_of_map(const Shape& shape, std::span<const std::int64_t> map);

// The same nest without loops of one iteration and with neighbouring loops joined where they step
// as one.
Nest simplified(Nest nest);

// True when the nest reads elements 0, 1, ..., frame - 1 in this order.
bool is_identity(const Nest& nest, std::int64_t frame);

// True when every aligned group of `lanes` outputs is an aligned group of `lanes` elements, so
// that the nest may move words instead; in_words gives that nest.
bool has_lanes(const Nest& nest, std::int64_t lanes);
Nest in_words(const Nest& nest, std::int64_t lanes);

}  // namespace tandem
