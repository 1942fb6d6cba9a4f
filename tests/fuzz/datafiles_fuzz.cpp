// The readers of NumPy, IDX, CIFAR-10 and CSV files on arbitrary bytes: the first byte chooses the
// reader. They accept or throw Error; accepted arrays are written and read back the same.

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

#include "tandem/base/error.h"
#include "tandem/files/datafiles.h"
#include "tandem/files/numpy.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

void check(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

void check_written(const tandem::NamedTensors& arrays) {
  const std::string archive = tandem::write_npz(arrays);
  const auto back = tandem::read_npz(std::as_bytes(std::span(archive)), "written again");
  check(back == arrays, "arrays differ after writing and reading");
}

void read_as(std::uint8_t kind, tandem::ByteSpan bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  switch (kind % 5) {
    case 0: check_written({{"array", tandem::read_npy(bytes, "input")}}); break;
    case 1: check_written(tandem::read_npz(bytes, "input")); break;
    case 2: tandem::read_idx(bytes, "input"); break;
    case 3: tandem::read_cifar10(bytes, "input"); break;
    default: {
      const tandem::CsvTable table = tandem::read_csv(text, "input");
      for (std::size_t c = 0; c < table.columns(); ++c) table.numbers(c, "input");
      break;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  try {
    read_as(data[0], std::as_bytes(std::span(data + 1, size - 1)));
  } catch (const tandem::Error&) {
    return 0;  // what is no data file is to be refused
  }
  return 0;
}
