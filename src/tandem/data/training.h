#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tandem/data/dataset.h"
#include "tandem/graph/module.h"

namespace tandem {

// Data for verbs that choose numbers: parts of the training split for calibration and selection,
// and the held-out split, which is looked at last and for the reported accuracy only.
struct TrainingSets {
  DataSet calibration, selection, held_out;
};

// What to open, as it stands on the command line; DataOptions says what the texts mean.
struct TrainingOptions {
  std::string source, preprocess, split = "test";  // the held-out split
  std::int64_t calibration = 256, selection = 512, seed = 1;
  std::optional<std::int64_t> limit;  // of held-out samples
  bool opens_held_out = true;         // else there are none
};

// `selection` may be 0 where nothing is selected. Throws Error where the network has more than one
// input, where the held-out split is the one that calibration takes, and as open_data() does.
TrainingSets open_training(const TrainingOptions& options, const Module& network);

}  // namespace tandem
