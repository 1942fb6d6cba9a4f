#include "tandem/runtime/host_sweep.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>

#include "tandem/base/random.h"
#include "tandem/graph/builder.h"
#include "tandem/ops/register.h"
#include "tandem/transform/lower.h"

namespace tandem {
namespace {

using Sizes = std::vector<std::int64_t>;

class Maker {
 public:
  Maker(std::uint64_t seed, std::string_view stream) : random_(seed, stream) {}

  // Two convolutions after each other: the second reads what lies in the order of the first.
  Module convolutions(std::int64_t kernel, bool depthwise, std::int64_t groups = 1) {
    start();
    const std::int64_t most = depthwise ? 1 << 22 : 1 << 20;
    std::int64_t channels = 0, side = 0;
    do {
      channels = groups * ((size(8, 512) + groups - 1) / groups);
      side = kernel == 1 && random_.chance(0.2) ? 1 : size(7, 112);
    } while (channels * side * side > most || products(channels, side, kernel, depthwise) > 2e8);
    const bool images = !depthwise && groups == 1 && random_.chance(0.1);
    ValueId x = builder_->input("x", image(images ? 3 : channels, side));
    x = convolution(x, channels, kernel, depthwise, groups);
    x = activation(x);
    x = convolution(x, channels, kernel, depthwise, groups);
    return finish(x);
  }

  Module products_by_constants() {
    start();
    std::int64_t rows = 0, depth = 0, columns = 0;
    do {
      rows = random_.chance(0.3) ? 1 : size(2, 512);
      depth = size(16, 4096);
      columns = size(16, 4096);
    } while (static_cast<double>(rows) * static_cast<double>(depth * columns) > 1.5e8 ||
             depth * columns > 1 << 22);
    const ValueId x = builder_->input("x", {{Dim(1), Dim(rows), Dim(depth)}, Format()});
    const ValueId wide = add("MatMul", {x, constant({depth, columns})});
    const ValueId biased = add("Add", {wide, constant({columns})});
    return finish(add("MatMul", {add("Relu", {biased}), constant({columns, depth})}));
  }

  // As in attention: a value by another's transpose, Softmax, and by a third.
  Module attention() {
    start();
    const std::int64_t heads = size(1, 16), rows = size(8, 256), depth = size(8, 128);
    const TensorType type{{Dim(1), Dim(heads), Dim(rows), Dim(depth)}, Format()};
    const ValueId q = builder_->input("q", type), k = builder_->input("k", type);
    const ValueId turned = add("Transpose", {k}, {{"perm", Sizes{0, 1, 3, 2}}});
    const ValueId weights = add("MatMul", {q, turned});
    if (random_.chance(0.3)) return finish(weights);
    return finish(add("MatMul", {add("Softmax", {weights}), k}));
  }

  Module element_wise() {
    start();
    const std::int64_t channels = size(4, 1024), side = size(2, 96);
    ValueId x = builder_->input("x", image(channels, bounded(side, channels)));
    const ValueId y = builder_->input("y", builder_->type(x));
    for (std::int64_t steps = random_.integer(1, 4); steps > 0; --steps) x = function(x, y);
    return finish(x);
  }

  Module row_wise() {
    start();
    const std::int64_t rows = size(1, 1024), columns = size(8, 2048);
    const ValueId x = builder_->input("x", {{Dim(1), Dim(rows), Dim(columns)}, Format()});
    switch (random_.integer(0, 2)) {
      case 0: return finish(add("Softmax", {x}));
      case 1:
        return finish(add("LayerNormalization", {x, constant({columns}), constant({columns})}));
      default: return finish(add("ReduceMean", {x}, {{"axes", Sizes{-1}}}));
    }
  }

  Module pooling(bool global) {
    start();
    const std::int64_t channels = size(8, 512);
    ValueId x = builder_->input("x", image(channels, bounded(size(8, 112), channels)));
    x = convolution(x, channels, 3, true, channels);  // behind it, channels lie last
    const std::int64_t kernel = random_.integer(2, 3);
    if (global) return finish(add("GlobalAveragePool", {x}));
    return finish(add(random_.chance(0.5) ? "MaxPool" : "AveragePool", {x},
                      {{"kernel", Sizes{kernel, kernel}}, {"strides", Sizes{2, 2}}}));
  }

  Module movements() {
    start();
    const std::int64_t channels = 4 * size(2, 256);
    const std::int64_t side = 2 * bounded(size(2, 48), channels);
    const ValueId x = builder_->input("x", image(channels, side));
    switch (random_.integer(0, 3)) {
      case 0: return finish(add("Transpose", {x}, {{"perm", Sizes{0, 2, 3, 1}}}));
      case 1: return finish(add("Concat", {x, x}, {{"axis", std::int64_t{1}}}));
      case 2:
        return finish(
            add("Slice", {x},
                {{"starts", Sizes{0}}, {"ends", Sizes{channels / 2}}, {"axes", Sizes{1}}}));
      default: {
        const ValueId parts =
            add("Reshape", {x},
                {{"shape", std::vector<std::string>{"1", "2", std::to_string(channels / 2),
                                                    std::to_string(side * side)}}});
        return finish(add("Transpose", {parts}, {{"perm", Sizes{0, 2, 1, 3}}}));
      }
    }
  }

  // What no kernel knows.
  Module definitions() {
    start();
    const std::int64_t rows = size(4, 256), columns = size(4, 256);
    const ValueId x = builder_->input("x", {{Dim(1), Dim(rows), Dim(columns)}, Format()});
    if (random_.chance(0.5)) return finish(add("Sin", {x}));
    return finish(add("CumSum", {x}, {{"axis", std::int64_t{2}}}));
  }

  Module extremes() {
    start();
    const ValueId x = builder_->input("x", {{Dim(size(1, 256)), Dim(size(4, 1024))}, Format()});
    return finish(add("ArgMax", {x}, {{"axis", std::int64_t{1}}}));
  }

  // Full trees of equal depth.
  Module trees() {
    start();
    const std::int64_t features = size(4, 64), count = size(4, 128), depth = random_.integer(3, 9);
    const std::int64_t nodes = (std::int64_t{1} << depth) - 1;
    const ValueId x = builder_->input("x", {{Dim(size(1, 64)), Dim(features)}, Format()});
    Sizes asked, ways[2], roots;
    for (std::int64_t tree = 0; tree < count; ++tree) {
      roots.push_back(tree * nodes);
      for (std::int64_t i = 0; i < nodes; ++i) {
        asked.push_back(random_.integer(0, features - 1));
        for (const std::int64_t way : {0, 1}) {
          const std::int64_t next = 2 * i + 1 + way;
          ways[way].push_back(next < nodes ? tree * nodes + next
                                           : -1 - (tree * (nodes + 1) + next - nodes));
        }
      }
    }
    const std::int64_t leaves = count * (nodes + 1);
    return finish(add("TreeEnsemble", {x, constant({count * nodes}), constant({leaves})},
                      {{"features", asked},
                       {"comparisons", Sizes(asked.size(), 0)},
                       {"if_true", ways[0]},
                       {"if_false", ways[1]},
                       {"roots", roots},
                       {"leaf_targets", Sizes(static_cast<std::size_t>(leaves), 0)},
                       {"targets", std::int64_t{1}}}));
  }

  // A chain of layers on codes: convolutions of one kind, or products (kernel 0), each with its
  // Rescale; lowered, or with reals at its ends.
  Module integers(std::int64_t kernel, bool depthwise, const char* format = "int8",
                  bool real_ends = false) {
    start();
    std::int64_t channels = 0, side = 0;
    do {
      channels = size(8, 256);
      side = kernel == 0 ? 1 : size(4, 56);
    } while (products(channels, side, std::max<std::int64_t>(kernel, 1), depthwise) > 5e7);
    ValueId x = kernel == 0 ? builder_->input("x", {{Dim(1), Dim(channels)}, Format()})
                            : builder_->input("x", image(channels, side));
    x = coded(x, format);
    if (real_ends) x = coded(add("Tanh", {x}), format);
    for (int layer = 0; layer < 2; ++layer) {
      const ValueId before = x;
      x = kernel == 0 ? add("MatMul", {x, weights({channels, channels})})
                      : coded_convolution(x, channels, kernel, depthwise);
      x = coded(random_.chance(0.5) ? add("Relu", {x}) : x, format);
      if (random_.chance(0.4)) x = coded(add("Add", {x, before}), format);
      if (random_.chance(0.4)) x = coded(add("Mul", {x, factors(channels, kernel == 0)}), format);
    }
    const bool wide = format != std::string_view("int8");
    if (kernel != 0 && (wide || random_.chance(0.4))) {
      const bool most = random_.chance(0.5) && side > 2;
      x = most ? add("MaxPool", {x}, {{"kernel", Sizes{2, 2}}, {"strides", Sizes{2, 2}}})
               : add("GlobalAveragePool", {x});
      x = coded(x, format);
    }
    if (real_ends && kernel != 0) {
      const ValueId turned = add("Transpose", {x}, {{"perm", Sizes{0, 1, 3, 2}}});
      x = coded(add("MatMul", {x, turned}), format);
    }
    if (real_ends) return finish(coded(add("Sigmoid", {x}), format));
    builder_->output(x);
    return lower(module_);
  }

 private:
  void start() {
    module_ = Module();
    builder_ = std::make_unique<Builder>(module_, Builder::add_graph(module_, "main"));
  }
  Module finish(ValueId output) {
    builder_->output(output);
    return std::move(module_);
  }

  // Evenly distributed on a logarithmic scale.
  std::int64_t size(std::int64_t low, std::int64_t high) {
    const double ratio = static_cast<double>(high) / static_cast<double>(low);
    return std::llround(static_cast<double>(low) * std::pow(ratio, random_.uniform()));
  }
  static std::int64_t bounded(std::int64_t side, std::int64_t channels) {
    constexpr std::int64_t kMostElements = 1 << 20;
    while (side > 2 && side * side * channels > kMostElements) side = side / 2;
    return side;
  }
  static double products(std::int64_t channels, std::int64_t side, std::int64_t kernel,
                         bool depthwise) {
    return static_cast<double>(channels * side * side) *
           static_cast<double>(kernel * kernel * (depthwise ? 1 : channels));
  }
  static TensorType image(std::int64_t channels, std::int64_t side) {
    return {{Dim(1), Dim(channels), Dim(side), Dim(side)}, Format()};
  }
  ValueId add(std::string_view op, std::vector<ValueId> inputs, Attributes attributes = {}) {
    return builder_->add(op, std::move(inputs), std::move(attributes));
  }
  ValueId constant(const Shape& shape) {
    std::vector<double> values(static_cast<std::size_t>(element_count(shape)));
    for (double& value : values) value = 0.1 * random_.uniform() - 0.05;
    return builder_->constant(Tensor::from_reals(Format(), shape, values));
  }
  // One for each channel.
  ValueId factors(std::int64_t channels, bool is_row) {
    std::vector<double> values(static_cast<std::size_t>(channels));
    for (double& value : values) value = 0.5 + random_.uniform();
    const Shape shape = is_row ? Shape{channels} : Shape{channels, 1, 1};
    return builder_->constant(Tensor::from_reals(Format(), shape, values));
  }
  static Attributes same_padding(std::int64_t kernel, std::int64_t groups,
                                 std::int64_t stride = 1) {
    const std::int64_t pad = kernel / 2;
    return {
        {"group", groups}, {"pads", Sizes{pad, pad, pad, pad}}, {"strides", Sizes{stride, stride}}};
  }
  ValueId convolution(ValueId x, std::int64_t channels, std::int64_t kernel, bool depthwise,
                      std::int64_t groups) {
    const std::int64_t from = builder_->shape(x)[1];
    if (depthwise) groups = channels;
    if (from == 3) groups = 1;
    return add("Conv",
               {x, constant({channels, from / groups, kernel, kernel}), constant({channels})},
               same_padding(kernel, groups, random_.chance(0.2) ? 2 : 1));
  }
  ValueId activation(ValueId x) {
    switch (random_.integer(0, 3)) {
      case 0: return add("Relu", {x});
      case 1: return add("Mul", {x, add("Sigmoid", {x})});
      case 2: return add("HardSwish", {x});
      default: return x;
    }
  }

  ValueId function(ValueId x, ValueId y) {
    switch (random_.integer(0, 7)) {
      case 0: return add("Relu", {x});
      case 1: return add("Sigmoid", {x});
      case 2: return add("Gelu", {x});
      case 3: return add("HardSwish", {x});
      case 4: return add("Tanh", {x});
      case 5: return add("Mul", {x, y});
      case 6: return add("Add", {x, constant({builder_->shape(x)[1], 1, 1})});
      default: return add("Add", {x, y});
    }
  }

  ValueId number(double value, const char* format = "f32") {
    return builder_->constant(Tensor::scalar(value, Format::parse(format)));
  }
  ValueId coded(ValueId x, const char* format) {
    const ValueId codes = add("Quantize", {x, number(0.02)}, {{"format", Format::parse(format)}});
    return add("Dequantize", {codes, number(0.02)});
  }
  ValueId weights(const Shape& shape) {
    std::vector<std::int64_t> codes(static_cast<std::size_t>(element_count(shape)));
    for (std::int64_t& code : codes) code = random_.integer(-127, 127);
    const ValueId constant =
        builder_->constant(Tensor::from_integers(Format::parse("int8"), shape, codes));
    return add("Dequantize", {constant, number(0.001)});
  }
  ValueId coded_convolution(ValueId x, std::int64_t channels, std::int64_t kernel, bool depthwise) {
    return add("Conv", {x, weights({channels, depthwise ? 1 : channels, kernel, kernel})},
               same_padding(kernel, depthwise ? channels : 1));
  }

  RandomSequence random_;
  Module module_;
  std::unique_ptr<Builder> builder_;
};

}  // namespace

std::vector<Module> host_sweep(std::uint64_t seed, int rounds) {
  register_operators();
  std::vector<Module> modules;
  Maker maker(seed, "host sweep");
  for (int round = 0; round < rounds; ++round) {
    for (const std::int64_t kernel : {1, 1, 3, 3, 5})
      modules.push_back(maker.convolutions(kernel, false));
    for (const std::int64_t kernel : {3, 5, 7}) modules.push_back(maker.convolutions(kernel, true));
    modules.push_back(maker.convolutions(3, false, 4));
    for (int i = 0; i < 3; ++i) modules.push_back(maker.products_by_constants());
    for (int i = 0; i < 2; ++i) modules.push_back(maker.attention());
    for (int i = 0; i < 3; ++i) modules.push_back(maker.element_wise());
    for (int i = 0; i < 2; ++i) modules.push_back(maker.row_wise());
    for (const bool global : {false, true}) modules.push_back(maker.pooling(global));
    for (int i = 0; i < 2; ++i) modules.push_back(maker.movements());
    modules.push_back(maker.definitions());
    modules.push_back(maker.extremes());
    modules.push_back(maker.trees());
    for (const std::int64_t kernel : {0, 1, 3}) modules.push_back(maker.integers(kernel, false));
    modules.push_back(maker.integers(3, true));
    modules.push_back(maker.integers(0, false, "int20"));
    modules.push_back(maker.integers(1, false, "int12"));
    modules.push_back(maker.integers(3, true, "int12"));
    for (const std::int64_t kernel : {0, 3})
      modules.push_back(maker.integers(kernel, false, "int8", true));
  }
  return modules;
}

}  // namespace tandem
