#include "tandem/files/onnx_reader.h"

#include <algorithm>
#include <cmath>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/file.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/printer.h"
#include "tandem/graph/verifier.h"
#include "tandem/ops/register.h"

#include "tests/files/golden_cases.h"
#include "tests/support/paths.h"

namespace tandem {
namespace {

using test::find_case;
using test::golden_cases;
using test::GoldenCase;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::ThrowsMessage;

class OnnxReader : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { register_operators(); }
};

Module read(const GoldenCase& c) { return read_onnx(std::as_bytes(std::span(c.model)), c.name); }

// The outputs by name, after feeding the inputs by name.
NamedTensors run(const Module& module, const NamedTensors& given) {
  const Graph& graph = module.main();
  std::vector<Tensor> inputs;
  for (const ValueId id : graph.inputs)
    inputs.push_back(find_array(given, graph.values[id].name, "case"));
  const auto results = evaluate(module, graph, inputs);
  NamedTensors named;
  for (std::size_t i = 0; i < results.size(); ++i)
    named.emplace_back(graph.values[graph.outputs[i]].name, results[i]);
  return named;
}

// Elements that differ by more than `tolerance` relative to the greater of 1 and the expectation.
std::int64_t differing(const Tensor& computed, const Tensor& expected, double tolerance) {
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < expected.size(); ++i) {
    if (computed.real(i) == expected.real(i)) continue;  // infinities, too
    const double difference = std::abs(computed.real(i) - expected.real(i));
    if (!(difference <= tolerance * std::max(1.0, std::abs(expected.real(i))))) ++count;
  }
  return count;
}

void expect_equal(const GoldenCase& c, double tolerance) {
  SCOPED_TRACE(c.name);
  const Module module = read(c);
  verify(module);
  const std::string text = print_module(module);
  EXPECT_EQ(print_module(parse_module(text)), text);
  const NamedTensors outputs = run(module, c.inputs);
  ASSERT_EQ(outputs.size(), c.outputs.size());
  for (const auto& [name, expected] : c.outputs) {
    const Tensor& computed = find_array(outputs, name, c.name);
    ASSERT_EQ(computed.shape(), expected.shape()) << name;
    EXPECT_EQ(computed.format(), expected.format()) << name;
    EXPECT_EQ(differing(computed, expected, tolerance), 0) << name << " of " << expected.size();
  }
}

TEST_F(OnnxReader, GraphsComputeWhatOnnxruntimeComputes) {
  const auto cases = golden_cases("operators");
  EXPECT_GT(cases.size(), 150u);
  for (const GoldenCase& c : cases) ASSERT_NO_THROW(expect_equal(c, 2e-6)) << c.name;
}

TEST_F(OnnxReader, LayersComputeWhatOnnxruntimeComputes) {
  const auto cases = golden_cases("layers");
  EXPECT_GT(cases.size(), 70u);
  for (const GoldenCase& c : cases) ASSERT_NO_THROW(expect_equal(c, 5e-6)) << c.name;
}

// Codes are equal: the tolerance is less than one.
TEST_F(OnnxReader, OperatorsOfOnnxruntimeComputeWhatItComputes) {
  const auto cases = golden_cases("contrib");
  EXPECT_GT(cases.size(), 60u);
  for (const GoldenCase& c : cases) ASSERT_NO_THROW(expect_equal(c, 5e-6)) << c.name;
}

TEST_F(OnnxReader, TreesAndLinearModelsComputeWhatOnnxruntimeComputes) {
  const auto cases = golden_cases("ml");
  EXPECT_GT(cases.size(), 15u);
  for (const GoldenCase& c : cases) ASSERT_NO_THROW(expect_equal(c, 2e-6)) << c.name;
}

TEST_F(OnnxReader, ControlFlowComputesWhatOnnxruntimeComputes) {
  const auto cases = golden_cases("control");
  EXPECT_GT(cases.size(), 12u);
  for (const GoldenCase& c : cases) ASSERT_NO_THROW(expect_equal(c, 2e-6)) << c.name;
}

std::vector<std::string> operators_of(const Module& module) {
  std::vector<std::string> names;
  for (const Node& node : module.main().nodes) names.emplace_back(node.op->name());
  return names;
}

TEST_F(OnnxReader, TakesConstantBranchesAndFewStepsWhileReading) {
  const auto cases = golden_cases("control");
  EXPECT_THAT(operators_of(read(find_case(cases, "if_constant"))), ElementsAre("Reshape"));
  EXPECT_THAT(operators_of(read(find_case(cases, "loop_grows"))), Not(Contains("Loop")));
  const Module looped = read(find_case(cases, "loop_long"));
  EXPECT_THAT(operators_of(looped), ElementsAre("Loop"));
  // What its body reads of the graph around it is an input of the node.
  EXPECT_EQ(looped.main().nodes[0].inputs.size(), 4u);
  EXPECT_EQ(looped.graphs.size(), 2u);
}

// Not a single element may differ: quantizers decide between codes.
TEST_F(OnnxReader, QonnxGraphsComputeWhatItsExecutorComputes) {
  const auto cases = golden_cases("qonnx");
  EXPECT_GT(cases.size(), 70u);
  for (const GoldenCase& c : cases) ASSERT_NO_THROW(expect_equal(c, 0)) << c.name;
}

TEST_F(OnnxReader, RefusesUnsoundModelsByName) {
  for (const GoldenCase& c : golden_cases("refused")) {
    SCOPED_TRACE(c.name);
    ASSERT_FALSE(c.error.empty());
    EXPECT_THAT([&] { read(c); },
                ThrowsMessage<Error>(AllOf(HasSubstr(c.name), HasSubstr(c.error))));
  }
}

TEST_F(OnnxReader, ListsRefusedNodesWithReasonAndRemedy) {
  const auto cases = golden_cases("refused");
  try {
    read(find_case(cases, "three_nodes"));
    FAIL() << "three nodes cannot be read";
  } catch (const RefusedModel& error) {
    ASSERT_EQ(error.nodes().size(), 3u);
    EXPECT_EQ(error.nodes()[0].node, "memory");
    EXPECT_EQ(error.nodes()[0].op, "ImageDecoder");
    EXPECT_EQ(error.nodes()[1].node, "odd");
    EXPECT_EQ(error.nodes()[2].node, "steep");
    for (const RefusedNode& node : error.nodes()) {
      EXPECT_FALSE(node.reason.empty());
      EXPECT_FALSE(node.remedy.empty());
    }
    // The other nodes can still be judged.
    ASSERT_TRUE(error.rest().has_value());
    verify(*error.rest());
    EXPECT_GE(error.rest()->main().nodes.size(), 1u);
  }
}

TEST_F(OnnxReader, FoldsArithmeticOnShapes) {
  const auto cases = golden_cases("operators");
  for (const char* name : {"flatten_by_shape", "split_heads", "shape_parts"}) {
    const Module module = read(find_case(cases, name));
    ASSERT_EQ(module.main().nodes.size(), 1u) << print_module(module);
    EXPECT_EQ(module.main().nodes[0].op->name(), "Reshape");
  }
}

TEST_F(OnnxReader, MakesBatchesSymbols) {
  const auto cases = golden_cases("operators");
  const Module module = read(find_case(cases, "flatten_by_shape"));
  ASSERT_EQ(module.symbols.size(), 1u);
  EXPECT_EQ(module.symbols[0].name, "batch");
  EXPECT_EQ(module.symbols[0].min, 1);
  EXPECT_EQ(module.symbols[0].max, 65536);
  const Graph& graph = module.main();
  EXPECT_EQ(graph.values[graph.outputs[0]].type.to_string(), "f32[batch,12]");
}

TEST_F(OnnxReader, KeepsNamesOfTensors) {
  const auto cases = golden_cases("operators");
  const Module module = read(find_case(cases, "names"));
  std::vector<std::string> names;
  for (const Node& node : module.main().nodes)
    names.push_back(module.main().values[node.outputs[0]].name);
  EXPECT_THAT(names, ElementsAre("/block.1/conv:0", "/block.1/relu:0", "out put"));
  EXPECT_EQ(module.constants.at(0).name, "block.1.bias");
  EXPECT_EQ(module.metadata.at("producer"), "golden");
}

// Weights become the integers they are; only their Dequantize remains.
TEST_F(OnnxReader, FoldsQuantizersOfConstants) {
  const auto cases = golden_cases("qonnx");
  const Module module = read(find_case(cases, "layers"));
  std::vector<std::string> formats;
  for (const Constant& constant : module.constants)
    if (constant.tensor.rank() == 2 && !constant.tensor.format().is_float())
      formats.push_back(constant.tensor.format().name());
  EXPECT_THAT(formats, ::testing::UnorderedElementsAre("int3", "bipolar"));
}

TEST_F(OnnxReader, ReadsTheExample) {
  const Module module = read_onnx(test::source_dir() / "examples/digits/digits.onnx");
  verify(module);
  const auto data = read_npz(test::source_dir() / "examples/digits/digits.npz");
  const Tensor& images = find_array(data, "test_images", "digits.npz");
  const Tensor& labels = find_array(data, "test_labels", "digits.npz");
  std::vector<double> pixels = images.to_reals();
  for (double& pixel : pixels) pixel /= 16;
  const Tensor x = Tensor::from_reals(Format(), images.shape(), pixels);
  const Tensor logits = evaluate(module, module.main(), std::vector<Tensor>{x}).front();
  std::int64_t correct = 0;
  for (std::int64_t i = 0; i < labels.size(); ++i) {
    const auto scores = logits.rows(i, i + 1).to_reals();
    const auto best = std::max_element(scores.begin(), scores.end()) - scores.begin();
    if (best == labels.integer(i)) ++correct;
  }
  EXPECT_EQ(correct, 531) << "98.33 % of 540, as examples/digits/README.md says";
}

// Weights 0, 1, 2 in a file beside the model, and places where none may lie.
TEST_F(OnnxReader, ReadsExternalDataInsideItsFolderOnly) {
  const test::TemporaryDir dir;
  const auto cases = golden_cases("refused");
  const auto read_beside = [&](const std::string& name) {
    std::filesystem::create_directories(dir / "model");
    write_file_atomic(dir / "model/net.onnx", find_case(cases, name).model);
    return read_onnx(dir / "model/net.onnx");
  };
  const std::vector<float> weights = {0, 1, 2};
  const std::string bytes(reinterpret_cast<const char*>(weights.data()), 12);
  const auto fails = [&](const std::string& name, const std::string& message) {
    EXPECT_THAT([&] { read_beside(name); },
                ThrowsMessage<Error>(AllOf(HasSubstr("initializer 'weight'"), HasSubstr(message))));
  };
  fails("external", "there is no file");
  std::filesystem::create_directories(dir / "model/weights.bin");
  fails("external", "is not a regular file");
  std::filesystem::remove(dir / "model/weights.bin");
  write_file_atomic(dir / "model/weights.bin", bytes.substr(0, 11));
  fails("external", "has 11 bytes and so no 12 bytes from byte 0");
  write_file_atomic(dir / "model/weights.bin", bytes);
  EXPECT_EQ(read_beside("external").constants.at(0).tensor.to_reals(),
            (std::vector<double>{0, 1, 2}));
  fails("external_part", "no 12 bytes from byte 4");
  write_file_atomic(dir / "model/weights.bin", "skip" + bytes);
  EXPECT_EQ(read_beside("external_part").constants.at(0).tensor.to_reals(),
            (std::vector<double>{0, 1, 2}));

  write_file_atomic(dir / "weights.bin", bytes);
  fails("external_above", "outside the model's folder");
  fails("external_absolute", "outside the model's folder");
  std::filesystem::remove(dir / "model/weights.bin");
  std::filesystem::create_symlink(dir / "weights.bin", dir / "model/weights.bin");
  fails("external", "outside the model's folder");
}

TEST_F(OnnxReader, NamesTheFileInMessages) {
  const test::TemporaryDir dir;
  std::ofstream(dir / "broken.onnx") << "nothing of the kind";
  EXPECT_THAT(
      [&] { read_onnx(dir / "broken.onnx"); },
      ThrowsMessage<Error>(AllOf(HasSubstr("broken.onnx"), HasSubstr("not an ONNX model"))));
  EXPECT_THAT([&] { read_onnx(dir / "none.onnx"); },
              ThrowsMessage<Error>(HasSubstr("there is no file")));
}

}  // namespace
}  // namespace tandem
