#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>

#include "tandem/graph/registry.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/resampling.h"
#include "tandem/ops/support.h"

namespace tandem {
namespace {

AttributeSpec reals_attribute(std::string name, std::string description) {
  AttributeSpec spec{std::move(name), AttributeKind::kReals, std::move(description), {}, {}};
  spec.default_value.emplace_back(std::vector<double>{});
  return spec;
}

// How one axis of `extent` elements becomes one of `size`.
struct ResizedAxis {
  std::size_t axis;
  std::int64_t extent, size;
  double scale, begin, end;  // the part of the axis that tf_crop_and_resize shows
};

class Resize final : public Operator {
 public:
  std::string_view name() const override { return "Resize"; }
  std::string_view description() const override {
    return "x sampled anew along the given axes, to the given sizes: nearest in any format, linear "
           "or cubic in reals, one axis after the other.";
  }
  std::vector<AttributeSpec> attributes() const override {
    return {{"axes", AttributeKind::kIntegers, "axes resized", {}, {}},
            {"sizes", AttributeKind::kIntegers, "their new extents", {}, {}},
            reals_attribute("scales",
                            "new extent by old one, as the coordinates see it; empty: sizes "
                            "by extents"),
            choice_attribute("mode", "interpolation", {"nearest", "linear", "cubic"}),
            choice_attribute("coordinates", "where a new element lies among the old ones",
                             {"half_pixel", "asymmetric", "align_corners", "half_pixel_symmetric",
                              "pytorch_half_pixel", "tf_crop_and_resize"}),
            choice_attribute("nearest", "which neighbour is the nearest",
                             {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}),
            real_attribute("cubic_a", "parameter of the cubic kernel", -0.75),
            flag_attribute("exclude_outside", "weights outside of x count for nothing", false),
            flag_attribute("antialias", "the kernel widens where x shrinks", false),
            reals_attribute("roi",
                            "begins, then ends of the part shown by tf_crop_and_resize, as "
                            "fractions of the axes"),
            real_attribute("extrapolation", "what tf_crop_and_resize shows outside of x", 0)};
  }

  std::vector<TensorType> infer(const NodeView& node) const override {
    TensorType y = node.input(0);
    const auto& axes = node.integers("axes");
    const auto& sizes = node.integers("sizes");
    const auto &scales = node.reals("scales"), &roi = node.reals("roi");
    const bool crops = node.string("coordinates") == "tf_crop_and_resize";
    if (sizes.size() != axes.size() || (!scales.empty() && scales.size() != axes.size()) ||
        (crops && roi.size() != 2 * axes.size())) {
      throw Error("axes, sizes and scales must have equally many entries, and roi twice as many");
    }
    std::vector<bool> seen(y.shape.size());
    for (std::size_t i = 0; i < axes.size(); ++i) {
      const std::size_t axis = normalized_axis(axes[i], y.shape.size());
      if (seen[axis]) throw Error("axis ", axis, " is named twice in axes");
      seen[axis] = true;
      if (y.shape[axis].constant() < 1)
        throw Error("axis ", axis, " of ", node.input(0).to_string(), " has no elements");
      constexpr std::int64_t kWidest = std::int64_t{1} << 31;
      if (sizes[i] < 0 || sizes[i] > kWidest) throw Error("sizes has the entry ", sizes[i]);
      if (!scales.empty() && !(scales[i] > 0 && std::isfinite(scales[i])))
        throw Error("scales has the entry ", scales[i], "; it must be positive");
      y.shape[axis] = sizes[i];
    }
    check_mode(node);
    return {y};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    if (node.string("mode") == "nearest") {
      Tensor y = inputs[0];
      for (const ResizedAxis& axis : resized_axes(node, y.shape())) y = picked(node, y, axis);
      return {y};
    }
    return compute_reals(inputs[0].format(), inputs,
                         [&]<typename T>(std::span<const Tensor> reals) {
                           Tensor y = reals[0];
                           for (const ResizedAxis& axis : resized_axes(node, y.shape()))
                             y = interpolated<T>(node, y, axis);
                           return std::vector{y};
                         });
  }

  Work work(const NodeView& node) const override {
    if (node.string("mode") == "nearest")
      return work_of(node, {operations(node, OperationKind::kMove, output_elements(node))});
    Shape shape = node.input(0).static_shape();
    std::int64_t count = 0;
    for (const ResizedAxis& axis : resized_axes(node, shape)) {
      shape[axis.axis] = axis.size;
      count += element_count(shape) * (1 - 2 * first_tap(node, axis) + 1);
    }
    return work_of(node, {operations(node, OperationKind::kMultiplyAccumulate, count)});
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view y, std::string_view attributes) {
      return sample_text("symbol N in [1,8]", concat("%x : ", x),
                         concat("%y : ", y, " = Resize(%x) ", attributes));
    };
    return {
        {text("f32[N,2,3]", "f32[N,4,5]", "{axes = [1,2], sizes = [4,5], mode = \"linear\"}"), ""},
        {text("int8[1,4,4]", "int8[1,2,7]",
              "{axes = [1,2], sizes = [2,7], nearest = \"floor\", "
              "coordinates = \"asymmetric\"}"),
         ""},
        {text("f16[N,8]", "f16[N,3]",
              "{axes = [1], sizes = [3], mode = \"cubic\", antialias = 1, exclude_outside = 1}"),
         ""},
        {text("f32[5,4]", "f32[5,6]",
              "{axes = [1], sizes = [6], mode = \"linear\", roi = [-0.5,0.8], "
              "coordinates = \"tf_crop_and_resize\", extrapolation = 10}"),
         ""},
        {text("int8[4]", "int8[2]", "{axes = [0], sizes = [2], mode = \"cubic\"}"),
         "put a Dequantize before it"},
        {text("f32[4]", "f32[2]", "{axes = [0], sizes = [2,2]}"), "equally many"},
        {text("f32[4]", "f32[2]", "{axes = [0], sizes = [2], antialias = 1}"), "mode nearest"},
        {text("f32[4]", "f32[2]", "{axes = [0,-1], sizes = [2,2]}"), "named twice"}};
  }

 private:
  static void check_mode(const NodeView& node) {
    const bool antialias = flag(node, "antialias"), excludes = flag(node, "exclude_outside");
    if (node.string("mode") != "nearest") {
      require_reals(node);
    } else if (antialias || excludes) {
      throw Error("mode nearest takes neither antialias nor exclude_outside; use linear");
    } else if (node.string("coordinates") == "tf_crop_and_resize") {
      require_reals(node);
    }
  }

  static std::vector<ResizedAxis> resized_axes(const NodeView& node, const Shape& shape) {
    std::vector<ResizedAxis> result;
    const auto& axes = node.integers("axes");
    const auto &scales = node.reals("scales"), &roi = node.reals("roi");
    for (std::size_t i = 0; i < axes.size(); ++i) {
      const std::size_t axis = normalized_axis(axes[i], shape.size());
      ResizedAxis resized{axis, shape[axis], node.integers("sizes")[i], 0, 0, 1};
      resized.scale = scales.empty()
                          ? static_cast<double>(resized.size) / static_cast<double>(resized.extent)
                          : scales[i];
      if (!roi.empty()) {
        resized.begin = roi[i];
        resized.end = roi[i + axes.size()];
      }
      const bool whole = resized.begin == 0 && resized.end == 1;
      if (resized.size != resized.extent || resized.scale != 1 || !whole) result.push_back(resized);
    }
    return result;
  }

  // Where element i of the new axis lies on the old one; nullopt where that is outside of what is
  // shown.
  static std::optional<double> coordinate(const std::string& mode, const ResizedAxis& axis,
                                          std::int64_t i) {
    const auto at = static_cast<double>(i);
    const auto extent = static_cast<double>(axis.extent), last = extent - 1;
    const double width = axis.scale * extent;
    if (mode == "asymmetric") return at / axis.scale;
    if (mode == "align_corners") return width == 1 ? 0 : at * last / (width - 1);
    if (mode == "tf_crop_and_resize") {
      const double shown = (axis.end - axis.begin) * last;
      const double x = axis.begin * last + (width == 1 ? shown / 2 : at * shown / (width - 1));
      if (x < 0 || x > last) return std::nullopt;
      return x;
    }
    if (mode == "pytorch_half_pixel" && width == 1) return -0.5;
    const double half_pixel = (at + 0.5) / axis.scale - 0.5;
    if (mode != "half_pixel_symmetric") return half_pixel;
    return extent / 2 * (1 - static_cast<double>(axis.size) / width) + half_pixel;
  }

  // ---- nearest ----

  static std::int64_t nearest_index(const std::string& mode, double x) {
    const double floor = std::floor(x), part = x - floor;
    const bool up = mode == "ceil"                ? part > 0
                    : mode == "round_prefer_ceil" ? part >= 0.5
                    : mode == "floor"             ? false
                                                  : part > 0.5;
    return static_cast<std::int64_t>(floor) + (up ? 1 : 0);
  }

  static Tensor picked(const NodeView& node, const Tensor& x, const ResizedAxis& axis) {
    const AxisSplit from = split_at(x.shape(), axis.axis);
    Shape shape = x.shape();
    shape[axis.axis] = axis.size;
    std::vector<std::int64_t> sources;  // -1: outside
    for (std::int64_t i = 0; i < axis.size; ++i) {
      const auto at = coordinate(node.string("coordinates"), axis, i);
      sources.push_back(at ? std::clamp<std::int64_t>(nearest_index(node.string("nearest"), *at), 0,
                                                      axis.extent - 1)
                           : -1);
    }
    Tensor y(x.format(), shape);
    const Tensor outside = x.format().is_float()
                               ? Tensor::scalar(node.real("extrapolation"), x.format())
                               : Tensor(x.format(), {});
    visit_storage(x.format().storage(), [&]<typename T>() {
      const T* source = x.data<T>().data();
      T* to = y.mutable_data<T>().data();
      for (std::int64_t o = 0; o < from.outer; ++o, source += from.extent * from.inner) {
        for (const std::int64_t index : sources) {
          to = index < 0 ? std::fill_n(to, from.inner, outside.data<T>()[0])
                         : std::copy_n(source + index * from.inner, from.inner, to);
        }
      }
    });
    return y;
  }

  // ---- linear, cubic ----

  static double shrinking(const NodeView& node, const ResizedAxis& axis) {
    return flag(node, "antialias") ? std::min(axis.scale, 1.0) : 1.0;
  }

  // Taps lie from this one to 1 - this one, counted from the element before the sample.
  static std::int64_t first_tap(const NodeView& node, const ResizedAxis& axis) {
    const double radius = node.string("mode") == "cubic" ? 2 : 1;
    return static_cast<std::int64_t>(std::floor(-radius / shrinking(node, axis))) + 1;
  }

  static Taps taps_at(const NodeView& node, const ResizedAxis& axis, double x) {
    const bool cubic = node.string("mode") == "cubic", excludes = flag(node, "exclude_outside");
    const double a = node.real("cubic_a"), scale = shrinking(node, axis);
    const double before = std::ceil(x) - 1, ratio = x - before;
    const std::int64_t first = first_tap(node, axis);
    Taps taps;
    double total = 0;
    for (std::int64_t i = first; i <= 1 - first; ++i) {
      const double distance = (static_cast<double>(i) - ratio) * scale;
      double weight = cubic ? cubic_kernel(distance, a) : linear_kernel(distance);
      const std::int64_t index = static_cast<std::int64_t>(before) + i;
      const std::int64_t inside = std::clamp<std::int64_t>(index, 0, axis.extent - 1);
      if (excludes && index != inside) weight = 0;
      total += weight;
      if (weight != 0) taps.push_back({inside, weight});
    }
    if (total != 0 && (excludes || flag(node, "antialias")))
      for (Tap& tap : taps) tap.weight /= total;
    return taps;
  }

  template <typename T>
  static Tensor interpolated(const NodeView& node, const Tensor& x, const ResizedAxis& axis) {
    const AxisSplit from = split_at(x.shape(), axis.axis);
    Shape shape = x.shape();
    shape[axis.axis] = axis.size;
    std::vector<std::optional<Taps>> taps;  // none: outside
    for (std::int64_t i = 0; i < axis.size; ++i) {
      const auto at = coordinate(node.string("coordinates"), axis, i);
      taps.push_back(at ? std::optional(taps_at(node, axis, *at)) : std::nullopt);
    }
    Tensor y(x.format(), shape);
    const T outside = static_cast<T>(node.real("extrapolation"));
    const T* source = x.data<T>().data();
    T* to = y.mutable_data<T>().data();
    for (std::int64_t o = 0; o < from.outer; ++o, source += from.extent * from.inner) {
      for (const auto& sample : taps) {
        if (!sample) {
          to = std::fill_n(to, from.inner, outside);
          continue;
        }
        for (const Tap& tap : *sample) {
          const T* row = source + tap.index * from.inner;
          const T weight = static_cast<T>(tap.weight);
          for (std::int64_t n = 0; n < from.inner; ++n) to[n] += weight * row[n];
        }
        to += from.inner;
      }
    }
    return y;
  }
};

}  // namespace

void register_resize_operators() { operators().add(std::make_unique<Resize>()); }

}  // namespace tandem
