#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "tandem/compress/sites.h"
#include "tandem/graph/module.h"
#include "tandem/tensor/tensor.h"

namespace tandem {

// Sums over what a layer multiplies with its weights: the vectors x of `columns` numbers of which
// each output channel of a group is a product.
struct InputMoments {
  std::int64_t groups = 1, columns = 0;
  std::int64_t count = 0;       // of vectors
  std::vector<double> first;    // [groups][columns]: sum of x
  std::vector<double> squares;  // [groups][columns]: sum of x^2
  std::vector<double> second;   // [groups][columns][columns]: sum of x x^T; empty where not wanted

  double mean(std::int64_t group, std::int64_t column) const;
  double variance(std::int64_t group, std::int64_t column) const;
};

// The moments of the layers with constant weights, gathered batch by batch. Their memory depends on
// the network alone. A sample adds at most kPositions vectors to a convolution, evenly spaced.
class LayerInputs {
 public:
  static constexpr std::int64_t kPositions = 64;
  // The network must outlive it.
  LayerInputs(const Module& network, const QuantizationSites& sites, bool second_moments);

  // Samples of what a layer reads. Different layers may take theirs at the same time.
  void add(NodeId layer, std::span<const Tensor> samples);
  const InputMoments& of(NodeId layer) const;

 private:
  // Appends the vectors of a group that a sample gives.
  void product_vectors(const Node& node, const Tensor& x, std::vector<float>& vectors) const;
  void convolution_vectors(const Node& node, const Tensor& x, std::int64_t group,
                           const InputMoments& moments, std::vector<float>& vectors) const;
  void add_vectors(InputMoments& moments, std::int64_t group,
                   const std::vector<float>& vectors) const;

  const Module& network_;
  bool second_;
  std::map<NodeId, InputMoments> moments_;
};

}  // namespace tandem
