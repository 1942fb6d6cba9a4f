// The ONNX reader on arbitrary bytes: it accepts a model or throws Error. What it accepts verifies;
// what the writer makes of that reads back as the same network. Mutations keep the wire format, so
// most inputs reach the graph; the shares are printed at the end.

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <google/protobuf/arena.h>

#include "tandem/base/error.h"
#include "tandem/files/onnx_reader.h"
#include "tandem/files/onnx_writer.h"
#include "tandem/graph/equality.h"
#include "tandem/graph/verifier.h"
#include "tandem/ops/register.h"

#include "tests/fuzz/proto_mutator.h"
#include "tests/fuzz/shares.h"

namespace {

enum Stage : std::size_t { kWire, kAccepted, kWritten };
tandem::fuzz::Shares shares({"past the wire format", "read as networks", "written back"});

bool is_wire_error(std::string_view message) {
  return message.find("the message breaks off at byte") != std::string_view::npos;
}

// Some inputs that were read as networks. A corpus drifts to what the reader refuses, since there
// are so many ways to be refused; half of the mutations start here instead.
class Accepted {
 public:
  void add(std::span<const std::uint8_t> input) {
    constexpr std::size_t kLargest = 768, kMost = 256, kOneIn = 16;
    if (input.size() > kLargest || ++seen_ % kOneIn != 0) return;
    if (kept_.size() < kMost)
      kept_.emplace_back(input.begin(), input.end());
    else
      kept_[seen_ / kOneIn * 7919 % kMost].assign(input.begin(), input.end());
  }
  // Writes one over the data; its size, or 0 where there is none of at most `max_size`.
  std::size_t take(unsigned seed, std::uint8_t* data, std::size_t max_size) const {
    if (kept_.empty()) return 0;
    const auto& input = kept_[seed % kept_.size()];
    if (input.size() > max_size) return 0;
    std::copy(input.begin(), input.end(), data);
    return input.size();
  }

 private:
  std::vector<std::vector<std::uint8_t>> kept_;
  std::uint64_t seen_ = 0;
};

Accepted accepted;

void check_written(const tandem::Module& module) {
  tandem::OnnxFile file;
  try {
    file = tandem::write_onnx(module);
  } catch (const tandem::Error&) {
    return;
  }
  const tandem::Module back =
      tandem::read_onnx(std::as_bytes(std::span(file.bytes)), "written again");
  if (const auto text = tandem::difference(module, back)) {
    std::fprintf(stderr, "written and read back: %s\n", text->c_str());
    std::abort();
  }
  shares.reached(kWritten);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed);
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const bool is_ready = (tandem::register_operators(), true);
  static_cast<void>(is_ready);
  shares.input();
  tandem::Module module;
  try {
    module = tandem::read_onnx(std::as_bytes(std::span(data, size)), "input");
  } catch (const tandem::Error& error) {
    if (!is_wire_error(error.what())) shares.reached(kWire);
    return 0;
  }
  shares.reached(kWire);
  shares.reached(kAccepted);
  accepted.add({data, size});
  tandem::verify(module);
  check_written(module);
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed) {
  // One input in twenty is changed without regard to the format.
  constexpr unsigned kBlind = 20;
  if (seed / kBlind % 2 == 0)
    if (const std::size_t taken = accepted.take(seed / kBlind / 2, data, max_size)) size = taken;
  if (seed % kBlind == 0) return LLVMFuzzerMutate(data, size, max_size);
  // Its messages lie side by side and end together.
  static std::array<char, 1 << 16> block;
  google::protobuf::ArenaOptions options;
  options.initial_block = block.data();
  options.initial_block_size = block.size();
  google::protobuf::Arena arena(options);
  auto& model = *google::protobuf::Arena::CreateMessage<onnx_reflection::ModelProto>(&arena);
  if (size > static_cast<std::size_t>(INT32_MAX) ||
      !model.ParseFromArray(data, static_cast<int>(size))) {
    model.Clear();
    model.set_ir_version(8);
    model.add_opset_import()->set_version(17);
    model.mutable_graph()->add_input()->set_name("x");
  }
  tandem::fuzz::ModelMutator(seed).mutate(model);
  // Small models are fast ones, and large enough for every operator; what is large may still
  // change.
  constexpr std::size_t kLargest = 1536, kMore = 256;
  const std::size_t changed = model.ByteSizeLong();
  if (changed > max_size || (changed > kLargest && changed > size + kMore)) return size;
  model.SerializeToArray(data, static_cast<int>(changed));
  return changed;
}
