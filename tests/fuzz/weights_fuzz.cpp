// Any bytes, read as a file of weights, give a module that passes the verifier, or an Error that
// names the file. Half of the inputs are read with the lengths of the header as they were, so that
// they get past it.

#include <cstdint>
#include <cstring>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/base/error.h"
#include "tandem/files/weights_file.h"
#include "tandem/graph/verifier.h"
#include "tandem/ops/register.h"

namespace tandem {
namespace {

struct WeightsCount {
  std::int64_t inputs = 0;
  std::int64_t read = 0;
  ~WeightsCount() { std::cerr << "weights: " << read << " of " << inputs << " inputs are read\n"; }
} weights_count;

template <typename Reader>
void read_weights(Reader reader, ByteSpan bytes) {
  ++weights_count.inputs;
  try {
    verify(reader(bytes, "fuzz.weights"));
    ++weights_count.read;
  } catch (const Error& error) {
    ensure(std::string_view(error.what()).starts_with("fuzz.weights"), "an error names its file");
  }
}

}  // namespace
}  // namespace tandem

// NOLINTNEXTLINE(readability-identifier-naming): the name that fuzzers call
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tandem;
  static const bool kRegistered = (register_operators(), true);
  ensure(kRegistered, "operators");
  std::vector<std::uint8_t> copy(data, data + size);
  const ByteSpan bytes = std::as_bytes(std::span(copy));
  if (size >= 4 && std::memcmp(data, "GG", 2) == 0) {
    std::memcpy(copy.data(), "GGUF", 4);
    read_weights([](ByteSpan b, std::string_view s) { return read_gguf(b, s); }, bytes);
    return 0;
  }
  if (size > 8) {  // a header's length that fits, ending with its last brace before the data
    std::uint64_t length = 0;
    std::memcpy(&length, copy.data(), sizeof length);
    const std::string_view text(reinterpret_cast<const char*>(copy.data()) + 8, size - 8);
    const auto end = text.find("}}");
    if (size % 2 == 0 && end != std::string_view::npos) {
      length = end + 2;
      std::memcpy(copy.data(), &length, sizeof length);
    }
  }
  read_weights([](ByteSpan b, std::string_view s) { return read_safetensors(b, s); }, bytes);
  return 0;
}
