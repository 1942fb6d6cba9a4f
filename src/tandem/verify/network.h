#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tandem/data/dataset.h"
#include "tandem/transform/lower.h"
#include "tandem/verify/execution.h"

namespace tandem {

// What every verb that runs a network shares: its lowered form, and samples in the form in which
// its executions take them.

using InputCodings = std::map<std::string, InputCoding>;  // by input name

// A lowered module for one sample: `network` itself where it is lowered already, else lower() with
// the given codings; the symbol of the batch is bound to 1. Throws Error naming any other symbol,
// a batch of more than one, or every node without integer form.
Module lowered_network(const Module& network, const InputCodings& codings = {});

// Whether an execution takes and gives a network's own reals, not those of its integer form: float
// always does, cpu does but for networks of integers, of quantized states, and of the rescalings of
// TensorFlow Lite. Between Dequantize and Quantize cpu computes codes by exact integers.
bool computes_reals(std::string_view execution, const Module& network);

// The network with the symbol of its batch, if it has one, bound to 1.
Module for_one_sample(const Module& network);

// The codings that sets of integer samples (one per input) give to real inputs of a network. None
// for sets of reals, and for inputs that are integers themselves.
InputCodings codings_of(const Module& network, const std::vector<DataSet>& inputs);

// Samples for a network: one set for each of its inputs, in their order.
class NetworkSamples {
 public:
  // Throws Error where the sets do not fit the inputs or differ in their number of samples.
  NetworkSamples(const Module& network, std::vector<DataSet> inputs);

  std::int64_t count() const { return inputs_.front().count(); }
  const std::vector<std::int64_t>& labels() const { return inputs_.front().labels; }
  const std::vector<DataSet>& inputs() const { return inputs_; }

  // What the inputs of a real network take: reals, or codes where an input is of integers.
  Samples reals(const Module& network) const;
  // Codes in the codings of a lowered network's inputs.
  Samples codes(const Module& lowered) const;

 private:
  std::vector<DataSet> inputs_;
};

// Random samples over the whole range of the inputs of a network: `count` for each, the first all
// minimum, the second all maximum. Codes of a lowered network carry its codings.
NetworkSamples random_samples(const Module& network, std::int64_t count, std::uint64_t seed);

// A network with what a verb runs on it.
struct PreparedNetwork {
  Module network;                         // as read
  std::optional<Module> lowered;          // for one sample
  std::optional<NetworkSamples> samples;  // where data were asked for
};

// Lowers the network where `lower` says so, and opens the data where they have a source. Random
// data fill the range of the lowered inputs, or of the network's own where it is not lowered.
PreparedNetwork prepare_network(Module network, const DataOptions& data, InputCodings codings,
                                bool lower);

// Outputs of a lowered network as the reals they stand for (f64), and reals as the nearest codes.
Tensor decoded_output(const Module& lowered, std::size_t output, const Tensor& codes);
Tensor encoded_output(const Module& lowered, std::size_t output, const Tensor& reals);

}  // namespace tandem
