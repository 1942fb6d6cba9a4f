#pragma once

#include <optional>
#include <vector>

#include "tandem/graph/lowering.h"

namespace tandem {

// The integer meaning of the real operators, called by their lower(). Activations stay in the
// operators' own order (channels second); IntConv and the pools get theirs last through a
// Transpose on either side, which transform/sink_transposes.h then moves out of the way.
using Lowered = std::optional<std::vector<CodedValue>>;

Lowered lower_convolution(LoweringSite& site);          // Conv(x, w, bias)
Lowered lower_matrix_product(LoweringSite& site);       // MatMul(a, b)
Lowered lower_batch_normalization(LoweringSite& site);  // BatchNormalization

Lowered lower_sum(LoweringSite& site, bool subtract);              // Add, Sub
Lowered lower_product(LoweringSite& site);                         // Mul
Lowered lower_quotient(LoweringSite& site);                        // Div by a constant
Lowered lower_clamp(LoweringSite& site, double low, double high);  // Relu, Clip, Relu6
// Any element-wise operator with one input that is not constant: a deferred table.
Lowered lower_by_table(LoweringSite& site);

Lowered lower_max_pool(LoweringSite& site);
Lowered lower_average_pool(LoweringSite& site);
enum class Reduced { kSum, kMean, kMax };
Lowered lower_reduction(LoweringSite& site, Reduced kind, const std::vector<std::int64_t>& axes,
                        bool keep_axes);
Lowered lower_arg_max(LoweringSite& site, std::size_t axis, bool keep_axis, bool select_last);
Lowered lower_softmax(LoweringSite& site, std::size_t axis);

// LayerNormalization, or with `centre` false RMSNormalization, over the axes from `axis` on.
Lowered lower_layer_normalization(LoweringSite& site, std::size_t axis, bool centre);
Lowered lower_group_normalization(LoweringSite& site);

// Data movement with one moved input (the first); further inputs are constants.
Lowered lower_movement(LoweringSite& site);
Lowered lower_concatenation(LoweringSite& site, std::size_t axis);
Lowered lower_padding(LoweringSite& site, double value);

}  // namespace tandem
