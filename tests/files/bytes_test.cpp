#include "tandem/files/bytes.h"

#include <algorithm>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/base/text.h"

#include "tests/support/paths.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// Kilobytes of memory that no file stands behind.
std::int64_t anonymous_kilobytes() {
  for (const std::string& line : split(read_file("/proc/self/status"), '\n'))
    if (line.starts_with("RssAnon:"))
      return parse_integer(trim(line.substr(8, line.size() - 10)), "RssAnon");
  return -1;
}

TEST(Bytes, AMappedRangeHoldsWhatAReadOneHolds) {
  const test::TemporaryDir folder;
  std::string content(300'000, '\0');
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * i >> 3);
  write_file_atomic(folder / "data", content);
  for (const std::uint64_t offset : {0, 1, 4096, 5000})
    for (const std::uint64_t length : {0, 1, 65'535, 65'536, 250'000}) {
      const auto read = read_file_range(folder / "data", offset, length);
      const SharedBytes mapped = map_file_range(folder / "data", offset, length);
      EXPECT_TRUE(std::ranges::equal(read, mapped.bytes)) << offset << " " << length;
    }
  EXPECT_THAT([&] { map_file_range(folder / "data", 100'000, 250'000); },
              ThrowsMessage<Error>(HasSubstr("has 300000 bytes and so no 250000")));
  EXPECT_THAT([&] { map_file_range(folder.path(), 0, 1 << 20); },
              ThrowsMessage<Error>(HasSubstr("is not a regular file")));
}

TEST(Bytes, RangesBeyondTwoGibibytesTakeNoMemoryOfTheirOwn) {
  const test::TemporaryDir folder;
  constexpr std::uint64_t kSize = std::uint64_t{5} << 29, kLast = kSize - (1 << 20);
  {
    std::ofstream file(folder / "data", std::ios::binary);
    file.seekp(static_cast<std::streamoff>(kLast));  // a hole before
    file << std::string(1 << 20, 'x');
  }
  const std::int64_t before = anonymous_kilobytes();
  const SharedBytes all = map_file_range(folder / "data", 0, kSize);
  std::size_t sum = 0;
  for (std::size_t at = 0; at < kSize; at += 1 << 16)
    sum += std::to_integer<std::size_t>(all.bytes[at]);
  EXPECT_EQ(sum, 16u * 'x');
  EXPECT_LT(anonymous_kilobytes() - before, 1 << 14);
}

}  // namespace
}  // namespace tandem
