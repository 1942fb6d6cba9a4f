#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tandem/cli/option_table.h"
#include "tandem/cli/verb.h"
#include "tandem/data/dataset.h"
#include "tandem/graph/module.h"

namespace tandem {

// Data for verbs that choose numbers: parts of the training split for calibration and selection,
// and the held-out split, which is looked at last and for the reported accuracy only.
struct TrainingSets {
  DataSet calibration, selection, held_out;
};

// --data, --preprocess, --calibration, --selection, --split, --limit, --seed.
struct TrainingFlags {
  std::string source, preprocess, split = "test";
  std::int64_t calibration = 256, selection = 512, seed = 1;
  std::optional<std::int64_t> limit;

  void add_to(OptionTable& options);
  // Throws Error where the split is the one that calibration takes.
  TrainingSets open(const Module& network) const;
  Json json(const TrainingSets& sets) const;
};

}  // namespace tandem
