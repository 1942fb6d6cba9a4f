#include "tests/runtime/large_networks.h"

#include <cmath>

#include "tandem/base/random.h"
#include "tandem/graph/builder.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

class NetworkWriter {
 public:
  ValueId input(const std::string& name, const Shape& shape) {
    return builder_.input(name, {{shape.begin(), shape.end()}, Format()});
  }
  // Normal reals whose products with as many others as they meet stay of magnitude 1.
  ValueId weights(const Shape& shape, std::int64_t terms) {
    const CounterRandom random(++streams_, "weights");
    std::vector<double> values(static_cast<std::size_t>(element_count(shape)));
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = random.normal(i) / std::sqrt(static_cast<double>(terms));
    return builder_.constant(Tensor::from_reals(Format(), shape, values));
  }
  ValueId conv(ValueId x, std::int64_t filters, std::int64_t kernel, std::int64_t stride = 1,
               std::int64_t group = 1) {
    const std::int64_t channels = builder_.shape(x)[1] / group;
    const ValueId w = weights({filters, channels, kernel, kernel}, channels * kernel * kernel);
    return builder_.add(
        "Conv", {x, w, weights({filters}, 1)},
        {{"strides", Integers(2, stride)}, {"pads", Integers(4, kernel / 2)}, {"group", group}});
  }
  ValueId linear(ValueId x, std::int64_t columns) {
    const std::int64_t depth = builder_.shape(x).back();
    const ValueId product = add("MatMul", {x, weights({depth, columns}, depth)});
    return add("Add", {product, weights({columns}, 1)});
  }
  ValueId add(std::string_view op, std::vector<ValueId> inputs, Attributes attributes = {}) {
    return builder_.add(op, std::move(inputs), std::move(attributes));
  }
  ValueId reshape(ValueId x, const std::vector<std::string>& shape) {
    return add("Reshape", {x}, {{"shape", shape}});
  }
  Module finish(ValueId y) {
    builder_.output(y);
    return std::move(module_);
  }

 private:
  Module module_;
  Builder builder_{module_, Builder::add_graph(module_, "main")};
  std::uint64_t streams_ = 0;
};

}  // namespace

Module large_convolutions() {
  NetworkWriter net;
  ValueId x = net.input("x", {1, 3, 65, 64});
  x = net.add("Relu", {net.conv(x, 64, 7, 2)});
  x = net.add("Relu", {net.conv(x, 64, 3)});
  const ValueId wide = net.conv(x, 96, 1);
  x = net.add("Mul", {wide, net.add("Sigmoid", {wide})});
  x = net.add("HardSwish", {net.conv(x, 96, 3, 1, 96)});
  const ValueId squeezed = net.add("GlobalAveragePool", {x});
  x = net.add("Mul", {x, net.add("Sigmoid", {net.conv(squeezed, 96, 1)})});
  x = net.add("MaxPool", {x}, {{"kernel", Integers(2, 2)}, {"strides", Integers(2, 2)}});
  const ValueId left = net.add("Relu", {net.conv(x, 160, 1)}), right = net.conv(x, 96, 3);
  x = net.add("Concat", {left, right}, {{"axis", std::int64_t{1}}});
  x = net.add("Relu", {net.add("Add", {net.conv(x, 256, 3), x})});
  x = net.reshape(net.add("GlobalAveragePool", {x}), {"1", "256"});
  return net.finish(net.linear(x, 1000));
}

Module large_attention() {
  NetworkWriter net;
  const std::int64_t rows = 160, width = 256, inner = 3072;
  const ValueId x = net.input("x", {1, rows, width});
  const ValueId normal = net.add("LayerNormalization", {x, net.weights({width}, 1)});
  const auto heads = [&](const Integers& perm) {
    const ValueId split = net.reshape(net.linear(normal, width), {"1", "160", "4", "64"});
    return net.add("Transpose", {split}, {{"perm", perm}});
  };
  const ValueId query = heads({0, 2, 1, 3}), key = heads({0, 2, 3, 1}), value = heads({0, 2, 1, 3});
  const ValueId shares = net.add("Softmax", {net.add("MatMul", {query, key})});
  ValueId mixed =
      net.add("Transpose", {net.add("MatMul", {shares, value})}, {{"perm", Integers{0, 2, 1, 3}}});
  mixed = net.linear(net.reshape(mixed, {"1", "160", "256"}), width);
  const ValueId sum = net.add("Add", {x, mixed});
  const ValueId hidden = net.add("Gelu", {net.linear(sum, inner)});
  return net.finish(net.add("Add", {sum, net.linear(hidden, width)}));
}

}  // namespace tandem
