#include <algorithm>
#include <array>
#include <cmath>
#include <memory>

#include "tandem/graph/registry.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/resampling.h"
#include "tandem/ops/support.h"

namespace tandem {
namespace {

class RoiAlign final : public Operator {
 public:
  std::string_view name() const override { return "RoiAlign"; }
  std::string_view description() const override {
    return "Regions [R,4] (x1,y1,x2,y2) of images x [N,C,H,W], whose integer numbers are the third "
           "input [R], pooled to [R,C,height,width] over bilinear samples.";
  }
  std::vector<AttributeSpec> attributes() const override {
    return {integer_attribute("height", "rows of the result", 1),
            integer_attribute("width", "columns of the result", 1),
            choice_attribute("mode", "what becomes of the samples of an element", {"avg", "max"}),
            integer_attribute("sampling_ratio",
                              "samples per element and axis; 0: one for each element of x", 0),
            real_attribute("spatial_scale", "from the regions' coordinates to those of x", 1),
            flag_attribute("half_pixel", "coordinates are those of pixel centres", true)};
  }
  std::size_t min_inputs() const override { return 3; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const Format format = require_real(node, 0);
    if (require_real(node, 1) != format) throw Error("the regions and x differ in format");
    const auto &x = node.input(0).shape, &regions = node.input(1).shape;
    if (x.size() != 4 || regions.size() != 2 || regions[1] != Dim(4) ||
        node.input(2).shape != std::vector<Dim>{regions[0]} || !node.input(2).format.is_integer()) {
      throw Error("x, the regions and their images are ", node.input(0).to_string(), ", ",
                  node.input(1).to_string(), " and ", node.input(2).to_string(),
                  "; they must be [N,C,H,W], [R,4] and integers [R]");
    }
    constexpr std::int64_t kMost = 4096;
    for (const char* name : {"height", "width"})
      if (node.integer(name) < 1 || node.integer(name) > kMost)
        throw Error(name, " is ", node.integer(name), "; it must lie between 1 and ", kMost);
    if (node.integer("sampling_ratio") < 0 || node.integer("sampling_ratio") > kMost)
      throw Error("sampling_ratio is ", node.integer("sampling_ratio"));
    flag(node, "half_pixel");
    return {{{regions[0], x[1], Dim(node.integer("height")), Dim(node.integer("width"))}, format}};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    return compute_reals(inputs[0].format(), inputs,
                         [&]<typename T>(std::span<const Tensor> reals) {
                           return std::vector{pooled<T>(node, reals)};
                         });
  }

  // With one sample for each element of x there are at least as many as results.
  Work work(const NodeView& node) const override {
    const std::int64_t ratio = std::max<std::int64_t>(node.integer("sampling_ratio"), 1);
    return work_of(node, {operations(node, OperationKind::kMultiplyAccumulate,
                                     4 * ratio * ratio * output_elements(node))});
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view regions, std::string_view attributes) {
      return sample_text(
          concat("symbol N in [1,8]\nconstant @i : int64[3] = [0,1,0]\n"
                 "constant @r : f32[3,4] = [0,0,4,4,1.5,0.5,5,2,-1,-1,2,8]"),
          concat("%x : f32[2,N,5,6], %z : ", regions),
          concat("%r = constant @r\n  %i = constant @i\n  %y : f32[3,N,2,3] = RoiAlign(%x, %",
                 regions == "f32[3,4]" ? "r" : "z", ", %i) ", attributes));
    };
    return {{text("f32[3,4]", "{height = 2, width = 3}"), ""},
            {text("f32[3,4]",
                  "{height = 2, width = 3, mode = \"max\", sampling_ratio = 2, "
                  "half_pixel = 0, spatial_scale = 0.5}"),
             ""},
            {text("f32[3,5]", "{height = 2, width = 3}"), "they must be"},
            {text("f32[3,4]", "{height = 0, width = 3}"), "height is 0"}};
  }

 private:
  // One axis of a region: begin and length in elements of x, results, samples per result.
  struct Axis {
    double begin, length;
    std::int64_t extent, results, samples;
  };

  static Axis axis_of(const NodeView& node, double begin, double end, std::int64_t extent,
                      std::int64_t results) {
    const bool half_pixel = flag(node, "half_pixel");
    const double scale = node.real("spatial_scale"), shift = half_pixel ? 0.5 : 0;
    Axis axis{begin * scale - shift, (end - begin) * scale, extent, results,
              node.integer("sampling_ratio")};
    if (!half_pixel) axis.length = std::max(axis.length, 1.0);
    if (axis.samples == 0) {
      constexpr double kMost = 4096;
      const double wanted = std::ceil(axis.length / static_cast<double>(results));
      if (!(wanted <= kMost))
        throw Error("a region takes ", wanted, " samples per result; set sampling_ratio");
      axis.samples = static_cast<std::int64_t>(std::max(wanted, 0.0));
    }
    return axis;
  }

  // The two elements around sample s of result r and their weights; false outside of x.
  static bool taps_at(const Axis& axis, std::int64_t r, std::int64_t s, std::array<Tap, 2>& taps) {
    const double step = axis.length / static_cast<double>(axis.results);
    double at = axis.begin + static_cast<double>(r) * step +
                (static_cast<double>(s) + 0.5) * step / static_cast<double>(axis.samples);
    const auto extent = static_cast<double>(axis.extent);
    if (!(at >= -1 && at <= extent)) return false;
    at = std::clamp(at, 0.0, extent - 1);
    const double low = std::floor(at);
    const auto index = static_cast<std::int64_t>(low);
    taps = {Tap{index, 1 - (at - low)}, Tap{std::min(index + 1, axis.extent - 1), at - low}};
    return true;
  }

  struct Sample {
    std::array<std::int64_t, 4> index;
    std::array<double, 4> weight;
  };

  static std::vector<Sample> samples_of(const Axis& rows, const Axis& columns, std::int64_t y,
                                        std::int64_t x) {
    std::vector<Sample> samples;
    std::array<Tap, 2> down{}, across{};
    for (std::int64_t i = 0; i < rows.samples; ++i) {
      for (std::int64_t j = 0; j < columns.samples; ++j) {
        Sample sample{};
        if (taps_at(rows, y, i, down) && taps_at(columns, x, j, across)) {
          for (std::size_t k = 0; k < 4; ++k) {
            sample.index[k] = down[k / 2].index * columns.extent + across[k % 2].index;
            sample.weight[k] = down[k / 2].weight * across[k % 2].weight;
          }
        }
        samples.push_back(sample);
      }
    }
    return samples;
  }

  // The mean of the samples, or the greatest weighted element, as ONNX defines `max`.
  template <typename T>
  static double joined(const std::vector<Sample>& samples, const T* image, bool greatest) {
    double result = 0;
    bool first = true;
    for (const Sample& sample : samples) {
      std::array<double, 4> parts{};
      for (std::size_t k = 0; k < 4; ++k)
        parts[k] = sample.weight[k] * static_cast<double>(image[sample.index[k]]);
      if (greatest) {
        const double best = *std::max_element(parts.begin(), parts.end());
        result = first ? best : std::max(result, best);
        first = false;
      } else {
        result += parts[0] + parts[1] + parts[2] + parts[3];
      }
    }
    return greatest || samples.empty() ? result : result / static_cast<double>(samples.size());
  }

  template <typename T>
  static Tensor pooled(const NodeView& node, std::span<const Tensor> inputs) {
    const Shape& x = inputs[0].shape();
    const Shape shape = {inputs[1].shape()[0], x[1], node.integer("height"), node.integer("width")};
    const bool greatest = node.string("mode") == "max";
    const auto images = inputs[2].to_integers();
    Tensor y(inputs[0].format(), shape);
    const T* region = inputs[1].data<T>().data();
    T* to = y.mutable_data<T>().data();
    const std::int64_t plane = x[2] * x[3], results = shape[2] * shape[3];
    for (std::int64_t r = 0; r < shape[0]; ++r, region += 4, to += x[1] * results) {
      const std::int64_t image = images[static_cast<std::size_t>(r)];
      if (image < 0 || image >= x[0])
        throw Error("region ", r, " is of image ", image, " of ", x[0]);
      const Axis rows = axis_of(node, region[1], region[3], x[2], shape[2]);
      const Axis columns = axis_of(node, region[0], region[2], x[3], shape[3]);
      for (std::int64_t p = 0; p < results; ++p) {
        const auto samples = samples_of(rows, columns, p / shape[3], p % shape[3]);
        for (std::int64_t c = 0; c < x[1]; ++c) {
          const T* channel = inputs[0].data<T>().data() + (image * x[1] + c) * plane;
          to[c * results + p] = static_cast<T>(joined(samples, channel, greatest));
        }
      }
    }
    return y;
  }
};

}  // namespace

void register_roi_align_operators() { operators().add(std::make_unique<RoiAlign>()); }

}  // namespace tandem
