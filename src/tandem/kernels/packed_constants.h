#pragma once

#include <dnnl.hpp>
#include <map>

#include "tandem/kernels/dense.h"
#include "tandem/kernels/large_memory.h"
#include "tandem/kernels/panel_product.h"
#include "tandem/kernels/tile_product.h"

namespace tandem {

// Internal to the room: oneDNN's engine, its stream for the calling thread, which works alone, and
// the constants in the orders that primitives want.

const dnnl::engine& dnnl_engine();
const dnnl::stream& dnnl_stream();

struct PackedConstants::Kept {
  LargeMemory pieces;
  std::int64_t product_weights = 0;  // copied for products
  struct Entry {
    const float* data;
    dnnl::memory::desc given, wanted;
    dnnl::memory memory;
  };
  std::multimap<const float*, Entry> entries;
  struct Turned {
    std::int64_t filters, channels, positions;
    const float* memory;
  };
  std::multimap<const float*, Turned> turned;

  // As turn_to_panels() says.
  const float* in_panels(const float* w, std::int64_t filters, std::int64_t channels,
                         std::int64_t positions) {
    const auto [first, last] = turned.equal_range(w);
    for (auto entry = first; entry != last; ++entry) {
      const Turned& known = entry->second;
      if (known.filters == filters && known.channels == channels && known.positions == positions)
        return known.memory;
    }
    const std::int64_t size = filters * channels * positions;
    auto* memory = static_cast<float*>(pieces.take(static_cast<std::size_t>(size) * sizeof(float)));
    turn_to_panels(w, filters, channels, positions, memory);
    turned.emplace(w, Turned{filters, channels, positions, memory});
    return memory;
  }

  struct Filters {
    WeightOrder order;
    std::int64_t lanes;
    const float* memory;
  };
  std::multimap<const float*, Filters> in_filters;

  // As turn_to_filter_panels() says.
  const float* in_filter_panels(const float* w, const WeightOrder& order) {
    const auto [first, last] = in_filters.equal_range(w);
    for (auto entry = first; entry != last; ++entry)
      if (entry->second.order == order && entry->second.lanes == panel_lanes())
        return entry->second.memory;
    const auto bytes = static_cast<std::size_t>(panel_floats(order)) * sizeof(float);
    auto* memory = static_cast<float*>(pieces.take(bytes));
    turn_to_filter_panels(w, order, memory);
    in_filters.emplace(w, Filters{order, panel_lanes(), memory});
    return memory;
  }

  // The elements in the order that a primitive wants: themselves where they lie so.
  dnnl::memory in_order(const dnnl::memory::desc& given, const dnnl::memory::desc& wanted,
                        const float* data) {
    const dnnl::memory plain(given, dnnl_engine(), const_cast<float*>(data));
    if (given == wanted) return plain;
    const auto [first, last] = entries.equal_range(data);
    for (auto entry = first; entry != last; ++entry)
      if (entry->second.given == given && entry->second.wanted == wanted)
        return entry->second.memory;
    dnnl::memory memory(wanted, dnnl_engine(), pieces.take(wanted.get_size()));
    dnnl::memory source = plain;
    auto& ready = const_cast<dnnl::stream&>(dnnl_stream());
    dnnl::reorder(source, memory).execute(ready, source, memory);
    ready.wait();
    entries.emplace(data, Entry{data, given, wanted, memory});
    return memory;
  }
};

}  // namespace tandem
