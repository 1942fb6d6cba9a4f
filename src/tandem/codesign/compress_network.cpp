#include "tandem/codesign/compress_network.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <span>

#include <nlohmann/json.hpp>

#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/base/progress.h"
#include "tandem/base/text.h"
#include "tandem/compress/class_biases.h"
#include "tandem/compress/measure.h"
#include "tandem/compress/sensitivity.h"
#include "tandem/files/onnx_writer.h"
#include "tandem/files/tflite_reader.h"
#include "tandem/files/tflite_writer.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/printer.h"
#include "tandem/ops/exponentials.h"
#include "tandem/transform/constant_fold.h"
#include "tandem/verify/execution.h"
#include "tandem/verify/network.h"

namespace tandem {
namespace {

CompressRecipe chosen_recipe(const CompressRequest& request, const Recoder& recoder,
                             const DataSet& selection) {
  if ((request.max_weight_bytes || request.max_drop) && request.data.selection == 0)
    throw Error("--selection 0: --max-weight-bytes and --max-drop choose by such samples");
  CompressRecipe recipe = request.recipe.recipe(recoder.sites());
  if (!request.max_weight_bytes) return recipe;
  const auto exact = outputs_of(recoder.network(), selection);
  CandidateFormats candidates = narrower_integers(recipe);
  candidates.activations.clear();
  auto sensitivities =
      measure_sensitivity(recoder.sites(), recipe, candidates, [&](const CompressRecipe& tried) {
        return relative_noise(exact, outputs_of(recoder.recoded(tried), selection));
      });
  std::erase_if(sensitivities, [](const Sensitivity& s) { return !s.choice.is_weights; });
  const auto bits = [&](const CompressRecipe& tried) {
    return static_cast<double>(weight_bits_of(recoder.sites(), tried));
  };
  const auto path = narrowing_path(recoder.sites(), recipe, sensitivities, bits);
  for (const CompressRecipe& tried : path)
    if (bits(tried) <= 8.0 * static_cast<double>(*request.max_weight_bytes)) return tried;
  throw Error("--max-weight-bytes ", *request.max_weight_bytes,
              ": the narrowest weights tried take ",
              (weight_bits_of(recoder.sites(), path.back()) + 7) / 8, " bytes");
}

// Gives tensors 16 bits until the accuracy on the selection samples is near enough, those first
// whose codes add the most noise (as NNCF's quantize_with_accuracy_control ranks and reverts).
class AccuracyControl {
 public:
  AccuracyControl(const Recoder& recoder, const DataSet& selection, double max_drop)
      : recoder_(recoder),
        selection_(selection),
        max_drop_(max_drop),
        exact_(outputs_of(recoder.network(), selection)) {}

  CompressRecipe run(CompressRecipe recipe, std::vector<std::string>& widened) const {
    if (drop(recipe) <= max_drop_) return recipe;
    const auto choices = ranked(recipe);
    Progress progress("giving back bits", static_cast<std::int64_t>(choices.size()));
    for (const FormatChoice& choice : choices) {
      recipe = with_format(recipe, choice, wide(choice));
      widened.push_back(concat(choice.is_weights ? "weights of " : "activations ", choice.name));
      progress.advance();
      if (drop(recipe) <= max_drop_) return recipe;
    }
    throw Error("--max-drop ", shortest(max_drop_),
                ": even with 16 bits throughout the accuracy drops by ", shortest(drop(recipe)),
                " points");
  }

 private:
  static Format wide(const FormatChoice& choice) { return Format::integer(16, choice.is_weights); }

  // In points of a hundred.
  double drop(const CompressRecipe& recipe) const {
    const auto found = outputs_of(recoder_.recoded(recipe), selection_);
    return 100 * (accuracy_of(exact_, selection_, exact_) - accuracy_of(found, selection_, exact_));
  }

  // By how much noise goes when a choice alone gets 16 bits.
  std::vector<FormatChoice> ranked(const CompressRecipe& recipe) const {
    auto choices = format_choices(recoder_.sites());
    Progress progress("ranking tensors", static_cast<std::int64_t>(choices.size()));
    std::vector<std::pair<double, std::size_t>> noise;
    for (std::size_t i = 0; i < choices.size(); ++i) {
      const Module tried = recoder_.recoded(with_format(recipe, choices[i], wide(choices[i])));
      noise.emplace_back(relative_noise(exact_, outputs_of(tried, selection_)), i);
      progress.advance();
    }
    std::stable_sort(noise.begin(), noise.end());
    std::vector<FormatChoice> sorted;
    for (const auto& [left, index] : noise) sorted.push_back(choices[index]);
    return sorted;
  }

  const Recoder& recoder_;
  const DataSet& selection_;
  double max_drop_;
  std::vector<Tensor> exact_;
};

CompressResult::Lowered run_lowered(const Module& lowered, const Module& recoded,
                                    const DataSet& data, const std::vector<Tensor>& exact,
                                    const std::vector<Tensor>& coded) {
  const NetworkSamples samples(recoded, {data});
  // All executions agree in every bit; this one is the fastest.
  const Samples outputs = make_execution("cpu", lowered)->run(samples.codes(lowered));
  CompressResult::Lowered result;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const auto codes = outputs[i].to_integers();
    const auto wanted = encoded_output(lowered, i, coded[i]).to_integers();
    ensure(codes.size() == wanted.size(), "outputs of different shapes");
    result.compared_codes += static_cast<std::int64_t>(codes.size());
    for (std::size_t k = 0; k < codes.size(); ++k)
      result.differing_codes += codes[k] != wanted[k] ? 1 : 0;
  }
  std::vector<Tensor> reals;
  for (std::size_t i = 0; i < outputs.size(); ++i)
    reals.push_back(decoded_output(lowered, i, outputs[i]).reshaped(coded[i].shape()));
  result.accuracy = accuracy_of(reals, data, exact);
  result.relative_noise = relative_noise(coded, reals);
  return result;
}

void check_output(const std::filesystem::path& path) {
  if (path.empty()) return;
  const std::string suffix = path.extension().string();
  if (suffix != ".tandem" && suffix != ".onnx" && suffix != ".tflite")
    throw Error("--output ", path.string(), ": a network is a file .onnx, .tflite or .tandem");
  check_writable_folder(path.has_parent_path() ? path.parent_path() : ".");
}

bool is_tflite(const std::string& output) {
  return std::filesystem::path(output).extension() == ".tflite";
}

// The text or bytes of the file. ONNX takes nested scales as the numbers that they are.
std::string file_content(const Module& recoded, const std::string& output) {
  if (std::filesystem::path(output).extension() != ".onnx") return print_module(recoded);
  Module plain = recoded;
  fold_scales(plain);
  return write_onnx(plain, output).bytes;
}

void measure(const CompressRequest& request, const TrainingSets& sets, CompressResult& result) {
  const DataSet& data = sets.held_out;
  result.measured = true;
  const auto exact = outputs_of(request.network, data), coded = outputs_of(result.recoded, data);
  result.float_accuracy = accuracy_of(exact, data, exact);
  result.recoded_accuracy = accuracy_of(coded, data, exact);
  result.relative_noise = relative_noise(exact, coded);
  // Codes of weights alone are no borders that integers could run between.
  if (!result.real_layers.empty() || !is_quantized(result.recoded)) return;
  std::optional<Module> lowered;
  try {
    lowered = lowered_network(result.recoded);
  } catch (const Error& error) {  // such as sums beyond 63 bits
    result.not_lowered = error.what();
    return;
  }
  result.lowered = run_lowered(*lowered, result.recoded, data, exact, coded);
}

void describe_data(const CompressRequest& request, const TrainingSets& sets,
                   CompressResult& result) {
  result.data = request.data;
  result.preprocessing = sets.calibration.preprocessing;
  result.calibration_samples = sets.calibration.count();
  result.selection_samples = sets.selection.count();
  result.held_out_samples = request.measures ? sets.held_out.count() : 0;
  result.has_labels = !sets.held_out.labels.empty();
  auto& metadata = result.recoded.metadata;
  metadata["data"] = request.data.source;
  metadata["preprocessing"] = result.preprocessing;
  metadata["calibration"] = concat(result.calibration_samples, " samples, ", request.recipe.method,
                                   ", seed ", request.data.seed);
}

using Json = nlohmann::ordered_json;

Json json_of(const RecodedLayer& layer) {
  Json entry{{"layer", layer.layer}, {"op", layer.op}};
  if (!layer.weight_format.empty()) {
    entry["weights"] = layer.weight_format;
    entry["weight_bytes"] = layer.weight_bytes;
  }
  if (!layer.result_format.empty()) {
    entry["result"] = layer.result_format;
    if (layer.token_scales) entry["token_scales"] = true;
    entry["scale"] = layer.scale;
    entry["zero"] = layer.zero;
  }
  return entry;
}

Json json_of(const CompressResult& result) {
  Json json{{"schema", "tandem-compress/1"},
            {"model", result.model},
            {"output", result.output},
            {"data",
             {{"source", result.data.source},
              {"preprocessing", result.preprocessing},
              {"calibration_samples", result.calibration_samples},
              {"selection_samples", result.selection_samples},
              {"held_out_split", result.data.split},
              {"held_out_samples", result.held_out_samples},
              {"seed", result.data.seed}}},
            {"method", name(result.recipe.activations.method)},
            {"weight_method", name(result.recipe.weights.method)},
            {"rounding", name(result.recipe.rounding)},
            {"bias_correction", result.recipe.bias_correction},
            {"granularity", name(result.recipe.weights.granularity)},
            {"scales", name(result.recipe.weights.scales)}};
  if (result.recipe.activations.method == RangeMethod::kPercentile)
    json["percentile"] = result.recipe.activations.percentile;
  if (!result.rewrites.empty()) json["rewrites"] = result.rewrites;
  if (!result.class_biases.empty()) json["class_biases"] = result.class_biases;
  if (!result.widened.empty()) json["widened"] = result.widened;
  json["real_layers"] = result.real_layers;
  json["layers"] = Json::array();
  for (const RecodedLayer& layer : result.layers) json["layers"].push_back(json_of(layer));
  json["weight_bytes"] = result.weight_bytes;
  if (!result.measured) return json;
  json["samples"] = result.held_out_samples;
  json["accuracy"] = {{"float", result.float_accuracy}, {"recoded", result.recoded_accuracy}};
  json["relative_noise"] = result.relative_noise;
  if (!result.not_lowered.empty()) json["not_lowered"] = result.not_lowered;
  if (result.lowered) {
    json["accuracy"]["lowered"] = result.lowered->accuracy;
    json["lowered_codes"] = {{"compared", result.lowered->compared_codes},
                             {"differing", result.lowered->differing_codes},
                             {"relative_noise", result.lowered->relative_noise}};
  }
  return json;
}

void choose_exponential(Module& network, const std::string& exponential) {
  parse_exponential(exponential);
  bool found = false;
  for (Node& node : network.main().nodes) {
    if (node.op->name() != "Softmax") continue;
    node.attributes["exponential"] = exponential;
    found = true;
  }
  if (!found && exponential != name(Exponential::kTable))
    throw Error("--exponential ", exponential, ": the network has no Softmax");
}

}  // namespace

CompressResult compress_network(const CompressRequest& request) {
  check_output(request.output);
  if (!request.measures && request.data.limit)
    throw Error("--skip-accuracy looks at no held-out samples; leave out --limit");
  TrainingOptions data = request.data;
  data.opens_held_out = request.measures;
  const TrainingSets sets = open_training(data, request.network);
  Module prepared = request.network;
  prepare_for_quantization(prepared);
  choose_exponential(prepared, request.exponential);
  CompressResult result;
  result.rewrites = request.recipe.rewrite(prepared, sets.calibration);
  SiteRules rules = request.recipe.rules(prepared);
  rules.coded_outputs = is_tflite(request.output);
  const Recoder recoder(prepared, sets.calibration, rules, request.recipe.moments(),
                        request.recipe.wants_importance());
  result.model = request.model;
  result.output = request.output;
  result.recipe = chosen_recipe(request, recoder, sets.selection);
  if (request.max_drop) {
    result.recipe = AccuracyControl(recoder, sets.selection, *request.max_drop)
                        .run(result.recipe, result.widened);
  }
  result.recoded = recoder.recoded(result.recipe);
  if (request.recipe.class_biases)
    result.class_biases = add_class_biases(result.recoded, {{&sets.calibration, &sets.selection}});
  std::string content;
  if (is_tflite(request.output)) {
    // The network that the file holds.
    content = write_tflite(result.recoded, request.output, TfliteRounding::kAdopted);
    result.recoded = read_tflite(std::as_bytes(std::span(content)), request.output);
  }
  describe_data(request, sets, result);
  result.real_layers.assign(rules.real_layers.begin(), rules.real_layers.end());
  result.layers = recoded_layers(recoder, result.recipe);
  for (const RecodedLayer& layer : result.layers) result.weight_bytes += layer.weight_bytes;
  if (request.measures) measure(request, sets, result);
  if (request.output.empty()) return result;
  if (content.empty()) content = file_content(result.recoded, request.output);
  write_file_atomic(request.output, content);
  write_file_atomic(request.output + ".lock.json", json_of(result).dump(2) + "\n");
  return result;
}

std::vector<TensorAdvice> advise_network(const CompressRequest& request) {
  TrainingOptions data = request.data;
  data.opens_held_out = false;
  const TrainingSets sets = open_training(data, request.network);
  Module prepared = request.network;
  prepare_for_quantization(prepared);
  request.recipe.rewrite(prepared, sets.calibration);
  if (request.recipe.weight_method == name(RangeMethod::kOutputError))
    throw Error("--advise looks at weights alone; give --weight-method minmax or mse");
  const Recoder recoder(prepared, sets.calibration, request.recipe.rules(prepared),
                        MomentsWanted::kNothing, request.recipe.wants_importance());
  AdviceRules rules = default_advice_rules();
  if (!request.candidates.empty()) {
    rules.weights.clear();
    rules.activations.clear();
    for (const std::string& text : request.candidates) {
      const Format format = Format::parse(text);
      check_code_format(format);
      rules.activations.push_back(format);
      WeightRules of_weights;
      of_weights.format = format;
      check_weight_rules(of_weights);
      rules.weights.push_back(format);
    }
  }
  return advise(recoder, request.recipe.recipe(recoder.sites()), rules);
}

std::string to_json(const CompressResult& result) {
  return json_of(result).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string to_json(const std::vector<TensorAdvice>& advice, const std::string& model) {
  Json json{{"schema", "tandem-advice/1"}, {"model", model}, {"tensors", Json::array()}};
  for (const TensorAdvice& tensor : advice) {
    Json formats = Json::array();
    for (const FormatAdvice& format : tensor.formats) {
      formats.push_back(
          {{"format", format.format.name()}, {"sqnr_db", format.sqnr_db}, {"bytes", format.bytes}});
      if (format.gates) formats.back()["gates"] = std::round(*format.gates);
      if (format.sum_bits) formats.back()["sum_bits"] = *format.sum_bits;
    }
    json["tensors"].push_back({{"tensor", tensor.layer},
                               {"is_weights", tensor.is_weights},
                               {"kurtosis", tensor.kurtosis},
                               {"products", tensor.products},
                               {"formats", formats},
                               {"recommended", tensor.formats[tensor.recommended].format.name()},
                               {"reason", tensor.reason}});
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace tandem
