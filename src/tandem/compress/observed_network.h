#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tandem/graph/module.h"

namespace tandem {

// A real network whose values can be looked at while the kernels of this processor run it. Where
// the first dimension of all inputs is the one symbol, the batch, samples run one by one, side by
// side on the threads, so that what is seen depends neither on batches nor on threads. Values that
// the kernels cannot plan, as where data decide sizes, come from the operators' definitions.
class ObservedNetwork {
 public:
  // `values` of "main": computed ones or inputs. The network must outlive it.
  ObservedNetwork(const Module& network, std::vector<ValueId> values);
  ~ObservedNetwork();

  // Runs the network on a batch. `visit` gets the values in their order, each with one tensor for
  // each of the next samples; together they take about kBytes, or are those of one sample.
  using Visitor = std::function<void(const std::vector<std::vector<Tensor>>&)>;
  void run(std::span<const Tensor> inputs, const Visitor& visit);
  static constexpr std::int64_t kBytes = std::int64_t{1} << 28;

 private:
  class Runner;
  Runner& runner_for(std::span<const Tensor> inputs);

  const Module& network_;
  std::vector<ValueId> values_;
  Module narrowed_;  // gives the computed ones of the values, and nothing else
  bool by_sample_ = false;
  // The last two, by what the symbols are: a last batch may be smaller.
  std::vector<std::pair<std::map<std::string, std::int64_t>, std::unique_ptr<Runner>>> runners_;
};

}  // namespace tandem
