// What every operator owes, asked of all of them through the registry: an operator that is added
// is tested here by its own samples, and fails without them.

#include <algorithm>
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/graph/builder.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/printer.h"
#include "tandem/graph/registry.h"
#include "tandem/ops/broadcast.h"
#include "tandem/transform/data_sizes.h"

#include "tests/ops/sample_inputs.h"

namespace tandem {
namespace {

using testing::HasSubstr;

class OperatorConformance : public testing::TestWithParam<std::string> {
 protected:
  const Operator& op() const { return operators().find(GetParam()); }

  // The accepted samples, parsed.
  std::vector<Module> modules() const {
    std::vector<Module> parsed;
    for (const SampleCase& sample : op().samples())
      if (sample.error.empty()) parsed.push_back(parse_module(sample.text, sample.text));
    return parsed;
  }

  // The same with symbols bound to 1 and to 3.
  std::vector<Module> bound_modules() const {
    std::vector<Module> bound;
    for (const Module& module : modules()) {
      bound.push_back(with_symbols(module, 3));
      if (!module.symbols.empty()) bound.push_back(with_symbols(module, 1));
    }
    return bound;
  }
};

// The values that the last node reads when the main function runs on `inputs`.
std::vector<Tensor> operands_of_last_node(const Module& module, std::span<const Tensor> inputs) {
  const Graph& graph = module.main();
  std::vector<Tensor> values(graph.values.size());
  for (ValueId id = 0; id < values.size(); ++id)
    if (const Tensor* constant = constant_of(module, graph, id)) values[id] = *constant;
  for (std::size_t i = 0; i < inputs.size(); ++i) values[graph.inputs[i]] = inputs[i];
  evaluate(module, graph, inputs, nullptr,
           [&](ValueId id, const Tensor& tensor) { values[id] = tensor; });
  std::vector<Tensor> operands;
  for (const ValueId id : graph.nodes.back().inputs)
    operands.push_back(id == kNone ? Tensor() : values[id]);
  return operands;
}

TEST_P(OperatorConformance, IsDescribed) {
  EXPECT_GT(op().description().size(), 5u);
  for (const AttributeSpec& spec : op().attributes()) {
    EXPECT_FALSE(spec.description.empty()) << spec.name;
    for (const Attribute& value : spec.default_value)
      EXPECT_EQ(kind_of(value), spec.kind) << spec.name;
  }
}

TEST_P(OperatorConformance, HasSamplesThatItAcceptsAndRefuses) {
  int accepted = 0, refused = 0;
  for (const SampleCase& sample : op().samples()) (sample.error.empty() ? accepted : refused)++;
  EXPECT_GE(accepted, 1);
  EXPECT_GE(refused, 1);
}

TEST_P(OperatorConformance, TextOfSamplesIsLossless) {
  for (const Module& module : modules()) {
    const std::string text = print_module(module);
    EXPECT_EQ(print_module(parse_module(text)), text);
    EXPECT_EQ(module.main().nodes.back().op, &op());
  }
}

// Whether a result has a type, whose sizes data may decide.
bool has_type(const Tensor& result, const TensorType& type) {
  if (result.format() != type.format || result.shape().size() != type.shape.size()) return false;
  for (std::size_t d = 0; d < type.shape.size(); ++d)
    if (type.shape[d].is_constant() && type.shape[d].constant() != result.shape()[d]) return false;
  return true;
}

TEST_P(OperatorConformance, EvaluatesToTheInferredTypes) {
  if (op().name() == "Opaque") GTEST_SKIP() << "has no meaning";
  for (const Module& module : modules()) {
    for (const std::int64_t size : {1, 3}) {
      const Module bound = with_symbols(module, size);
      const auto inputs = random_inputs(bound, 7);
      // The unbound graph computes the same, from the shapes of its inputs alone.
      const auto outputs = evaluate(module, module.main(), inputs);
      EXPECT_EQ(outputs, evaluate(bound, bound.main(), inputs));
      ASSERT_EQ(outputs.size(), bound.main().outputs.size());
      for (std::size_t i = 0; i < outputs.size(); ++i) {
        const TensorType& type = bound.main().values[bound.main().outputs[i]].type;
        EXPECT_TRUE(has_type(outputs[i], type)) << print_module(bound);
        for (const std::int64_t code :
             type.format.is_uniform() ? outputs[i].to_integers() : std::vector<std::int64_t>{}) {
          ASSERT_GE(code, type.format.integer_range().min);
          ASSERT_LE(code, type.format.integer_range().max);
        }
      }
    }
  }
}

TEST_P(OperatorConformance, FormsAgree) {
  if (op().name() == "Opaque") GTEST_SKIP() << "has no meaning";
  for (const Module& module : bound_modules()) {
    const Graph& graph = module.main();
    const NodeView node{module, graph, graph.nodes.back()};
    const auto operands = operands_of_last_node(module, random_inputs(module, 11));
    const auto expected = op().evaluate(node, operands);
    for (const Form& form : op().forms(node)) {
      Module alone;
      Builder builder(alone, Builder::add_graph(alone, "main"));
      std::vector<ValueId> values;
      std::vector<Tensor> given;
      for (std::size_t i = 0; i < operands.size(); ++i) {
        values.push_back(node.has_input(i) ? builder.input("x", type_of(operands[i])) : kNone);
        if (node.has_input(i)) given.push_back(operands[i]);
      }
      for (const ValueId value : op().body(builder, node, form, values)) builder.output(value);
      const auto computed = evaluate(alone, alone.main(), given);
      ASSERT_EQ(computed.size(), expected.size());
      for (std::size_t i = 0; i < computed.size(); ++i) {
        ASSERT_EQ(type_of(computed[i]), type_of(expected[i])) << form.name;
        const double tolerance = expected[i].format().bits() <= 16 ? 1e-2 : 1e-5;
        for (std::int64_t e = 0; e < computed[i].size(); ++e) {
          ASSERT_NEAR(computed[i].real(e), expected[i].real(e),
                      tolerance * (1 + std::abs(expected[i].real(e))))
              << form.name;
        }
      }
    }
  }
}

std::int64_t bits(const TensorType& type) {
  return element_count(type.static_shape()) * type.format.bits();
}

TEST_P(OperatorConformance, CountsWorkAndBits) {
  for (const Module& bound : bound_modules()) {
    const Module module = with_greatest_sizes(bound);
    const Graph& graph = module.main();
    const NodeView node{module, graph, graph.nodes.back()};
    const Work work = op().work(node);
    std::int64_t inputs = 0, constants = 0, outputs = 0;
    for (std::size_t i = 0; i < node.input_count(); ++i) {
      if (!node.has_input(i)) continue;
      (node.constant(i) != nullptr ? constants : inputs) += bits(node.input(i));
    }
    for (const ValueId id : node.node.outputs) outputs += bits(graph.values[id].type);
    EXPECT_EQ(work.output_bits, outputs);
    EXPECT_EQ(work.constant_bits, constants);
    // Some operands give nothing but their shape.
    EXPECT_TRUE(work.input_bits == inputs || op().name() == "Shape" || op().name() == "Expand")
        << work.input_bits << " against " << inputs;
    for (const OperationCount& count : work.operations) EXPECT_GE(count.count, 0);
    const std::int64_t results = outputs / graph.values[node.node.outputs[0]].type.format.bits();
    if (!op().traits().elementwise || op().traits().domain == Domain::kBorder) continue;
    for (const OperationCount& count : work.operations)
      EXPECT_EQ(count.count % results, 0) << "of an element-wise operator";
  }
}

class ElementwiseConformance : public OperatorConformance {};

TEST_P(ElementwiseConformance, ResultsDependOnTheirElementsOnly) {
  for (const Module& module : bound_modules()) {
    const Graph& graph = module.main();
    const NodeView node{module, graph, graph.nodes.back()};
    auto operands = operands_of_last_node(module, random_inputs(module, 13));
    const Tensor before = op().evaluate(node, operands).at(0);
    std::mt19937_64 generator(17);
    for (std::size_t i = 0; i < operands.size(); ++i) {
      if (!node.has_input(i) || node.constant(i) != nullptr) continue;
      const Tensor kept = operands[i];
      const Tensor other = random_tensor(type_of(kept), generator);
      const auto sources = broadcast_offsets(kept.shape(), before.shape());
      for (std::int64_t e = 0; e < kept.size(); ++e) {
        operands[i] = kept;
        const auto width = static_cast<std::ptrdiff_t>(storage_bytes(kept.format().storage()));
        std::copy_n(other.bytes().data() + e * width, width,
                    operands[i].mutable_bytes().data() + e * width);
        const Tensor after = op().evaluate(node, operands).at(0);
        for (std::int64_t r = 0; r < before.size(); ++r) {
          if (sources[static_cast<std::size_t>(r)] == e) continue;
          const double was = before.real(r), is = after.real(r);
          ASSERT_TRUE(was == is || (was != was && is != is));
        }
      }
      operands[i] = kept;
    }
  }
}

class CommutativeConformance : public OperatorConformance {};

TEST_P(CommutativeConformance, OperandsMayBeSwapped) {
  for (const Module& module : bound_modules()) {
    const Graph& graph = module.main();
    const NodeView node{module, graph, graph.nodes.back()};
    const auto operands = operands_of_last_node(module, random_inputs(module, 19));
    EXPECT_EQ(op().evaluate(node, operands),
              op().evaluate(node, std::vector<Tensor>{operands[1], operands[0]}));
  }
}

TEST_P(OperatorConformance, RefusalsNameTheOperatorAndSayWhatToDo) {
  for (const SampleCase& sample : op().samples()) {
    if (sample.error.empty()) continue;
    try {
      parse_module(sample.text);
      ADD_FAILURE() << "accepted:\n" << sample.text;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(sample.error)) << sample.text;
      EXPECT_THAT(error.what(), HasSubstr(std::string(op().name())));
    }
  }
}

std::vector<std::string> names_where(bool Traits::*trait) {
  std::vector<std::string> names = operator_names();
  std::erase_if(names, [&](const auto& name) { return !(operators().find(name).traits().*trait); });
  return names;
}

std::string test_name(const testing::TestParamInfo<std::string>& instance) {
  return instance.param;
}

INSTANTIATE_TEST_SUITE_P(Every, OperatorConformance, testing::ValuesIn(operator_names()),
                         test_name);
INSTANTIATE_TEST_SUITE_P(Every, ElementwiseConformance,
                         testing::ValuesIn(names_where(&Traits::elementwise)), test_name);
INSTANTIATE_TEST_SUITE_P(Every, CommutativeConformance,
                         testing::ValuesIn(names_where(&Traits::commutative)), test_name);

// A convolution or product of ones counts its own terms.
class TermCount : public testing::TestWithParam<std::string> {};

TEST_P(TermCount, EqualsTheSumOfAProductOfOnes) {
  const Operator& op = operators().find(GetParam());
  int counted = 0;
  for (const SampleCase& sample : op.samples()) {
    if (!sample.error.empty()) continue;
    const Module module = with_symbols(parse_module(sample.text), 3);
    const Graph& graph = module.main();
    const NodeView node{module, graph, graph.nodes.back()};
    if (node.constant(1) != nullptr) continue;
    const auto pads = node.node.attributes.find("pads");
    if (pads != node.node.attributes.end() &&
        !std::get<std::vector<std::int64_t>>(pads->second).empty()) {
      continue;
    }
    std::vector<Tensor> ones;
    for (std::size_t i = 0; i < node.input_count(); ++i) {
      const Shape shape = node.input(i).static_shape();
      std::vector<double> values(static_cast<std::size_t>(element_count(shape)), i < 2 ? 1 : 0);
      ones.push_back(Tensor::from_reals(node.input(i).format, shape, values));
    }
    const double alpha = GetParam() == "Gemm" ? node.real("alpha") : 1;
    double terms = 0;
    for (const double value : op.evaluate(node, ones).at(0).to_reals()) terms += value / alpha;
    EXPECT_EQ(op.work(node).total(OperationKind::kMultiplyAccumulate), terms) << sample.text;
    ++counted;
  }
  EXPECT_GE(counted, 2);
}

INSTANTIATE_TEST_SUITE_P(Linear, TermCount, testing::Values("Conv", "MatMul", "Gemm"), test_name);

}  // namespace
}  // namespace tandem
