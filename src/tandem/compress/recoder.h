#pragma once

#include <map>
#include <string>
#include <vector>

#include "tandem/compress/quantize_network.h"
#include "tandem/data/dataset.h"
#include "tandem/transform/lower.h"

namespace tandem {

// Makes a network ready for quantization: a hybrid one real (hybrid.h), then the passes that keep
// its function (transform/): folded constants and batch norms, clamps before max pools.
void prepare_for_quantization(Module& network);

// How a set of integer samples arrives at the network's one input; empty for a set of reals. Throws
// Error where the network has other inputs too or the samples do not fit.
std::map<std::string, InputCoding> codings_of_samples(const Module& network, const DataSet& data);

// A real network with its sites and a calibration: all that recipes need.
class Recoder {
 public:
  // Runs a prepared network on all samples of a set. Inputs arrive in the codes of the set where it
  // has integer samples. Throws Error as find_sites() and for_each_batch() do.
  // `importance` as for Calibration.
  Recoder(Module prepared, const DataSet& calibration, SiteRules rules = {},
          MomentsWanted moments = MomentsWanted::kNothing, bool importance = false);
  // Without data, as if every value lay in [-1, 1]: enough to see which nodes get an integer form.
  explicit Recoder(Module prepared, const SiteRules& rules = {});

  const Module& network() const { return network_; }
  const QuantizationSites& sites() const { return sites_; }
  Quantizer quantizer(const ActivationSite& site, const CompressRecipe& recipe) const {
    return quantizer_of(site, sites_, calibration_, recipe);
  }
  const ValueStatistics& statistics(const ActivationSite& site) const {
    return calibration_.group(site.group);
  }
  Module recoded(const CompressRecipe& recipe) const {
    return quantize_network(network_, sites_, calibration_, recipe);
  }

  Recoder(const Recoder&) = delete;  // the calibration refers to the members beside it
  Recoder& operator=(const Recoder&) = delete;

 private:
  Module network_;
  QuantizationSites sites_;
  Calibration calibration_;
};

}  // namespace tandem
