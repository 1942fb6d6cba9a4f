#include "tandem/codesign/network_task.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/compress/measure.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/printer.h"
#include "tandem/verify/cpu_execution.h"
#include "tandem/verify/network.h"
#include "tandem/verify/reference_execution.h"

namespace tandem {

double lowered_accuracy(const Module& lowered, const DataSet& data,
                        const std::vector<Tensor>& exact) {
  const NetworkSamples samples(lowered, {data});
  const Samples outputs = CpuExecution(lowered).run(samples.codes(lowered));
  const std::vector<Tensor> reals{decoded_output(lowered, 0, outputs.front())};
  return accuracy_of(reals, data, exact);
}

NetworkTask::NetworkTask(const Module& network, const DataSet& calibration,
                         const DataSet& selection, const Device& device, McuRequest request,
                         Measurements& measurements)
    : network_(network),
      selection_(selection),
      measurements_(measurements),
      traits_(device_traits(device)),
      planner_(device, request) {
  if (is_quantized(network)) {
    codings_ = codings_of_samples(network, selection);
  } else {
    Module prepared = network;
    prepare_for_quantization(prepared);
    recoder_ = std::make_unique<Recoder>(std::move(prepared), calibration);
  }
  if (is_lowered(network)) {
    // Integers are all there is: they are the standard that they are measured against.
    const Module single = lowered_network(network);
    const NetworkSamples samples(network, {selection});
    const Samples outputs = ReferenceExecution(single).run(samples.codes(single));
    exact_ = {decoded_output(single, 0, outputs.front())};
  } else {
    exact_ = outputs_of(network, selection);
  }
  float_accuracy_ = accuracy_of(exact_, selection, exact_);
}

const QuantizationSites* NetworkTask::sites() const {
  return recoder_ ? &recoder_->sites() : nullptr;
}

Module NetworkTask::recoded(const CompressRecipe& recipe) const {
  return recoder_ ? recoder_->recoded(recipe) : network_;
}

double NetworkTask::noise(const CompressRecipe& recipe) {
  ensure(recoder_ != nullptr, "noise of a network that is not recoded");
  return measurements_.get("noise: " + describe(recoder_->sites(), recipe), [&] {
    return relative_noise(exact_, outputs_of(recoder_->recoded(recipe), selection_));
  });
}

Module NetworkTask::lowered(const CompressRecipe& recipe) {
  return recoder_ ? lowered_network(recoder_->recoded(recipe))
                  : lowered_network(network_, codings_);
}

std::vector<PlannedNetwork> NetworkTask::plans(const Module& lowered) {
  return planner_.plans(lowered);
}

double NetworkTask::accuracy_drop(const Module& lowered) {
  return measurements_.get("accuracy drop: " + content_hash(print_module(lowered)), [&] {
    return float_accuracy_ - lowered_accuracy(lowered, selection_, exact_);
  });
}

}  // namespace tandem
