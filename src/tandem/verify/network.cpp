#include "tandem/verify/network.h"

#include <algorithm>
#include <cmath>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/data/batch.h"
#include "tandem/graph/operator.h"
#include "tandem/ops/broadcast.h"
#include "tandem/verify/float_execution.h"

namespace tandem {
namespace {

Format f64() { return Format::parse("f64"); }

// Rows that are converted at a time, so that their reals take little memory.
constexpr std::int64_t kRows = 1024;

// All samples through `make(layout, begin, end)`, with the axis of samples before the declared
// shape.
template <typename Make>
Tensor all_samples(const DataSet& data, const Value& input, const Make& make) {
  const BatchLayout layout(data, input.type);
  if (layout.fixed_batch() > 1) {
    throw Error("input '", input.name, "' has a fixed batch of ", layout.fixed_batch(),
                "; export the network with a batch of 1 or a symbolic one");
  }
  const bool batchless = input.type.shape.size() == 1 && input.type.shape[0].is_constant();
  Tensor result;
  std::size_t filled = 0;
  for (std::int64_t begin = 0; begin < data.count();) {
    const std::int64_t end = batchless ? begin + 1 : std::min(data.count(), begin + kRows);
    const Tensor rows = make(layout, begin, end);
    if (begin == 0) {
      Shape shape = rows.shape();
      if (!batchless) shape[0] = 1;
      shape.insert(shape.begin(), data.count());
      result = Tensor(rows.format(), shape);
    }
    const auto to = result.mutable_bytes();
    std::copy(rows.bytes().begin(), rows.bytes().end(),
              to.begin() + static_cast<std::ptrdiff_t>(filled));
    filled += rows.bytes().size();
    begin = end;
  }
  return result;
}

Tensor coding_constant(const Module& module, ConstantId id, double otherwise) {
  return id == kNone ? Tensor::scalar(otherwise, f64()) : module.constants[id].tensor;
}

// Scale and offset of an input or output; integers stand for themselves where it has no coding.
std::pair<Tensor, Tensor> coding_of(const Module& lowered, ValueId value) {
  const Graph& graph = lowered.main();
  const auto found = graph.codings.find(value);
  const Coding coding = found == graph.codings.end() ? Coding{} : found->second;
  return {coding_constant(lowered, coding.scale, 1), coding_constant(lowered, coding.offset, 0)};
}

// A coding of the inputs as that of samples: one number, or one for each channel.
std::vector<double> per_channel(const Tensor& parameter, const DataSet& data) {
  const Shape sample = data.sample_shape();
  const std::size_t lead = sample.size() - std::min(sample.size(), parameter.shape().size());
  const bool along_channels =
      lead == 0 && parameter.size() == sample.front() &&
      parameter.shape()[parameter.shape().size() - sample.size()] == sample.front();
  if (parameter.size() != 1 && !along_channels)
    throw Error("random samples take inputs coded as a whole or by channel; use a data set");
  return parameter.to_reals();
}

bool is_random(const DataOptions& data) { return data.source.starts_with("random:"); }

std::int64_t random_count(const DataOptions& data) {
  const std::int64_t count =
      parse_integer(data.source.substr(data.source.find(':') + 1), "--data random:N");
  return data.limit ? std::min(count, *data.limit) : count;
}

// The integers of a set as the codes of an integer input.
Tensor plain_codes(const BatchLayout& layout, std::int64_t begin, std::int64_t end,
                   const Format& format) {
  Tensor codes = layout.codes(begin, end);
  if (codes.format() == format) return codes;
  return layout.coded(begin, end, format, Tensor::scalar(std::ldexp(1.0, format.exponent()), f64()),
                      Tensor::scalar(0, f64()));
}

}  // namespace

bool computes_reals(std::string_view execution, const Module& network) {
  if (execution == "float") return true;
  if (execution != "cpu" || is_lowered(network)) return false;
  if (!is_quantized(network)) return true;
  // Codes that are carried from run to run, or made as TensorFlow Lite makes them, are those of the
  // integer form.
  return std::ranges::none_of(network.main().nodes, [&](const Node& node) {
    const NodeView view{network, network.main(), node};
    return node.op->traits().domain == Domain::kBorder &&
           constant_of(network, network.main(), node.inputs[0]) == nullptr &&
           (!network.states.empty() ||
            (node.op->name() == "Quantize" && view.string("rescale") != "dyadic"));
  });
}

Module for_one_sample(const Module& network) {
  const std::string batch = batch_symbol(network);
  return batch.empty() ? network : specialize(network, {{batch, 1}});
}

Module lowered_network(const Module& network, const InputCodings& codings) {
  const std::string batch = batch_symbol(network);
  LowerRequest request;
  request.inputs = codings;
  if (is_lowered(network) && !codings.empty()) {
    throw Error("the network is of integers already; it takes no coding for input '",
                codings.begin()->first, "'");
  }
  const Module lowered = is_lowered(network) ? network : lower(network, request);
  return batch.empty() ? lowered : specialize(lowered, {{batch, 1}});
}

InputCodings codings_of(const Module& network, const std::vector<DataSet>& inputs) {
  const Graph& graph = network.main();
  InputCodings codings;
  for (std::size_t i = 0; i < inputs.size() && i < graph.inputs.size(); ++i) {
    const DataSet& data = inputs[i];
    const Value& input = graph.values[graph.inputs[i]];
    if (!data.samples.format().is_integer() || input.type.format.is_uniform()) continue;
    const BatchLayout layout(data, input.type);
    codings[input.name] = {data.samples.format(), layout.scale(), layout.offset()};
  }
  return codings;
}

NetworkSamples::NetworkSamples(const Module& network, std::vector<DataSet> inputs)
    : inputs_(std::move(inputs)) {
  const Graph& graph = network.main();
  if (inputs_.empty()) throw Error("the network reads no input, so there are no samples of it");
  if (inputs_.size() != graph.inputs.size()) {
    throw Error("the network has ", graph.inputs.size(), " inputs; data sets feed networks with ",
                "one (give the arrays of all inputs with --input)");
  }
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    if (inputs_[i].count() != count()) {
      throw Error("input '", graph.values[graph.inputs[i]].name, "' has ", inputs_[i].count(),
                  " samples where '", graph.values[graph.inputs[0]].name, "' has ", count());
    }
    BatchLayout(inputs_[i], graph.values[graph.inputs[i]].type);
  }
}

Samples NetworkSamples::reals(const Module& network) const {
  const Graph& graph = network.main();
  Samples samples;
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    const Value& input = graph.values[graph.inputs[i]];
    const Format format = input.type.format;
    samples.push_back(all_samples(
        inputs_[i], input, [&](const BatchLayout& layout, std::int64_t begin, std::int64_t end) {
          return format.is_uniform() ? plain_codes(layout, begin, end, format)
                                     : layout.reals(begin, end, format);
        }));
  }
  return samples;
}

Samples NetworkSamples::codes(const Module& lowered) const {
  const Graph& graph = lowered.main();
  Samples samples;
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    const Value& input = graph.values[graph.inputs[i]];
    const auto [scale, offset] = coding_of(lowered, graph.inputs[i]);
    samples.push_back(
        all_samples(inputs_[i], input,
                    [&, scale = scale, offset = offset](const BatchLayout& layout,
                                                        std::int64_t begin, std::int64_t end) {
                      return layout.coded(begin, end, input.type.format, scale, offset);
                    }));
  }
  return samples;
}

NetworkSamples random_samples(const Module& network, std::int64_t count, std::uint64_t seed) {
  const Graph& graph = network.main();
  std::vector<DataSet> inputs;
  for (std::size_t i = 0; i < graph.inputs.size(); ++i) {
    DataOptions options;
    options.source = concat("random:", count);
    options.seed = seed + i;
    inputs.push_back(open_data(options, graph.values[graph.inputs[i]].type));
    const auto [scale, offset] = coding_of(network, graph.inputs[i]);
    inputs.back().coding = {per_channel(scale, inputs.back()), per_channel(offset, inputs.back())};
  }
  return NetworkSamples(network, std::move(inputs));
}

PreparedNetwork prepare_network(Module network, const DataOptions& data, InputCodings codings,
                                bool lower) {
  check_data_options(data);
  PreparedNetwork prepared{std::move(network), std::nullopt, std::nullopt};
  if (!data.source.empty() && !is_random(data)) {
    std::vector<DataSet> sets;
    sets.push_back(open_data(data));
    if (!is_lowered(prepared.network)) {
      for (const auto& [name, coding] : codings_of(prepared.network, sets))
        codings.emplace(name, coding);
    }
    prepared.samples.emplace(prepared.network, std::move(sets));
  }
  if (lower) prepared.lowered = lowered_network(prepared.network, codings);
  if (is_random(data)) {
    prepared.samples = random_samples(prepared.lowered ? *prepared.lowered : prepared.network,
                                      random_count(data), data.seed);
  }
  return prepared;
}

Tensor decoded_output(const Module& lowered, std::size_t output, const Tensor& codes) {
  const auto [scale, offset] = coding_of(lowered, lowered.main().outputs.at(output));
  const auto scale_at = broadcast_offsets(scale.shape(), codes.shape());
  const auto offset_at = broadcast_offsets(offset.shape(), codes.shape());
  std::vector<double> reals(static_cast<std::size_t>(codes.size()));
  for (std::size_t i = 0; i < reals.size(); ++i) {
    reals[i] =
        scale.real(scale_at[i]) * static_cast<double>(codes.integer(static_cast<std::int64_t>(i))) +
        offset.real(offset_at[i]);
  }
  return Tensor::from_reals(f64(), codes.shape(), reals);
}

Tensor encoded_output(const Module& lowered, std::size_t output, const Tensor& reals) {
  const Graph& graph = lowered.main();
  const ValueId value = graph.outputs.at(output);
  const auto [scale, offset] = coding_of(lowered, value);
  const Format format = graph.values[value].type.format;
  const int exponent = format.exponent();
  const auto scale_at = broadcast_offsets(scale.shape(), reals.shape());
  const auto offset_at = broadcast_offsets(offset.shape(), reals.shape());
  std::vector<double> values = reals.to_reals();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double integer = (values[i] - offset.real(offset_at[i])) / scale.real(scale_at[i]);
    values[i] = std::ldexp(integer, exponent);
  }
  return Tensor::from_reals(format, reals.shape(), values);
}

}  // namespace tandem
