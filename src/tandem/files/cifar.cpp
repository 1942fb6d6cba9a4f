#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/files/datafiles.h"

namespace tandem {

LabelledImages read_cifar10(ByteSpan bytes, std::string_view source) {
  constexpr std::size_t kPixels = 3 * 32 * 32;
  constexpr std::size_t kRecord = 1 + kPixels;
  if (bytes.empty() || bytes.size() % kRecord != 0) {
    throw Error(source, ": ", bytes.size(), " bytes are no whole number of CIFAR-10 records of ",
                kRecord, " bytes; the file is truncated or not CIFAR-10's binary version");
  }
  const std::size_t count = bytes.size() / kRecord;
  LabelledImages batch{
      Tensor(Format::parse("uint8"), {static_cast<std::int64_t>(count), 3, 32, 32}), {}};
  const auto to = batch.images.mutable_bytes();
  for (std::size_t i = 0; i < count; ++i) {
    const ByteSpan record = bytes.subspan(i * kRecord, kRecord);
    const auto label = std::to_integer<std::int64_t>(record[0]);
    if (label > 9) throw Error(source, ": record ", i, " has the label ", label, ", not 0 to 9");
    batch.labels.push_back(label);
    std::copy(record.begin() + 1, record.end(),
              to.begin() + static_cast<std::ptrdiff_t>(i * kPixels));
  }
  return batch;
}

LabelledImages read_cifar10(const std::filesystem::path& path) {
  return read_cifar10(read_file_bytes(path), path.string());
}

}  // namespace tandem
