#include "tandem/data/dataset.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/base/random.h"
#include "tandem/base/text.h"
#include "tandem/data/sources.h"

namespace tandem {
namespace {

const std::vector<std::string>& source_kinds() {
  static const std::vector<std::string> kKinds = {"mnist", "cifar10", "csv", "npz", "random"};
  return kKinds;
}

DataSet open_source(const std::string& kind, const std::string& place, const DataOptions& options,
                    const std::optional<TensorType>& input) {
  const bool train = options.split == "train";
  if (kind == "mnist") return open_mnist(place, train);
  if (kind == "cifar10") return open_cifar10(place, train);
  if (kind == "csv") return open_csv(place, train, options.seed);
  if (kind == "npz") return open_npz(place, train, options.seed);
  const std::int64_t count = parse_integer(place, "number of random samples");
  if (!input) throw Error("random samples take their type from a network, and there is none here");
  return random_data(count, *input, options.seed);
}

void check(const DataSet& data) {
  if (data.samples.rank() < 2) throw Error("its samples have no dimensions");
  if (data.samples.size() == 0) throw Error("it holds no samples");
  if (!data.labels.empty() && static_cast<std::int64_t>(data.labels.size()) != data.count())
    throw Error(data.count(), " samples but ", data.labels.size(), " labels");
}

}  // namespace

DataSet DataSet::rows(std::int64_t begin, std::int64_t end) const {
  ensure(begin >= 0 && begin <= end && end <= count(), "rows of a data set");
  DataSet part{name, samples.part(begin, end), {}, coding, preprocessing};
  if (!labels.empty()) part.labels.assign(labels.begin() + begin, labels.begin() + end);
  return part;
}

DataSet DataSet::rows(const std::vector<std::int64_t>& indices) const {
  DataSet part{name, samples.picked(indices), {}, coding, preprocessing};
  if (labels.empty()) return part;
  for (const std::int64_t index : indices)
    part.labels.push_back(labels[static_cast<std::size_t>(index)]);
  return part;
}

void check_data_options(const DataOptions& options) {
  if (options.source.empty()) {
    if (options.limit || !options.preprocess.empty())
      throw Error(options.limit ? "--limit" : "--preprocess", " has no meaning without --data");
    return;
  }
  if (options.split != "train" && options.split != "test") {
    throw Error("there is no split '", options.split, "'",
                suggestion(options.split, {"train", "test"}));
  }
  const std::size_t colon = options.source.find(':');
  const std::string kind = options.source.substr(0, colon);
  const auto& kinds = source_kinds();
  if (colon == std::string::npos || std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) {
    throw Error("data '", options.source,
                "' is no kind and place, such as mnist:DIR, cifar10:DIR, ",
                "csv:FILE, npz:FILE or random:N", suggestion(kind, kinds));
  }
  if (options.limit && *options.limit < 1)
    throw Error("limit ", *options.limit, " leaves no samples; it must be at least 1");
  if (kind == "random" && !options.preprocess.empty())
    throw Error("--preprocess has no meaning for random samples, which are codes already");
}

DataSet open_data(const DataOptions& options, const std::optional<TensorType>& input) {
  check_data_options(options);
  const std::size_t colon = options.source.find(':');
  const std::string kind = options.source.substr(0, colon);
  try {
    DataSet data = open_source(kind, options.source.substr(colon + 1), options, input);
    check(data);
    if (options.limit && *options.limit < data.count()) data = data.rows(0, *options.limit);
    data.name =
        kind == "random" ? options.source : concat(options.source, " (", options.split, ")");
    apply_preprocessing(data, options.preprocess);
    data.preprocessing = describe(data);
    return data;
  } catch (const Error& error) {
    throw error.at(concat("data '", options.source, "'"));
  }
}

TrainingParts split_training(const DataSet& training, std::int64_t calibration,
                             std::int64_t selection, std::uint64_t seed) {
  const std::int64_t count = training.count();
  ensure(calibration >= 1 && selection >= 0, "parts of a training set");
  if (selection == 0) calibration = std::min(calibration, count);
  if (count < 2 && selection > 0) {
    throw Error(training.name, " has ", count,
                " sample; calibration and selection need one each, from different samples");
  }
  if (calibration > count - selection) {
    const double share = static_cast<double>(calibration) /
                         (static_cast<double>(calibration) + static_cast<double>(selection));
    calibration = std::clamp<std::int64_t>(
        static_cast<std::int64_t>(static_cast<double>(count) * share), 1, count - 1);
    selection = count - calibration;
  }
  const auto order = random_permutation(count, CounterRandom(seed, "data/parts"));
  const auto middle = order.begin() + calibration;
  TrainingParts parts{training.rows(std::vector<std::int64_t>(order.begin(), middle)),
                      training.rows(std::vector<std::int64_t>(middle, middle + selection))};
  parts.calibration.name += ", calibration part";
  parts.selection.name += ", selection part";
  return parts;
}

}  // namespace tandem
