#include "tandem/data/dataset.h"

#include <algorithm>
#include <fstream>
#include <numeric>
#include <set>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/files/numpy.h"

#include "tests/support/paths.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

DataSet open(const std::string& source, const std::string& split = "test",
             const std::string& preprocess = "") {
  DataOptions options;
  options.source = source;
  options.split = split;
  options.preprocess = preprocess;
  return open_data(options);
}

// A set of `count` scalars 0, 1, 2, ... labelled with themselves.
DataSet counting(std::int64_t count) {
  DataSet data;
  data.name = "counting";
  std::vector<std::int64_t> values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), 0);
  data.samples = Tensor::from_integers(Format::parse("int32"), {count, 1}, values);
  data.labels = std::move(values);
  return data;
}

TEST(DataSet, RowsTakeLabelsAlong) {
  const DataSet part = counting(10).rows(3, 5);
  EXPECT_THAT(part.samples.all().to_integers(), ElementsAre(3, 4));
  EXPECT_THAT(part.labels, ElementsAre(3, 4));
  const DataSet picked = counting(10).rows(std::vector<std::int64_t>{7, 2, 7});
  EXPECT_THAT(picked.samples.all().to_integers(), ElementsAre(7, 2, 7));
  EXPECT_THAT(picked.labels, ElementsAre(7, 2, 7));
}

TEST(DataSet, PartsOfTrainingAreDisjointAndRepeatable) {
  const DataSet training = counting(100);
  const TrainingParts parts = split_training(training, 20, 30, 7);
  EXPECT_EQ(parts.calibration.count(), 20);
  EXPECT_EQ(parts.selection.count(), 30);
  std::set<std::int64_t> seen(parts.calibration.labels.begin(), parts.calibration.labels.end());
  seen.insert(parts.selection.labels.begin(), parts.selection.labels.end());
  EXPECT_EQ(seen.size(), 50u);
  EXPECT_EQ(split_training(training, 20, 30, 7).selection.labels, parts.selection.labels);
  EXPECT_NE(split_training(training, 20, 30, 8).selection.labels, parts.selection.labels);
}

TEST(DataSet, PartsShrinkInProportion) {
  const TrainingParts parts = split_training(counting(10), 100, 300, 1);
  EXPECT_EQ(parts.calibration.count(), 2);
  EXPECT_EQ(parts.selection.count(), 8);
  const TrainingParts least = split_training(counting(2), 1, 1000000, 1);
  EXPECT_EQ(least.calibration.count(), 1);
  EXPECT_EQ(least.selection.count(), 1);
  EXPECT_THAT([] { split_training(counting(1), 1, 1, 1); },
              ThrowsMessage<Error>(HasSubstr("need one each")));
}

TEST(DataSet, ReadsTheExample) {
  const auto file = test::source_dir() / "examples/digits/digits.npz";
  const DataSet test = open("npz:" + file.string());
  EXPECT_EQ(test.count(), 540);
  EXPECT_EQ(test.sample_shape(), (Shape{1, 8, 8}));
  EXPECT_EQ(test.samples.format(), Format::parse("uint8"));
  EXPECT_THAT(test.coding.scale, ElementsAre(0.0625));
  EXPECT_EQ(test.preprocessing, "uint8 codes; real = code * 0.0625 + 0");
  EXPECT_EQ(open("npz:" + file.string(), "train").count(), 1257);
}

TEST(DataSet, DividesFilesWithoutSplit) {
  const test::TemporaryDir dir;
  const DataSet all = counting(25);
  write_file_atomic(dir / "d.npz", write_npz({{"samples", all.samples.all()},
                                              {"labels", all.samples.all().reshaped({25})}}));
  const std::string source = "npz:" + (dir / "d.npz").string();
  const DataSet test = open(source), train = open(source, "train");
  EXPECT_EQ(test.count(), 5);
  EXPECT_EQ(train.count(), 20);
  std::set<std::int64_t> seen(test.labels.begin(), test.labels.end());
  seen.insert(train.labels.begin(), train.labels.end());
  EXPECT_EQ(seen.size(), 25u);
}

TEST(DataSet, ReadsCsvColumns) {
  const test::TemporaryDir dir;
  const std::string source = "csv:" + (dir / "d.csv").string();
  write_file_atomic(dir / "d.csv", "a,class,split,b\n1,0,train,2\n3,1,test,4.5\n5,2,train,6\n");
  const DataSet train = open(source, "train");
  EXPECT_EQ(train.samples.format(), Format());
  EXPECT_THAT(train.samples.all().to_reals(), ElementsAre(1, 2, 5, 6));
  EXPECT_THAT(train.labels, ElementsAre(0, 2));
  EXPECT_THAT(open(source).samples.all().to_reals(), ElementsAre(3, 4.5));
  write_file_atomic(dir / "d.csv", "1,2\n3,4\n5,6\n7,8\n9,10\n11,12\n");
  EXPECT_EQ(open(source).count(), 1);
  EXPECT_EQ(open(source, "train").count(), 5);
  EXPECT_TRUE(open(source).labels.empty());
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"a,label\n1,0.5\n2,1\n", "label 0 is 0.5"},
      {"a,label,target\n1,0,0\n2,0,1\n", "both 'label' and 'target'"},
      {"label\n1\n2\n", "no column of features"},
      {"a,split\n1,train\n2,valid\n", "line 3: split 'valid'"},
      {"a,split\n1,train\n2,train\n", "no row has the split test"},
      {"a,b\n1,x\n2,3\n", "line 2, column 'b'"},
  };
  for (const auto& [text, message] : cases) {
    write_file_atomic(dir / "d.csv", text);
    EXPECT_THAT([&] { open(source); }, ThrowsMessage<Error>(HasSubstr(message)));
  }
}

TEST(DataSet, ReadsMnist) {
  TANDEM_REQUIRE_DATA("mnist");
  const std::string source = "mnist:" + (test::data_dir() / "mnist").string();
  const DataSet test = open(source);
  EXPECT_EQ(test.samples.shape(), (Shape{10000, 1, 28, 28}));
  EXPECT_THAT(test.rows(0, 5).labels, ElementsAre(7, 2, 1, 0, 4));
  EXPECT_THAT(test.coding.scale, ElementsAre(1.0 / 255));
}

TEST(DataSet, ReadsCifar10) {
  TANDEM_REQUIRE_DATA("cifar10");
  const std::string source = "cifar10:" + (test::data_dir() / "cifar10").string();
  const DataSet test = open(source);
  EXPECT_EQ(test.samples.shape(), (Shape{10000, 3, 32, 32}));
  std::vector<int> count(10);
  for (const auto label : test.labels) ++count.at(static_cast<std::size_t>(label));
  EXPECT_THAT(count, ::testing::Each(1000));
}

TEST(DataSet, PreprocessingChangesTheCoding) {
  const auto file = test::source_dir() / "examples/digits/digits.npz";
  const std::string source = "npz:" + file.string();
  const DataSet standard = open(source, "test", "mean=0.25 std=0.5");
  EXPECT_THAT(standard.coding.scale, ElementsAre(0.125));
  EXPECT_THAT(standard.coding.offset, ElementsAre(-0.5));
  EXPECT_EQ(standard.preprocessing, "uint8 codes; real = code * 0.125 + -0.5");
  const DataSet recoded = open(source, "test", "scale=2;offset=-1");
  EXPECT_THAT(recoded.coding.scale, ElementsAre(2));
  EXPECT_THAT(recoded.coding.offset, ElementsAre(-1));
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"std=0", "std must be positive"},
      {"scale=-1", "scale must be positive"},
      {"mean", "is no setting"},
      {"maen=1", "did you mean 'mean'"},
      {"mean=1 mean=2", "mean is given twice"},
      {"mean=1 scale=2", "not both kinds"},
      {"mean=1,2", "mean has 2 entries; give one, or 1"},
      {"mean=x", "preprocessing: mean: expected a number"},
      {"mean=inf", "must be finite"},
  };
  for (const auto& c : cases) {
    EXPECT_THAT([&] { open(source, "test", c.first); }, ThrowsMessage<Error>(HasSubstr(c.second)))
        << c.first;
  }
}

TEST(DataSet, PreprocessingMayDifferByChannel) {
  TANDEM_REQUIRE_DATA("cifar10");
  const std::string source = "cifar10:" + (test::data_dir() / "cifar10").string();
  const DataSet data = open(source, "test", "mean=0.5,0.25,0 std=0.5,1,2");
  EXPECT_THAT(data.coding.scale, ElementsAre(1.0 / 255 / 0.5, 1.0 / 255, 1.0 / 255 / 2));
  EXPECT_THAT(data.coding.offset, ElementsAre(-1, -0.25, 0));
}

TEST(DataSet, RandomSetsHoldTheExtremesAndRepeat) {
  DataOptions options;
  options.source = "random:50";
  options.seed = 3;
  const TensorType codes{{Dim(1), Dim(4), Dim(3)}, Format::parse("int5")};
  const DataSet data = open_data(options, codes);
  EXPECT_EQ(data.samples.shape(), (Shape{50, 4, 3}));
  EXPECT_THAT(data.rows(0, 1).samples.all().to_integers(), ::testing::Each(-16));
  EXPECT_THAT(data.rows(1, 2).samples.all().to_integers(), ::testing::Each(15));
  const auto values = data.samples.all().to_integers();
  const std::set<std::int64_t> distinct(values.begin(), values.end());
  EXPECT_EQ(distinct.size(), 32u) << "576 draws from 32 codes";
  EXPECT_EQ(open_data(options, codes).samples.all(), data.samples.all());
  options.seed = 4;
  EXPECT_NE(open_data(options, codes).samples.all(), data.samples.all());

  const DataSet reals = open_data(options, TensorType{{Dim::symbol("N"), Dim(2)}, Format()});
  EXPECT_THAT(reals.rows(0, 1).samples.all().to_reals(), ::testing::Each(-1));
  EXPECT_THAT(reals.rows(1, 2).samples.all().to_reals(), ::testing::Each(1));
  const DataSet signs = open_data(options, TensorType{{Dim(1), Dim(2)}, Format::parse("bipolar")});
  for (const auto value : signs.samples.all().to_integers()) EXPECT_EQ(value * value, 1);
}

TEST(DataSet, NamesWhatIsWrong) {
  const test::TemporaryDir dir;
  EXPECT_THAT([] { open("mnist"); }, ThrowsMessage<Error>(HasSubstr("no kind and place")));
  EXPECT_THAT([] { open("mnits:x"); }, ThrowsMessage<Error>(HasSubstr("did you mean 'mnist'")));
  EXPECT_THAT([] { open("npz:x", "tset"); },
              ThrowsMessage<Error>(HasSubstr("did you mean 'test'")));
  EXPECT_THAT([] { open("random:5"); }, ThrowsMessage<Error>(HasSubstr("take their type from")));
  EXPECT_THAT([] { open("random:five"); }, ThrowsMessage<Error>(HasSubstr("expected an integer")));
  EXPECT_THAT([&] { open("mnist:" + dir.path().string()); },
              ThrowsMessage<Error>(HasSubstr("t10k-images-idx3-ubyte")));
  EXPECT_THAT([&] { open("cifar10:" + dir.path().string(), "train"); },
              ThrowsMessage<Error>(HasSubstr("data_batch_1.bin")));
  write_file_atomic(dir / "d.npz", write_npz({{"pictures", Tensor::scalar(1)}}));
  EXPECT_THAT([&] { open("npz:" + (dir / "d.npz").string()); },
              ThrowsMessage<Error>(HasSubstr("it holds: pictures")));
  const Tensor three(Format::parse("uint8"), {3, 2}), two(Format::parse("uint8"), {2});
  write_file_atomic(dir / "d.npz", write_npz({{"test_images", three}, {"test_labels", two}}));
  EXPECT_THAT([&] { open("npz:" + (dir / "d.npz").string()); },
              ThrowsMessage<Error>(HasSubstr("3 samples but 2 labels")));
  DataOptions none;
  none.source = "random:5";
  none.limit = 0;
  EXPECT_THAT([&] { open_data(none); }, ThrowsMessage<Error>(HasSubstr("leaves no samples")));
}

}  // namespace
}  // namespace tandem
