#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/data/sample_rows.h"
#include "tandem/graph/module.h"
#include "tandem/tensor/tensor.h"

namespace tandem {

// How the codes of samples stand for the reals that a network takes: real = scale * code + offset.
// One entry, or one for each channel (the first axis of a sample).
struct SampleCoding {
  std::vector<double> scale = {1};
  std::vector<double> offset = {0};
};

// Samples as codes, with labels where the set has them. The samples stay where they are until they
// are used.
struct DataSet {
  std::string name;                  // "mnist:../data (test)"
  SampleRows samples;                // codes [count, ...]: uint8 for images, f32 for reals
  std::vector<std::int64_t> labels;  // one for each sample, or empty
  SampleCoding coding;
  std::string preprocessing;  // one line for artefacts: "uint8; real = code * 0.00392157"

  std::int64_t count() const { return samples.count(); }
  Shape sample_shape() const { return {samples.shape().begin() + 1, samples.shape().end()}; }
  // Samples [begin, end), and those of a list of indices; labels go with them.
  DataSet rows(std::int64_t begin, std::int64_t end) const;
  DataSet rows(const std::vector<std::int64_t>& indices) const;
};

// Options of a set as they stand on the command line.
struct DataOptions {
  // "mnist:DIR", "cifar10:DIR", "csv:FILE", "npz:FILE" or "random:N".
  std::string source;
  std::string split = "test";         // or "train"
  std::optional<std::int64_t> limit;  // the first so many samples
  std::uint64_t seed = 1;             // of random sets, and of the split of a CSV file without one
  // "mean=0.5,0.4,0.4 std=0.2": reals become (real - mean) / std; "scale=0.0078125 offset=-1"
  // instead says how codes become reals. Lists have an entry for each channel.
  std::string preprocess;
};

// Throws Error for an unknown kind of source or split, for a limit without samples, and for options
// that have no meaning for the source (which may be empty where no data are asked for).
void check_data_options(const DataOptions& options);

// Opens a set. Image sets hand over uint8 codes with scale 1/255.
//   npz: arrays <split>_images (or <split>_samples) and <split>_labels, or images/samples/labels
//        for both splits, and the optional scalar `scale`;
//   csv: columns are features but for `label` (or class, target) and `split` (train or test);
//        without such a column one row in five, chosen by the seed, is for testing;
//   random: N samples of `input`: all minimum, all maximum, then independent draws from the whole
//        range of an integer format, uniform in [-1, 1) for reals.
// `input` is the type of the network's input; only random sets need it. Throws Error naming the
// source and what is wrong in it.
DataSet open_data(const DataOptions& options, const std::optional<TensorType>& input = {});

// Disjoint parts of a training set: in an order drawn from the seed, the first `calibration`
// samples and the next `selection` ones, fewer (in proportion) where the set is smaller. Neither is
// empty, unless no selection is asked for.
struct TrainingParts {
  DataSet calibration, selection;
};
TrainingParts split_training(const DataSet& training, std::int64_t calibration,
                             std::int64_t selection, std::uint64_t seed);

}  // namespace tandem
