// The TensorFlow Lite writer on networks that the reader makes of arbitrary bytes: what it does not
// refuse with Error, with the given roundings or with TensorFlow Lite's, reads again and verifies.
// The shares are printed at the end.

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>

#include "tandem/base/error.h"
#include "tandem/files/tflite_reader.h"
#include "tandem/files/tflite_writer.h"
#include "tandem/graph/verifier.h"

#include "tests/fuzz/shares.h"
#include "tests/fuzz/tflite_input.h"

namespace {

enum Stage : std::size_t { kFlatbuffer, kSmall, kWritten };
tandem::fuzz::Shares shares({"past the flatbuffer", "small networks", "written"});

std::optional<std::string> written(const tandem::Module& module, tandem::TfliteRounding rounding) {
  try {
    return tandem::write_tflite(module, "input", rounding);
  } catch (const tandem::Error&) {
    return std::nullopt;
  }
}

void check_written(const tandem::Module& module) {
  auto bytes = written(module, tandem::TfliteRounding::kAsGiven);
  if (!bytes) bytes = written(module, tandem::TfliteRounding::kAdopted);
  if (!bytes) return;
  shares.reached(kWritten);
  try {
    tandem::verify(tandem::read_tflite(std::as_bytes(std::span(*bytes)), "written"));
  } catch (const tandem::Error& error) {
    std::fprintf(stderr, "what was written is not read: %s\n", error.what());
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  shares.input();
  const auto input = tandem::fuzz::read_tflite_input(data, size);
  if (input.is_flatbuffer) shares.reached(kFlatbuffer);
  if (!input.network || !tandem::fuzz::is_small(*input.network)) return 0;
  shares.reached(kSmall);
  check_written(*input.network);
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed) {
  return tandem::fuzz::mutate_tflite_input(data, size, max_size, seed);
}
