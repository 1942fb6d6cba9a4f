#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tandem/graph/module.h"
#include "tandem/transform/lower.h"

namespace tandem {

// Constant weights of a Conv, Gemm or MatMul, which become codes.
struct WeightSite {
  std::string layer;  // name of the node
  NodeId node = kNone;
  std::int64_t axis = 0;  // of the weights, along which the output channels lie
  std::int64_t elements = 0, channels = 0;
};

// A computed value that becomes codes where it is computed.
struct ActivationSite {
  std::string name;   // of the value
  std::string layer;  // of the node that computes it, or of the network's input
  ValueId value = kNone;
  std::size_t group = 0;  // sites of one group share one coding
  // Only sums, normalizations and averages read its codes and one of them, perhaps through sums, is
  // a normalization: the residual stream of a transformer, whose codes may be wide at little cost.
  bool residual = false;
  // Wants no zero point: a residual site, whose wide codes have room for both signs, and what a
  // product with another computed value reads, where integers would be centred before they are
  // multiplied.
  bool centred = false;
};

// Where the function "main" of a real network takes codes so that it lowers to integers.
struct QuantizationSites {
  std::vector<WeightSite> weights;
  std::vector<ActivationSite> activations;
  std::map<ValueId, InputCoding> inputs;  // inputs that arrive as codes
  // By node and input: whether it reads the codes of a site, or a coded input.
  std::vector<std::vector<bool>> reads_codes;
  std::vector<std::size_t> group_of;  // by value: whose codes it has, kNone where none
  std::size_t groups = 0;
  bool coded_outputs = false;
};

struct SiteRules {
  std::map<std::string, InputCoding> inputs;  // by name; the other inputs are calibrated
  std::set<std::string> real_layers;          // names of nodes that stay real
  bool real_activations = false;              // weights alone become codes
  bool shared_sums = false;                   // both operands of a sum share one coding
  bool coded_outputs = false;                 // outputs are codes, not the sums that they are
};

// As few places as possible: products, sums of two computed values, averages, concatenations and
// functions of one variable read codes, and so do normalizations by statistics of the sample. Relu,
// Clip, normalization and constants that are added or multiplied stay with the sums before them,
// and codes are taken behind them. Maxima and data movement pass codes on, so that a value is coded
// where it is computed and once only. Outputs stay the sums that they are unless the rules say
// otherwise. Operands of a Concat share one coding. Throws Error when the network has Quantize or
// Dequantize nodes, or none to quantize, or an input or layer of the rules that it has not.
QuantizationSites find_sites(const Module& network, const SiteRules& rules = {});

}  // namespace tandem
