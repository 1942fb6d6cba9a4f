#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "tandem/graph/builder.h"
#include "tandem/graph/module.h"

namespace tandem::test {

// Builds small real networks with random weights, layer by layer; registers the operators.
class NetworkMaker {
 public:
  explicit NetworkMaker(unsigned seed = 1);

  // Layers of channels-second values; each returns its result. Names are those of the nodes.
  ValueId input(const std::string& name, const Shape& sample);  // [N, sample...]
  ValueId conv(const std::string& name, ValueId x, std::int64_t filters, std::int64_t kernel,
               std::int64_t group = 1, bool bias = true);  // padded to the same extents
  ValueId batch_norm(const std::string& name, ValueId x);
  ValueId gemm(const std::string& name, ValueId x, std::int64_t outputs);  // weights transposed
  ValueId matmul(const std::string& name, ValueId x, std::int64_t outputs);
  ValueId max_pool(const std::string& name, ValueId x);  // 2 x 2
  ValueId unary(const std::string& op, const std::string& name, ValueId x);
  ValueId add(const std::string& name, ValueId a, ValueId b);
  ValueId reshape_flat(const std::string& name, ValueId x);  // [N, rest]
  ValueId constant(const Shape& shape, double low, double high);

  Builder& builder() { return builder_; }
  Module finish(ValueId output);  // verified

  // Reals [shape...], uniform in [low, high).
  Tensor random(const Shape& shape, double low = -1, double high = 1);

 private:
  std::int64_t channels(ValueId x);
  Module module_;
  Builder builder_;
  std::mt19937 engine_;
};

// A vision transformer for images [1,3,8,8]: patches of 4 x 4 and a class token, each of 16
// numbers; blocks of attention with two heads and of two layers with a GELU between them, both
// before a residual sum and behind a normalization; ten scores of the class token.
struct TransformerOptions {
  std::int64_t blocks = 2;
  bool root_mean_square = false;   // RMSNormalization, not LayerNormalization
  std::string activation = "erf";  // "erf" or "tanh", as exporters write GELU, or an operator
};
Module small_transformer(const TransformerOptions& options = {}, unsigned seed = 1);

// The operators of "main", in order.
std::vector<std::string> operators_of(const Module& module);

// The greatest difference of the outputs of two real networks on the same input, divided by the
// greatest output.
double relative_difference(const Module& a, const Module& b, const Tensor& input);

}  // namespace tandem::test
