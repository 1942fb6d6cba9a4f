// The TensorFlow Lite reader on arbitrary bytes: it accepts a model or throws Error. What it
// accepts verifies, and so does the rest of a refused model; one network in eight also survives its
// text, and lowers or is refused. Mutations keep the flatbuffer, so most inputs reach the graph;
// the shares are printed at the end.

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>

#include "tandem/base/error.h"
#include "tandem/graph/printer.h"
#include "tandem/graph/verifier.h"
#include "tandem/transform/lower.h"

#include "tests/fuzz/shares.h"
#include "tests/fuzz/tflite_input.h"

namespace {

enum Stage : std::size_t { kFlatbuffer, kAccepted, kChecked, kLowered };
tandem::fuzz::Shares shares({"past the flatbuffer", "read as networks", "printed and parsed",
                             "lowered"});

// Text and lowering take ten times as long as reading. The bytes say who gets them, so that an
// input repeats what it did.
bool is_checked_in_full(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kOneIn = 8;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  return std::hash<std::string_view>()(bytes) % kOneIn == 0;
}

void check_text(const tandem::Module& module) {
  const std::string text = tandem::print_module(module);
  if (tandem::print_module(tandem::parse_module(text)) == text) return;
  std::fprintf(stderr, "the text reads back as another network\n");
  std::abort();
}

void check_lowering(const tandem::Module& module) {
  if (!tandem::fuzz::is_small(module)) return;
  try {
    tandem::lower(module);
    shares.reached(kLowered);
  } catch (const tandem::Error&) {
    return;
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
  if (input.is_accepted) shares.reached(kAccepted);
  if (!input.network) return 0;
  tandem::verify(*input.network);
  if (!is_checked_in_full(data, size)) return 0;
  shares.reached(kChecked);
  check_text(*input.network);
  check_lowering(*input.network);
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed) {
  return tandem::fuzz::mutate_tflite_input(data, size, max_size, seed);
}
