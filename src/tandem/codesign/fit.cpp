#include "tandem/codesign/fit.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/base/progress.h"
#include "tandem/codesign/network_task.h"
#include "tandem/codesign/planning.h"
#include "tandem/compress/measure.h"
#include "tandem/data/task.h"
#include "tandem/graph/printer.h"
#include "tandem/verify/execution.h"
#include "tandem/verify/network.h"
#include "tandem/verify/reference_execution.h"

namespace tandem {

bool FitOutcome::equal() const {
  return std::all_of(executions.begin(), executions.end(), [](const ExecutionResult& result) {
    return !result.must_be_equal || result.equality.equal();
  });
}

std::string fit_subject(const FitRequest& request) {
  // Of parts, since a set need not fit into memory.
  const auto hash = [](const SampleRows& samples) {
    constexpr std::int64_t kPart = 256;
    std::string hashes;
    for (std::int64_t begin = 0; begin < samples.count(); begin += kPart) {
      const Tensor part = samples.rows(begin, std::min(samples.count(), begin + kPart));
      hashes +=
          content_hash({reinterpret_cast<const char*>(part.bytes().data()), part.bytes().size()});
    }
    return content_hash(hashes);
  };
  return concat(content_hash(print_module(request.network)), " ", hash(request.calibration.samples),
                " ", hash(request.selection.samples), " ",
                content_hash(request.selection.preprocessing), " ", request.device.name);
}

namespace {

// Runs the chosen network on held-out samples in every execution.
class Prover {
 public:
  Prover(const FitRequest& request, FitOutcome& outcome)
      : request_(request),
        outcome_(outcome),
        lowered_(outcome.lowered),
        samples_(lowered_, {request.held_out}),
        codes_(samples_.codes(lowered_)) {}

  void run(const DeviceTraits& traits) {
    Progress progress("running every execution", 4);
    if (!is_lowered(request_.network)) exact_ = outputs_of(request_.network, request_.held_out);
    progress.advance();
    ReferenceExecution reference(lowered_);
    outputs_ = reference.run(codes_);
    if (exact_.empty()) exact_ = {decoded_output(lowered_, 0, outputs_.front())};
    if (!is_lowered(request_.network)) add_reals("float", exact_);
    if (!is_quantized(request_.network))
      add_reals("recoded", outputs_of(outcome_.recoded, request_.held_out));
    ExecutionResult result{
        "reference", samples_.count(), accuracy(outputs_, samples_.count()), {}, false};
    outcome_.executions.push_back(result);
    progress.advance();
    if (!traits.host_execution.empty()) prove(reference, traits.host_execution, samples_.count());
    progress.advance();
    if (!traits.machine_execution.empty()) {
      prove(reference, traits.machine_execution,
            std::min(request_.machine_samples, samples_.count()));
    }
    progress.advance();
  }

 private:
  double accuracy(const Samples& outputs, std::int64_t count) const {
    const std::vector<Tensor> reals{decoded_output(lowered_, 0, outputs.front())};
    std::vector<Tensor> exact;
    for (const Tensor& tensor : exact_) exact.push_back(tensor.rows(0, count));
    return accuracy_of(reals, request_.held_out.rows(0, count), exact);
  }

  // A network of reals beside the integers. Differing codes of the outputs are counted: of the
  // network as read they show what quantization does, of the recoded one what lowering rounds.
  void add_reals(const std::string& name, const std::vector<Tensor>& reals) {
    ExecutionResult result{
        name, samples_.count(), accuracy_of(reals, request_.held_out, exact_), {}, false};
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      const auto codes = outputs_[i].to_integers();
      const auto wanted = encoded_output(lowered_, i, reals[i]).to_integers();
      ensure(codes.size() == wanted.size(), "outputs of different shapes");
      for (std::size_t k = 0; k < codes.size(); ++k) {
        ++result.equality.compared_values;
        if (codes[k] == wanted[k]) continue;
        ++result.equality.differing_values;
        result.equality.max_difference =
            std::max(result.equality.max_difference,
                     std::abs(static_cast<double>(codes[k]) - static_cast<double>(wanted[k])));
      }
    }
    outcome_.executions.push_back(result);
  }

  void prove(Execution& reference, const std::string& name, std::int64_t count) {
    ExecutionOptions options;
    options.device = request_.device.path;
    options.plan = outcome_.planned.plan;
    const auto execution = make_execution(name, lowered_, options);
    const Samples inputs = first(codes_, count), expected = first(outputs_, count);
    const Samples outputs = execution->run(inputs);
    ExecutionResult result{name, count, accuracy(outputs, count), {}, true};
    result.equality =
        compare_executions(lowered_, reference, expected, *execution, outputs, inputs);
    outcome_.executions.push_back(result);
  }

  static Samples first(const Samples& samples, std::int64_t count) {
    Samples part;
    for (const Tensor& tensor : samples) part.push_back(tensor.rows(0, count));
    return part;
  }

  const FitRequest& request_;
  FitOutcome& outcome_;
  const Module& lowered_;
  NetworkSamples samples_;
  Samples codes_, outputs_;    // of the reference
  std::vector<Tensor> exact_;  // outputs of the network as read
};

// Before anything takes long: what the device measures must cover the objective and the limits.
void check_request(const FitRequest& request, NetworkTask& task, const std::vector<Limit>& limits) {
  const auto plans = task.plans(task.lowered({}));
  ensure(!plans.empty(), "a network without plans");
  Measures known = measures_of(plans.front().estimate);
  known["accuracy_drop"] = 0;
  check_measures(request.objective, limits, known, request.device.name);
}

// Plans should need no more SRAM than the tightest limit admits.
McuRequest within(McuRequest request, const std::vector<Limit>& limits) {
  for (const Limit& limit : limits) {
    if (limit.measure != "sram_bytes") continue;
    const auto most = static_cast<std::int64_t>(limit.bound);
    request.sram_bytes = std::min(request.sram_bytes.value_or(most), most);
  }
  return request;
}

}  // namespace

FitOutcome fit(const FitRequest& request, Measurements& measurements) {
  const DeviceTraits traits = device_traits(request.device);
  FitOutcome outcome;
  outcome.target = traits.target;
  outcome.limits = request.limits;
  outcome.limits.insert(outcome.limits.end(), traits.limits.begin(), traits.limits.end());
  NetworkTask task(request.network, request.calibration, request.selection, request.device,
                   within(request.mcu, outcome.limits), measurements);
  check_request(request, task, outcome.limits);
  outcome.search = search_fit(task, request.objective, outcome.limits);
  const FitPoint best = outcome.search.best;
  const CompressRecipe& recipe = outcome.search.variants[best.variant].recipe;
  outcome.recoded = task.recoded(recipe);
  for (const auto& [name, text] : request.data_options)
    outcome.recoded.metadata["fit " + name] = text;
  outcome.lowered = task.lowered(recipe);
  outcome.lowered.metadata = outcome.recoded.metadata;
  outcome.planned = std::move(task.plans(outcome.lowered).at(best.plan));
  if (task.recoder() != nullptr)
    outcome.layers = recoded_layers(*task.recoder(), recipe, outcome.search.sensitivities);
  Prover(request, outcome).run(traits);
  return outcome;
}

}  // namespace tandem
