#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "tandem/compress/histogram.h"
#include "tandem/compress/recipe.h"
#include "tandem/compress/sites.h"
#include "tandem/graph/module.h"

namespace tandem {

// Distributions of the values of a network at its sites, by group, gathered batch by batch in
// memory that does not depend on the number of samples.
class Calibration {
 public:
  // The network must outlive the calibration.
  Calibration(const Module& network, const QuantizationSites& sites);

  // Runs the network on one batch of its inputs.
  void add(std::span<const Tensor> inputs);
  // Counts as one batch in which every site had these values.
  void assume(std::span<const double> values);
  std::int64_t batches() const { return batches_; }
  const Histogram& group(std::size_t index) const { return histograms_[index]; }
  // choose_quantizer() for a group, which is searched once for the same rules. Not to be called
  // from several threads at once.
  const UniformQuantizer& quantizer(std::size_t group, const QuantizerRules& rules) const;

 private:
  const Module& network_;
  std::map<ValueId, std::size_t> group_of_;
  std::vector<std::pair<std::size_t, const Tensor*>> constants_;  // coded beside computed values
  std::vector<Histogram> histograms_;
  std::int64_t batches_ = 0;
  mutable std::map<std::pair<std::size_t, QuantizerRules>, UniformQuantizer> chosen_;
};

// The network with Quantize and Dequantize at its sites: weights are constant codes behind a
// Dequantize, biases and outputs stay real. The network must be the one that the sites were found
// in and the calibration ran. Throws Error on a width out of range, and where no batch was seen.
Module quantize_network(const Module& network, const QuantizationSites& sites,
                        const Calibration& calibration, const CompressRecipe& recipe);

// The coding that the recipe chooses for a site.
UniformQuantizer quantizer_of(const ActivationSite& site, const QuantizationSites& sites,
                              const Calibration& calibration, const CompressRecipe& recipe);

}  // namespace tandem
