#include "tandem/files/datafiles.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/files/stored_array.h"

#include "tests/support/paths.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

Tensor idx(const std::string& text) { return read_idx(std::as_bytes(std::span(text)), "a.idx"); }

std::string bytes(std::initializer_list<int> values) {
  std::string text;
  for (const int value : values) text += static_cast<char>(value);
  return text;
}

TEST(Idx, ReadsBigEndianElementsOfEveryType) {
  EXPECT_THAT(idx(bytes({0, 0, 8, 1, 0, 0, 0, 2, 7, 255})).to_integers(), ElementsAre(7, 255));
  EXPECT_THAT(idx(bytes({0, 0, 9, 1, 0, 0, 0, 2, 7, 255})).to_integers(), ElementsAre(7, -1));
  EXPECT_THAT(idx(bytes({0, 0, 11, 1, 0, 0, 0, 1, 255, 254})).to_integers(), ElementsAre(-2));
  EXPECT_THAT(idx(bytes({0, 0, 12, 1, 0, 0, 0, 1, 0, 1, 0, 2})).to_integers(), ElementsAre(65538));
  EXPECT_THAT(idx(bytes({0, 0, 13, 1, 0, 0, 0, 1, 0x3f, 0x80, 0, 0})).to_reals(), ElementsAre(1));
  EXPECT_THAT(idx(bytes({0, 0, 14, 0, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0})).to_reals(), ElementsAre(1));
  EXPECT_EQ(idx(bytes({0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 1, 5, 6})).shape(), (Shape{2, 1}));
}

TEST(Idx, RefusesWhatIsNone) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {bytes({0, 0}), "truncated"},
      {bytes({0x1f, 0x8b, 8, 0}), "gunzip"},
      {bytes({1, 0, 8, 1}), "not an IDX file"},
      {bytes({0, 0, 10, 1}), "element type 10"},
      {bytes({0, 0, 8, 3, 0, 0, 0, 1}), "truncated"},
      {bytes({0, 0, 8, 1, 0, 0, 0, 4, 1, 2, 3}), "3 bytes of elements where uint8[4] has 4"},
      {bytes({0, 0, 8, 1, 0, 0, 0, 1, 1, 2}), "2 bytes of elements"},
      {bytes({0, 0, 8, 2, 255, 255, 255, 255, 255, 255, 255, 255}), "2^40"},
  };
  for (const auto& c : cases)
    EXPECT_THAT([&] { idx(c.first); }, ThrowsMessage<Error>(HasSubstr("a.idx: "))) << c.second;
  for (const auto& c : cases)
    EXPECT_THAT([&] { idx(c.first); }, ThrowsMessage<Error>(HasSubstr(c.second)));
}

TEST(Idx, ReadsMnist) {
  TANDEM_REQUIRE_DATA("mnist");
  const auto labels = stored_idx(test::data_dir() / "mnist/t10k-labels-idx1-ubyte").all();
  EXPECT_EQ(labels.shape(), Shape{10000});
  EXPECT_THAT(labels.rows(0, 5).to_integers(), ElementsAre(7, 2, 1, 0, 4));
}

TEST(Cifar10, ReadsRecords) {
  std::string text(2 * 3073, '\0');
  text[0] = 9;
  text[1] = 11;
  text[3073 + 3072] = 22;
  const auto batch = read_cifar10(std::as_bytes(std::span(text)), "batch");
  EXPECT_EQ(batch.images.shape(), (Shape{2, 3, 32, 32}));
  EXPECT_EQ(batch.images.integer(0), 11);
  EXPECT_EQ(batch.images.integer(2 * 3072 - 1), 22);
  EXPECT_THAT(batch.labels, ElementsAre(9, 0));
  text[0] = 10;
  EXPECT_THAT([&] { read_cifar10(std::as_bytes(std::span(text)), "batch"); },
              ThrowsMessage<Error>(HasSubstr("label 10")));
  text.pop_back();
  EXPECT_THAT([&] { read_cifar10(std::as_bytes(std::span(text)), "batch"); },
              ThrowsMessage<Error>(HasSubstr("no whole number of CIFAR-10 records")));
}

TEST(Csv, ReadsHeaderAndNumbers) {
  const CsvTable table =
      read_csv("\xef\xbb\xbfname,\"a \"\"b,\nc\"\"\",c\r\n\r\n1,2,3\r\n4,\"5\",6e1", "t.csv");
  EXPECT_THAT(table.header, ElementsAre("name", "a \"b,\nc\"", "c"));
  ASSERT_EQ(table.rows.size(), 2u);
  EXPECT_THAT(table.lines, ElementsAre(4, 5));
  EXPECT_THAT(table.numbers(1, "t.csv"), ElementsAre(2, 5));
  EXPECT_THAT(table.numbers(2, "t.csv"), ElementsAre(3, 60));
  EXPECT_TRUE(read_csv("1,2\n3,4\n", "t.csv").header.empty());
}

TEST(Csv, NamesThePlaceOfAFault) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "t.csv: holds no records"},
      {"a,b\n", "holds no records"},
      {"1,2\n3\n", "line 2 has 1 fields where the first has 2"},
      {"1,\"2\n", "line 1: a quote is never closed"},
      {"1,\"2\"x\n", "line 1: text follows a closing quote"},
      {"1,2\n3,4\"5\n", "line 2: field '4\"5'"},
  };
  for (const auto& c : cases)
    EXPECT_THAT([&] { read_csv(c.first, "t.csv"); }, ThrowsMessage<Error>(HasSubstr(c.second)));
  const CsvTable table = read_csv("a,b\n1,x\n", "t.csv");
  EXPECT_THAT([&] { table.numbers(1, "t.csv"); },
              ThrowsMessage<Error>(HasSubstr("t.csv: line 2, column 'b': 'x' is no number")));
}

}  // namespace
}  // namespace tandem
