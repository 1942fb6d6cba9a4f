#include "tandem/cli/training_options.h"

#include "tandem/base/error.h"

namespace tandem {

void TrainingFlags::add_to(OptionTable& options) {
  options.required_text("--data", "SET", source,
                        "mnist:DIR, cifar10:DIR, csv:FILE, npz:FILE or random:N");
  options.text("--preprocess", "TEXT", preprocess,
               "How codes become reals, such as 'mean=0.5 std=0.25'");
  options.integer("--calibration", calibration, "Training samples that ranges are taken from");
  options.integer("--selection", selection,
                  "Further training samples, on which choices are compared");
  options.text("--split", "SPLIT", split, "The held-out part, for the reported accuracy");
  options.integer("--limit", limit, "Take only the first so many held-out samples");
  options.integer("--seed", seed, "Of the parts, and of all else that is drawn");
}

TrainingSets TrainingFlags::open(const Module& network) const {
  if (seed < 0) throw Error("--seed ", seed, " is negative");
  if (calibration < 1)
    throw Error("--calibration ", calibration, ": at least one sample is needed");
  if (selection < 1) throw Error("--selection ", selection, ": at least one sample is needed");
  if (split == "train") {
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
  options.source = source;
  options.preprocess = preprocess;
  options.seed = static_cast<std::uint64_t>(seed);
  options.split = "train";
  TrainingParts parts =
      split_training(open_data(options, input), calibration, selection, options.seed);
  options.split = split;
  // Random samples have no splits: others are drawn.
  if (source.starts_with("random:")) ++options.seed;
  options.limit = limit;
  return {std::move(parts.calibration), std::move(parts.selection), open_data(options, input)};
}

Json TrainingFlags::json(const TrainingSets& sets) const {
  return {{"source", source},
          {"preprocessing", sets.held_out.preprocessing},
          {"calibration_samples", sets.calibration.count()},
          {"selection_samples", sets.selection.count()},
          {"held_out_split", split},
          {"held_out_samples", sets.held_out.count()},
          {"seed", seed}};
}

}  // namespace tandem
