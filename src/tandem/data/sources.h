#pragma once

#include <filesystem>

#include "tandem/data/dataset.h"

namespace tandem {

// Internal to the room: one function for each kind of source. `train` says which split; the samples
// are whole, without limit and preprocessing.
DataSet open_mnist(const std::filesystem::path& folder, bool train);
DataSet open_cifar10(const std::filesystem::path& folder, bool train);
DataSet open_csv(const std::filesystem::path& file, bool train, std::uint64_t seed);
DataSet open_npz(const std::filesystem::path& file, bool train, std::uint64_t seed);
DataSet random_data(std::int64_t count, const TensorType& input, std::uint64_t seed);

// Changes a set's coding as DataOptions::preprocess says.
void apply_preprocessing(DataSet& data, const std::string& text);

// One line that says how codes become reals.
std::string describe(const DataSet& data);

// For files without a split: in an order drawn from the seed one sample in five (at least one) is
// for testing, the others for training; indices are in ascending order.
std::vector<std::int64_t> split_rows(std::int64_t count, bool train, std::uint64_t seed);

}  // namespace tandem
