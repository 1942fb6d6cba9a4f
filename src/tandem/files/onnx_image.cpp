#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "tandem/files/onnx_import.h"
#include "tandem/ops/broadcast.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;
using Reals = std::vector<double>;

constexpr double kWidest = 1 << 30;  // of an axis

// A constant list of reals; empty where the input is absent or has no elements.
Reals reals(OnnxNode& node, std::size_t input, std::string_view what) {
  if (!node.has(input)) return {};
  return node.required_constant(input, what).to_reals();
}

// What all forms of Resize come to: the axes, their new extents, and the scales behind those.
struct Sizes {
  Integers axes, sizes;
  Reals scales;
};

std::int64_t extent_of(OnnxNode& node, std::int64_t axis) {
  return node.type(0).shape[static_cast<std::size_t>(axis)].constant();
}

// extent * scale rounded down, as ONNX defines the new extent.
Sizes by_scales(OnnxNode& node, Integers axes, const Reals& scales) {
  if (scales.size() != axes.size())
    OnnxNode::refuse(concat("it has ", scales.size(), " scales for ", axes.size(), " axes"),
                     "correct the scales");
  Sizes result;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    if (!(scales[i] > 0) || !std::isfinite(scales[i]))
      OnnxNode::refuse(concat("it has the scale ", scales[i]), "correct the scales");
    if (scales[i] == 1) continue;  // a symbolic axis may stay as it is
    const double size = std::floor(static_cast<double>(extent_of(node, axes[i])) * scales[i]);
    if (size > kWidest)
      OnnxNode::refuse(concat("it makes ", size, " elements"), "correct the scales");
    result.axes.push_back(axes[i]);
    result.sizes.push_back(static_cast<std::int64_t>(size));
    result.scales.push_back(scales[i]);
  }
  return result;
}

// Axes whose new extent is the old one may be symbolic.
Sizes by_sizes(OnnxNode& node, const Integers& axes, const std::vector<Dim>& sizes) {
  if (sizes.size() != axes.size())
    OnnxNode::refuse(concat("it has ", sizes.size(), " sizes for ", axes.size(), " axes"),
                     "correct the sizes");
  const std::string policy = node.text("keep_aspect_ratio_policy", "stretch");
  Sizes result;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const bool stays = sizes[i] == node.type(0).shape[static_cast<std::size_t>(axes[i])];
    if (policy == "stretch" && stays) continue;
    result.axes.push_back(axes[i]);
    result.sizes.push_back(sizes[i].constant());
  }
  if (policy == "stretch") return result;
  if (policy != "not_larger" && policy != "not_smaller")
    OnnxNode::refuse(concat("keep_aspect_ratio_policy is '", policy, "'"), "correct the attribute");
  Reals ratios;
  for (std::size_t i = 0; i < axes.size(); ++i)
    ratios.push_back(static_cast<double>(result.sizes[i]) /
                     static_cast<double>(extent_of(node, axes[i])));
  const double scale = policy == "not_larger" ? *std::min_element(ratios.begin(), ratios.end())
                                              : *std::max_element(ratios.begin(), ratios.end());
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const double size = std::floor(static_cast<double>(extent_of(node, axes[i])) * scale + 0.5);
    if (!(size >= 0 && size <= kWidest))
      OnnxNode::refuse(concat("it makes ", size, " elements"), "correct the sizes");
    result.sizes[i] = static_cast<std::int64_t>(size);
  }
  result.scales.assign(axes.size(), scale);
  return result;
}

Integers resized_axes(OnnxNode& node) {
  const std::size_t rank = node.type(0).shape.size();
  auto axes = node.integers("axes");
  if (!axes) {
    Integers all(rank);
    std::iota(all.begin(), all.end(), 0);
    return all;
  }
  for (std::int64_t& axis : *axes) axis = static_cast<std::int64_t>(normalized_axis(axis, rank));
  return *axes;
}

// ONNX's begins, then ends of all axes that are resized, kept for those that change.
Reals kept_roi(const Reals& roi, const Integers& all, const Integers& kept) {
  Reals result;
  for (const std::size_t half : {std::size_t{0}, all.size()}) {
    for (const std::int64_t axis : kept) {
      const auto at =
          static_cast<std::size_t>(std::find(all.begin(), all.end(), axis) - all.begin());
      result.push_back(roi[half + at]);
    }
  }
  return result;
}

std::string coordinates_of(OnnxNode& node) {
  const std::string mode = node.text("coordinate_transformation_mode", "half_pixel");
  if (mode == "tf_half_pixel_for_nn")
    OnnxNode::refuse("coordinate_transformation_mode is 'tf_half_pixel_for_nn'",
                     "convert the model to operator set 13 or later");
  return mode;
}

// Axes that stay as they are need no node; the others stand in order.
ValueId resized(OnnxNode& node, ValueId x, const Sizes& sizes, Attributes attributes) {
  if (sizes.axes.empty()) return x;
  std::vector<std::size_t> order(sizes.axes.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t i) { return sizes.axes[i]; });
  Sizes sorted;
  for (const std::size_t i : order) {
    sorted.axes.push_back(sizes.axes[i]);
    sorted.sizes.push_back(sizes.sizes[i]);
    if (!sizes.scales.empty()) sorted.scales.push_back(sizes.scales[i]);
  }
  attributes["axes"] = sorted.axes;
  attributes["sizes"] = sorted.sizes;
  attributes["scales"] = sorted.scales;
  return node.add("Resize", {x}, std::move(attributes));
}

// Operator sets before 11 take the nearest element below, or above on an axis that shrinks.
void old_resize(OnnxNode& node, const Sizes& sizes) {
  const std::string mode = node.text("mode", "nearest");
  ValueId x = node.value(0);
  for (const bool shrinks : {true, false}) {
    Sizes some;
    for (std::size_t i = 0; i < sizes.axes.size(); ++i) {
      if ((sizes.scales[i] < 1) != shrinks) continue;
      some.axes.push_back(sizes.axes[i]);
      some.sizes.push_back(sizes.sizes[i]);
      some.scales.push_back(sizes.scales[i]);
    }
    x = resized(node, x, some,
                {{"mode", mode},
                 {"coordinates", std::string("asymmetric")},
                 {"nearest", std::string(shrinks ? "ceil" : "floor")}});
  }
  node.set(0, x);
}

void resize(OnnxNode& node) {
  if (node.opset() < 11) {
    const Reals scales = reals(node, 1, "its list of scales");
    return old_resize(node, by_scales(node, resized_axes(node), scales));
  }
  const Integers axes = resized_axes(node);
  Attributes attributes = {{"mode", node.text("mode", "nearest")},
                           {"coordinates", coordinates_of(node)},
                           {"nearest", node.text("nearest_mode", "round_prefer_floor")},
                           {"cubic_a", node.real("cubic_coeff_a", -0.75)},
                           {"exclude_outside", node.integer("exclude_outside", 0)},
                           {"antialias", node.integer("antialias", 0)},
                           {"extrapolation", node.real("extrapolation_value", 0)}};
  const Reals scales = reals(node, 2, "its list of scales");
  const bool by_size = node.has(3);
  if (by_size == !scales.empty())
    OnnxNode::refuse("it needs either scales or sizes", "give one of both");
  Sizes sizes = by_size ? by_sizes(node, axes, node.required_dims(3, "its list of sizes"))
                        : by_scales(node, axes, scales);
  const bool crops = std::get<std::string>(attributes["coordinates"]) == "tf_crop_and_resize";
  if (crops) {
    const Reals roi = reals(node, 1, "its region roi");
    if (roi.size() != 2 * axes.size())
      OnnxNode::refuse(concat("its roi has ", roi.size(), " entries"), "give it two for each axis");
    // An axis that keeps its extent may show another part of it.
    for (std::size_t i = 0; i < axes.size(); ++i) {
      const bool whole = roi[i] == 0 && roi[i + axes.size()] == 1;
      if (whole || std::ranges::count(sizes.axes, axes[i]) != 0) continue;
      sizes.axes.push_back(axes[i]);
      sizes.sizes.push_back(extent_of(node, axes[i]));
      if (!sizes.scales.empty() || !by_size) sizes.scales.push_back(1);
    }
    Integers kept = sizes.axes;
    std::ranges::sort(kept);
    attributes["roi"] = kept_roi(roi, axes, kept);
  } else {
    node.has(1);  // without meaning elsewhere
    node.text("keep_aspect_ratio_policy", "stretch");
  }
  node.set(0, resized(node, node.value(0), sizes, std::move(attributes)));
}

// Scales are an attribute before operator set 9 and an input since.
void upsample(OnnxNode& node) {
  Reals scales;
  if (node.has(1)) {
    scales = reals(node, 1, "its list of scales");
  } else if (const auto* list = node.attribute("scales")) {
    scales.assign(list->floats().begin(), list->floats().end());
  }
  old_resize(node, by_scales(node, resized_axes(node), scales));
}

void grid_sample(OnnxNode& node) {
  static const std::map<std::string, std::string> kModes = {
      {"bilinear", "linear"}, {"bicubic", "cubic"}};  // as operator set 16 called them
  std::string mode = node.text("mode", "linear");
  if (const auto found = kModes.find(mode); found != kModes.end()) mode = found->second;
  node.set(0, node.add("GridSample", node.values(),
                       {{"mode", mode},
                        {"padding", node.text("padding_mode", "zeros")},
                        {"align_corners", node.integer("align_corners", 0)}}));
}

void affine_grid(OnnxNode& node) {
  const Integers size = node.integers(1, "its size");
  if (size.size() < 4)
    OnnxNode::refuse(concat("its size has ", size.size(), " entries"), "give it [N,C,extents...]");
  const auto& maps = node.type(0).shape;
  if (maps.empty() || maps[0] != Dim(size[0]))
    OnnxNode::refuse("its size and its maps differ in their batch", "correct the size");
  node.set(0, node.add("AffineGrid", {node.value(0)},
                       {{"size", Integers(size.begin() + 2, size.end())},
                        {"align_corners", node.integer("align_corners", 0)}}));
}

void roi_align(OnnxNode& node) {
  const std::string mode = node.opset() >= 16
                               ? node.text("coordinate_transformation_mode", "half_pixel")
                               : std::string("output_half_pixel");
  if (mode != "half_pixel" && mode != "output_half_pixel")
    OnnxNode::refuse(concat("coordinate_transformation_mode is '", mode, "'"),
                     "correct the attribute");
  node.set(0, node.add("RoiAlign", node.values(),
                       {{"height", node.integer("output_height", 1)},
                        {"width", node.integer("output_width", 1)},
                        {"mode", node.text("mode", "avg")},
                        {"sampling_ratio", node.integer("sampling_ratio", 0)},
                        {"spatial_scale", node.real("spatial_scale", 1)},
                        {"half_pixel", std::int64_t{mode == "half_pixel" ? 1 : 0}}}));
}

void col2im(OnnxNode& node) {
  node.set(0, node.add("Col2Im", {node.value(0)},
                       {{"image", node.integers(1, "its image shape")},
                        {"kernel", node.integers(2, "its block shape")},
                        {"strides", node.integers("strides").value_or(Integers{})},
                        {"dilations", node.integers("dilations").value_or(Integers{})},
                        {"pads", node.integers("pads").value_or(Integers{})}}));
}

// What is too long is cut, what is too short filled with zeros, the odd element at the end.
void center_crop_pad(OnnxNode& node) {
  const Integers axes = resized_axes(node), wanted = node.integers(1, "its shape");
  if (wanted.size() != axes.size())
    OnnxNode::refuse("its shape has not one entry for each axis", "correct the shape");
  const std::size_t rank = node.type(0).shape.size();
  Integers starts, ends, pads(2 * rank, 0);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    if (wanted[i] < 0) OnnxNode::refuse(concat("its shape has ", wanted[i]), "correct the shape");
    const std::int64_t extent = extent_of(node, axes[i]);
    const auto axis = static_cast<std::size_t>(axes[i]);
    const std::int64_t cut = std::max<std::int64_t>(extent - wanted[i], 0);
    const std::int64_t added = std::max<std::int64_t>(wanted[i] - extent, 0);
    starts.push_back(cut / 2);
    ends.push_back(extent - (cut - cut / 2));
    pads[axis] = added / 2;
    pads[axis + rank] = added - added / 2;
  }
  const ValueId cut =
      node.add("Slice", {node.value(0)}, {{"starts", starts}, {"ends", ends}, {"axes", axes}});
  node.set(0, node.add("Pad", {cut}, {{"pads", pads}}));
}

}  // namespace

void add_image_handlers(OnnxHandlers& handlers) {
  handlers["Resize"] = resize;
  handlers["Upsample"] = upsample;
  handlers["GridSample"] = grid_sample;
  handlers["AffineGrid"] = affine_grid;
  handlers["RoiAlign"] = roi_align;
  handlers["Col2Im"] = col2im;
  handlers["CenterCropPad"] = center_crop_pad;
}

}  // namespace tandem
