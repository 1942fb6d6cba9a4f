// Every real and movement operator against ONNX: cases that golden/make_golden.py computed with
// the reference evaluator of PyPI onnx and with onnxruntime.

#include <cmath>
#include <fstream>
#include <map>

#include <gtest/gtest.h>

#include "tandem/graph/evaluate.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/printer.h"
#include "tandem/graph/registry.h"

#include "tests/ops/sample_inputs.h"
#include "tests/support/paths.h"

namespace tandem {
namespace {

constexpr double kTolerance = 1e-5;

// The texts of the golden file, each under the operator that it is about.
std::multimap<std::string, std::string> golden_cases() {
  std::ifstream file(test::source_dir() / "tests/ops/golden/onnx_cases.txt");
  std::multimap<std::string, std::string> cases;
  std::multimap<std::string, std::string>::iterator current = cases.end();
  const std::string mark = "# case ";
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(mark))
      current = cases.emplace(line.substr(mark.size()), "");
    else
      current->second += line + "\n";
  }
  return cases;
}

void expect_near(const Tensor& computed, const Tensor& expected) {
  ASSERT_EQ(type_of(computed), type_of(expected));
  for (std::int64_t i = 0; i < expected.size(); ++i) {
    const double is = computed.real(i), should = expected.real(i);
    if (std::isnan(should)) {
      EXPECT_TRUE(std::isnan(is)) << "element " << i << " is " << is;
    } else if (std::isinf(should) || expected.format().is_uniform()) {
      EXPECT_EQ(is, should) << "element " << i;
    } else {
      EXPECT_NEAR(is, should, kTolerance * (1 + std::abs(should))) << "element " << i;
    }
  }
}

class OnnxGolden : public ::testing::TestWithParam<std::string> {};

TEST_P(OnnxGolden, EqualsTheReference) {
  const auto cases = golden_cases();
  const auto [begin, end] = cases.equal_range(GetParam());
  ASSERT_NE(begin, end) << "make_golden.py has no case of this operator";
  for (auto found = begin; found != end; ++found) {
    SCOPED_TRACE(found->second);
    const Module module = parse_module(found->second);
    std::map<std::string, Tensor> constants;
    for (const Constant& constant : module.constants) constants[constant.name] = constant.tensor;
    const Graph& graph = module.main();
    std::vector<Tensor> inputs;
    for (const ValueId id : graph.inputs) inputs.push_back(constants.at(graph.values[id].name));
    const auto outputs = evaluate(module, graph, inputs);
    for (std::size_t i = 0; i < outputs.size(); ++i)
      expect_near(outputs[i], constants.at(graph.values[graph.outputs[i]].name));
  }
}

// The operators that ONNX has too.
std::vector<std::string> onnx_operator_names() {
  std::vector<std::string> names = operator_names();
  std::erase_if(names, [](const std::string& name) {
    if (name == "Extents" || name == "Opaque") return true;
    const Domain domain = operators().find(name).traits().domain;
    return domain == Domain::kInteger || domain == Domain::kBorder;
  });
  return names;
}

INSTANTIATE_TEST_SUITE_P(Every, OnnxGolden, ::testing::ValuesIn(onnx_operator_names()),
                         [](const auto& instance) { return instance.param; });

}  // namespace
}  // namespace tandem
