#include "tandem/data/training.h"

#include "tandem/base/error.h"

namespace tandem {

TrainingSets open_training(const TrainingOptions& asked, const Module& network) {
  if (asked.seed < 0) throw Error("--seed ", asked.seed, " is negative");
  if (asked.calibration < 1)
    throw Error("--calibration ", asked.calibration, ": at least one sample is needed");
  if (asked.selection < 0) throw Error("--selection ", asked.selection, " is negative");
  if (asked.split == "train") {
    throw Error(
        "--split train: calibration and selection are taken from the training samples, so "
        "accuracy is reported on others (--split test)");
  }
  if (network.main().inputs.size() != 1) {
    throw Error("the network has ", network.main().inputs.size(),
                " inputs; a data set serves networks with one");
  }
  const TensorType input = network.main().values[network.main().inputs[0]].type;
  DataOptions options;
  options.source = asked.source;
  options.preprocess = asked.preprocess;
  options.seed = static_cast<std::uint64_t>(asked.seed);
  options.split = "train";
  TrainingParts parts =
      split_training(open_data(options, input), asked.calibration, asked.selection, options.seed);
  options.split = asked.split;
  // Random samples have no splits: others are drawn.
  if (asked.source.starts_with("random:")) ++options.seed;
  options.limit = asked.limit;
  if (!asked.opens_held_out) return {std::move(parts.calibration), std::move(parts.selection), {}};
  return {std::move(parts.calibration), std::move(parts.selection), open_data(options, input)};
}

}  // namespace tandem
