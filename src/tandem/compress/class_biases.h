#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tandem/data/dataset.h"
#include "tandem/graph/module.h"
#include "tandem/tensor/tensor.h"

namespace tandem {

// The biases b [classes] with which scores z + b fit labels best: of greatest likelihood under
// softmax(z + b), where b is held near 0 by a normal prior of this standard deviation, so that a
// class of few samples keeps what the network says of it. It is the vector scaling of Guo et al.
// ("On Calibration of Modern Neural Networks", 2017, section 4.2) without its factors.
constexpr double kClassBiasDeviation = 0.6;
// `scores` [samples][classes]. Throws Error naming a label that is no class.
std::vector<double> fit_class_biases(std::span<const double> scores, std::size_t classes,
                                     std::span<const std::int64_t> labels);

// Adds fitted biases to the class scores of a network of reals, recoded or not, before what maps
// them monotonically (their coding, a softmax, another shape): what recoding, or training, did to
// the frequencies of classes goes. The sets must have labels. Returns the biases; throws Error
// where the first output is no score for each of several classes.
std::vector<double> add_class_biases(Module& network, std::span<const DataSet* const> labelled);

}  // namespace tandem
