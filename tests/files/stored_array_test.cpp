#include "tandem/files/stored_array.h"

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zip.h>

#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/files/numpy.h"

#include "tests/support/paths.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

Tensor counting(const Shape& shape) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < element_count(shape); ++i) values.push_back(static_cast<double>(i));
  return Tensor::from_reals(Format(), shape, values);
}

// The archive with its entries compressed.
void deflate(const std::filesystem::path& path) {
  int code = 0;
  zip_t* archive = zip_open(path.c_str(), 0, &code);
  ASSERT_NE(archive, nullptr);
  for (zip_int64_t i = 0; i < zip_get_num_entries(archive, 0); ++i)
    zip_set_file_compression(archive, static_cast<zip_uint64_t>(i), ZIP_CM_DEFLATE, 0);
  ASSERT_EQ(zip_close(archive), 0);
}

TEST(StoredArray, NpzGivesRowsInAnyOrder) {
  const test::TemporaryDir dir;
  const Tensor a = counting({5, 3}), b = counting({4});
  write_file_atomic(dir / "d.npz", write_npz({{"a", a}, {"b", b}, {"c", Tensor::scalar(7)}}));
  for (const bool compressed : {false, true}) {
    if (compressed) deflate(dir / "d.npz");
    const auto arrays = stored_npz(dir / "d.npz");
    ASSERT_EQ(arrays.size(), 3U);
    EXPECT_EQ(arrays[0].name, "a");
    EXPECT_EQ(arrays[0].shape, (Shape{5, 3}));
    EXPECT_EQ(arrays[0].rows(3, 5), a.rows(3, 5)) << compressed;
    EXPECT_EQ(arrays[0].rows(0, 1), a.rows(0, 1)) << compressed;
    EXPECT_EQ(arrays[0].all(), a);
    EXPECT_EQ(arrays[1].rows(1, 3), b.rows(1, 3));
    EXPECT_EQ(arrays[2].all(), Tensor::scalar(7));
  }
}

// What NumPy writes for np.asfortranarray([[0,1,2],[3,4,5]], dtype=">i2").
TEST(StoredArray, NpzTakesOtherOrders) {
  const test::TemporaryDir dir;
  write_file_atomic(dir / "d.npz", write_npz({{"a", counting({1})}}));
  std::string header = "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }";
  header.append(127 - 10 - header.size(), ' ');
  header += '\n';
  std::string npy = "\x93NUMPY";
  npy += {'\1', '\0', static_cast<char>(header.size()), '\0'};
  npy += header;
  for (const char value : {'\0', '\3', '\1', '\4', '\2', '\5'}) npy += {'\0', value};
  int code = 0;
  zip_t* archive = zip_open((dir / "d.npz").c_str(), 0, &code);
  ASSERT_NE(archive, nullptr);
  zip_source_t* source = zip_source_buffer(archive, npy.data(), npy.size(), 0);
  ASSERT_GE(zip_file_add(archive, "f.npy", source, 0), 0);
  ASSERT_EQ(zip_close(archive), 0);
  const auto arrays = stored_npz(dir / "d.npz");
  ASSERT_EQ(arrays.size(), 2U);
  EXPECT_THAT(arrays[1].rows(1, 2).to_integers(), ElementsAre(3, 4, 5));
}

TEST(StoredArray, NamesWhatIsWrongInAnArchive) {
  const test::TemporaryDir dir;
  const std::string path = dir / "d.npz";
  EXPECT_THAT([&] { stored_npz(path); }, ThrowsMessage<Error>(HasSubstr("there is no file")));
  write_file_atomic(path, "no archive");
  EXPECT_THAT([&] { stored_npz(path); }, ThrowsMessage<Error>(HasSubstr("not a readable .npz")));
}

TEST(StoredArray, IdxAndCifar10StayInTheirFiles) {
  const test::TemporaryDir dir;
  write_file_atomic(dir / "a.idx", std::string("\0\0\x0b\2\0\0\0\2\0\0\0\2", 12) +
                                       std::string("\0\1\0\2\1\0\0\4", 8));
  const StoredArray idx = stored_idx(dir / "a.idx");
  EXPECT_EQ(idx.shape, (Shape{2, 2}));
  EXPECT_THAT(idx.rows(1, 2).to_integers(), ElementsAre(256, 4));
  write_file_atomic(dir / "short.idx", std::string("\0\0\x08\1\0\0\0\5ab", 10));
  EXPECT_THAT([&] { stored_idx(dir / "short.idx"); },
              ThrowsMessage<Error>(HasSubstr("the file is truncated")));
  std::string records;
  for (const char label : {'\3', '\11'})
    records += label + std::string(3072, static_cast<char>(label * 7));
  write_file_atomic(dir / "batch.bin", records);
  const StoredImages stored = stored_cifar10(dir / "batch.bin");
  EXPECT_THAT(stored.labels, ElementsAre(3, 9));
  EXPECT_THAT(stored.images.rows(1, 2).to_integers(), ::testing::Each(63));
}

}  // namespace
}  // namespace tandem
