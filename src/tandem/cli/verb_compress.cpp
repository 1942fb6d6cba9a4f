#include <cmath>

#include "tandem/base/text.h"
#include "tandem/cli/network_options.h"
#include "tandem/cli/options.h"
#include "tandem/cli/table.h"
#include "tandem/cli/verbs.h"
#include "tandem/codesign/compress_network.h"

namespace tandem {

// How numbers are chosen.
static void add_options(OptionTable& options, RecipeOptions& recipe) {
  options.list("--weights", "FORMAT|LAYER=FORMAT", recipe.weights,
               "Codes of weights, int2 to int16 (int8); with a layer or pattern, of these alone");
  options.list(
      "--activations", "FORMAT|LAYER=FORMAT", recipe.activations,
      "Codes of activations, uint2 to uint16 or int2 to int16 (uint8; int16 for the residual "
      "streams of transformers, which patterns alone change)");
  options.text("--method", "METHOD", recipe.method,
               "How ranges of activations are found: minmax, percentile or mse");
  options.text("--weight-method", "METHOD", recipe.weight_method,
               "How scales of weights are found: minmax or mse");
  options.number("--percentile", recipe.percentile,
                 "Share of the numbers that a percentile range holds, in percent (99.99)");
  options.list("--only", "LAYER", recipe.only, "Recode these layers alone (a name or pattern)");
  options.list("--ignore", "LAYER", recipe.ignore, "Leave these layers real (a name or pattern)");
  options.flag("--per-tensor", recipe.per_tensor, "One scale for all weights of a layer");
  options.flag("--symmetric", recipe.symmetric,
               "No zero points: activations of both signs are int");
  options.flag("--power-of-two", recipe.power_of_two, "All scales are powers of two");
  options.flag("--shared-sums", recipe.shared_sums, "Both operands of a sum have one scale");
}

namespace {

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
    tandem::add_options(options, request_.data);
    tandem::add_options(options, request_.recipe);
    options.integer("--max-weight-bytes", request_.max_weight_bytes,
                    "Narrow the weights of single layers, those that matter least first, until all "
                    "fit into so many bytes");
    options.text(
        "--exponential", "FORM", request_.exponential,
        "How integers compute those of Softmax: table, shift (I-ViT) or polynomial (I-BERT)");
    options.required_text("-o,--output", "FILE", request_.output,
                          "The recoded network: .onnx, .tflite or .tandem");
  }

  VerbResult run(const CommonOptions&) override {
    request_.network = model_.load();
    request_.model = model_.path;
    const CompressResult compressed = compress_network(request_);
    VerbResult result;
    result.json = Json::parse(to_json(compressed));
    if (!compressed.real_layers.empty())
      result.text += "left real: " + join(compressed.real_layers, ", ") + "\n";
    result.text += layer_table(compressed) + accuracy_text(compressed) +
                   concat("wrote ", compressed.output, " and ", compressed.output, ".lock.json\n");
    return result;
  }

 private:
  static std::string layer_table(const CompressResult& compressed) {
    TextTable table({"layer", "operator", "weights", "bytes", "result", "scale", "zero"});
    for (const RecodedLayer& layer : compressed.layers) {
      const bool has_weights = !layer.weight_format.empty(),
                 has_codes = !layer.result_format.empty();
      table.add({layer.layer, layer.op, layer.weight_format,
                 has_weights ? grouped(layer.weight_bytes) : "", layer.result_format,
                 has_codes ? shortest(layer.scale) : "", has_codes ? concat(layer.zero) : ""});
    }
    return table.text() + concat("weights: ", grouped(compressed.weight_bytes), " bytes\n");
  }

  static std::string decibels(double share) {
    return share > 0 ? concat(readable(10 * std::log10(share)), " dB") : "none";
  }

  static std::string accuracy_text(const CompressResult& compressed) {
    const std::string text = concat(compressed.has_labels ? "accuracy" : "agreement", " on ",
                                    compressed.held_out_samples, " held-out samples: float ",
                                    percent(compressed.float_accuracy), ", recoded ",
                                    percent(compressed.recoded_accuracy));
    const std::string noise =
        concat("\nnoise of the outputs: ", decibels(compressed.relative_noise), " by recoding");
    if (!compressed.lowered)
      return concat(text, noise, "\nit keeps real layers, so it does not lower to integers\n");
    return concat(text, ", lowered to integers ", percent(compressed.lowered->accuracy), noise,
                  ", ", decibels(compressed.lowered->relative_noise), " by lowering\n",
                  grouped(compressed.lowered->differing_codes), " of ",
                  grouped(compressed.lowered->compared_codes),
                  " output codes differ between the recoded network of reals and the integers\n");
  }

  ModelOptions model_;
  CompressRequest request_;
};

}  // namespace

std::unique_ptr<Verb> make_compress_verb() { return std::make_unique<CompressVerb>(); }

}  // namespace tandem
