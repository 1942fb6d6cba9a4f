#pragma once

#include <cstddef>
#include <vector>

namespace tandem {

// One way to treat an item: what it takes from the budget and what it loses.
struct BudgetOption {
  double cost = 0, loss = 0;
};

// A choice for every item (an index into its options), with the sums of cost and loss.
struct Allocation {
  std::vector<std::size_t> choice;
  double cost = 0, loss = 0;
};

// The allocations on the lower convex hull of total cost against total loss, from the one of least
// loss to the one of least cost: each is optimal among all allocations that cost no more (Shoham
// and Gersho, "Efficient bit allocation for an arbitrary set of quantizers", IEEE Trans. ASSP 1988,
// which walks along the hull of every item in the order of loss added per cost saved). Between two
// neighbours exactly one item changes. Ties go to the item that comes first. Throws InternalError
// when an item has no option or a number is not finite.
std::vector<Allocation> budget_path(const std::vector<std::vector<BudgetOption>>& items);

}  // namespace tandem
