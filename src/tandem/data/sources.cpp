#include "tandem/data/sources.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>

#include "tandem/base/error.h"
#include "tandem/base/random.h"
#include "tandem/base/text.h"
#include "tandem/files/datafiles.h"
#include "tandem/files/numpy.h"

namespace tandem {
namespace {

SampleCoding image_coding() { return {{1.0 / 255.0}, {0.0}}; }

Tensor read_first(const std::filesystem::path& folder, std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (std::filesystem::exists(folder / name)) return read_idx(folder / name);
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

const Tensor* find_one(const NamedTensors& arrays, std::initializer_list<std::string> names) {
  for (const std::string& name : names)
    for (const auto& [known, tensor] : arrays)
      if (known == name) return &tensor;
  return nullptr;
}

// f64 samples become f32, what networks take; integers stay the codes they are.
Tensor as_samples(const Tensor& tensor) {
  return tensor.format() == Format::parse("f64") ? tensor.converted(Format()) : tensor;
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
  const Tensor images =
      train ? read_first(folder, {"train-images-idx3-ubyte", "train-images.idx3-ubyte"})
            : read_first(folder, {"t10k-images-idx3-ubyte", "t10k-images.idx3-ubyte"});
  const Tensor labels =
      train ? read_first(folder, {"train-labels-idx1-ubyte", "train-labels.idx1-ubyte"})
            : read_first(folder, {"t10k-labels-idx1-ubyte", "t10k-labels.idx1-ubyte"});
  if (images.format() != Format::parse("uint8") || images.rank() != 3)
    throw Error("its images are ", type_of(images).to_string(), ", not uint8[count,rows,columns]");
  if (labels.rank() != 1) throw Error("its labels have rank ", labels.rank(), ", not 1");
  DataSet data;
  data.samples = images.reshaped({images.shape()[0], 1, images.shape()[1], images.shape()[2]});
  data.labels = integral_labels(labels.to_reals(), "labels");
  data.coding = image_coding();
  return data;
}

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
  std::vector<Tensor> batches;
  std::int64_t count = 0;
  for (const auto& file : files) {
    LabelledImages batch = read_cifar10(file);
    count += batch.images.shape()[0];
    data.labels.insert(data.labels.end(), batch.labels.begin(), batch.labels.end());
    batches.push_back(std::move(batch.images));
  }
  data.samples = Tensor(batches.front().format(), {count, 3, 32, 32});
  auto to = data.samples.mutable_bytes().begin();
  for (const Tensor& batch : batches)
    to = std::copy(batch.bytes().begin(), batch.bytes().end(), to);
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
  data.samples = Tensor(Format(), {count, static_cast<std::int64_t>(columns.size())});
  const auto to = data.samples.mutable_data<float>();
  for (std::size_t i = 0; i < table.rows.size(); ++i)
    for (std::size_t c = 0; c < columns.size(); ++c)
      to[i * columns.size() + c] = static_cast<float>(columns[c][i]);
  return data.rows(rows);
}

DataSet open_npz(const std::filesystem::path& file, bool train, std::uint64_t seed) {
  const NamedTensors arrays = read_npz(file);
  const std::string prefix = train ? "train_" : "test_";
  const Tensor* samples = find_one(arrays, {prefix + "images", prefix + "samples"});
  const Tensor* labels = find_one(arrays, {prefix + "labels"});
  const bool whole = samples == nullptr;
  if (whole) {
    samples = find_one(arrays, {"images", "samples"});
    labels = find_one(arrays, {"labels"});
  }
  if (samples == nullptr) {
    std::vector<std::string> names;
    for (const auto& [name, tensor] : arrays) names.push_back(name);
    throw Error("it has neither ", prefix, "images nor ", prefix,
                "samples; it holds: ", names.empty() ? "nothing" : join(names, ", "));
  }
  DataSet data;
  data.samples = as_samples(*samples);
  if (data.samples.rank() == 1) data.samples = data.samples.reshaped({data.samples.size(), 1});
  if (labels != nullptr) {
    if (labels->rank() != 1) throw Error("its labels have rank ", labels->rank(), ", not 1");
    data.labels = integral_labels(labels->to_reals(), "labels");
  }
  if (const Tensor* scale = find_one(arrays, {"scale"})) {
    if (scale->size() != 1 || !(scale->real(0) > 0))
      throw Error("its array 'scale' is no positive scalar");
    data.coding.scale = {scale->real(0)};
  }
  if (!whole) return data;
  if (!data.labels.empty() && data.labels.size() != static_cast<std::size_t>(data.count()))
    throw Error(data.count(), " samples but ", data.labels.size(), " labels");
  return data.rows(split_rows(data.count(), train, seed));
}

DataSet random_data(std::int64_t count, const TensorType& input, std::uint64_t seed) {
  constexpr std::int64_t kMost = 1 << 24;
  if (count < 1 || count > kMost)
    throw Error("the number of random samples is ", count, "; it must be from 1 to ", kMost);
  Shape shape = {count};
  for (std::size_t d = input.shape.size() > 1 ? 1 : 0; d < input.shape.size(); ++d)
    shape.push_back(input.shape[d].constant());
  DataSet data;
  data.samples = Tensor(input.format, shape);
  const std::int64_t size = data.samples.size() / count;
  const CounterRandom random(seed, "data/random");
  const bool uniform = input.format.is_uniform();
  const bool bipolar = input.format == Format::parse("bipolar");
  const IntegerRange range = uniform ? input.format.integer_range() : IntegerRange{-1, 1};
  std::vector<std::int64_t> integers;
  std::vector<double> reals;
  for (std::int64_t i = 0; i < data.samples.size(); ++i) {
    const std::int64_t sample = i / size;
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
  data.samples = uniform ? Tensor::from_integers(input.format, shape, integers)
                         : Tensor::from_reals(input.format, shape, reals);
  return data;
}

}  // namespace tandem
