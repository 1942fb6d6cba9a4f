#include "python/bindings/verbs.h"

#include <algorithm>
#include <memory>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>
#include <optional>

#include "tandem/base/text.h"
#include "tandem/codesign/check.h"
#include "tandem/codesign/compile.h"
#include "tandem/codesign/compress_network.h"
#include "tandem/report/fit_folder.h"

#include "python/bindings/arguments.h"
#include "python/bindings/call.h"
#include "python/bindings/module.h"
#include "python/bindings/options.h"

namespace nb = nanobind;
using namespace nb::literals;  // NOLINT(google-build-using-namespace): "name"_a

namespace tandem::python {
namespace {

// What a verb found out, with its --json.
template <typename Result>
struct Outcome {
  std::shared_ptr<const Result> result;
  std::string json;

  const Result& operator*() const { return *result; }
  const Result* operator->() const { return result.get(); }
  nb::object to_dict() const { return nb::module_::import_("json").attr("loads")(json); }
};

template <typename Result>
Outcome<Result> outcome_of(Result result, std::string json) {
  return {std::make_shared<const Result>(std::move(result)), std::move(json)};
}

using Checked = Outcome<CheckResult>;
using Estimated = Outcome<PlannedModel>;
using Compiled = Outcome<CompileResult>;
using Compressed = Outcome<CompressResult>;
using Fitted = Outcome<FittedFolder>;

// ---- Requests ----

Checked check(const ModelArgument& model, const std::string& target, const PathArgument& device,
              const CodingsArgument& input_coding) {
  const CheckRequest request{target, text_of(device), codings_of(input_coding)};
  std::string source;
  CheckResult result;
  // Nodes that cannot be read are findings too, so that reading belongs to the check.
  if (nb::isinstance<Network>(model.object)) {
    const Network network = nb::cast<Network>(model.object);
    source = network.source();
    result = without_gil([&] { return check_network(request, [&] { return network.module(); }); });
  } else {
    const NetworkSource from = source_of(model);
    source = from.name();
    result = without_gil([&] { return check_network(request, [&] { return from.read(); }); });
  }
  std::string json = to_json(result, source);
  return outcome_of(std::move(result), std::move(json));
}

PlanRequest plan_request(const Network& network, const PathArgument& device,
                         const std::string& minimise, const std::string& io,
                         std::optional<std::int64_t> patches, const CodingsArgument& input_coding,
                         const std::string& data, const std::string& preprocess) {
  PlanRequest request;
  request.network = network.module();
  request.device = text_of(device);
  request.objective = minimise;
  request.mcu = {io, patches};
  request.codings = codings_of(input_coding);
  request.data.source = data;
  request.data.preprocess = preprocess;
  return request;
}

Network lower(const ModelArgument& model, const CodingsArgument& input_coding,
              const std::string& data, const std::string& preprocess) {
  const Network network = network_of(model);
  DataOptions options;
  options.source = data;
  options.preprocess = preprocess;
  if (!data.empty()) options.limit = 1;
  const InputCodings codings = codings_of(input_coding);
  return without_gil([&] {
    return Network(*prepare_network(network.module(), options, codings, true).lowered,
                   network.source());
  });
}

Estimated estimate(const ModelArgument& model, const PathArgument& device,
                   const std::string& minimise, const std::string& io,
                   std::optional<std::int64_t> patches, const CodingsArgument& input_coding,
                   const std::string& data, const std::string& preprocess) {
  const Network network = network_of(model);
  const PlanRequest request =
      plan_request(network, device, minimise, io, patches, input_coding, data, preprocess);
  PlannedModel planned = without_gil([&] { return plan_model(request, OnTrial::kAssume); });
  std::string json = to_json(planned, network.source());
  return outcome_of(std::move(planned), std::move(json));
}

Compiled compile(const ModelArgument& model, const PathArgument& device, const PathArgument& output,
                 const std::string& name, std::int64_t samples, std::int64_t machine_samples,
                 std::int64_t seed, const std::string& minimise, const std::string& io,
                 std::optional<std::int64_t> patches, const CodingsArgument& input_coding,
                 const std::string& data, const std::string& preprocess) {
  const Network network = network_of(model);
  CompileRequest request;
  request.plan =
      plan_request(network, device, minimise, io, patches, input_coding, data, preprocess);
  request.model = network.source();
  request.name = name;
  request.output = text_of(output);
  request.samples = samples;
  request.machine_samples = machine_samples;
  request.seed = seed;
  CompileResult result = without_gil([&] { return compile_network(request); });
  std::string json = to_json(result);
  return outcome_of(std::move(result), std::move(json));
}

TrainingOptions training_options(const std::string& data, const std::string& preprocess,
                                 std::int64_t calibration, std::int64_t selection,
                                 const std::string& split, std::optional<std::int64_t> limit,
                                 std::int64_t seed) {
  TrainingOptions options;
  options.source = data;
  options.preprocess = preprocess;
  options.calibration = calibration;
  options.selection = selection;
  options.split = split;
  options.limit = limit;
  options.seed = seed;
  return options;
}

// Arguments of compress() and advise() as the command line's options.
CompressRequest compress_request(const ModelArgument& model, const TextsArgument& weights,
                                 const TextsArgument& activations, const std::string& method,
                                 const std::string& weight_method, std::optional<double> percentile,
                                 const TextsArgument& only, const TextsArgument& ignore,
                                 const std::string& granularity, const std::string& scales,
                                 const TextsArgument& rewrites, bool symmetric, bool shared_sums) {
  const Network network = network_of(model);
  CompressRequest request;
  request.network = network.module();
  request.model = network.source();
  RecipeOptions& recipe = request.recipe;
  recipe.weights = texts_of(weights, "weights");
  recipe.activations = texts_of(activations, "activations");
  recipe.method = method;
  recipe.weight_method = weight_method;
  recipe.percentile = percentile;
  recipe.only = texts_of(only, "only");
  recipe.ignore = texts_of(ignore, "ignore");
  recipe.granularity = granularity;
  recipe.scales = scales;
  recipe.rewrites = texts_of(rewrites, "rewrites");
  recipe.symmetric = symmetric;
  recipe.shared_sums = shared_sums;
  return request;
}

Compressed compress(const ModelArgument& model, const std::string& data, const PathArgument& output,
                    const TextsArgument& weights, const TextsArgument& activations,
                    const std::string& method, const std::string& weight_method,
                    std::optional<double> percentile, const TextsArgument& only,
                    const TextsArgument& ignore, const std::string& granularity,
                    const std::string& scales, const TextsArgument& rewrites,
                    const std::string& rounding, bool bias_correction, bool class_biases,
                    bool token_scales, std::optional<std::int64_t> token_block, bool symmetric,
                    bool shared_sums, std::optional<std::int64_t> max_weight_bytes,
                    std::optional<double> max_drop, const std::string& exponential,
                    bool skip_accuracy, const std::string& preprocess, std::int64_t calibration,
                    std::int64_t selection, const std::string& split,
                    std::optional<std::int64_t> limit, std::int64_t seed) {
  CompressRequest request =
      compress_request(model, weights, activations, method, weight_method, percentile, only, ignore,
                       granularity, scales, rewrites, symmetric, shared_sums);
  request.data = training_options(data, preprocess, calibration, selection, split, limit, seed);
  request.recipe.rounding = rounding;
  request.recipe.bias_correction = bias_correction;
  request.recipe.class_biases = class_biases;
  request.recipe.token_scales = token_scales;
  request.recipe.token_block = token_block;
  request.max_weight_bytes = max_weight_bytes;
  request.max_drop = max_drop;
  request.exponential = exponential;
  request.measures = !skip_accuracy;
  request.output = text_of(output);
  CompressResult result = without_gil([&] { return compress_network(request); });
  std::string json = to_json(result);
  return outcome_of(std::move(result), std::move(json));
}

nb::object advise_formats(const ModelArgument& model, const std::string& data,
                          const TextsArgument& candidates, const std::string& method,
                          const std::string& weight_method, std::optional<double> percentile,
                          const TextsArgument& only, const TextsArgument& ignore,
                          const std::string& granularity, const std::string& scales,
                          const TextsArgument& rewrites, bool symmetric, bool shared_sums,
                          const std::string& preprocess, std::int64_t calibration,
                          std::int64_t seed) {
  CompressRequest request =
      compress_request(model, {nb::list()}, {nb::list()}, method, weight_method, percentile, only,
                       ignore, granularity, scales, rewrites, symmetric, shared_sums);
  request.data = training_options(data, preprocess, calibration, TrainingOptions().selection,
                                  "test", std::nullopt, seed);
  request.candidates = texts_of(candidates, "candidates");
  const auto advice = without_gil([&] { return advise_network(request); });
  const std::string json = to_json(advice, request.model);
  return nb::module_::import_("json").attr("loads")(json)["tensors"];
}

// max_flash="24KiB" as "--max-flash".
std::map<std::string, std::string> limits_of(const nb::kwargs& given) {
  std::map<std::string, std::string> limits;
  for (const auto& [key, value] : given) {
    std::string option = "--" + text_of(key);
    std::ranges::replace(option, '_', '-');
    limits[option] = nb::cast<std::string>(nb::str(value));
  }
  return limits;
}

Fitted fit(const ModelArgument& model, const PathArgument& device, const std::string& data,
           const PathArgument& output, const std::string& minimise, const std::string& name,
           std::int64_t samples, const std::string& io, std::optional<std::int64_t> patches,
           const std::string& preprocess, std::int64_t calibration, std::int64_t selection,
           const std::string& split, std::optional<std::int64_t> limit, std::int64_t seed,
           const nb::kwargs& limits) {
  const Network network = network_of(model);
  FitJob job;
  job.network = network.module();
  job.model = network.source();
  job.data = training_options(data, preprocess, calibration, selection, split, limit, seed);
  job.device = text_of(device);
  job.objective = minimise;
  job.limits = limits_of(limits);
  job.mcu = {io, patches};
  job.machine_samples = samples;
  job.name = name;
  job.output = text_of(output);
  FittedFolder result = without_gil([&] { return fit_into_folder(job); });
  std::string json = to_json(result);
  return outcome_of(std::move(result), std::move(json));
}

// ---- Results ----

template <typename Result>
nb::class_<Outcome<Result>> bind_outcome(nb::module_& module, const char* name, const char* doc) {
  return nb::class_<Outcome<Result>>(module, name, doc)
      .def("to_dict", &Outcome<Result>::to_dict, nb::sig("def to_dict(self) -> dict[str, object]"),
           "The result as the command line prints it with --json.")
      .def("__repr__", [name](const Outcome<Result>& outcome) {
        return concat("tandem.", name, outcome.json);
      });
}

void bind_check_result(nb::module_& module) {
  nb::class_<Issue>(module, "Issue", "One node that a target cannot take.")
      .def_ro("node", &Issue::node, "Its name in the network.")
      .def_ro("op", &Issue::op, "Its operator.")
      .def_ro("reason", &Issue::reason)
      .def_ro("remedy", &Issue::remedy, "What to do about it.")
      .def("__repr__", [](const Issue& issue) {
        return concat(issue.op, " '", issue.node, "': ", issue.reason, "; ", issue.remedy);
      });
  bind_outcome<CheckResult>(module, "CheckResult", "What a target cannot take of a network.")
      .def_prop_ro(
          "ok", [](const Checked& checked) { return checked->ok(); },
          "Whether the target takes all of it.")
      .def_prop_ro("target", [](const Checked& checked) { return checked->target; })
      .def_prop_ro("issues", [](const Checked& checked) { return checked->issues; })
      .def_prop_ro(
          "recoded", [](const Checked& checked) { return checked->recoded; },
          "Whether the network is real and was judged as compress() would recode it.")
      .def_prop_ro(
          "notes", [](const Checked& checked) { return checked->notes; },
          "What was assumed, or not judged.");
}

void bind_estimate_result(nb::module_& module) {
  nb::class_<Figure>(module, "Figure", "A number with where it comes from.")
      .def_ro("value", &Figure::value)
      .def_prop_ro(
          "source", [](const Figure& figure) { return std::string(name(figure.source)); },
          "exact, measured, simulated, analytic, learned or assumed.")
      .def_ro("relative_uncertainty", &Figure::relative_uncertainty,
              "Half-width of the expected interval, as a share of the value.")
      .def("__float__", [](const Figure& figure) { return figure.value; })
      .def("__repr__", [](const Figure& figure) {
        return concat("Figure(", shortest(figure.value), ", ", name(figure.source), ")");
      });
  nb::class_<StepEstimate>(module, "StepEstimate", "The figures of one step of the plan.")
      .def_ro("name", &StepEstimate::name, "The first node of the step.")
      .def_ro("figures", &StepEstimate::figures);
  bind_outcome<PlannedModel>(module, "Estimate", "What a network costs on a device.")
      .def_prop_ro(
          "total", [](const Estimated& estimated) { return estimated->planned.estimate.total; },
          "Figures by name; names end in their unit: latency_seconds, flash_bytes.")
      .def_prop_ro("steps",
                   [](const Estimated& estimated) { return estimated->planned.estimate.steps; })
      .def_prop_ro(
          "plan", [](const Estimated& estimated) { return estimated->planned.choices; },
          "By what the plan differs from the others that were compared.")
      .def_prop_ro(
          "fits", [](const Estimated& estimated) { return estimated->fits; },
          "Whether it fits into the device's memories.")
      .def_prop_ro(
          "misfit", [](const Estimated& estimated) { return estimated->misfit; },
          "What is missing where it does not fit.")
      .def_prop_ro(
          "notes", [](const Estimated& estimated) { return estimated->notes; }, "What was assumed.")
      .def_prop_ro(
          "lowered", [](const Estimated& estimated) { return Network(estimated->lowered); },
          "The network of integers that was planned, for one sample.");
}

void bind_compile_result(nb::module_& module) {
  bind_outcome<CompileResult>(module, "CompileResult", "A project in C or SystemVerilog.")
      .def_prop_ro(
          "output", [](const Compiled& compiled) { return compiled->output; }, "The folder.")
      .def_prop_ro(
          "files", [](const Compiled& compiled) { return compiled->files; },
          "Its files, relative to the folder.")
      .def_prop_ro(
          "name", [](const Compiled& compiled) { return compiled->name; },
          "Prefix of files and symbols.")
      .def_prop_ro(
          "target", [](const Compiled& compiled) { return compiled->target; },
          "\"c\" or \"circuit\".")
      .def_prop_ro("fits", [](const Compiled& compiled) { return compiled->fits; })
      .def_prop_ro(
          "equal", [](const Compiled& compiled) { return compiled->equal(); },
          "Whether every execution computed the reference's bits.");
}

void bind_compress_result(nb::module_& module) {
  bind_outcome<CompressResult>(module, "CompressResult", "A recoded network, and what it lost.")
      .def_prop_ro(
          "module",
          [](const Compressed& compressed) {
            return Network(compressed->recoded, compressed->output);
          },
          "The recoded network: reals with Quantize and Dequantize around its operators.")
      .def_prop_ro("weight_bytes",
                   [](const Compressed& compressed) { return compressed->weight_bytes; })
      .def_prop_ro(
          "float_accuracy", [](const Compressed& compressed) { return compressed->float_accuracy; },
          "Of the network as read, on held-out samples, as a share.")
      .def_prop_ro("recoded_accuracy",
                   [](const Compressed& compressed) { return compressed->recoded_accuracy; })
      .def_prop_ro(
          "lowered_accuracy",
          [](const Compressed& compressed) {
            return compressed->lowered ? std::optional(compressed->lowered->accuracy)
                                       : std::nullopt;
          },
          "Of the exact integers; None where layers stay real, or `not_lowered` says why.")
      .def_prop_ro(
          "not_lowered", [](const Compressed& compressed) { return compressed->not_lowered; },
          "Why the recoded network has no integer form; empty where it has, or layers stay real.")
      .def_prop_ro(
          "relative_noise", [](const Compressed& compressed) { return compressed->relative_noise; },
          "Energy of the change of the outputs as a share of theirs.");
}

void bind_fit_result(nb::module_& module) {
  bind_outcome<FittedFolder>(module, "FitResult", "A network fitted to a device.")
      .def_prop_ro(
          "succeeded", [](const Fitted& fitted) { return fitted->succeeded(); },
          "Whether a plan meets the limits and every execution computes the same bits.")
      .def_prop_ro("feasible", [](const Fitted& fitted) { return fitted->outcome.search.feasible; })
      .def_prop_ro("equal", [](const Fitted& fitted) { return fitted->outcome.equal(); })
      .def_prop_ro("chosen",
                   [](const Fitted& fitted) {
                     const SearchResult& search = fitted->outcome.search;
                     return search.variants[search.best.variant].label;
                   })
      .def_prop_ro(
          "measures", [](const Fitted& fitted) { return fitted->outcome.search.measures; },
          "What the chosen network measures; names end in their unit.")
      .def_prop_ro(
          "output", [](const Fitted& fitted) { return fitted->output; }, "The folder.")
      .def_prop_ro(
          "lowered", [](const Fitted& fitted) { return Network(fitted->outcome.lowered); },
          "The integers that all executions compute, for one sample.")
      .def_prop_ro("recoded",
                   [](const Fitted& fitted) { return Network(fitted->outcome.recoded); });
}

constexpr const char* kLimits =
    "Keyword arguments name limits as the options of `tandem fit` do: max_flash=\"24KiB\", "
    "max_latency=\"5ms\", max_accuracy_drop=0.02 (1 % unless given).";

}  // namespace

void bind_verbs(nb::module_& module) {
  bind_check_result(module);
  bind_estimate_result(module);
  bind_compile_result(module);
  bind_compress_result(module);
  bind_fit_result(module);
  const PlanRequest plan{};
  const CompileRequest compiling{};
  const RecipeOptions recipe{};
  const TrainingOptions training{};
  const FitJob fitting{};

  module.def("check", &check, "model"_a, nb::kw_only(), "target"_a = "", "device"_a = nb::none(),
             "input_coding"_a = nb::dict(),
             "Names every node that a target (\"c\" unless given, \"circuit\", \"cpu\", or that of "
             "a device) cannot take, nodes that cannot be read among them. `input_coding` says how "
             "real inputs arrive as integers, real = scale * integer + offset: "
             "{\"x\": (\"uint8\", 1 / 255)}.");
  module.def("lower", &lower, "model"_a, nb::kw_only(), "input_coding"_a = nb::dict(),
             "data"_a = "", "preprocess"_a = "",
             "The exact integers of a quantized network, for one sample. A data set, or "
             "`input_coding`, says how real inputs arrive as codes. Raises Error naming every node "
             "without integer form.");
  module.def("estimate", &estimate, "model"_a, nb::kw_only(), "device"_a,
             "minimise"_a = plan.objective, "io"_a = plan.mcu.io, "patches"_a = nb::none(),
             "input_coding"_a = nb::dict(), "data"_a = "", "preprocess"_a = "",
             "Time, memory, energy and area of a network on a device, without compiler, simulator "
             "or synthesis. `minimise`, what the plan is chosen for, is latency, energy, sram, "
             "flash or area. A real network is judged as compress() would recode it to 8 bits; "
             "what is assumed is noted.");
  module.def("compile", &compile, "model"_a, nb::kw_only(), "device"_a, "output"_a,
             "name"_a = compiling.name, "samples"_a = compiling.samples,
             "machine_samples"_a = compiling.machine_samples, "seed"_a = compiling.seed,
             "minimise"_a = plan.objective, "io"_a = plan.mcu.io, "patches"_a = nb::none(),
             "input_coding"_a = nb::dict(), "data"_a = "", "preprocess"_a = "",
             "Writes the C or SystemVerilog project of a quantized network into the folder "
             "`output` and proves it: random inputs run through the sources on this host "
             "(`samples`) and on the simulated machine (`machine_samples`).");
  module.def(
      "compress", &compress, "model"_a, nb::kw_only(), "data"_a, "output"_a = nb::none(),
      "weights"_a = nb::list(), "activations"_a = nb::list(), "method"_a = recipe.method,
      "weight_method"_a = recipe.weight_method, "percentile"_a = nb::none(), "only"_a = nb::list(),
      "ignore"_a = nb::list(), "granularity"_a = recipe.granularity, "scales"_a = recipe.scales,
      "rewrites"_a = nb::list(), "rounding"_a = recipe.rounding,
      "bias_correction"_a = recipe.bias_correction, "class_biases"_a = recipe.class_biases,
      "token_scales"_a = recipe.token_scales, "token_block"_a = nb::none(),
      "symmetric"_a = recipe.symmetric, "shared_sums"_a = recipe.shared_sums,
      "max_weight_bytes"_a = nb::none(), "max_drop"_a = nb::none(),
      "exponential"_a = CompressRequest().exponential, "skip_accuracy"_a = false,
      "preprocess"_a = "", "calibration"_a = training.calibration,
      "selection"_a = training.selection, "split"_a = training.split, "limit"_a = nb::none(),
      "seed"_a = training.seed,
      "Recodes a network of reals by a data set (\"npz:FILE\", \"mnist:DIR\", "
      "\"cifar10:DIR\", \"csv:FILE\", \"random:N\"): weights and activations become codes of "
      "few bits, such as weights=[\"int4\", \"head*=int6\"]. Writes a file .onnx, .tflite or "
      ".tandem where `output` names one.");
  module.def(
      "advise", &advise_formats, "model"_a, nb::kw_only(), "data"_a, "candidates"_a = nb::list(),
      "method"_a = recipe.method, "weight_method"_a = recipe.weight_method,
      "percentile"_a = nb::none(), "only"_a = nb::list(), "ignore"_a = nb::list(),
      "granularity"_a = recipe.granularity, "scales"_a = recipe.scales, "rewrites"_a = nb::list(),
      "symmetric"_a = recipe.symmetric, "shared_sums"_a = recipe.shared_sums, "preprocess"_a = "",
      "calibration"_a = training.calibration, "seed"_a = training.seed,
      "What each candidate format does to every tensor: the list that `tandem compress --advise "
      "--json` prints.");
  module.def("fit", &fit, "model"_a, nb::kw_only(), "device"_a, "data"_a, "output"_a,
             "minimise"_a = fitting.objective, "name"_a = fitting.name,
             "samples"_a = fitting.machine_samples, "io"_a = fitting.mcu.io,
             "patches"_a = nb::none(), "preprocess"_a = "", "calibration"_a = training.calibration,
             "selection"_a = training.selection, "split"_a = training.split, "limit"_a = nb::none(),
             "seed"_a = training.seed, "limits"_a,
             concat("Chooses number formats and a plan under limits, lowers, emits, proves, and "
                    "writes the folder `output` with its report. `samples` held-out samples run on "
                    "the simulated machine. ",
                    kLimits)
                 .c_str());
}

}  // namespace tandem::python
