#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tandem/graph/lowering.h"

namespace tandem {

// How integers compute exponentials.
enum class Exponential {
  kTable,       // the product of two tables: within 2^-15, and 0.3 % where distances are rounded
  kShift,       // 2^-f = 1 - f / 2 on f in [0, 1), and shifts ("I-ViT", Li and Gu, 2023, Shiftmax)
  kPolynomial,  // 0.3585 (r + 1.353)^2 + 0.344 on r in (-ln 2, 0], and shifts ("I-BERT", Kim et
                // al., 2021; with these constants in "FQ-ViT", Lin et al., 2022)
};
std::string_view name(Exponential how);                // "table", "shift", "polynomial"
Exponential parse_exponential(std::string_view text);  // throws Error naming the nearest
std::vector<std::string> exponential_names();

// Of the grid that distances are brought to for all but kTable: steps of 2^-10. The published forms
// compute on the steps of their input, whose rounding they then suffer.
inline constexpr int kExponentialGrid = 10;

// Integers in proportion to e^(-unit * distance), for distances of an unsigned format.
ValueId negative_exponentials(LoweringSite& site, ValueId distance, double unit, std::size_t rank,
                              Exponential how, int grid_bits = kExponentialGrid);

}  // namespace tandem
