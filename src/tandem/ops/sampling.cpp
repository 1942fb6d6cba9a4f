#include <algorithm>
#include <array>
#include <cmath>
#include <memory>

#include "tandem/graph/registry.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/resampling.h"
#include "tandem/ops/support.h"

namespace tandem {
namespace {

constexpr double kCubic = -0.75;  // PyTorch's, to which ONNX refers

class GridSample final : public Operator {
 public:
  std::string_view name() const override { return "GridSample"; }
  std::string_view description() const override {
    return "x [N,C,spatial...] sampled at the points of a grid [N,out...,axes]: the last axis "
           "holds coordinates, innermost axis first, from -1 to 1 over x; the result is "
           "[N,C,out...].";
  }
  std::vector<AttributeSpec> attributes() const override {
    return {
        choice_attribute("mode", "interpolation", {"linear", "nearest", "cubic"}),
        choice_attribute("padding", "what lies outside of x", {"zeros", "border", "reflection"}),
        flag_attribute("align_corners", "-1 and 1 are centres of elements, not their edges",
                       false)};
  }
  std::size_t min_inputs() const override { return 2; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const Format format = require_reals(node);
    const auto &x = node.input(0).shape, &grid = node.input(1).shape;
    if (x.size() < 3 || x.size() > 5 || grid.size() != x.size() || grid[0] != x[0] ||
        grid.back() != Dim(static_cast<std::int64_t>(x.size()) - 2)) {
      throw Error("x is ", node.input(0).to_string(), " and the grid ", node.input(1).to_string(),
                  "; they must be [N,C,spatial...] and [N,out...,spatial axes], of up to 3 axes");
    }
    for (std::size_t d = 2; d < x.size(); ++d)
      if (x[d] == Dim(0)) throw Error("x is ", node.input(0).to_string(), ", without elements");
    // ONNX's reference moves a point to the border before it interpolates; PyTorch and onnxruntime
    // move the elements around it.
    if (node.string("mode") == "cubic" && node.string("padding") == "border")
      throw Error(
          "mode cubic with padding border means different things to ONNX's reference and "
          "to runtimes; use zeros or reflection");
    flag(node, "align_corners");
    TensorType y{{x[0], x[1]}, format};
    y.shape.insert(y.shape.end(), grid.begin() + 1, grid.end() - 1);
    return {y};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    return compute_reals(inputs[0].format(), inputs,
                         [&]<typename T>(std::span<const Tensor> reals) {
                           return std::vector{sampled<T>(node, reals[0], reals[1])};
                         });
  }

  Work work(const NodeView& node) const override {
    const auto axes = static_cast<std::int64_t>(node.input(0).shape.size()) - 2;
    const std::string& mode = node.string("mode");
    std::int64_t taps = 1;
    for (std::int64_t d = 0; d < axes; ++d) taps *= mode == "nearest" ? 1 : mode == "cubic" ? 4 : 2;
    return work_of(
        node, {operations(node, OperationKind::kMultiplyAccumulate, taps * output_elements(node))});
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view grid, std::string_view y,
                         std::string_view attributes) {
      return sample_text("symbol N in [1,8]", concat("%x : ", x, ", %g : ", grid),
                         concat("%y : ", y, " = GridSample(%x, %g) ", attributes));
    };
    return {{text("f32[N,2,4,3]", "f32[N,5,2,2]", "f32[N,2,5,2]", ""), ""},
            {text("f32[N,1,4,3]", "f32[N,2,2,2]", "f32[N,1,2,2]",
                  "{mode = \"cubic\", padding = \"reflection\"}"),
             ""},
            {text("f16[N,2,5]", "f16[N,4,1]", "f16[N,2,4]",
                  "{mode = \"nearest\", padding = \"border\", align_corners = 1}"),
             ""},
            {text("f64[1,2,2,3,2]", "f64[1,2,2,2,3]", "f64[1,2,2,2,2]", ""), ""},
            {text("f32[N,2,4,3]", "f32[N,5,2,2]", "f32[N,2,5,2]",
                  "{mode = \"cubic\", padding = \"border\"}"),
             "use zeros or reflection"},
            {text("f32[N,2,4,3]", "f32[N,5,2,3]", "f32[N,2,5,2]", ""), "they must be"}};
  }

 private:
  struct Axis {
    std::int64_t extent, stride;
    double low, high;  // where reflection turns round
  };

  static double reflected(double x, double low, double high) {
    const double range = high - low;
    if (range <= 0) return low;
    double over = std::fmod(x < low ? low - x : x - low, 2 * range);
    if (over > range) over = 2 * range - over;
    return low + over;
  }

  // The element of an axis that position i stands for; -1: zero.
  static std::int64_t element_at(const std::string& padding, const Axis& axis, double i) {
    if (i < 0 || i > static_cast<double>(axis.extent - 1)) {
      if (padding == "zeros") return -1;
      if (padding == "reflection") i = reflected(i, axis.low, axis.high);
    }
    return static_cast<std::int64_t>(
        std::clamp(std::trunc(i), 0.0, static_cast<double>(axis.extent - 1)));
  }

  // Where a coordinate lies on its axis, in elements.
  template <typename T>
  static T position(T coordinate, const Axis& axis, bool align_corners) {
    const T extent = static_cast<T>(axis.extent);
    if (align_corners) return (coordinate + 1) / 2 * (extent - 1);
    return ((coordinate + 1) * extent - 1) / 2;
  }

  struct Reader {
    std::string mode, padding;
    bool align_corners;
  };

  template <typename T>
  static void taps_at(const Reader& reader, const Axis& axis, T coordinate, Taps& taps) {
    taps.clear();
    T x = position(coordinate, axis, reader.align_corners);
    if (!std::isfinite(x)) x = -1;  // outside, as PyTorch has it
    if (reader.mode == "nearest") x = std::nearbyint(x);
    if (x < axis.low || x > axis.high) {
      if (reader.padding == "border") x = std::clamp<T>(x, 0, static_cast<T>(axis.extent - 1));
      if (reader.padding == "reflection") x = static_cast<T>(reflected(x, axis.low, axis.high));
    }
    const double base = std::floor(static_cast<double>(x)), part = static_cast<double>(x) - base;
    const auto add = [&](int i, double weight) {
      const std::int64_t index = element_at(reader.padding, axis, base + i);
      if (index >= 0 && weight != 0) taps.push_back({index * axis.stride, weight});
    };
    if (reader.mode == "nearest") return add(0, 1);
    const bool cubic = reader.mode == "cubic";
    for (int i = cubic ? -1 : 0; i <= (cubic ? 2 : 1); ++i)
      add(i, cubic ? cubic_kernel(i - part, kCubic) : linear_kernel(i - part));
  }

  static std::vector<Axis> axes_of(const Shape& shape, bool align_corners) {
    const auto strides = row_major_strides(shape);
    std::vector<Axis> axes;
    for (std::size_t d = 2; d < shape.size(); ++d) {
      const auto extent = static_cast<double>(shape[d]);
      axes.push_back({shape[d], strides[d], align_corners ? 0 : -0.5,
                      align_corners ? extent - 1 : extent - 0.5});
    }
    return axes;
  }

  template <typename T>
  static Tensor sampled(const NodeView& node, const Tensor& x, const Tensor& grid) {
    const Reader reader{node.string("mode"), node.string("padding"), flag(node, "align_corners")};
    const auto axes = axes_of(x.shape(), reader.align_corners);
    Shape shape = {x.shape()[0], x.shape()[1]};
    shape.insert(shape.end(), grid.shape().begin() + 1, grid.shape().end() - 1);
    Tensor y(x.format(), shape);
    const std::int64_t batch = shape[0], channels = shape[1];
    const std::int64_t points = y.size() == 0 ? 0 : y.size() / (batch * channels);
    const std::int64_t plane = x.size() == 0 ? 0 : x.size() / (batch * channels);
    const T* coordinates = grid.data<T>().data();
    const T* from = x.data<T>().data();
    T* to = y.mutable_data<T>().data();
    Taps taps, along, joined;
    for (std::int64_t n = 0; n < batch; ++n) {
      for (std::int64_t p = 0; p < points; ++p, coordinates += axes.size()) {
        taps.assign(1, {0, 1});
        for (std::size_t d = 0; d < axes.size(); ++d) {
          taps_at(reader, axes[d], coordinates[axes.size() - 1 - d], along);
          joined.clear();
          for (const Tap& outer : taps)
            for (const Tap& inner : along)
              joined.push_back({outer.index + inner.index, outer.weight * inner.weight});
          std::swap(taps, joined);
        }
        for (std::int64_t c = 0; c < channels; ++c) {
          const T* image = from + (n * channels + c) * plane;
          double sum = 0;
          for (const Tap& tap : taps) sum += tap.weight * static_cast<double>(image[tap.index]);
          to[(n * channels + c) * points + p] = static_cast<T>(sum);
        }
      }
    }
    return y;
  }
};

class AffineGrid final : public Operator {
 public:
  std::string_view name() const override { return "AffineGrid"; }
  std::string_view description() const override {
    return "The points of a grid from -1 to 1 under the affine maps [N,axes,axes+1], as "
           "[N,size...,axes], coordinates innermost axis first (2 or 3 axes).";
  }
  std::vector<AttributeSpec> attributes() const override {
    return {{"size", AttributeKind::kIntegers, "extents of the grid", {}, {}},
            flag_attribute("align_corners", "-1 and 1 are centres of elements, not their edges",
                           false)};
  }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const Format format = require_reals(node);
    const auto& size = node.integers("size");
    const auto axes = static_cast<std::int64_t>(size.size());
    const auto& maps = node.input(0).shape;
    if (axes < 2 || axes > 3 || maps.size() != 3 || maps[1] != Dim(axes) ||
        maps[2] != Dim(axes + 1)) {
      throw Error("the maps are ", node.input(0).to_string(), " for a grid of ", axes,
                  " axes; they must be [N,2,3] or [N,3,4]");
    }
    flag(node, "align_corners");
    TensorType y{{maps[0]}, format};
    for (const std::int64_t extent : size) {
      constexpr std::int64_t kWidest = std::int64_t{1} << 31;
      if (extent < 1 || extent > kWidest) throw Error("size has the entry ", extent);
      y.shape.emplace_back(extent);
    }
    y.shape.emplace_back(axes);
    return {y};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    return compute_reals(inputs[0].format(), inputs,
                         [&]<typename T>(std::span<const Tensor> reals) {
                           return std::vector{mapped<T>(node, reals[0])};
                         });
  }

  Work work(const NodeView& node) const override {
    const auto axes = static_cast<std::int64_t>(node.integers("size").size());
    return work_of(node, {operations(node, OperationKind::kMultiplyAccumulate,
                                     (axes + 1) * output_elements(node))});
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view maps, std::string_view y, std::string_view attributes) {
      return sample_text("symbol N in [1,8]", concat("%m : ", maps),
                         concat("%y : ", y, " = AffineGrid(%m) ", attributes));
    };
    return {{text("f32[N,2,3]", "f32[N,4,5,2]", "{size = [4,5]}"), ""},
            {text("f64[N,3,4]", "f64[N,2,3,1,3]", "{size = [2,3,1], align_corners = 1}"), ""},
            {text("f32[N,2,2]", "f32[N,4,5,2]", "{size = [4,5]}"), "must be [N,2,3]"}};
  }

 private:
  // The point 1 / 2 of an axis of one element is 0 without, and -1 with aligned corners.
  static double place(std::int64_t i, std::int64_t extent, bool align_corners) {
    const auto at = static_cast<double>(i), count = static_cast<double>(extent);
    if (!align_corners) return (2 * at + 1) / count - 1;
    return extent == 1 ? -1 : 2 * at / (count - 1) - 1;
  }

  template <typename T>
  static Tensor mapped(const NodeView& node, const Tensor& maps) {
    const auto& size = node.integers("size");
    const std::size_t axes = size.size();
    const bool align = flag(node, "align_corners");
    Shape shape = {maps.shape()[0]};
    shape.insert(shape.end(), size.begin(), size.end());
    shape.push_back(static_cast<std::int64_t>(axes));
    Tensor y(maps.format(), shape);
    const std::int64_t points = element_count(size);
    const T* map = maps.data<T>().data();
    T* to = y.mutable_data<T>().data();
    for (std::int64_t n = 0; n < maps.shape()[0]; ++n, map += axes * (axes + 1)) {
      for (std::int64_t p = 0; p < points; ++p) {
        std::array<double, 4> point{};  // innermost axis first, then 1
        std::int64_t rest = p;
        for (std::size_t d = 0; d < axes; ++d) {
          const std::int64_t extent = size[axes - 1 - d];
          point[d] = place(rest % extent, extent, align);
          rest /= extent;
        }
        point[axes] = 1;
        for (std::size_t d = 0; d < axes; ++d) {
          double sum = 0;
          for (std::size_t k = 0; k <= axes; ++k)
            sum += static_cast<double>(map[d * (axes + 1) + k]) * point[k];
          *to++ = static_cast<T>(sum);
        }
      }
    }
    return y;
  }
};

}  // namespace

void register_sampling_operators() {
  operators().add(std::make_unique<GridSample>());
  operators().add(std::make_unique<AffineGrid>());
}

}  // namespace tandem
