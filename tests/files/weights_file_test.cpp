#include "tandem/files/weights_file.h"

#include <cmath>
#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/files/model_file.h"
#include "tandem/files/numpy.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/printer.h"
#include "tandem/ops/register.h"

#include "tests/support/paths.h"

namespace tandem {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class WeightsFile : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { register_operators(); }
};

const std::filesystem::path kFolder = test::source_dir() / "tests/files/golden/weights";

// Every tensor beside what the format's owner makes of it (golden_weights.py).
void expect_golden(const std::string& name, double tolerance) {
  const Module module = read_model(kFolder / name);
  const NamedTensors golden = read_npz(kFolder / (name + ".npz"));
  const Graph& graph = module.main();
  ASSERT_EQ(graph.outputs.size(), golden.size());
  const auto results = evaluate(module, module.main(), {});
  for (std::size_t i = 0; i < results.size(); ++i) {
    const std::string& tensor = graph.values[graph.outputs[i]].name;
    SCOPED_TRACE(tensor);
    const Tensor& expected = find_array(golden, tensor, name);
    ASSERT_EQ(results[i].shape(), expected.shape());
    for (std::int64_t k = 0; k < expected.size(); ++k) {
      const double want = expected.real(k);
      ASSERT_NEAR(results[i].real(k), want, tolerance * std::max(1.0, std::abs(want))) << k;
    }
  }
}

TEST_F(WeightsFile, GgufTensorsAreThoseOfItsPackage) { expect_golden("blocks.gguf", 1e-6); }
TEST_F(WeightsFile, SafetensorsAreThoseOfTheirPackage) { expect_golden("plain.safetensors", 0); }
TEST_F(WeightsFile, CodesOfBitsandbytesAreItsOwn) {
  expect_golden("bitsandbytes.safetensors", 2e-6);
}

TEST_F(WeightsFile, GgufKeepsItsMetadata) {
  const Module module = read_gguf(kFolder / "blocks.gguf");
  EXPECT_EQ(module.metadata.at("general.name"), "blocks");
  EXPECT_EQ(module.metadata.at("llama.block_count"), "2");
  EXPECT_EQ(module.metadata.at("llama.rope.freq_base"), "10000");
}

// [2,3] constants of the names "w" and "other", and what is computed with them.
Module network_of_weights() {
  return parse_module(
      "tandem-module 1\n"
      "constant @w : f32[2,3] = [1,2,3,4,5,6]\nconstant @other : f32[] = [2]\n"
      "graph @main(%x : f32[1,2]) -> (%y) {\n  %w = constant @w\n  %other = constant @other\n"
      "  %p : f32[1,3] = MatMul(%x, %w)\n  %y : f32[1,3] = Mul(%p, %other)\n}\n");
}

std::string safetensors(const std::string& header, const std::string& data) {
  std::string text(8, '\0');
  const std::uint64_t length = header.size();
  std::memcpy(text.data(), &length, sizeof length);
  return text + header + data;
}

Module read_text(const std::string& bytes) {
  return read_safetensors(std::as_bytes(std::span(bytes)), "w.safetensors");
}

std::vector<double> run(const Module& network) {
  const std::vector<double> ones = {1, 1};
  const std::vector<Tensor> inputs = {Tensor::from_reals(Format(), {1, 2}, ones)};
  return evaluate(network, network.main(), inputs)[0].to_reals();
}

TEST_F(WeightsFile, ANetworkTakesRealsAndCodesByTheirNames) {
  const std::vector<float> reals = {6, 5, 4, 3, 2, 1};
  const std::string data(reinterpret_cast<const char*>(reals.data()), 24);
  Module network = network_of_weights();
  const TakenWeights taken = take_weights(
      network,
      read_text(safetensors(R"({"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
                            R"("bias":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                            data)),
      "w.safetensors");
  EXPECT_THAT(taken.taken, ElementsAre("w"));
  EXPECT_THAT(taken.unused, ElementsAre("bias"));
  EXPECT_THAT(run(network), ElementsAre(18, 14, 10));

  // 1.5, -2, 0.5, 8, 0, -0.25 in E4M3.
  const std::string codes("\x3c\xc0\x30\x50\x00\xa8", 6);
  network = network_of_weights();
  take_weights(network,
               read_text(safetensors(
                   R"({"w":{"dtype":"F8_E4M3","shape":[2,3],"data_offsets":[0,6]}})", codes)),
               "w.safetensors");
  EXPECT_THAT(run(network), ElementsAre(19, -4, 0.5));
  EXPECT_THAT(print_module(network), HasSubstr("Dequantize"));
}

TEST_F(WeightsFile, RefusesWhatIsNotOfTheNetwork) {
  const auto take = [](const std::string& header) {
    Module network = network_of_weights();
    take_weights(network, read_text(safetensors(header, std::string(24, '\0'))), "w.safetensors");
  };
  EXPECT_THAT([&] { take(R"({"v":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}})"); },
              ThrowsMessage<Error>(AllOf(HasSubstr("w.safetensors"), HasSubstr("none of its 1"))));
  EXPECT_THAT([&] { take(R"({"w":{"dtype":"F32","shape":[3,2],"data_offsets":[0,24]}})"); },
              ThrowsMessage<Error>(HasSubstr("'w' has the shape [3,2]")));
}

TEST_F(WeightsFile, NamesWhatIsWrongInAFile) {
  const auto fails = [](const std::string& header, const std::string& part) {
    EXPECT_THAT([&] { read_text(safetensors(header, std::string(8, '\0'))); },
                ThrowsMessage<Error>(AllOf(HasSubstr("w.safetensors"), HasSubstr(part))))
        << header;
  };
  fails("[]", "no JSON object");
  fails("{", "no JSON");
  fails(R"({"w":3})", "'w': its entry needs");
  fails(R"({"w":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}})", "F31");
  fails(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,12]}})", "beyond the file's end");
  fails(R"({"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", "its shape needs 12");
  fails(R"({"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,8]}})", "not be negative");
  fails(R"({"w":{"dtype":"F32","shape":[1099511627776,1099511627776],"data_offsets":[0,8]}})",
        "'w'");
  fails(R"({"w":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
        R"("w.quant_state.bitsandbytes__nf4":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
        "quant_state is no JSON");
  const std::string whole = read_file(kFolder / "blocks.gguf");
  constexpr std::size_t kPadding = 32;  // behind the last tensor
  for (std::size_t length = 0; length + kPadding < whole.size(); length += 37)
    EXPECT_THROW(read_gguf(std::as_bytes(std::span(whole).first(length)), "short.gguf"), Error);
}

}  // namespace
}  // namespace tandem
