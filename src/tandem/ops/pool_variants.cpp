// Pools beside the greatest and the mean, and what undoes them.
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>

#include "tandem/graph/registry.h"
#include "tandem/ops/body.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/pool.h"
#include "tandem/ops/support.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

std::vector<AttributeSpec> pool_attributes() {
  auto specs = window_attributes();
  specs.push_back(
      {"kernel", AttributeKind::kIntegers, "extent of the window per spatial axis", {}, {}});
  specs.push_back(flag_attribute("ceil_mode", "round the number of windows up", false));
  return specs;
}

class LpPool final : public Operator {
 public:
  std::string_view name() const override { return "LpPool"; }
  std::string_view description() const override {
    return "The p-norm of each window of x [N,C,spatial...]; padding counts as zeros.";
  }
  std::vector<AttributeSpec> attributes() const override {
    auto specs = pool_attributes();
    specs.push_back(integer_attribute("p", "exponent of the norm", 2));
    return specs;
  }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const Format format = require_reals(node);
    if (node.integer("p") < 1) throw Error("p is ", node.integer("p"), "; it must be at least 1");
    return {{pooled_shape(node, node.input(0)), format}};
  }

  std::vector<Form> forms(const NodeView&) const override { return {{"convolution"}}; }

  // Sums over windows are a convolution of each channel with ones.
  std::vector<ValueId> body(Builder& builder, const NodeView& node, const Form&,
                            std::span<const ValueId> inputs) const override {
    Body body(builder);
    const TensorType& x = body.type(inputs[0]);
    Integers extents;
    for (std::size_t d = 2; d < x.shape.size(); ++d) extents.push_back(x.shape[d].constant());
    const Window window = pool_window(node, extents);
    const std::int64_t channels = x.shape[1].constant();
    Shape shape = {channels, 1};
    shape.insert(shape.end(), window.kernel.begin(), window.kernel.end());
    const std::vector<double> ones(static_cast<std::size_t>(element_count(shape)), 1.0);
    Integers pads = window.pads_begin;
    pads.insert(pads.end(), window.pads_end.begin(), window.pads_end.end());
    const auto p = static_cast<double>(node.integer("p"));
    ValueId powers = body.call("Abs", inputs[0]);
    if (p != 1) powers = builder.add("Pow", {powers, body.scalar(p, powers)});
    const ValueId filters = builder.constant(Tensor::from_reals(x.format, shape, ones), "ones");
    const ValueId sums = builder.add("Conv", {powers, filters},
                                     {{"group", channels},
                                      {"strides", window.strides},
                                      {"dilations", window.dilations},
                                      {"pads", pads}});
    if (p == 1) return {sums};
    return {p == 2 ? body.call("Sqrt", sums)
                   : builder.add("Pow", {sums, body.scalar(1 / p, sums)})};
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view y, std::string_view attributes) {
      return sample_text("symbol N in [1,4]", concat("%x : ", x),
                         concat("%y : ", y, " = LpPool(%x) ", attributes));
    };
    return {
        {text("f32[N,3,8,8]", "f32[N,3,4,4]", "{kernel = [2,2], strides = [2,2]}"), ""},
        {text("f32[1,2,7,6]", "f32[1,2,4,3]",
              "{kernel = [3,2], strides = [2,2], pads = [1,0,1,0], p = 3}"),
         ""},
        {text("f64[1,1,6]", "f64[1,1,3]", "{kernel = [3], strides = [2], ceil_mode = 1, p = 1}"),
         ""},
        {text("f32[1,1,3,3]", "f32[1,1,2,2]", "{kernel = [2,2], p = 0}"), "at least 1"},
        {text("f32[3,3]", "f32[2,2]", "{kernel = [2,2]}"), "not [N,C,spatial...]"}};
  }
};

// Position of a spatial index, given row-major, counted with the first axis running fastest.
std::int64_t column_major(std::int64_t position, const Integers& extents) {
  std::int64_t result = 0;
  for (std::size_t d = extents.size(); d-- > 0;) {
    std::int64_t scale = 1;
    for (std::size_t e = 0; e < d; ++e) scale *= extents[e];
    result += position % extents[d] * scale;
    position /= extents[d];
  }
  return result;
}

class MaxPoolIndices final : public Operator {
 public:
  std::string_view name() const override { return "MaxPoolIndices"; }
  std::string_view description() const override {
    return "int64 position in x [N,C,spatial...], counted over all of x, of the first greatest "
           "element of each window; NaN is the greatest.";
  }
  Traits traits() const override { return {.domain = Domain::kIndex}; }
  std::vector<AttributeSpec> attributes() const override {
    auto specs = pool_attributes();
    specs.push_back(flag_attribute("storage_order",
                                   "count the spatial axes with the first running fastest", false));
    return specs;
  }

  std::vector<TensorType> infer(const NodeView& node) const override {
    require_reals(node);
    flag(node, "storage_order");
    return {{pooled_shape(node, node.input(0)), index_format()}};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    return compute_reals(inputs[0].format(), inputs,
                         [&]<typename T>(std::span<const Tensor> reals) {
                           return std::vector<Tensor>{find<T>(node, reals[0])};
                         });
  }

  Work work(const NodeView& node) const override {
    const Integers& kernel = node.integers("kernel");
    const std::int64_t window =
        std::accumulate(kernel.begin(), kernel.end(), std::int64_t{1}, std::multiplies<>());
    return work_of(
        node, {operations(node, OperationKind::kCompare, output_elements(node) * (window - 1))});
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view y, std::string_view attributes) {
      return sample_text("symbol N in [1,4]", concat("%x : ", x),
                         concat("%y : ", y, " = MaxPoolIndices(%x) ", attributes));
    };
    return {{text("f32[N,3,8,8]", "int64[N,3,4,4]", "{kernel = [2,2], strides = [2,2]}"), ""},
            {text("f32[1,2,7,6]", "int64[1,2,4,3]",
                  "{kernel = [3,2], strides = [2,2], pads = [1,0,1,0], storage_order = 1}"),
             ""},
            {text("f16[2,1,9]", "int64[2,1,5]", "{kernel = [3], dilations = [2]}"), ""},
            {text("int8[1,1,3,3]", "int64[1,1,2,2]", "{kernel = [2,2]}"),
             "put a Dequantize before it"}};
  }

 private:
  template <typename T>
  static Tensor find(const NodeView& node, const Tensor& x) {
    const Integers extents(x.shape().begin() + 2, x.shape().end());
    const Window window = pool_window(node, extents);
    const Integers outputs = window.output_extents(extents);
    Shape shape = {x.shape()[0], x.shape()[1]};
    shape.insert(shape.end(), outputs.begin(), outputs.end());
    const bool transposed = flag(node, "storage_order");
    const std::int64_t plane = element_count(extents), windows = element_count(outputs);
    const T* from = x.data<T>().data();
    Tensor y(index_format(), shape);
    std::int64_t* to = y.mutable_data<std::int64_t>().data();
    for (std::int64_t p = 0; p < shape[0] * shape[1]; ++p, from += plane, to += windows) {
      std::fill_n(to, windows, -1);
      for_each_window_element(
          window, extents, [&](std::int64_t o, std::int64_t, std::int64_t position) {
            if (position < 0) return;
            const bool greater = to[o] < 0 || from[position] > from[to[o]] ||
                                 (std::isnan(from[position]) && !std::isnan(from[to[o]]));
            if (greater) to[o] = position;
          });
      for (std::int64_t o = 0; o < windows; ++o)
        to[o] = p * plane + (transposed ? column_major(to[o], extents) : to[o]);
    }
    return y;
  }
};

class MaxUnpool final : public Operator {
 public:
  std::string_view name() const override { return "MaxUnpool"; }
  std::string_view description() const override {
    return "Zeros [N,C,spatial...] with the elements of x [N,C,...] at the positions that int64 "
           "indices of its shape give, counted over all of the result; of equal positions the last "
           "stays.";
  }
  std::vector<AttributeSpec> attributes() const override {
    return {{"extents", AttributeKind::kIntegers, "spatial extents of the result", {}, {}}};
  }
  std::size_t min_inputs() const override { return 2; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const Format format = require_real(node, 0);
    const TensorType &x = node.input(0), &indices = node.input(1);
    if (indices.format != index_format() || indices.shape != x.shape)
      throw Error("the indices are ", indices.to_string(), ", not int64 in the shape of ",
                  x.to_string());
    const Integers& extents = node.integers("extents");
    if (x.shape.size() != extents.size() + 2)
      throw Error("extents has ", extents.size(), " entries for x ", x.to_string());
    TensorType y{{x.shape[0], x.shape[1]}, format};
    for (const std::int64_t extent : extents) {
      if (extent < 1) throw Error("extents has the entry ", extent);
      y.shape.emplace_back(extent);
    }
    return {y};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    const Integers& extents = node.integers("extents");
    Shape shape = {inputs[0].shape()[0], inputs[0].shape()[1]};
    shape.insert(shape.end(), extents.begin(), extents.end());
    Tensor y(inputs[0].format(), shape);
    const auto indices = inputs[1].data<std::int64_t>();
    visit_storage(y.format().storage(), [&]<typename T>() {
      const auto from = inputs[0].data<T>();
      const auto to = y.mutable_data<T>();
      for (std::size_t i = 0; i < from.size(); ++i) {
        if (indices[i] < 0 || indices[i] >= y.size())
          throw Error("index ", indices[i], " lies outside the ", y.size(), " elements");
        to[static_cast<std::size_t>(indices[i])] = from[i];
      }
    });
    return {y};
  }

  Work work(const NodeView& node) const override {
    return work_of(node, {operations(node, OperationKind::kMove, input_elements(node, 0))});
  }

  std::vector<SampleCase> samples() const override {
    const std::string pooled =
        "%i : int64[N,2,2,2] = MaxPoolIndices(%x) {kernel = [2,2], "
        "strides = [2,2]}\n  %m : f32[N,2,2,2] = MaxPool(%x) {kernel = "
        "[2,2], strides = [2,2]}\n  ";
    return {{sample_text("symbol N in [1,4]", "%x : f32[N,2,4,4]",
                         pooled + "%y : f32[N,2,4,4] = MaxUnpool(%m, %i) {extents = [4,4]}"),
             ""},
            {sample_text("", "%x : f32[1,1,2], %i : int64[1,1,3]",
                         "%y : f32[1,1,4] = MaxUnpool(%x, %i) {extents = [4]}"),
             "the indices are int64[1,1,3]"},
            {sample_text("", "%x : f32[1,1,2], %i : int64[1,1,2]",
                         "%y : f32[1,1,4,4] = MaxUnpool(%x, %i) {extents = [4,4]}"),
             "extents has 2 entries"}};
  }
};

}  // namespace

void register_pooling_variant_operators() {
  operators().add(std::make_unique<LpPool>());
  operators().add(std::make_unique<MaxPoolIndices>());
  operators().add(std::make_unique<MaxUnpool>());
}

}  // namespace tandem
