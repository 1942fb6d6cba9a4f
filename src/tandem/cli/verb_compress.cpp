#include <algorithm>
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
               "Codes of weights (int8): any of `tandem list formats` of at most 16 bits (floats: "
               "8), such as "
               "int4, uint4 (with a zero point), e4m3, nf4, ternary; with a layer or pattern, of "
               "these alone");
  options.list("--activations", "FORMAT|LAYER=FORMAT", recipe.activations,
               "Codes of activations (uint8; int16 for the residual streams of transformers, which "
               "patterns alone change), or f32: weights alone become codes");
  options.text("--method", "METHOD", recipe.method,
               "How ranges of activations are found: minmax, moving_average, percentile, mse or "
               "output_error");
  options.text("--weight-method", "METHOD", recipe.weight_method,
               "How scales of weights are found: minmax, mse or output_error");
  options.number("--percentile", recipe.percentile,
                 "Share of the numbers that a percentile range holds, in percent (99.99)");
  options.list("--only", "LAYER", recipe.only, "Recode these layers alone (a name or pattern)");
  options.list("--ignore", "LAYER", recipe.ignore, "Leave these layers real (a name or pattern)");
  options.list("--rewrite", "NAME[:PARAMETER]", recipe.rewrites,
               "First change scales of channels, which keeps the function: equalize, smooth:0.5 "
               "(SmoothQuant), ptf:3 (power-of-two factors), repq (RepQ-ViT); may be repeated");
  options.text("--rounding", "METHOD", recipe.rounding,
               "To which code weights go: nearest, or by the error of the layer's output on the "
               "calibration data gptq, adaround or descent");
  options.flag("--bias-correction", recipe.bias_correction,
               "Take off biases what rounding the weights does to the mean of each channel");
  options.flag("--class-biases", recipe.class_biases,
               "Fit biases of the class scores to the labels of the calibration and selection "
               "samples, after all else");
  options.flag("--token-scales", recipe.token_scales,
               "Values that matrix products read get a scale for each row, computed while the "
               "network runs (it then computes with reals between its products)");
  options.integer("--token-block", recipe.token_block,
                  "With --token-scales: a scale for each so many numbers of a row; with --scales "
                  "e8m0 and --granularity group:32 those of the MX formats");
  options.text("--granularity", "WHICH", recipe.granularity,
               "Which weights share a scale: tensor, channel, or group:N along a channel");
  options.text("--scales", "FORMAT", recipe.scales,
               "Format of scales: f32, f16, bf16, or e8m0 for powers of two; FORMAT:N or "
               "FORMAT:tensor nests those of weights, so that they are codes too and so many share "
               "an f32 unit (uint8:256, e4m3:tensor)");
  options.flag("--symmetric", recipe.symmetric,
               "No zero points: activations of both signs are int");
  options.flag("--shared-sums", recipe.shared_sums, "Both operands of a sum have one scale");
}

namespace {

std::string tenths(double value) { return shortest(std::round(value * 10) / 10); }

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
           "-o small.tandem\n"
           "  tandem compress digits.onnx --data npz:digits.npz --weights int4 --granularity "
           "group:16 \\\n      --rounding gptq --max-drop 1 -o digits4.tandem\n"
           "  tandem compress digits.onnx --data npz:digits.npz --advise";
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
    options.number("--max-drop", request_.max_drop,
                   "Give tensors 16 bits, those first that help most, until the accuracy on the "
                   "selection samples drops by at most so many points");
    options.flag("--skip-accuracy", skips_accuracy_,
                 "Do not measure the accuracy on held-out samples, and need none");
    options.flag("--advise", request_.advises,
                 "Print for every tensor what each candidate format does to it, and write nothing");
    options.list("--candidate", "FORMAT", request_.candidates,
                 "A format for --advise to look at, instead of the usual ones");
    options.text("-o,--output", "FILE", request_.output,
                 "The recoded network: .onnx, .tflite or .tandem");
  }

  VerbResult run(const CommonOptions&) override {
    request_.network = model_.load();
    request_.model = model_.path;
    if (request_.advises) return advice();
    request_.measures = !skips_accuracy_;
    if (!request_.candidates.empty()) throw Error("--candidate is for --advise");
    if (request_.output.empty())
      throw Error("name the file of the recoded network: -o FILE (.onnx, .tflite or .tandem)");
    const CompressResult compressed = compress_network(request_);
    VerbResult result;
    result.json = Json::parse(to_json(compressed));
    if (!compressed.widened.empty())
      result.text += "16 bits: " + join(compressed.widened, ", ") + "\n";
    for (const std::string& done : compressed.rewrites) result.text += "rewrote " + done + "\n";
    if (!compressed.real_layers.empty())
      result.text += "left real: " + join(compressed.real_layers, ", ") + "\n";
    if (const auto& biases = compressed.class_biases; !biases.empty()) {
      const auto [least, greatest] = std::ranges::minmax(biases);
      result.text += concat("class biases: ", readable(least), " to ", readable(greatest), "\n");
    }
    result.text += layer_table(compressed) + accuracy_text(compressed) +
                   concat("wrote ", compressed.output, " and ", compressed.output, ".lock.json\n");
    return result;
  }

 private:
  VerbResult advice() const {
    if (!request_.output.empty()) throw Error("--advise writes nothing; leave out -o");
    const RecipeOptions usual;
    const RecipeOptions& recipe = request_.recipe;
    if (request_.max_drop || request_.max_weight_bytes || recipe.token_scales ||
        recipe.bias_correction || recipe.class_biases || recipe.rounding != usual.rounding ||
        skips_accuracy_ || request_.exponential != CompressRequest().exponential) {
      throw Error(
          "--advise looks at the nearest codes of single tensors; leave out --max-drop, "
          "--max-weight-bytes, --rounding, --bias-correction, --class-biases, --token-scales, "
          "--skip-accuracy and "
          "--exponential");
    }
    VerbResult result;
    const auto advice = advise_network(request_);
    result.json = Json::parse(to_json(advice, request_.model));
    TextTable table(
        {"tensor", "kurtosis", "products", "format", "SQNR dB", "bytes", "gates", "sum bits", ""});
    for (const TensorAdvice& tensor : advice) {
      const std::string name = concat(tensor.is_weights ? "weights " : "values ", tensor.layer);
      for (std::size_t i = 0; i < tensor.formats.size(); ++i) {
        const FormatAdvice& format = tensor.formats[i];
        table.add({i == 0 ? name : "", i == 0 ? tenths(tensor.kurtosis) : "",
                   i == 0 && tensor.products > 0 ? grouped(tensor.products) : "",
                   format.format.name(), tenths(format.sqnr_db), grouped(format.bytes),
                   format.gates ? grouped(std::llround(*format.gates)) : "",
                   format.sum_bits ? concat(*format.sum_bits) : "",
                   i == tensor.recommended ? tensor.reason : ""});
      }
    }
    result.text = table.text();
    return result;
  }

  static std::string layer_table(const CompressResult& compressed) {
    TextTable table({"layer", "operator", "weights", "bytes", "result", "scale", "zero"});
    for (const RecodedLayer& layer : compressed.layers) {
      const bool has_weights = !layer.weight_format.empty(),
                 has_codes = !layer.result_format.empty();
      table.add({layer.layer, layer.op, layer.weight_format,
                 has_weights ? grouped(layer.weight_bytes) : "", layer.result_format,
                 layer.token_scales ? "computed"
                 : has_codes        ? shortest(layer.scale)
                                    : "",
                 has_codes ? concat(layer.zero) : ""});
    }
    return table.text() + concat("weights: ", grouped(compressed.weight_bytes), " bytes\n");
  }

  static std::string decibels(double share) {
    return share > 0 ? concat(readable(10 * std::log10(share)), " dB") : "none";
  }

  static std::string accuracy_text(const CompressResult& compressed) {
    if (!compressed.measured) return "";
    const std::string text = concat(compressed.has_labels ? "accuracy" : "agreement", " on ",
                                    compressed.held_out_samples, " held-out samples: float ",
                                    percent(compressed.float_accuracy), ", recoded ",
                                    percent(compressed.recoded_accuracy));
    const std::string noise =
        concat("\nnoise of the outputs: ", decibels(compressed.relative_noise), " by recoding");
    if (!compressed.lowered)
      return concat(text, noise, "\n",
                    compressed.not_lowered.empty()
                        ? "it computes with reals, so it does not lower to integers"
                        : "it does not lower to integers: " + compressed.not_lowered,
                    "\n");
    return concat(text, ", lowered to integers ", percent(compressed.lowered->accuracy), noise,
                  ", ", decibels(compressed.lowered->relative_noise), " by lowering\n",
                  grouped(compressed.lowered->differing_codes), " of ",
                  grouped(compressed.lowered->compared_codes),
                  " output codes differ between the recoded network of reals and the integers\n");
  }

  ModelOptions model_;
  CompressRequest request_;
  bool skips_accuracy_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_compress_verb() { return std::make_unique<CompressVerb>(); }

}  // namespace tandem
