#include "tests/support/random_real.h"

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "tandem/graph/builder.h"
#include "tandem/graph/verifier.h"
#include "tandem/ops/register.h"

namespace tandem {
namespace {

class Maker {
 public:
  explicit Maker(std::uint64_t seed) : engine_(seed) {
    builder_ = std::make_unique<Builder>(module_, Builder::add_graph(module_, "main"));
  }

  Module run() { return finish(image_network(1)); }

  // The same with a symbol for the batch, or rows of any number in such a batch.
  Module run_dynamic() {
    module_.symbols.push_back({"N", 1, 4});
    if (pick(0, 1)) return finish(image_network(Dim::symbol("N")));
    module_.symbols.push_back({"L", 1, 20});
    ValueId x =
        builder_->input("x", {{Dim::symbol("N"), Dim::symbol("L"), Dim(pick(1, 40))}, Format()});
    return finish(row_layers(x, pick(2, 8)));
  }

 private:
  ValueId image_network(const Dim& batch) {
    ValueId x = builder_->input(
        "x", {{batch, Dim(pick(1, 9)), Dim(pick(5, 12)), Dim(pick(5, 12))}, Format()});
    for (std::int64_t layers = pick(2, 9); layers > 0; --layers) x = image_layer(x);
    if (pick(0, 2) > 0) x = rows_of(x);
    return builder_->type(x).shape.size() == 3 ? row_layers(x, pick(1, 5)) : x;
  }
  ValueId row_layers(ValueId x, std::int64_t count) {
    for (; count > 0; --count) x = row_layer(x);
    return x;
  }
  Module finish(ValueId output) {
    builder_->output(output);
    if (pick(0, 3) == 0 && earlier_.size() > 1) builder_->output(earlier_[earlier_.size() / 2]);
    return std::move(module_);
  }

  std::int64_t pick(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(engine_);
  }
  ValueId constant(const Shape& shape, double low = -1, double high = 1) {
    std::uniform_real_distribution<double> uniform(low, high);
    std::vector<double> values(static_cast<std::size_t>(element_count(shape)));
    for (double& value : values) value = uniform(engine_);
    return builder_->constant(Tensor::from_reals(Format(), shape, values));
  }
  // Weights of sums of so many products: sums as large as what they are made of, as in trained
  // networks, so that rounding does not grow from layer to layer.
  ValueId weights(const Shape& shape, std::int64_t products) {
    const double bound = std::sqrt(3.0 / static_cast<double>(products));
    return constant(shape, -bound, bound);
  }
  ValueId add(std::string_view op, std::vector<ValueId> inputs, Attributes attributes = {}) {
    return builder_->add(op, std::move(inputs), std::move(attributes));
  }
  // With 0 for symbols.
  Shape shape(ValueId x) {
    Shape result;
    for (const Dim& dim : builder_->type(x).shape)
      result.push_back(dim.is_constant() ? dim.constant() : 0);
    return result;
  }

  ValueId image_layer(ValueId x) {
    earlier_.push_back(x);
    switch (pick(0, 9)) {
      case 0:
      case 1:
      case 2: return convolution(x);
      case 3: return activation(x);
      case 4: return normalization(x);
      case 5: return sum(x);
      case 6: return gate(x);
      case 7: return concatenation(x);
      case 8: return pooling(x);
      default: return activation(sum(convolution(x)));
    }
  }

  ValueId convolution(ValueId x) {
    const Shape s = shape(x);
    const std::int64_t kernel = 2 * pick(0, 1) + 1;
    const bool depthwise = pick(0, 3) == 0;
    const std::int64_t filters = depthwise ? s[1] : pick(0, 1) ? s[1] : pick(1, 20);
    const std::int64_t stride = pick(0, 3) == 0 && s[2] > 4 && s[3] > 4 ? 2 : 1;
    const std::int64_t pad = kernel / 2;
    std::vector<ValueId> inputs{x, weights({filters, depthwise ? 1 : s[1], kernel, kernel},
                                           (depthwise ? 1 : s[1]) * kernel * kernel)};
    if (pick(0, 1)) inputs.push_back(constant({filters}));
    return add("Conv", inputs,
               {{"group", depthwise ? s[1] : std::int64_t{1}},
                {"strides", std::vector{stride, stride}},
                {"pads", std::vector{pad, pad, pad, pad}}});
  }

  ValueId activation(ValueId x) {
    switch (pick(0, 8)) {
      case 0: return add("Relu", {x});
      case 1: return add("Mul", {x, add("Sigmoid", {x})});
      case 2: return add("HardSwish", {x});
      case 3: return add("LeakyRelu", {x});
      case 4: return add("Tanh", {x});
      case 5: return add("Gelu", {x});
      case 6: return add("Sigmoid", {x});
      case 7: return gelu(x);
      default:
        return add("Clip", {x, builder_->constant(Tensor::scalar(0)),
                            builder_->constant(Tensor::scalar(6))});
    }
  }

  ValueId gelu(ValueId x) {
    const auto number = [&](double value) { return builder_->constant(Tensor::scalar(value)); };
    const ValueId erf = add("Erf", {add("Div", {x, number(1.4142135)})});
    const ValueId product = add("Mul", {x, add("Add", {erf, number(1)})});
    return add("Mul", {product, number(0.5)});
  }

  ValueId normalization(ValueId x) {
    const Shape channels = {shape(x)[1]};
    return add("BatchNormalization", {x, constant(channels, 0.5, 2), constant(channels),
                                      constant(channels), constant(channels, 0.5, 2)});
  }

  // With an earlier value of the same shape, or with itself behind a function.
  ValueId sum(ValueId x) {
    for (const ValueId other : earlier_)
      if (other != x && shape(other) == shape(x) && pick(0, 1)) return add("Add", {other, x});
    return add("Add", {x, add("Sigmoid", {x})});
  }

  ValueId gate(ValueId x) {
    const ValueId mean = add("GlobalAveragePool", {x});
    return add("Mul", {x, add("Sigmoid", {mean})});
  }

  ValueId concatenation(ValueId x) {
    if (shape(x)[1] > 24) return activation(x);
    return add("Concat", {x, add("Relu", {x})}, {{"axis", std::int64_t{1}}});
  }

  ValueId pooling(ValueId x) {
    const Shape s = shape(x);
    if (s[2] < 3 || s[3] < 3) return activation(x);
    return add(pick(0, 1) ? "MaxPool" : "AveragePool", {x},
               {{"kernel", std::vector<std::int64_t>{2, 3}},
                {"pads", std::vector<std::int64_t>{0, 1, 1, 0}},
                {"strides", std::vector<std::int64_t>{pick(1, 2), 1}}});
  }

  // [1,C,H,W] as rows [1,H*W,C].
  ValueId rows_of(ValueId x) {
    if (pick(0, 1)) {
      const ValueId last = add("Transpose", {x}, {{"perm", std::vector<std::int64_t>{0, 2, 3, 1}}});
      return add("Reshape", {last}, {{"shape", std::vector<std::string>{"d0", "-1", "d3"}}});
    }
    const ValueId flat =
        add("Reshape", {x}, {{"shape", std::vector<std::string>{"d0", "d1", "-1"}}});
    return add("Transpose", {flat}, {{"perm", std::vector<std::int64_t>{0, 2, 1}}});
  }

  ValueId row_layer(ValueId x) {
    const Shape s = shape(x);
    switch (pick(0, 5)) {
      case 0: {
        const std::int64_t columns = pick(1, 80);
        const ValueId product = add("MatMul", {x, weights({s[2], columns}, s[2])});
        return pick(0, 1) ? add("Add", {product, constant({columns})}) : product;
      }
      case 1: {
        const ValueId square = add("MatMul", {x, weights({s[2], s[2]}, s[2])});
        return add("Add", {x, add("Add", {constant({s[2]}), square})});
      }
      case 2: return add("Softmax", {add("Mul", {x, builder_->constant(Tensor::scalar(0.01))})});
      case 3: {
        // Small, so that Softmax does not magnify how the sums before it were rounded.
        x = add("Mul", {x, builder_->constant(Tensor::scalar(0.01))});
        const ValueId turned =
            add("Transpose", {x}, {{"perm", std::vector<std::int64_t>{0, 2, 1}}});
        return add("MatMul", {add("Softmax", {add("MatMul", {x, turned})}), x});
      }
      case 4:
        return add("Sub", {x, add("ReduceMean", {x}, {{"axes", std::vector<std::int64_t>{-1}}})});
      default: return activation(x);
    }
  }

  std::mt19937_64 engine_;
  Module module_;
  std::unique_ptr<Builder> builder_;
  std::vector<ValueId> earlier_;
};

}  // namespace

Module random_real_network(std::uint64_t seed) {
  register_operators();
  Module module = Maker(seed).run();
  verify(module);
  return module;
}

Module random_dynamic_network(std::uint64_t seed) {
  register_operators();
  Module module = Maker(seed).run_dynamic();
  verify(module);
  return module;
}

}  // namespace tandem
