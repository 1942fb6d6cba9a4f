#include <memory>

#include "tandem/graph/registry.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/support.h"

namespace tandem {
namespace {

class Col2Im final : public Operator {
 public:
  std::string_view name() const override { return "Col2Im"; }
  std::string_view description() const override {
    return "Blocks x [N,C*block,blocks] put back where a convolution's window of that kernel would "
           "have taken them, overlaps added up: [N,C,image...].";
  }
  std::vector<AttributeSpec> attributes() const override {
    return {{"image", AttributeKind::kIntegers, "extents of the image", {}, {}},
            {"kernel", AttributeKind::kIntegers, "extents of a block", {}, {}},
            integers_attribute("strides", "steps of the window; empty: 1"),
            integers_attribute("dilations", "steps within the window; empty: 1"),
            integers_attribute("pads", "cut off: all begins, then all ends; empty: 0")};
  }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const Format format = require_reals(node);
    const std::vector<Axis> axes = axes_of(node);
    const auto& x = node.input(0).shape;
    std::int64_t block = 1, blocks = 1;
    for (const Axis& axis : axes) {
      block *= axis.kernel;
      blocks *= axis.positions;
    }
    const auto channels = x.size() == 3 ? x[1].divided_by(Dim(block)) : std::nullopt;
    if (!channels || x[2] != Dim(blocks)) {
      throw Error("x is ", node.input(0).to_string(), " where blocks of ", block, " at ", blocks,
                  " places are [N,C*", block, ",", blocks, "]");
    }
    TensorType y{{x[0], *channels}, format};
    for (const Axis& axis : axes) y.shape.emplace_back(axis.image);
    return {y};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    return compute_reals(inputs[0].format(), inputs,
                         [&]<typename T>(std::span<const Tensor> reals) {
                           return std::vector{run<T>(node, reals[0])};
                         });
  }

  Work work(const NodeView& node) const override {
    return work_of(node, {operations(node, OperationKind::kAdd, input_elements(node, 0))});
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view y, std::string_view attributes) {
      return sample_text("symbol N in [1,8]", concat("%x : ", x),
                         concat("%y : ", y, " = Col2Im(%x) ", attributes));
    };
    return {
        {text("f32[N,5,5]", "f32[N,1,5,5]", "{image = [5,5], kernel = [1,5]}"), ""},
        {text("f32[N,18,4]", "f32[N,2,5,5]", "{image = [5,5], kernel = [3,3], strides = [2,2]}"),
         ""},
        {text("f16[1,2,5]", "f16[1,1,5]",
              "{image = [5], kernel = [2], dilations = [2], pads = [1,1]}"),
         ""},
        {text("f32[N,5,4]", "f32[N,1,5,5]", "{image = [5,5], kernel = [1,5]}"), "at 5 places"},
        {text("f32[N,5,5]", "f32[N,1,5,5]", "{image = [5,5], kernel = [5]}"), "as many"}};
  }

 private:
  struct Axis {
    std::int64_t image, kernel, stride, dilation, begin, positions;
  };

  static std::vector<Axis> axes_of(const NodeView& node) {
    const auto &image = node.integers("image"), &kernel = node.integers("kernel");
    const auto &strides = node.integers("strides"), &dilations = node.integers("dilations");
    const auto& pads = node.integers("pads");
    const std::size_t rank = image.size();
    if (rank == 0 || kernel.size() != rank || (!strides.empty() && strides.size() != rank) ||
        (!dilations.empty() && dilations.size() != rank) ||
        (!pads.empty() && pads.size() != 2 * rank)) {
      throw Error("kernel, strides and dilations must be as many as image, pads twice as many");
    }
    constexpr std::int64_t kWidest = std::int64_t{1} << 24;
    std::vector<Axis> axes;
    for (std::size_t d = 0; d < rank; ++d) {
      Axis axis{image[d],
                kernel[d],
                strides.empty() ? 1 : strides[d],
                dilations.empty() ? 1 : dilations[d],
                pads.empty() ? 0 : pads[d],
                0};
      const std::int64_t end = pads.empty() ? 0 : pads[d + rank];
      for (const std::int64_t value : {axis.image, axis.kernel, axis.stride, axis.dilation})
        if (value < 1 || value > kWidest)
          throw Error("image, kernel, strides and dilations must lie between 1 and ", kWidest);
      if (axis.begin < 0 || end < 0 || axis.begin > kWidest || end > kWidest)
        throw Error("pads must lie between 0 and ", kWidest);
      const std::int64_t room =
          axis.image + axis.begin + end - axis.dilation * (axis.kernel - 1) - 1;
      if (room < 0)
        throw Error("a block of ", axis.kernel, " does not fit axis ", d, " of the image");
      axis.positions = room / axis.stride + 1;
      axes.push_back(axis);
    }
    return axes;
  }

  template <typename T>
  static Tensor run(const NodeView& node, const Tensor& x) {
    const std::vector<Axis> axes = axes_of(node);
    std::int64_t block = 1, plane = 1;
    Shape shape = {x.shape()[0], 0};
    for (const Axis& axis : axes) {
      block *= axis.kernel;
      plane *= axis.image;
      shape.push_back(axis.image);
    }
    shape[1] = x.shape()[1] / block;
    Tensor y(x.format(), shape);
    const std::vector<std::int64_t> targets = places(axes, block, x.shape()[2]);
    const T* from = x.data<T>().data();
    T* to = y.mutable_data<T>().data();
    for (std::int64_t image = 0; image < shape[0] * shape[1]; ++image, to += plane)
      for (const std::int64_t target : targets) {
        if (target >= 0) to[target] += *from;
        ++from;
      }
    return y;
  }

  // For every entry of a block at every position its element of the image; -1 in the padding.
  static std::vector<std::int64_t> places(const std::vector<Axis>& axes, std::int64_t block,
                                          std::int64_t blocks) {
    std::vector<std::int64_t> result(static_cast<std::size_t>(block * blocks), 0);
    for (std::int64_t i = 0; i < block * blocks; ++i) {
      std::int64_t entry = i / blocks, position = i % blocks, stride = 1;
      std::int64_t& target = result[static_cast<std::size_t>(i)];
      for (std::size_t d = axes.size(); d-- > 0;) {
        const Axis& axis = axes[d];
        const std::int64_t at = position % axis.positions * axis.stride +
                                entry % axis.kernel * axis.dilation - axis.begin;
        position /= axis.positions;
        entry /= axis.kernel;
        if (at < 0 || at >= axis.image) target = -1;
        if (target >= 0) target += at * stride;
        stride *= axis.image;
      }
    }
    return result;
  }
};

}  // namespace

void register_col2im_operators() { operators().add(std::make_unique<Col2Im>()); }

}  // namespace tandem
