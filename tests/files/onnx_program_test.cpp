#include "tandem/files/onnx_program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/files/model_file.h"
#include "tandem/files/onnx_reader.h"
#include "tandem/graph/evaluate.h"
#include "tandem/ops/register.h"

#include "tests/files/golden_cases.h"
#include "tests/support/paths.h"

namespace tandem::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class OnnxProgramTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { register_operators(); }
};

std::vector<std::byte> bytes_of(const GoldenCase& c) {
  const auto bytes = std::as_bytes(std::span(c.model));
  return {bytes.begin(), bytes.end()};
}

std::vector<Tensor> fed(const OnnxProgram& program, const NamedTensors& inputs) {
  std::vector<Tensor> tensors;
  for (const std::string& name : program.inputs())
    tensors.push_back(find_array(inputs, name, "case"));
  return tensors;
}

TEST_F(OnnxProgramTest, ComputesWhatOnnxruntimeComputes) {
  for (const GoldenCase& c : golden_cases("fed")) {
    SCOPED_TRACE(c.name);
    OnnxProgram program(bytes_of(c), c.name);
    const auto outputs = program.run(fed(program, c.inputs));
    ASSERT_EQ(outputs.size(), c.outputs.size());
    EXPECT_EQ(outputs[0].shape(), c.outputs[0].second.shape());
    EXPECT_EQ(outputs[0].to_reals(), c.outputs[0].second.to_reals());
  }
}

TEST_F(OnnxProgramTest, BindsWhatDecidesShapesAndReadsTheRest) {
  const auto cases = golden_cases("fed");
  const GoldenCase& first = find_case(cases, "reshape");
  OnnxProgram program(bytes_of(first), first.name);
  EXPECT_THAT(program.inputs(), ElementsAre("x", "shape"));
  const Module& module = program.network(fed(program, first.inputs));
  ASSERT_EQ(module.main().inputs.size(), 1U);
  EXPECT_EQ(module.main().values[module.main().inputs[0]].name, "x");
  // Another value is another network.
  const GoldenCase& other = find_case(cases, "reshape_other");
  EXPECT_EQ(program.run(fed(program, other.inputs))[0].shape(), other.outputs[0].second.shape());
  EXPECT_EQ(program.run(fed(program, first.inputs))[0].shape(), first.outputs[0].second.shape());
}

TEST_F(OnnxProgramTest, TheReaderNamesTheInputsThatDecide) {
  const auto cases = golden_cases("fed");
  const GoldenCase& c = find_case(cases, "computed");
  try {
    read_onnx(std::as_bytes(std::span(c.model)), c.name);
    FAIL() << "a shape is computed from an input";
  } catch (const RefusedModel& refused) {
    EXPECT_THAT(refused.deciding_inputs(), ElementsAre("rows"));
    EXPECT_THAT(refused.what(), HasSubstr("its shape is computed while the network runs"));
  }
}

TEST_F(OnnxProgramTest, ModelsReadWithArraysTakeOutWhatTheyBind) {
  const auto cases = golden_cases("fed");
  const GoldenCase& c = find_case(cases, "computed");
  const TemporaryDir folder;
  write_file_atomic(folder / "net.onnx", c.model);
  NamedTensors arrays = c.inputs;
  const Module module = read_model(folder / "net.onnx", arrays);
  ASSERT_EQ(arrays.size(), 1U);
  EXPECT_EQ(arrays[0].first, "x");
  // One sample of the array's first axis: a sixth of its 12 elements each.
  const Tensor sample = arrays[0].second.rows(0, 1);
  const auto outputs = evaluate(module, module.main(), std::vector{sample});
  EXPECT_EQ(outputs[0].shape(), (Shape{6, 2}));
}

TEST_F(OnnxProgramTest, RefusesInputsThatDoNotFit) {
  const auto cases = golden_cases("fed");
  const GoldenCase& c = find_case(cases, "reshape");
  OnnxProgram program(bytes_of(c), c.name);
  EXPECT_THAT([&] { program.run({}); }, ThrowsMessage<Error>(HasSubstr("takes 2 inputs, not 0")));
  const Tensor x(Format(), {2, 3}), shape(Format::integer(64, true), {1});
  EXPECT_THAT(
      [&] {
        program.run(std::vector{x, shape});
      },
      ThrowsMessage<Error>(HasSubstr("another rank than it declares")));
}

}  // namespace
}  // namespace tandem::test
