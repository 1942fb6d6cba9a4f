#include "tests/support/networks.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "tandem/graph/evaluate.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/verifier.h"
#include "tandem/ops/register.h"

namespace tandem::test {

NetworkMaker::NetworkMaker(unsigned seed)
    : builder_(module_, Builder::add_graph(module_, "main")), engine_(seed) {
  register_operators();
  module_.symbols.push_back({"N", 1, 4096});
}

Tensor NetworkMaker::random(const Shape& shape, double low, double high) {
  std::uniform_real_distribution<double> uniform(low, high);
  std::vector<double> values(static_cast<std::size_t>(element_count(shape)));
  for (double& v : values) v = uniform(engine_);
  return Tensor::from_reals(Format(), shape, values);
}

ValueId NetworkMaker::constant(const Shape& shape, double low, double high) {
  return builder_.constant(random(shape, low, high));
}

std::int64_t NetworkMaker::channels(ValueId x) { return builder_.type(x).shape[1].constant(); }

ValueId NetworkMaker::input(const std::string& name, const Shape& sample) {
  TensorType type{{Dim::symbol("N")}, Format()};
  type.shape.insert(type.shape.end(), sample.begin(), sample.end());
  return builder_.input(name, type);
}

ValueId NetworkMaker::conv(const std::string& name, ValueId x, std::int64_t filters,
                           std::int64_t kernel, std::int64_t group, bool bias) {
  const std::int64_t depth = channels(x) / group;
  const double reach = 1.0 / std::sqrt(static_cast<double>(depth * kernel * kernel));
  std::vector<ValueId> inputs{x, constant({filters, depth, kernel, kernel}, -reach, reach)};
  if (bias) inputs.push_back(constant({filters}, -0.5, 0.5));
  return builder_.add("Conv", inputs,
                      {{"pads", std::vector<std::int64_t>(4, kernel / 2)}, {"group", group}}, name);
}

ValueId NetworkMaker::batch_norm(const std::string& name, ValueId x) {
  const Shape shape{channels(x)};
  return builder_.add("BatchNormalization",
                      {x, constant(shape, -2, 2), constant(shape, -1, 1), constant(shape, -1, 1),
                       constant(shape, 0.1, 3)},
                      {}, name);
}

ValueId NetworkMaker::gemm(const std::string& name, ValueId x, std::int64_t outputs) {
  const ValueId weights = constant({outputs, channels(x)}, -0.5, 0.5);
  return builder_.add("Gemm", {x, weights, constant({outputs}, -0.5, 0.5)},
                      {{"transB", std::int64_t{1}}}, name);
}

ValueId NetworkMaker::matmul(const std::string& name, ValueId x, std::int64_t outputs) {
  return builder_.add("MatMul", {x, constant({channels(x), outputs}, -0.5, 0.5)}, {}, name);
}

ValueId NetworkMaker::max_pool(const std::string& name, ValueId x) {
  const std::vector<std::int64_t> two{2, 2};
  return builder_.add("MaxPool", {x}, {{"kernel", two}, {"strides", two}}, name);
}

ValueId NetworkMaker::unary(const std::string& op, const std::string& name, ValueId x) {
  return builder_.add(op, {x}, {}, name);
}

ValueId NetworkMaker::add(const std::string& name, ValueId a, ValueId b) {
  return builder_.add("Add", {a, b}, {}, name);
}

ValueId NetworkMaker::reshape_flat(const std::string& name, ValueId x) {
  std::int64_t elements = 1;
  for (std::size_t d = 1; d < builder_.type(x).shape.size(); ++d)
    elements *= builder_.type(x).shape[d].constant();
  return builder_.add("Reshape", {x},
                      {{"shape", std::vector<std::string>{"d0", std::to_string(elements)}}}, name);
}

Module NetworkMaker::finish(ValueId output) {
  builder_.output(output);
  verify(module_);
  return module_;
}

std::vector<std::string> operators_of(const Module& module) {
  std::vector<std::string> names;
  for (const Node& node : module.main().nodes) names.emplace_back(node.op->name());
  return names;
}

double relative_difference(const Module& a, const Module& b, const Tensor& input) {
  const std::vector<Tensor> inputs{input};
  const auto first = evaluate(a, a.main(), inputs), second = evaluate(b, b.main(), inputs);
  double difference = 0, greatest = 0;
  for (std::size_t i = 0; i < first.size(); ++i) {
    for (std::int64_t k = 0; k < first[i].size(); ++k) {
      difference = std::max(difference, std::abs(first[i].real(k) - second[i].real(k)));
      greatest = std::max(greatest, std::abs(first[i].real(k)));
    }
  }
  return difference / greatest;
}

}  // namespace tandem::test
