#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tandem/compress/advice.h"
#include "tandem/compress/layer_table.h"
#include "tandem/compress/recipe_options.h"
#include "tandem/data/training.h"
#include "tandem/graph/module.h"

namespace tandem {

// A network of reals, the data by which it is recoded, and how.
struct CompressRequest {
  Module network;
  std::string model;  // the network's file, for results
  TrainingOptions data;
  RecipeOptions recipe = {};
  // Narrow the weights of single layers, those that matter least first, until all fit.
  std::optional<std::int64_t> max_weight_bytes = {};
  // Give tensors 16 bits, those first that help most, until the accuracy on the selection samples
  // drops by at most so many points.
  std::optional<double> max_drop = {};
  // Say of each tensor what each candidate format would do to it, instead of recoding.
  bool advises = false;
  std::vector<std::string> candidates = {};  // formats; empty: the usual ones
  // How integers compute the exponentials of every Softmax (ops/exponentials.h).
  std::string exponential = "table";
  // Whether the accuracy on held-out samples is looked at.
  bool measures = true;
  std::string output = {};  // a file .onnx, .tflite or .tandem; empty: none is written
};

struct CompressResult {
  std::string model, output;
  TrainingOptions data;
  std::string preprocessing;
  std::int64_t calibration_samples = 0, selection_samples = 0, held_out_samples = 0;
  bool has_labels = true;  // else accuracies are agreement with the network as read

  Module recoded;  // of reals, with its codes
  CompressRecipe recipe;
  std::vector<std::string> rewrites;  // what each did
  std::vector<std::string> widened;   // tensors that `max_drop` gave 16 bits
  std::vector<double> class_biases;   // as fitted
  std::vector<std::string> real_layers;
  std::vector<RecodedLayer> layers;
  std::int64_t weight_bytes = 0;

  // On held-out samples, where it was measured.
  bool measured = false;
  double float_accuracy = 0, recoded_accuracy = 0;
  double relative_noise = 0;  // of the recoded outputs
  // The lowered network: how far it is from the recoded one in codes of its outputs.
  struct Lowered {
    double accuracy = 0;
    std::int64_t compared_codes = 0, differing_codes = 0;
    double relative_noise = 0;  // of its outputs against the recoded network's
  };
  std::optional<Lowered> lowered;  // absent where layers stay real, or
  std::string not_lowered;         // for this reason
};

// Recodes a network and measures what that changed, where that is asked for; writes `output` and
// `output`.lock.json (the result as JSON). For .tflite TensorFlow Lite's kernels decide how codes
// are rounded. Throws Error where the network cannot be quantized, an option is wrong, or no recipe
// is small enough.
CompressResult compress_network(const CompressRequest& request);

// Advice on the formats of every tensor of a network, by the same data and options; writes nothing.
std::vector<TensorAdvice> advise_network(const CompressRequest& request);

// As JSON text (schema "tandem-compress/1").
std::string to_json(const CompressResult& result);
// Schema "tandem-advice/1"; `model` is the network's file.
std::string to_json(const std::vector<TensorAdvice>& advice, const std::string& model);

}  // namespace tandem
