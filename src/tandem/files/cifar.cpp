#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/files/datafiles.h"
#include "tandem/files/stored_array.h"

namespace tandem {

namespace {

constexpr std::size_t kPixels = 3 * 32 * 32;
constexpr std::size_t kRecord = 1 + kPixels;

std::size_t count_of(std::uint64_t size, std::string_view source) {
  if (size == 0 || size % kRecord != 0) {
    throw Error(source, ": ", size, " bytes are no whole number of CIFAR-10 records of ", kRecord,
                " bytes; the file is truncated or not CIFAR-10's binary version");
  }
  return size / kRecord;
}

std::int64_t label_of(std::byte first, std::size_t record, std::string_view source) {
  const auto label = std::to_integer<std::int64_t>(first);
  if (label > 9) throw Error(source, ": record ", record, " has the label ", label, ", not 0 to 9");
  return label;
}

}  // namespace

LabelledImages read_cifar10(ByteSpan bytes, std::string_view source) {
  const std::size_t count = count_of(bytes.size(), source);
  LabelledImages batch{
      Tensor(Format::parse("uint8"), {static_cast<std::int64_t>(count), 3, 32, 32}), {}};
  const auto to = batch.images.mutable_bytes();
  for (std::size_t i = 0; i < count; ++i) {
    const ByteSpan record = bytes.subspan(i * kRecord, kRecord);
    batch.labels.push_back(label_of(record[0], i, source));
    std::copy(record.begin() + 1, record.end(),
              to.begin() + static_cast<std::ptrdiff_t>(i * kPixels));
  }
  return batch;
}

StoredImages stored_cifar10(const std::filesystem::path& path) {
  const std::size_t count = count_of(regular_file_size(path), path.string());
  const auto file = std::make_shared<OpenFile>(path);
  StoredImages stored{{path.filename().string(),
                       Format::parse("uint8"),
                       {static_cast<std::int64_t>(count), 3, 32, 32},
                       {}},
                      {}};
  constexpr std::size_t kRecords = 256;  // that are read at a time
  std::vector<std::byte> records(kRecords * kRecord);
  for (std::size_t i = 0; i < count; i += kRecords) {
    const std::size_t taken = std::min(kRecords, count - i);
    file->read(i * kRecord, std::span(records).first(taken * kRecord));
    for (std::size_t k = 0; k < taken; ++k)
      stored.labels.push_back(label_of(records[k * kRecord], i + k, path.string()));
  }
  stored.images.rows = [file, format = stored.images.format](std::int64_t begin, std::int64_t end) {
    Tensor images(format, {end - begin, 3, 32, 32});
    const auto to = images.mutable_bytes();
    for (std::int64_t i = begin; i < end; ++i) {
      file->read(static_cast<std::uint64_t>(i) * kRecord + 1,
                 to.subspan(static_cast<std::size_t>(i - begin) * kPixels, kPixels));
    }
    return images;
  };
  return stored;
}

}  // namespace tandem
