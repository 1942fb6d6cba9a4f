#include "tandem/data/sources.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>

#include "tandem/base/error.h"
#include "tandem/base/random.h"
#include "tandem/base/text.h"
#include "tandem/files/datafiles.h"
#include "tandem/files/stored_array.h"

namespace tandem {
namespace {

SampleCoding image_coding() { return {{1.0 / 255.0}, {0.0}}; }

StoredArray stored_first(const std::filesystem::path& folder,
                         std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (std::filesystem::exists(folder / name)) return stored_idx(folder / name);
  throw Error("there is no ", (folder / *names.begin()).string(),
              "; the folder must hold MNIST's four IDX files, unpacked");
}

std::vector<std::int64_t> integral_labels(const std::vector<double>& values,
                                          std::string_view what) {
  std::vector<std::int64_t> labels;
  for (std::size_t i = 0; i < values.size(); ++i) {
    constexpr double kMost = 1e9;
    if (values[i] != std::floor(values[i]) || values[i] < 0 || values[i] > kMost) {
      throw Error(what, ": label ", i, " is ", shortest(values[i]),
                  "; labels are class numbers from 0 on");
    }
    labels.push_back(static_cast<std::int64_t>(values[i]));
  }
  return labels;
}

void check_split_text(const std::string& text, std::size_t line) {
  if (text != "train" && text != "test")
    throw Error("line ", line, ": split '", text, "' is neither train nor test");
}

// The column with one of the given names, or nothing.
std::optional<std::size_t> find_column(const CsvTable& table,
                                       std::initializer_list<std::string_view> names) {
  std::optional<std::size_t> found;
  for (std::size_t c = 0; c < table.header.size(); ++c) {
    const std::string_view title = trim(table.header[c]);
    if (std::find(names.begin(), names.end(), title) == names.end()) continue;
    if (found) throw Error("both '", table.header[*found], "' and '", title, "' may be the labels");
    found = c;
  }
  return found;
}

std::vector<std::int64_t> csv_split(const CsvTable& table, std::optional<std::size_t> column,
                                    bool train, std::uint64_t seed) {
  const auto count = static_cast<std::int64_t>(table.rows.size());
  if (!column) return split_rows(count, train, seed);
  std::vector<std::int64_t> chosen;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto row = static_cast<std::size_t>(i);
    const std::string text(trim(table.rows[row][*column]));
    check_split_text(text, table.lines[row]);
    if ((text == "train") == train) chosen.push_back(i);
  }
  if (chosen.empty()) throw Error("no row has the split ", train ? "train" : "test");
  return chosen;
}

const StoredArray* find_one(const std::vector<StoredArray>& arrays,
                            std::initializer_list<std::string> names) {
  for (const std::string& name : names)
    for (const StoredArray& array : arrays)
      if (array.name == name) return &array;
  return nullptr;
}

// f64 samples become f32, what networks take; integers stay the codes they are.
SampleRows as_samples(const StoredArray& array) {
  if (array.shape.empty()) throw Error("its array '", array.name, "' has no axis of samples");
  SampleRows samples(array.format, array.shape, array.rows);
  if (array.format == Format::parse("f64")) samples = samples.converted(Format());
  return array.shape.size() == 1 ? samples.reshaped({array.shape.front(), 1}) : samples;
}

}  // namespace

std::vector<std::int64_t> split_rows(std::int64_t count, bool train, std::uint64_t seed) {
  constexpr std::int64_t kOneIn = 5;
  if (count < 2) throw Error("one sample cannot be split for training and testing");
  const auto order = random_permutation(count, CounterRandom(seed, "data/split"));
  const std::int64_t testing = std::max<std::int64_t>(1, count / kOneIn);
  std::vector<std::int64_t> chosen(train ? order.begin() + testing : order.begin(),
                                   train ? order.end() : order.begin() + testing);
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

DataSet open_mnist(const std::filesystem::path& folder, bool train) {
  const StoredArray images =
      train ? stored_first(folder, {"train-images-idx3-ubyte", "train-images.idx3-ubyte"})
            : stored_first(folder, {"t10k-images-idx3-ubyte", "t10k-images.idx3-ubyte"});
  const StoredArray labels =
      train ? stored_first(folder, {"train-labels-idx1-ubyte", "train-labels.idx1-ubyte"})
            : stored_first(folder, {"t10k-labels-idx1-ubyte", "t10k-labels.idx1-ubyte"});
  if (images.format != Format::parse("uint8") || images.shape.size() != 3) {
    throw Error("its images are ", images.format.name(), to_string(images.shape),
                ", not uint8[count,rows,columns]");
  }
  if (labels.shape.size() != 1)
    throw Error("its labels have rank ", labels.shape.size(), ", not 1");
  DataSet data;
  data.samples =
      as_samples(images).reshaped({images.shape[0], 1, images.shape[1], images.shape[2]});
  data.labels = integral_labels(labels.all().to_reals(), "labels");
  data.coding = image_coding();
  return data;
}

namespace {

// The rows of several arrays one after the other.
SampleRows joined_rows(std::vector<StoredArray> parts) {
  Shape shape = parts.front().shape;
  const Format format = parts.front().format;
  shape[0] = 0;
  for (const StoredArray& part : parts) shape[0] += part.shape[0];
  return {format, shape, [=, parts = std::move(parts)](std::int64_t begin, std::int64_t end) {
            Shape taken = shape;
            taken[0] = end - begin;
            Tensor rows(format, taken);
            auto to = rows.mutable_bytes().begin();
            std::int64_t first = 0;
            for (const StoredArray& part : parts) {
              const std::int64_t from = std::max(begin, first) - first,
                                 until = std::min(end - first, part.shape[0]);
              first += part.shape[0];
              if (from >= until) continue;
              const Tensor read = part.rows(from, until);
              to = std::copy(read.bytes().begin(), read.bytes().end(), to);
            }
            return rows;
          }};
}

}  // namespace

DataSet open_cifar10(const std::filesystem::path& folder, bool train) {
  std::vector<std::filesystem::path> files;
  for (int i = 1; train && i <= 5; ++i)
    if (const auto file = folder / concat("data_batch_", i, ".bin"); std::filesystem::exists(file))
      files.push_back(file);
  if (!train && std::filesystem::exists(folder / "test_batch.bin"))
    files.push_back(folder / "test_batch.bin");
  if (files.empty()) {
    throw Error("there is no ", (folder / (train ? "data_batch_1.bin" : "test_batch.bin")).string(),
                "; the folder must hold CIFAR-10's binary version");
  }
  DataSet data;
  std::vector<StoredArray> batches;
  for (const auto& file : files) {
    StoredImages batch = stored_cifar10(file);
    data.labels.insert(data.labels.end(), batch.labels.begin(), batch.labels.end());
    batches.push_back(std::move(batch.images));
  }
  data.samples = joined_rows(std::move(batches));
  data.coding = image_coding();
  return data;
}

DataSet open_csv(const std::filesystem::path& file, bool train, std::uint64_t seed) {
  const CsvTable table = read_csv(file);
  const auto label = find_column(table, {"label", "class", "target"});
  const auto split = find_column(table, {"split"});
  const auto rows = csv_split(table, split, train, seed);
  std::vector<std::vector<double>> columns;
  DataSet data;
  for (std::size_t c = 0; c < table.columns(); ++c) {
    if (c == split) continue;
    auto values = table.numbers(c, "column");
    if (c == label)
      data.labels = integral_labels(values, "labels");
    else
      columns.push_back(std::move(values));
  }
  if (columns.empty()) throw Error("it has no column of features");
  const auto count = static_cast<std::int64_t>(table.rows.size());
  Tensor samples(Format(), {count, static_cast<std::int64_t>(columns.size())});
  const auto to = samples.mutable_data<float>();
  for (std::size_t i = 0; i < table.rows.size(); ++i)
    for (std::size_t c = 0; c < columns.size(); ++c)
      to[i * columns.size() + c] = static_cast<float>(columns[c][i]);
  data.samples = std::move(samples);
  return data.rows(rows);
}

DataSet open_npz(const std::filesystem::path& file, bool train, std::uint64_t seed) {
  const std::vector<StoredArray> arrays = stored_npz(file);
  const std::string prefix = train ? "train_" : "test_";
  const StoredArray* samples = find_one(arrays, {prefix + "images", prefix + "samples"});
  const StoredArray* labels = find_one(arrays, {prefix + "labels"});
  const bool whole = samples == nullptr;
  if (whole) {
    samples = find_one(arrays, {"images", "samples"});
    labels = find_one(arrays, {"labels"});
  }
  if (samples == nullptr) {
    std::vector<std::string> names;
    for (const StoredArray& array : arrays) names.push_back(array.name);
    throw Error("it has neither ", prefix, "images nor ", prefix,
                "samples; it holds: ", names.empty() ? "nothing" : join(names, ", "));
  }
  DataSet data;
  data.samples = as_samples(*samples);
  if (labels != nullptr) {
    if (labels->shape.size() != 1)
      throw Error("its labels have rank ", labels->shape.size(), ", not 1");
    data.labels = integral_labels(labels->all().to_reals(), "labels");
  }
  if (const StoredArray* scale = find_one(arrays, {"scale"})) {
    const Tensor value = element_count(scale->shape) == 1 ? scale->all() : Tensor();
    if (value.size() != 1 || !(value.real(0) > 0))
      throw Error("its array 'scale' is no positive scalar");
    data.coding.scale = {value.real(0)};
  }
  if (!whole) return data;
  if (!data.labels.empty() && data.labels.size() != static_cast<std::size_t>(data.count()))
    throw Error(data.count(), " samples but ", data.labels.size(), " labels");
  return data.rows(split_rows(data.count(), train, seed));
}

namespace {

// Samples of a format that are made when they are asked for; element i of the set is the draw of
// index i.
Tensor random_rows(const Format& format, const Shape& shape, std::int64_t begin,
                   const CounterRandom& random) {
  const std::int64_t each = element_count(shape) / std::max<std::int64_t>(1, shape.front());
  const bool uniform = format.is_uniform();
  const bool bipolar = format == Format::parse("bipolar");
  const IntegerRange range = uniform ? format.integer_range() : IntegerRange{-1, 1};
  std::vector<std::int64_t> integers;
  std::vector<double> reals;
  for (std::int64_t i = begin * each; i < (begin + shape.front()) * each; ++i) {
    const std::int64_t sample = i / each;
    const auto index = static_cast<std::uint64_t>(i);
    if (!uniform) {
      reals.push_back(sample == 0 ? -1 : sample == 1 ? 1 : 2 * random.uniform(index) - 1);
    } else if (sample < 2) {
      integers.push_back(sample == 0 ? range.min : range.max);
    } else {
      integers.push_back(bipolar ? 2 * random.integer(index, 0, 1) - 1
                                 : random.integer(index, range.min, range.max));
    }
  }
  return uniform ? Tensor::from_integers(format, shape, integers)
                 : Tensor::from_reals(format, shape, reals);
}

}  // namespace

DataSet random_data(std::int64_t count, const TensorType& input, std::uint64_t seed) {
  constexpr std::int64_t kMost = 1 << 24;
  if (count < 1 || count > kMost)
    throw Error("the number of random samples is ", count, "; it must be from 1 to ", kMost);
  Shape shape = {count};
  for (std::size_t d = input.shape.size() > 1 ? 1 : 0; d < input.shape.size(); ++d)
    shape.push_back(input.shape[d].constant());
  DataSet data;
  data.samples = {input.format, shape,
                  [format = input.format, shape, random = CounterRandom(seed, "data/random")](
                      std::int64_t begin, std::int64_t end) {
                    Shape taken = shape;
                    taken[0] = end - begin;
                    return random_rows(format, taken, begin, random);
                  }};
  return data;
}

}  // namespace tandem
