// The TensorFlow Lite reader on arbitrary bytes: it accepts a model or throws Error. What it
// accepts verifies, survives its text, lowers or is refused, and is written so that it reads again;
// so does the rest of a refused model. Mutations keep the flatbuffer, so most inputs reach the
// graph; the shares are printed at the end.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "tandem/base/error.h"
#include "tandem/files/tflite_reader.h"
#include "tandem/files/tflite_writer.h"
#include "tandem/graph/printer.h"
#include "tandem/graph/verifier.h"
#include "tandem/ops/register.h"
#include "tandem/transform/lower.h"

#include "tests/fuzz/tflite_mutator.h"

namespace {

struct Shares {
  std::uint64_t inputs = 0, models = 0, accepted = 0, written = 0, lowered = 0;
  ~Shares() {
    const auto percent = [&](std::uint64_t part) {
      return inputs == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(inputs);
    };
    std::fprintf(stderr,
                 "share past the flatbuffer: %.1f %%, read as networks: %.1f %%, written: %.1f %%, "
                 "lowered: %.1f %% (of %llu)\n",
                 percent(models), percent(accepted), percent(written), percent(lowered),
                 static_cast<unsigned long long>(inputs));
  }
} shares;

bool is_flatbuffer_error(std::string_view message) {
  return message.find("is no TensorFlow Lite model") != std::string_view::npos ||
         message.find("is damaged") != std::string_view::npos;
}

// Lowering computes tables per position, so only small networks are lowered. Throws Error on a
// shape beyond all bounds.
bool is_small(const tandem::Module& module) {
  constexpr std::int64_t kMost = 4096;
  for (const tandem::Value& value : module.main().values) {
    if (tandem::element_count(value.type.static_shape()) > kMost) return false;
  }
  return true;
}

// What the writer writes, with the given roundings or with TensorFlow Lite's, the reader reads.
void check_written(const tandem::Module& module) {
  std::string bytes;
  try {
    bytes = tandem::write_tflite(module, "input");
  } catch (const tandem::Error&) {
    try {
      bytes = tandem::write_tflite(module, "input", tandem::TfliteRounding::kAdopted);
    } catch (const tandem::Error&) {
      return;
    }
  }
  ++shares.written;
  try {
    tandem::verify(tandem::read_tflite(std::as_bytes(std::span(bytes)), "written"));
  } catch (const tandem::Error& error) {
    std::fprintf(stderr, "what was written is not read: %s\n", error.what());
    std::abort();
  }
}

void check(const tandem::Module& module) {
  tandem::verify(module);
  const std::string text = tandem::print_module(module);
  if (tandem::print_module(tandem::parse_module(text)) != text) {
    std::fprintf(stderr, "the text reads back as another network\n");
    std::abort();
  }
  try {
    if (!is_small(module)) return;
    check_written(module);
    tandem::lower(module);
    ++shares.lowered;
  } catch (const tandem::Error&) {
    return;  // refused, or a shape beyond all bounds
  }
}

// Unpacking reads zero points in place, whose alignment the flatbuffer's verifier does not check.
bool can_be_unpacked(const tandem::tflite::Model& model) {
  if (model.subgraphs() == nullptr) return true;
  for (const auto* graph : *model.subgraphs()) {
    if (graph->tensors() == nullptr) continue;
    for (const auto* tensor : *graph->tensors()) {
      const auto* quantization = tensor->quantization();
      if (quantization == nullptr || quantization->zero_point() == nullptr) continue;
      const auto address = reinterpret_cast<std::uintptr_t>(quantization->zero_point()->Data());
      if (address % alignof(std::int64_t) != 0) return false;
    }
  }
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed);
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tandem::register_operators();
  ++shares.inputs;
  try {
    const auto module = tandem::read_tflite(std::as_bytes(std::span(data, size)), "input");
    ++shares.accepted;
    check(module);
  } catch (const tandem::RefusedModel& refused) {
    if (refused.rest()) check(*refused.rest());
  } catch (const tandem::Error& error) {
    if (is_flatbuffer_error(error.what())) return 0;
  }
  ++shares.models;
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed) {
  // One input in ten is changed without regard to the format; that also reaches the options.
  constexpr unsigned kBlind = 10;
  flatbuffers::Verifier verifier(data, size);
  if (seed % kBlind == 0 || size < 8 || !tandem::tflite::VerifyModelBuffer(verifier) ||
      !can_be_unpacked(*tandem::tflite::GetModel(data)))
    return LLVMFuzzerMutate(data, size, max_size);
  tandem::tflite::ModelT model;
  tandem::tflite::GetModel(data)->UnPackTo(&model);
  tandem::fuzz::TfliteMutator(seed).mutate(model);
  flatbuffers::FlatBufferBuilder builder;
  tandem::tflite::FinishModelBuffer(builder, tandem::tflite::Model::Pack(builder, &model));
  // Small models are fast ones, and large enough for every operator.
  constexpr std::size_t kLargest = 4096;
  if (builder.GetSize() > max_size || builder.GetSize() > kLargest) return size;
  std::memcpy(data, builder.GetBufferPointer(), builder.GetSize());
  return builder.GetSize();
}
