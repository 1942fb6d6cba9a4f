#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/files/bytes.h"
#include "tandem/tensor/tensor.h"

namespace tandem {

// Readers of plain data files; those of stored_array.h leave the samples in the file. All throw
// Error naming `source` and the place in it.

// An IDX file, the format of MNIST: a big-endian array of u8, i8, i16, i32, f32 or f64.
Tensor read_idx(ByteSpan bytes, std::string_view source);

// A batch of CIFAR-10's binary version: records of one label byte and 3 x 32 x 32 pixels.
struct LabelledImages {
  Tensor images;  // uint8 [N,3,32,32]
  std::vector<std::int64_t> labels;
};
LabelledImages read_cifar10(ByteSpan bytes, std::string_view source);

// Comma-separated text with one record per line: fields may be quoted ("a ""b"""), empty lines are
// skipped. The first line is the header where any of its fields is no number.
struct CsvTable {
  std::vector<std::string> header;             // empty: the file has none
  std::vector<std::vector<std::string>> rows;  // all of equal length
  std::vector<std::size_t> lines;              // of each row in the file, from 1

  // Fields of a column as numbers; throws Error naming the line and column.
  std::vector<double> numbers(std::size_t column, std::string_view source) const;
  std::size_t columns() const { return rows.empty() ? header.size() : rows.front().size(); }
};
CsvTable read_csv(std::string_view text, std::string_view source);
CsvTable read_csv(const std::filesystem::path& path);

}  // namespace tandem
