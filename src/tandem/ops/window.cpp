#include "tandem/ops/window.h"

#include "tandem/base/error.h"

namespace tandem {

std::vector<std::int64_t> Window::output_extents(const std::vector<std::int64_t>& input) const {
  std::vector<std::int64_t> extents;
  for (std::size_t d = 0; d < rank(); ++d) {
    const std::int64_t reach = dilations[d] * (kernel[d] - 1) + 1;
    const std::int64_t padded = input[d] + pads_begin[d] + pads_end[d];
    if (padded < reach) {
      throw Error("the window reaches over ", reach, " elements of spatial axis ", d,
                  ", which has ", padded, " with padding");
    }
    extents.push_back((padded - reach) / strides[d] + 1);
  }
  return extents;
}

Window window_of(const NodeView& node, std::vector<std::int64_t> kernel) {
  Window window;
  const std::size_t rank = kernel.size();
  window.kernel = std::move(kernel);
  const auto positive = [&](std::string_view name) {
    auto list = node.integers(name);
    if (list.empty()) list.assign(rank, 1);
    if (list.size() != rank) throw Error(name, " has ", list.size(), " entries, not ", rank);
    for (const auto value : list)
      if (value < 1 || value > 1 << 20) throw Error(name, " has the entry ", value);
    return list;
  };
  window.strides = positive("strides");
  window.dilations = positive("dilations");
  auto pads = node.integers("pads");
  if (pads.empty()) pads.assign(2 * rank, 0);
  if (pads.size() != 2 * rank) throw Error("pads has ", pads.size(), " entries, not ", 2 * rank);
  for (const auto value : pads)
    if (value < 0 || value > 1 << 20) throw Error("pads has the entry ", value);
  const auto middle = pads.begin() + static_cast<std::ptrdiff_t>(rank);
  window.pads_begin.assign(pads.begin(), middle);
  window.pads_end.assign(middle, pads.end());
  for (const auto extent : window.kernel)
    if (extent < 1 || extent > 1 << 20) throw Error("the kernel has the extent ", extent);
  return window;
}

std::vector<AttributeSpec> window_attributes() {
  const Attribute none = std::vector<std::int64_t>{};
  return {
      {"strides", AttributeKind::kIntegers, "step per spatial axis; empty: 1", {none}, {}},
      {"dilations", AttributeKind::kIntegers, "spacing of kernel elements; empty: 1", {none}, {}},
      {"pads", AttributeKind::kIntegers, "all begins, then all ends; empty: 0", {none}, {}}};
}

}  // namespace tandem
