#pragma once

#include <functional>
#include <span>
#include <vector>

#include "tandem/data/dataset.h"
#include "tandem/graph/module.h"

namespace tandem {

// Calls `visit` with the inputs of a real network for all samples of a set, batch by batch; the
// network must have one input. Throws Error where the samples do not fit it, and naming one that is
// not finite.
using BatchVisitor = std::function<void(std::span<const Tensor>)>;
void for_each_batch(const Module& network, const DataSet& data, const BatchVisitor& visit);

// The outputs of a real network for all samples of a set, each [samples, ...].
std::vector<Tensor> outputs_of(const Module& network, const DataSet& data);

// Energy of the difference of two sets of outputs as a share of the energy of the first: the
// inverse of the signal-to-noise ratio, averaged over the outputs. 0 where both are zero.
double relative_noise(std::span<const Tensor> exact, std::span<const Tensor> approximate);

// Share of samples whose greatest score (in the first output) is that of the label; where the set
// has no labels, whose greatest score is that of `reference` too.
double accuracy_of(std::span<const Tensor> outputs, const DataSet& data,
                   std::span<const Tensor> reference);

}  // namespace tandem
