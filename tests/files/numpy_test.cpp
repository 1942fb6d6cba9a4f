#include "tandem/files/numpy.h"

#include <algorithm>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"

#include "tests/support/paths.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

ByteSpan bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

std::string npy(const std::string& header, const std::string& elements, char version = 1) {
  std::string text("\x93NUMPY", 6);
  text += {version, '\0', static_cast<char>(header.size()), '\0'};
  if (version > 1) text += std::string(2, '\0');
  return text + header + elements;
}

Tensor read_array(const std::string& text) { return read_npy(bytes_of(text), "a.npy"); }

const std::filesystem::path kGolden = test::source_dir() / "tests/files/golden";

// Written by NumPy (make_golden.py): counts 0, 1, 2, ... in every type, byte order and array order.
TEST(Numpy, ReadsEveryTypeThatNumpyWrites) {
  const NamedTensors arrays = read_npz(kGolden / "arrays.npz");
  int seen = 0;
  for (const auto& [name, tensor] : arrays) {
    if (!name.starts_with("count_")) continue;
    ++seen;
    ASSERT_EQ(tensor.shape(), (Shape{2, 3})) << name;
    for (std::int64_t i = 0; i < 6; ++i)
      EXPECT_EQ(tensor.real(i), tensor.format().is_boolean() ? i % 2 : i) << name;
  }
  EXPECT_EQ(seen, 29);
  EXPECT_EQ(find_array(arrays, "scalar", "file").shape(), Shape{});
  EXPECT_EQ(find_array(arrays, "empty", "file").shape(), (Shape{0, 4}));
  EXPECT_EQ(find_array(arrays, "cube_fortran", "file"), find_array(arrays, "cube", "file"));
}

TEST(Numpy, ReadsCompressedArchives) {
  const NamedTensors arrays = read_npz(kGolden / "compressed.npz");
  EXPECT_EQ(find_array(arrays, "zeros", "file").size(), 10000);
  EXPECT_EQ(find_array(arrays, "ones", "file").integer(9), 1);
}

TEST(Numpy, WrittenArraysReadBack) {
  NamedTensors arrays;
  for (const char* name : {"f16", "f32", "f64", "bool", "int1", "int3", "int8", "int13", "int32",
                           "int64", "uint2", "uint8", "uint16", "uint32", "uint63", "bipolar"}) {
    const Format format = Format::parse(name);
    Tensor tensor(format, {2, 2});
    if (format.is_uniform()) {
      const IntegerRange range = format.integer_range();
      const std::vector<std::int64_t> ends = {range.min, range.max, range.max, range.min};
      tensor = Tensor::from_integers(format, {2, 2}, ends);
    } else {
      const std::vector<double> values = {-0.5, 0, 1.25, 7};
      tensor = Tensor::from_reals(format, {2, 2}, values);
    }
    arrays.emplace_back(name, tensor);
  }
  const std::string archive = write_npz(arrays);
  EXPECT_EQ(archive, write_npz(arrays)) << "equal arrays make equal files";
  const NamedTensors back = read_npz(bytes_of(archive), "archive");
  ASSERT_EQ(back.size(), arrays.size());
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    EXPECT_EQ(back[i].first, arrays[i].first);
    EXPECT_EQ(back[i].second.to_reals(), arrays[i].second.to_reals()) << arrays[i].first;
  }
}

TEST(Numpy, ArchivesMayBeEmpty) { EXPECT_TRUE(read_npz(bytes_of(write_npz({})), "empty").empty()); }

TEST(Numpy, FormatsWithoutNumpyTypeAreWrittenAsReals) {
  const std::vector<double> values = {0.75, -0.25};
  const Tensor fixed = Tensor::from_reals(Format::parse("fixed<5,3>"), {2}, values);
  const Tensor back = read_array(write_npy(fixed));
  EXPECT_EQ(back.format(), Format());
  EXPECT_EQ(back.to_reals(), values);
  const Tensor wide = Tensor::from_reals(Format::parse("fixed<40,39>"), {2}, values);
  EXPECT_EQ(read_array(write_npy(wide)).format(), Format::parse("f64"));
}

TEST(Numpy, ElementsBeginAtAMultipleOf64Bytes) {
  for (const Shape& shape : {Shape{}, Shape{1}, Shape{12345, 1, 1}, Shape{1, 2, 3, 4, 5, 6, 7}}) {
    const Tensor tensor(Format::parse("uint8"), shape);
    const std::string text = write_npy(tensor);
    EXPECT_EQ((text.size() - static_cast<std::size_t>(tensor.size())) % 64, 0u);
    EXPECT_EQ(read_array(text), tensor);
  }
}

TEST(Numpy, RefusesWhatIsNoArray) {
  struct Case {
    std::string text, message;
  };
  const std::string f4 = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }";
  const std::vector<Case> cases = {
      {"", "not a NumPy array"},
      {"PK\3\4 something else", "not a NumPy array"},
      {npy(f4, "1234").substr(0, 9), "truncated in the header"},
      {npy(f4, "1234").substr(0, 20), "truncated in the header"},
      {npy(f4, "1234", 9), "version 9"},
      {npy(f4, "123"), "3 bytes of elements where <f4[1] has 4; the file is truncated"},
      {npy(f4, "12345"), "5 bytes of elements"},
      {npy("{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}", ""), "type '<c8'"},
      {npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': ()}", ""),
       "structured types are not read"},
      {npy("{'descr': '<f4', 'fortran_order': 0, 'shape': ()}", ""), "neither True nor False"},
      {npy("{'descr': '<f4', 'fortran_order': False}", ""), "lacks one of"},
      {npy("{'descr': '<f4', 'descr': '<f4', 'shape': ()}", ""), "'descr' twice"},
      {npy("{'descr': '<f4', 'colour': 1}", ""), "unknown key 'colour'"},
      {npy("{'descr': '<f4' 'shape': ()}", ""), "lacks a comma"},
      {npy("{'descr': '<f4", ""), "not closed"},
      {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", ""), "shape in the header"},
      {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1 2)}", ""), "lacks a comma"},
      {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x", "1234"), "goes on after"},
      {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2199023255552,)}", ""), "2^40"},
      {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1073741824,1073741824)}", ""),
       "2^40"},
      {npy("{'descr': '|b1', 'fortran_order': False, 'shape': (1,)}", "\2"), "byte 2"},
      {npy("{'descr': '<u8', 'fortran_order': False, 'shape': (1,)}", std::string(8, '\xff')),
       "beyond 2^63"},
  };
  for (const Case& c : cases)
    EXPECT_THAT([&] { read_array(c.text); }, ThrowsMessage<Error>(HasSubstr(c.message)))
        << c.message;
}

TEST(Numpy, RefusesUnsoundArchives) {
  const NamedTensors twice = {{"x", Tensor::scalar(1)}, {"x", Tensor::scalar(2)}};
  EXPECT_THAT([&] { write_npz(twice); }, ThrowsMessage<Error>(HasSubstr("named 'x'")));
  std::string archive = write_npz({{"some_array", Tensor::scalar(1)}});
  EXPECT_THAT([&] { read_npz(bytes_of(archive.substr(0, archive.size() / 2)), "half.npz"); },
              ThrowsMessage<Error>(HasSubstr("half.npz: not a readable .npz")));
  // One changed element breaks the entry's check sum.
  archive[archive.find("NUMPY") + 123] = '\x55';
  EXPECT_THAT([&] { read_npz(bytes_of(archive), "bad.npz"); },
              ThrowsMessage<Error>(HasSubstr("entry 'some_array.npy'")));
  std::string other = write_npz({{"some_array", Tensor::scalar(1)}});
  for (std::size_t at; (at = other.find(".npy")) != std::string::npos;) other[at + 3] = 'x';
  EXPECT_THAT([&] { read_npz(bytes_of(other), "other.npz"); },
              ThrowsMessage<Error>(HasSubstr("is no .npy array")));
}

TEST(Numpy, NamesTheArraysThatThereAre) {
  const NamedTensors arrays = {{"images", Tensor::scalar(1)}, {"labels", Tensor::scalar(1)}};
  EXPECT_THAT([&] { find_array(arrays, "image", "d.npz"); },
              ThrowsMessage<Error>(HasSubstr("did you mean 'images'")));
}

TEST(Numpy, RefusesMissingFilesAndFolders) {
  const test::TemporaryDir dir;
  EXPECT_THAT([&] { read_npy(dir / "none.npy"); }, ThrowsMessage<Error>(HasSubstr("no file")));
  EXPECT_THAT([&] { read_npz(dir.path()); }, ThrowsMessage<Error>(HasSubstr("not a regular file")));
}

}  // namespace
}  // namespace tandem
