#include "tests/support/networks.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "tandem/base/text.h"
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

namespace {

class TransformerMaker {
 public:
  TransformerMaker(const TransformerOptions& options, unsigned seed)
      : options_(options), maker_(seed), builder_(maker_.builder()) {}

  Module run() {
    ValueId x = builder_.input("image", {{1, 3, 8, 8}, Format()});
    const ValueId kernel = maker_.constant({kWidth, 3, 4, 4}, -0.3, 0.3);
    x = builder_.add("Conv", {x, kernel, maker_.constant({kWidth}, -0.5, 0.5)},
                     {{"strides", std::vector<std::int64_t>{4, 4}}}, "patches");
    x = reshaped(x, {"1", std::to_string(kWidth), "4"});
    x = transposed(x, {0, 2, 1});
    x = builder_.add("Concat", {maker_.constant({1, 1, kWidth}, -0.2, 0.2), x},
                     {{"axis", std::int64_t{1}}}, "tokens");
    x = builder_.add("Add", {x, maker_.constant({1, kTokens, kWidth}, -0.3, 0.3)}, {}, "places");
    for (std::int64_t block = 0; block < options_.blocks; ++block) {
      name_ = concat("block", block, ".");
      x = builder_.add("Add", {x, attention(normalized(x, "norm1"))}, {}, name_ + "sum1");
      x = builder_.add("Add", {x, layers(normalized(x, "norm2"))}, {}, name_ + "sum2");
    }
    name_.clear();
    x = normalized(x, "norm");
    const ValueId first = builder_.constant(
        Tensor::from_integers(Format::parse("int64"), {}, std::vector<std::int64_t>{0}));
    x = builder_.add("Gather", {x, first}, {{"axis", std::int64_t{1}}}, "class");
    return maker_.finish(maker_.gemm("head", x, 10));
  }

 private:
  static constexpr std::int64_t kWidth = 16, kTokens = 5;

  ValueId reshaped(ValueId x, const std::vector<std::string>& shape) {
    return builder_.add("Reshape", {x}, {{"shape", shape}}, "reshape");
  }
  ValueId transposed(ValueId x, const std::vector<std::int64_t>& perm) {
    return builder_.add("Transpose", {x}, {{"perm", perm}}, "transpose");
  }
  ValueId number(double value) { return builder_.constant(Tensor::scalar(value)); }
  ValueId apply(const std::string& op, ValueId a, ValueId b) { return builder_.add(op, {a, b}); }

  ValueId normalized(ValueId x, const std::string& name) {
    const ValueId scale = maker_.constant({kWidth}, 0.5, 1.5);
    if (options_.root_mean_square)
      return builder_.add("RMSNormalization", {x, scale}, {{"epsilon", 0x1p-17}}, name_ + name);
    return builder_.add("LayerNormalization", {x, scale, maker_.constant({kWidth}, -0.3, 0.3)},
                        {{"epsilon", 0x1p-17}}, name_ + name);
  }
  ValueId linear(ValueId x, std::int64_t inputs, std::int64_t outputs, const std::string& name) {
    const ValueId product = builder_.add(
        "MatMul", {x, maker_.constant({inputs, outputs}, -0.4, 0.4)}, {}, name_ + name);
    return builder_.add("Add", {product, maker_.constant({outputs}, -0.2, 0.2)}, {},
                        name_ + name + ".bias");
  }
  ValueId attention(ValueId x) {
    const auto head_of = [&](const std::string& name) {
      return transposed(reshaped(linear(x, kWidth, kWidth, name), {"1", "5", "2", "8"}),
                        {0, 2, 1, 3});
    };
    const ValueId query = head_of("query"), key = head_of("key"), value = head_of("value");
    ValueId scores =
        builder_.add("MatMul", {query, transposed(key, {0, 1, 3, 2})}, {}, name_ + "scores");
    scores = builder_.add("Mul", {scores, number(1 / std::sqrt(8.0))}, {}, name_ + "scaled");
    const ValueId shares = builder_.add("Softmax", {scores}, {}, name_ + "softmax");
    const ValueId mixed = builder_.add("MatMul", {shares, value}, {}, name_ + "mixed");
    return linear(reshaped(transposed(mixed, {0, 2, 1, 3}), {"1", "5", "16"}), kWidth, kWidth,
                  "out");
  }
  ValueId layers(ValueId x) {
    return linear(activated(linear(x, kWidth, 2 * kWidth, "up")), 2 * kWidth, kWidth, "down");
  }
  ValueId activated(ValueId x) {
    if (options_.activation == "erf") {
      const ValueId erf = builder_.add("Erf", {apply("Div", x, number(std::sqrt(2.0)))});
      return apply("Mul", apply("Mul", x, apply("Add", erf, number(1))), number(0.5));
    }
    if (options_.activation == "tanh") {
      const ValueId cube = apply("Mul", apply("Mul", x, x), x);
      const ValueId inner = apply("Add", x, apply("Mul", cube, number(0.044715)));
      const ValueId tanh = builder_.add("Tanh", {apply("Mul", inner, number(0.7978845608))});
      return apply("Mul", apply("Mul", x, number(0.5)), apply("Add", tanh, number(1)));
    }
    return builder_.add(options_.activation, {x}, {}, name_ + "activation");
  }

  TransformerOptions options_;
  NetworkMaker maker_;
  Builder& builder_;
  std::string name_;
};

}  // namespace

Module small_transformer(const TransformerOptions& options, unsigned seed) {
  return TransformerMaker(options, seed).run();
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
