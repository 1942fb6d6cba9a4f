#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tandem/codesign/measurements.h"
#include "tandem/codesign/planning.h"
#include "tandem/codesign/search.h"
#include "tandem/compress/recoder.h"
#include "tandem/data/dataset.h"
#include "tandem/device/device.h"

namespace tandem {

// A network as read, on samples for calibration and selection, for one device.
class NetworkTask final : public FitTask {
 public:
  // All must outlive the task. Throws Error where the network cannot be quantized, or the samples
  // do not fit it.
  NetworkTask(const Module& network, const DataSet& calibration, const DataSet& selection,
              const Device& device, McuRequest request, Measurements& measurements);

  const QuantizationSites* sites() const override;
  std::vector<int> widths() const override { return traits_.widths; }
  std::vector<std::string> cost_measures() const override { return traits_.cost_measures; }
  double noise(const CompressRecipe& recipe) override;
  Module lowered(const CompressRecipe& recipe) override;
  std::vector<PlannedNetwork> plans(const Module& lowered) override;
  double accuracy_drop(const Module& lowered) override;

  const Recoder* recoder() const { return recoder_.get(); }
  // The network of reals with its codes, which lowers to lowered(recipe).
  Module recoded(const CompressRecipe& recipe) const;
  double float_accuracy() const { return float_accuracy_; }  // on selection samples

 private:
  const Module& network_;
  const DataSet& selection_;
  Measurements& measurements_;
  DeviceTraits traits_;
  DevicePlanner planner_;
  std::unique_ptr<Recoder> recoder_;
  std::map<std::string, InputCoding> codings_;  // of a quantized network
  std::vector<Tensor> exact_;                   // outputs on selection samples
  double float_accuracy_ = 0;
};

// Accuracy of a lowered network as this CPU computes it (every execution computes the same);
// `exact` are the outputs of the network as read, for sets without labels.
double lowered_accuracy(const Module& lowered, const DataSet& data,
                        const std::vector<Tensor>& exact);

}  // namespace tandem
