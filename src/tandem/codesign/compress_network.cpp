#include "tandem/codesign/compress_network.h"

#include <algorithm>
#include <filesystem>
#include <span>

#include <nlohmann/json.hpp>

#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/compress/measure.h"
#include "tandem/compress/sensitivity.h"
#include "tandem/files/onnx_writer.h"
#include "tandem/files/tflite_reader.h"
#include "tandem/files/tflite_writer.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/printer.h"
#include "tandem/ops/exponentials.h"
#include "tandem/verify/network.h"
#include "tandem/verify/reference_execution.h"

namespace tandem {
namespace {

// Widths from 2 bits to below the recipe's own.
std::vector<int> narrower_widths(const CompressRecipe& recipe) {
  std::vector<int> widths;
  for (int bits = 2; bits < std::max(recipe.weight_bits, recipe.activations.bits); ++bits)
    widths.push_back(bits);
  return widths;
}

CompressRecipe chosen_recipe(const CompressRequest& request, const Recoder& recoder,
                             const DataSet& selection) {
  CompressRecipe recipe = request.recipe.recipe(recoder.sites());
  if (!request.max_weight_bytes) return recipe;
  const auto exact = outputs_of(recoder.network(), selection);
  auto sensitivities = measure_sensitivity(
      recoder.sites(), recipe, narrower_widths(recipe), [&](const CompressRecipe& tried) {
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
              ": weights of 2 bits throughout take ",
              (weight_bits_of(recoder.sites(), path.back()) + 7) / 8, " bytes");
}

CompressResult::Lowered run_lowered(const Module& recoded, const DataSet& data,
                                    const std::vector<Tensor>& exact,
                                    const std::vector<Tensor>& coded) {
  const Module lowered = lowered_network(recoded);
  const NetworkSamples samples(recoded, {data});
  ReferenceExecution reference(lowered);
  const Samples outputs = reference.run(samples.codes(lowered));
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

// The text or bytes of the file.
std::string file_content(const Module& recoded, const std::string& output) {
  return std::filesystem::path(output).extension() == ".onnx" ? write_onnx(recoded, output).bytes
                                                              : print_module(recoded);
}

void measure(const CompressRequest& request, const TrainingSets& sets, CompressResult& result) {
  const DataSet& data = sets.held_out;
  const auto exact = outputs_of(request.network, data), coded = outputs_of(result.recoded, data);
  result.float_accuracy = accuracy_of(exact, data, exact);
  result.recoded_accuracy = accuracy_of(coded, data, exact);
  result.relative_noise = relative_noise(exact, coded);
  if (result.real_layers.empty()) result.lowered = run_lowered(result.recoded, data, exact, coded);
}

void describe_data(const CompressRequest& request, const TrainingSets& sets,
                   CompressResult& result) {
  result.data = request.data;
  result.preprocessing = sets.held_out.preprocessing;
  result.calibration_samples = sets.calibration.count();
  result.selection_samples = sets.selection.count();
  result.held_out_samples = sets.held_out.count();
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
            {"weight_method", name(result.recipe.weight_method)}};
  if (result.recipe.activations.method == RangeMethod::kPercentile)
    json["percentile"] = result.recipe.activations.percentile;
  json["real_layers"] = result.real_layers;
  json["layers"] = Json::array();
  for (const RecodedLayer& layer : result.layers) json["layers"].push_back(json_of(layer));
  json["weight_bytes"] = result.weight_bytes;
  json["samples"] = result.held_out_samples;
  json["accuracy"] = {{"float", result.float_accuracy}, {"recoded", result.recoded_accuracy}};
  json["relative_noise"] = result.relative_noise;
  if (result.lowered) {
    json["accuracy"]["reference"] = result.lowered->accuracy;
    json["reference_codes"] = {{"compared", result.lowered->compared_codes},
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
  const TrainingSets sets = open_training(request.data, request.network);
  Module prepared = request.network;
  prepare_for_quantization(prepared);
  choose_exponential(prepared, request.exponential);
  SiteRules rules = request.recipe.rules(prepared);
  rules.coded_outputs = is_tflite(request.output);
  const Recoder recoder(prepared, sets.calibration, rules);
  CompressResult result;
  result.model = request.model;
  result.output = request.output;
  result.recipe = chosen_recipe(request, recoder, sets.selection);
  result.recoded = recoder.recoded(result.recipe);
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
  measure(request, sets, result);
  if (request.output.empty()) return result;
  if (content.empty()) content = file_content(result.recoded, request.output);
  write_file_atomic(request.output, content);
  write_file_atomic(request.output + ".lock.json", json_of(result).dump(2) + "\n");
  return result;
}

std::string to_json(const CompressResult& result) {
  return json_of(result).dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace tandem
