#include <limits>
#include <memory>

#include "tandem/graph/registry.h"
#include "tandem/ops/body.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/support.h"
#include "tandem/ops/window.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

Integers kernel_of(const TensorType& w) {
  Integers kernel;
  for (std::size_t d = 2; d < w.shape.size(); ++d) kernel.push_back(w.shape[d].constant());
  return kernel;
}

Integers output_padding(const NodeView& node, std::size_t rank) {
  Integers padding = node.integers("output_padding");
  if (padding.empty()) padding.assign(rank, 0);
  if (padding.size() != rank)
    throw Error("output_padding has ", padding.size(), " entries, not ", rank);
  for (const std::int64_t value : padding)
    if (value < 0 || value > 1 << 20) throw Error("output_padding has the entry ", value);
  return padding;
}

// The gradient of Conv with respect to its input: every element of x adds the kernel times itself
// to the result, `stride` apart.
class ConvTranspose final : public Operator {
 public:
  std::string_view name() const override { return "ConvTranspose"; }
  std::string_view description() const override {
    return "Transposed convolution of x [N,C,spatial...] with w [C,O/group,kernel...] and the "
           "optional bias [O] to [N,O,spatial...], whose extents are (extent - 1) * stride + "
           "dilated kernel - pads + output_padding.";
  }
  std::vector<AttributeSpec> attributes() const override {
    auto specs = window_attributes();
    specs.push_back(integer_attribute("group", "number of groups of channels", 1));
    specs.push_back(integers_attribute("output_padding", "elements added at each end; empty: 0"));
    return specs;
  }
  std::size_t min_inputs() const override { return 2; }
  std::size_t max_inputs() const override { return 3; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const Format format = require_reals(node);
    const TensorType &x = node.input(0), &w = node.input(1);
    if (x.shape.size() < 3)
      throw Error("x is ", x.to_string(), ", not [N,C,spatial...] as a convolution takes");
    check_channels(node, x, w);
    const Window window = window_of(node, kernel_of(w));
    const Integers padding = output_padding(node, window.rank());
    const Dim filters = w.shape[1] * Dim(node.integer("group"));
    if (node.has_input(2) && node.input(2).shape != std::vector<Dim>{filters}) {
      throw Error("the bias is ", node.input(2).to_string(), ", not [", filters.to_string(),
                  "] as the filters want");
    }
    TensorType y{{x.shape[0], filters}, format};
    for (std::size_t d = 0; d < window.rank(); ++d) {
      const std::int64_t extent = (x.shape[d + 2].constant() - 1) * window.strides[d] +
                                  (window.kernel[d] - 1) * window.dilations[d] + 1 -
                                  window.pads_begin[d] - window.pads_end[d] + padding[d];
      if (extent < 1) throw Error("its padding leaves nothing of spatial axis ", d);
      y.shape.emplace_back(extent);
    }
    return {y};
  }

  std::vector<Form> forms(const NodeView&) const override { return {{"spread"}}; }

  // A convolution of x, zeros between its elements, with the mirrored kernel.
  std::vector<ValueId> body(Builder& builder, const NodeView& node, const Form&,
                            std::span<const ValueId> inputs) const override {
    Body body(builder);
    const Window window = window_of(node, kernel_of(node.input(1)));
    const ValueId x = padded(body, node, window, spread(body, window, inputs[0]));
    const ValueId filters = mirrored(body, window, node.integer("group"), inputs[1]);
    std::vector<ValueId> operands = {x, filters};
    if (node.has_input(2)) operands.push_back(inputs[2]);
    return {builder.add("Conv", operands,
                        {{"group", node.integer("group")}, {"dilations", window.dilations}})};
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view w, std::string_view y,
                         std::string_view attributes) {
      return sample_text("symbol N in [1,4]", concat("%x : ", x, ", %w : ", w),
                         concat("%y : ", y, " = ConvTranspose(%x, %w) ", attributes));
    };
    return {{text("f32[N,3,4,5]", "f32[3,2,3,3]", "f32[N,2,6,7]", ""), ""},
            {text("f32[1,2,4,3]", "f32[2,2,3,2]", "f32[1,2,8,8]",
                  "{strides = [2,3], pads = [1,0,0,1], output_padding = [0,1]}"),
             ""},
            {text("f32[2,4,5]", "f32[4,3,2]", "f32[2,6,12]",
                  "{group = 2, strides = [2], dilations = [3], pads = [0,0]}"),
             ""},
            {text("f64[1,1,2,3,2]", "f64[1,1,2,2,2]", "f64[1,1,4,6,4]", "{strides = [2,2,2]}"), ""},
            {text("f32[1,2,4,4]", "f32[2,1,1,1]", "f32[1,1,2,2]", "{pads = [1,1,1,1]}"), ""},
            {sample_text("constant @b : f32[2] = [0.5,-1]", "%x : f32[1,1,2,2], %w : f32[1,2,2,2]",
                         "%b = constant @b\n  %y : f32[1,2,3,3] = ConvTranspose(%x, %w, %b)"),
             ""},
            {text("f32[1,3,4,4]", "f32[2,4,3,3]", "f32[1,4,6,6]", ""), "x has 3 channels"},
            {text("f32[1,1,2,2]", "f32[1,1,1,1]", "f32[1,1,0,0]", "{pads = [1,1,1,1]}"),
             "leaves nothing"},
            {text("f32[1,1]", "f32[1,1]", "f32[1,1]", ""), "not [N,C,spatial...]"}};
  }

 private:
  static void check_channels(const NodeView& node, const TensorType& x, const TensorType& w) {
    if (w.shape.size() != x.shape.size()) {
      throw Error("the weights ", w.to_string(), " have another rank than x ", x.to_string());
    }
    const std::int64_t group = node.integer("group"), channels = x.shape[1].constant();
    if (group < 1) throw Error("group is ", group, "; it must be at least 1");
    if (channels % group != 0)
      throw Error("group ", group, " does not divide the ", channels, " channels");
    if (w.shape[0].constant() != channels) {
      throw Error("x has ", channels, " channels, but the weights are ", w.to_string());
    }
  }

  // strides - 1 zeros between the elements.
  static ValueId spread(Body& body, const Window& window, ValueId x) {
    for (std::size_t d = 0; d < window.rank(); ++d) {
      if (window.strides[d] == 1) continue;
      const std::size_t axis = d + 2;
      std::vector<Dim> shape = body.type(x).shape;
      const std::int64_t wide = shape[axis].constant() * window.strides[d];
      shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(axis) + 1, Dim(1));
      Integers pads(2 * shape.size());
      pads[shape.size() + axis + 1] = window.strides[d] - 1;
      x = body.builder().add("Pad", {body.reshape(x, shape)}, {{"pads", pads}});
      shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(axis) + 1);
      shape[axis] = wide;
      x = body.slice(body.reshape(x, shape), static_cast<std::int64_t>(axis), 0,
                     wide - window.strides[d] + 1);
    }
    return x;
  }

  // Zeros, or cuts, at the ends such that a convolution of stride 1 gives the result.
  static ValueId padded(Body& body, const NodeView& node, const Window& window, ValueId x) {
    const std::size_t rank = window.rank() + 2;
    const Integers added = output_padding(node, window.rank());
    Integers pads(2 * rank);
    for (std::size_t d = 0; d < window.rank(); ++d) {
      const std::int64_t reach = (window.kernel[d] - 1) * window.dilations[d];
      const std::int64_t begin = reach - window.pads_begin[d];
      const std::int64_t end = reach - window.pads_end[d] + added[d];
      const std::int64_t extent = body.type(x).shape[d + 2].constant();
      pads[d + 2] = std::max<std::int64_t>(begin, 0);
      pads[rank + d + 2] = std::max<std::int64_t>(end, 0);
      const std::int64_t first = std::max<std::int64_t>(-begin, 0);
      const std::int64_t last = extent - std::max<std::int64_t>(-end, 0);
      if (first >= last) throw Error("its padding cuts all of x on spatial axis ", d);
      x = body.slice(x, static_cast<std::int64_t>(d + 2), first, last);
    }
    return body.builder().add("Pad", {x}, {{"pads", pads}});
  }

  // [C,O/group,kernel...] to [O,C/group,kernel...], the kernel turned end for end.
  static ValueId mirrored(Body& body, const Window& window, std::int64_t group, ValueId w) {
    const std::vector<Dim> shape = body.type(w).shape;
    const std::vector<Dim> kernel(shape.begin() + 2, shape.end());
    std::vector<Dim> grouped = {group, shape[0].constant() / group, shape[1]};
    grouped.insert(grouped.end(), kernel.begin(), kernel.end());
    Integers perm = {0, 2, 1};
    for (std::size_t d = 0; d < kernel.size(); ++d)
      perm.push_back(static_cast<std::int64_t>(d) + 3);
    std::vector<Dim> filters = {shape[1] * Dim(group), shape[0].constant() / group};
    filters.insert(filters.end(), kernel.begin(), kernel.end());
    w = body.reshape(body.transpose(body.reshape(w, grouped), perm), filters);
    Integers axes, starts(window.rank(), -1), steps(window.rank(), -1);
    for (std::size_t d = 0; d < window.rank(); ++d)
      axes.push_back(static_cast<std::int64_t>(d) + 2);
    const Integers ends(window.rank(), std::numeric_limits<std::int64_t>::min() + 1);
    return body.builder().add(
        "Slice", {w}, {{"starts", starts}, {"ends", ends}, {"axes", axes}, {"steps", steps}});
  }
};

}  // namespace

void register_transposed_convolution_operators() {
  operators().add(std::make_unique<ConvTranspose>());
}

}  // namespace tandem
