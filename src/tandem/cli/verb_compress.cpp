#include <algorithm>
#include <filesystem>

#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/base/text.h"
#include "tandem/cli/network_options.h"
#include "tandem/cli/options.h"
#include "tandem/cli/recipe_options.h"
#include "tandem/cli/table.h"
#include "tandem/cli/training_options.h"
#include "tandem/cli/verbs.h"
#include "tandem/compress/layer_table.h"
#include "tandem/compress/measure.h"
#include "tandem/compress/sensitivity.h"
#include "tandem/files/onnx_writer.h"
#include "tandem/files/tflite_reader.h"
#include "tandem/files/tflite_writer.h"
#include "tandem/graph/printer.h"
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

// Accuracy of the lowered network, and how far it is from the recoded one in codes of its outputs.
struct LoweredResult {
  double accuracy = 0;
  std::int64_t compared_codes = 0, differing_codes = 0;
};

class CompressVerb final : public Verb {
 public:
  std::string name() const override { return "compress"; }
  std::string summary() const override {
    return "Recode a network of reals: weights and activations become codes of few bits";
  }
  std::string examples() const override {
    return "  tandem compress digits.onnx --data npz:digits.npz -o digits8.tandem\n"
           "  tandem compress digits.onnx --data npz:digits.npz --weights int4 --weights head=int6 "
           "\\\n      --method percentile -o digits4.tandem\n"
           "  tandem compress digits.onnx --data npz:digits.npz --max-weight-bytes 3500 "
           "-o small.tandem";
  }
  void add_options(OptionTable& options) override {
    model_.add_to(options);
    data_.add_to(options);
    recipe_.add_to(options);
    options.integer("--max-weight-bytes", max_weight_bytes_,
                    "Narrow the weights of single layers, those that matter least first, until all "
                    "fit into so many bytes");
    options.required_text("-o,--output", "FILE", output_,
                          "The recoded network: .onnx, .tflite or .tandem");
  }

  VerbResult run(const CommonOptions&) override {
    const Module network = model_.load();
    const std::filesystem::path output = output_;
    check_output(output);
    const TrainingSets sets = data_.open(network);
    Module prepared = network;
    prepare_for_quantization(prepared);
    SiteRules rules = recipe_.rules(prepared);
    rules.coded_outputs = is_tflite();
    const Recoder recoder(prepared, sets.calibration, rules);
    const CompressRecipe recipe = chosen_recipe(recoder, sets.selection);
    Module recoded = recoder.recoded(recipe);
    if (is_tflite()) recoded = as_tflite(recoded);
    record(recoded, sets);
    VerbResult result = describe_result(recoder, recipe, rules, sets);
    measure(network, recoded, rules, sets, result);
    write_model(recoded, output);
    write_file_atomic(output_ + ".lock.json", result.json.dump(2) + "\n");
    result.text += concat("wrote ", output_, " and ", output_, ".lock.json\n");
    return result;
  }

 private:
  static void check_output(const std::filesystem::path& path) {
    const std::string suffix = path.extension().string();
    if (suffix != ".tandem" && suffix != ".onnx" && suffix != ".tflite")
      throw Error("--output ", path.string(), ": a network is a file .onnx, .tflite or .tandem");
    check_writable_folder(path.has_parent_path() ? path.parent_path() : ".");
  }

  bool is_tflite() const { return std::filesystem::path(output_).extension() == ".tflite"; }

  // The network that the file holds: TensorFlow Lite's kernels decide how codes are rounded.
  Module as_tflite(const Module& recoded) {
    tflite_bytes_ = write_tflite(recoded, output_, TfliteRounding::kAdopted);
    return read_tflite(std::as_bytes(std::span(tflite_bytes_)), output_);
  }

  CompressRecipe chosen_recipe(const Recoder& recoder, const DataSet& selection) const {
    CompressRecipe recipe = recipe_.recipe(recoder.sites());
    if (!max_weight_bytes_) return recipe;
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
      if (bits(tried) <= 8.0 * static_cast<double>(*max_weight_bytes_)) return tried;
    throw Error("--max-weight-bytes ", *max_weight_bytes_, ": weights of 2 bits throughout take ",
                (weight_bits_of(recoder.sites(), path.back()) + 7) / 8, " bytes");
  }

  void record(Module& recoded, const TrainingSets& sets) const {
    recoded.metadata["data"] = data_.source;
    recoded.metadata["preprocessing"] = sets.held_out.preprocessing;
    recoded.metadata["calibration"] =
        concat(sets.calibration.count(), " samples, ", recipe_.method, ", seed ", data_.seed);
  }

  VerbResult describe_result(const Recoder& recoder, const CompressRecipe& recipe,
                             const SiteRules& rules, const TrainingSets& sets) const {
    VerbResult result;
    result.json = {{"schema", "tandem-compress/1"},
                   {"model", model_.path},
                   {"output", output_},
                   {"data", data_.json(sets)},
                   {"method", std::string(tandem::name(recipe.activations.method))},
                   {"weight_method", std::string(tandem::name(recipe.weight_method))}};
    if (recipe.activations.method == RangeMethod::kPercentile)
      result.json["percentile"] = recipe.activations.percentile;
    result.json["real_layers"] = rules.real_layers;
    if (!rules.real_layers.empty()) {
      const std::vector<std::string> layers(rules.real_layers.begin(), rules.real_layers.end());
      result.text += "left real: " + join(layers, ", ") + "\n";
    }
    TextTable table({"layer", "operator", "weights", "bytes", "result", "scale", "zero"});
    Json list = Json::array();
    std::int64_t bytes = 0;
    for (const RecodedLayer& layer : recoded_layers(recoder, recipe)) {
      const bool has_weights = !layer.weight_format.empty(),
                 has_codes = !layer.result_format.empty();
      table.add({layer.layer, layer.op, layer.weight_format,
                 has_weights ? grouped(layer.weight_bytes) : "", layer.result_format,
                 has_codes ? shortest(layer.scale) : "", has_codes ? concat(layer.zero) : ""});
      Json entry{{"layer", layer.layer}, {"op", layer.op}};
      if (has_weights) {
        entry["weights"] = layer.weight_format;
        entry["weight_bytes"] = layer.weight_bytes;
      }
      if (has_codes) {
        entry["result"] = layer.result_format;
        entry["scale"] = layer.scale;
        entry["zero"] = layer.zero;
      }
      list.push_back(entry);
      bytes += layer.weight_bytes;
    }
    result.json["layers"] = list;
    result.json["weight_bytes"] = bytes;
    result.text += table.text() + concat("weights: ", grouped(bytes), " bytes\n");
    return result;
  }

  void measure(const Module& network, const Module& recoded, const SiteRules& rules,
               const TrainingSets& sets, VerbResult& result) const {
    const DataSet& data = sets.held_out;
    const auto exact = outputs_of(network, data), coded = outputs_of(recoded, data);
    const double before = accuracy_of(exact, data, exact), after = accuracy_of(coded, data, exact);
    const double noise = relative_noise(exact, coded);
    const std::string what = data.labels.empty() ? "agreement" : "accuracy";
    result.json["samples"] = data.count();
    result.json["accuracy"] = {{"float", before}, {"recoded", after}};
    result.json["relative_noise"] = noise;
    result.text += concat(what, " on ", data.count(), " held-out samples: float ", percent(before),
                          ", recoded ", percent(after));
    if (rules.real_layers.empty()) {
      const LoweredResult lowered = run_lowered(recoded, data, exact, coded);
      result.json["accuracy"]["reference"] = lowered.accuracy;
      result.json["reference_codes"] = {{"compared", lowered.compared_codes},
                                        {"differing", lowered.differing_codes}};
      result.text +=
          concat(", lowered to integers ", percent(lowered.accuracy), "\n",
                 grouped(lowered.differing_codes), " of ", grouped(lowered.compared_codes),
                 " output codes differ between the recoded network of reals and the "
                 "integers\n");
    } else {
      result.text += "\nit keeps real layers, so it does not lower to integers\n";
    }
  }

  static LoweredResult run_lowered(const Module& recoded, const DataSet& data,
                                   const std::vector<Tensor>& exact,
                                   const std::vector<Tensor>& coded) {
    const Module lowered = lowered_network(recoded);
    const NetworkSamples samples(recoded, {data});
    ReferenceExecution reference(lowered);
    const Samples outputs = reference.run(samples.codes(lowered));
    LoweredResult result;
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const auto codes = outputs[i].to_integers();
      const auto wanted = encoded_output(lowered, i, coded[i]).to_integers();
      ensure(codes.size() == wanted.size(), "outputs of different shapes");
      result.compared_codes += static_cast<std::int64_t>(codes.size());
      for (std::size_t k = 0; k < codes.size(); ++k)
        result.differing_codes += codes[k] != wanted[k] ? 1 : 0;
    }
    const std::vector<Tensor> reals{decoded_output(lowered, 0, outputs.front())};
    result.accuracy = accuracy_of(reals, data, exact);
    return result;
  }

  void write_model(const Module& recoded, const std::filesystem::path& path) const {
    if (is_tflite()) return write_file_atomic(path, tflite_bytes_);
    write_file_atomic(path, path.extension() == ".onnx" ? write_onnx(recoded, output_).bytes
                                                        : print_module(recoded));
  }

  ModelOptions model_;
  TrainingFlags data_;
  RecipeFlags recipe_;
  std::optional<std::int64_t> max_weight_bytes_;
  std::string output_;
  std::string tflite_bytes_;
};

}  // namespace

std::unique_ptr<Verb> make_compress_verb() { return std::make_unique<CompressVerb>(); }

}  // namespace tandem
