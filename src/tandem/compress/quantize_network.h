#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "tandem/compress/layer_inputs.h"
#include "tandem/compress/observed_network.h"
#include "tandem/compress/recipe.h"
#include "tandem/compress/sites.h"
#include "tandem/graph/module.h"

namespace tandem {

// Which moments of the inputs of layers a calibration gathers: the first for the correction of
// biases, the second for the rounding of weights by the error of their output.
enum class MomentsWanted { kNothing, kFirst, kSecond };
MomentsWanted moments_for(const CompressRecipe& recipe);

// A layer's weights as codes, and how far that moves the mean of each output channel.
struct RoundedWeights {
  CodedWeights coded;
  std::vector<double> mean_error;  // empty without moments
};

// Distributions of the values of a network at its sites, by group, gathered batch by batch in
// memory that does not depend on the number of samples.
class Calibration {
 public:
  // The network must outlive the calibration.
  // `importance` says whether ranges will be chosen by the error of what layers make of a value.
  Calibration(const Module& network, const QuantizationSites& sites,
              MomentsWanted moments = MomentsWanted::kNothing, bool importance = false);

  // Runs the network on one batch of its inputs. Throws Error naming a value that is not finite.
  void add(std::span<const Tensor> inputs);
  // Counts as one batch in which every site had these values.
  void assume(std::span<const double> values);
  std::int64_t batches() const { return batches_; }
  const ValueStatistics& group(std::size_t index) const { return statistics_[index]; }
  // choose_quantizer() for a group, which is searched once for the same rules. Not to be called
  // from several threads at once.
  const Quantizer& quantizer(std::size_t group, const QuantizerRules& rules) const;
  // Finds those of several groups on all threads, but for what quantizer() will throw on.
  void find_quantizers(const std::map<std::size_t, QuantizerRules>& rules) const;
  // The constant weights of a site as the recipe rounds them, found once for the same rules.
  const RoundedWeights& weights(const WeightSite& site, const CompressRecipe& recipe) const;

 private:
  // What is done with one of the observed values.
  struct Reader {
    std::size_t value;          // which of them
    std::size_t group = kNone;  // of the statistics, or
    NodeId layer = kNone;       // the layer that multiplies it
  };
  void take(const std::vector<std::vector<Tensor>>& seen, const std::vector<Reader>& readers);
  const Quantizer* known(std::size_t group, const QuantizerRules& rules) const;

  const Module& network_;
  std::vector<ValueId> observed_;
  std::vector<std::vector<Reader>> readers_;  // of one group or layer each
  std::optional<ObservedNetwork> running_;
  std::vector<std::pair<std::size_t, const Tensor*>> constants_;  // coded beside computed values
  std::vector<ValueStatistics> statistics_;
  std::vector<ChannelImportance> importance_;  // of the observed values, where wanted
  std::int64_t batches_ = 0;
  std::optional<LayerInputs> inputs_;
  struct Chosen {
    std::size_t group;
    QuantizerRules rules;
    Quantizer quantizer;
  };
  mutable std::deque<Chosen> chosen_;
  struct Rounded {
    NodeId layer;
    WeightRules rules;
    WeightRounding rounding;
    RoundedWeights weights;
  };
  mutable std::deque<Rounded> rounded_;
};

// The network with Quantize and Dequantize at its sites: weights are constant codes behind a
// Dequantize, biases and outputs stay real. The network must be the one that the sites were found
// in and the calibration ran. Throws Error on a width out of range, and where no batch was seen.
Module quantize_network(const Module& network, const QuantizationSites& sites,
                        const Calibration& calibration, const CompressRecipe& recipe);

// Whether only products read a site's codes, and each of its rows by itself, so that rows can have
// scales of their own.
bool takes_token_scales(const Module& network, const QuantizationSites& sites,
                        const ActivationSite& site);

// The coding that the recipe chooses for a site.
Quantizer quantizer_of(const ActivationSite& site, const QuantizationSites& sites,
                       const Calibration& calibration, const CompressRecipe& recipe);

}  // namespace tandem
