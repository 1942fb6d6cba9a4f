// Data movement of TensorFlow Lite: codes move as they are.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "tandem/base/text.h"
#include "tandem/files/tflite_import.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

std::int64_t axis_of(std::int64_t axis, std::size_t rank) {
  const auto count = static_cast<std::int64_t>(rank);
  if (axis < -count || axis >= count)
    TfliteNode::refuse(concat("its axis is ", axis, " of ", rank), "convert the model again");
  return axis < 0 ? axis + count : axis;
}

void require_count(const Integers& list, std::size_t count, std::string_view what) {
  if (list.size() != count) {
    TfliteNode::refuse(concat(what, " has ", list.size(), " entries, not ", count),
                       "convert the model again");
  }
}

// ---- Shapes ------------------------------------------------------------------------------------

// The new shape is the declared one; what the operator says about it is in its result.
void reshape(TfliteNode& node) {
  node.has(1);
  node.require_same_quantization(0);
  const TfliteTensor &from = node.input(0), &to = node.output();
  if (element_count(from.shape) != element_count(to.shape)) {
    TfliteNode::refuse(concat(from.to_string(), " has not as many elements as ", to.to_string()),
                       "convert the model again");
  }
  node.set(node.reshaped(node.value(0), to.shape));
}

void transpose(TfliteNode& node) {
  node.require_same_quantization(0);
  const Integers perm = node.integers(1, "the permutation");
  node.set(node.add("Transpose", {node.value(0)}, {{"perm", perm}}));
}

void space_and_depth(TfliteNode& node) {
  node.require_same_quantization(0);
  const bool to_space = node.op() == "DEPTH_TO_SPACE";
  const std::int64_t block = to_space ? node.options<tflite::DepthToSpaceOptions>().block_size()
                                      : node.options<tflite::SpaceToDepthOptions>().block_size();
  const ValueId x = node.channels_second(node.value(0));
  const ValueId y =
      node.add(to_space ? "DepthToSpace" : "SpaceToDepth", {x}, {{"blocksize", block}});
  node.set(node.channels_last(y));
}

// ---- Padding -----------------------------------------------------------------------------------

Integers pads_of(TfliteNode& node) {
  const Integers pairs = node.integers(1, "the padding");
  const std::size_t rank = node.input(0).shape.size();
  require_count(pairs, 2 * rank, "the padding");
  Integers pads(2 * rank);
  for (std::size_t d = 0; d < rank; ++d) {
    pads[d] = pairs[2 * d];
    pads[rank + d] = pairs[2 * d + 1];
  }
  return pads;
}

void pad(TfliteNode& node) {
  node.require_same_quantization(0);
  double value = 0;
  if (node.has(2)) {
    if (node.input(2).quantization != node.input(0).quantization)
      TfliteNode::refuse("what it pads with has another scale", "convert the model again");
    const Tensor constant = node.constant(2, "what it pads with");
    if (constant.size() != 1)
      TfliteNode::refuse("it pads with more than one number", "convert the model again");
    value = constant.real(0);
  } else if (node.is_quantized(0)) {
    value = static_cast<double>(node.zero(node.input(0)));
  }
  node.set(node.add("Pad", {node.value(0)}, {{"pads", pads_of(node)}, {"value", value}}));
}

void mirror_pad(TfliteNode& node) {
  node.require_same_quantization(0);
  if (node.options<tflite::MirrorPadOptions>().mode() != tflite::MirrorMode::REFLECT)
    TfliteNode::refuse("it repeats the border (SYMMETRIC)", "pad with mode REFLECT");
  node.set(node.add("Pad", {node.value(0)},
                    {{"pads", pads_of(node)}, {"mode", std::string("reflect")}}));
}

// ---- Joining and cutting -----------------------------------------------------------------------

void concatenation(TfliteNode& node) {
  const auto& options = node.options<tflite::ConcatenationOptions>();
  if (options.activation() != tflite::Activation::NONE)
    TfliteNode::refuse("it has a fused activation function", "convert the model again");
  std::vector<ValueId> parts;
  for (std::size_t i = 0; i < node.input_count(); ++i) {
    node.require_same_quantization(i);
    parts.push_back(node.value(i));
  }
  const std::int64_t axis = axis_of(options.axis(), node.output().shape.size());
  node.set(node.add("Concat", parts, {{"axis", axis}}));
}

// Tensors of equal shape along a new axis.
void pack(TfliteNode& node) {
  const std::size_t rank = node.output().shape.size();
  const std::int64_t axis = axis_of(node.options<tflite::PackOptions>().axis(), rank);
  std::vector<ValueId> parts;
  for (std::size_t i = 0; i < node.input_count(); ++i) {
    node.require_same_quantization(i);
    Shape shape = node.input(i).shape;
    if (static_cast<std::size_t>(axis) > shape.size())
      TfliteNode::refuse("its result has too many axes", "convert the model again");
    shape.insert(shape.begin() + axis, 1);
    parts.push_back(node.reshaped(node.value(i), shape));
  }
  node.set(node.add("Concat", parts, {{"axis", axis}}));
}

// x[begin : end : step] along each axis.
ValueId cut(TfliteNode& node, ValueId x, const Integers& begins, const Integers& ends,
            const Integers& steps) {
  Integers axes(begins.size());
  std::iota(axes.begin(), axes.end(), std::int64_t{0});
  return node.add("Slice", {x},
                  {{"starts", begins}, {"ends", ends}, {"steps", steps}, {"axes", axes}});
}

void slice(TfliteNode& node) {
  node.require_same_quantization(0);
  const Shape& shape = node.input(0).shape;
  const Integers begins = node.integers(1, "the begin"), sizes = node.integers(2, "the size");
  require_count(begins, shape.size(), "the begin");
  require_count(sizes, shape.size(), "the size");
  Integers ends;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    if (begins[d] < 0 || begins[d] >= shape[d] || sizes[d] < -1 || sizes[d] > shape[d])
      TfliteNode::refuse(concat("it cuts beyond axis ", d), "convert the model again");
    ends.push_back(sizes[d] == -1 ? shape[d] : begins[d] + sizes[d]);
  }
  node.set(cut(node, node.value(0), begins, ends, Integers(shape.size(), 1)));
}

void strided_slice(TfliteNode& node) {
  node.require_same_quantization(0);
  const auto& options = node.options<tflite::StridedSliceOptions>();
  if (options.ellipsis_mask() != 0 || options.new_axis_mask() != 0 || options.offset()) {
    TfliteNode::refuse("it uses an ellipsis, a new axis or offsets",
                       "write the slice with begin, end and stride for every axis");
  }
  const Shape& shape = node.input(0).shape;
  Integers begins = node.integers(1, "the begin"), ends = node.integers(2, "the end"),
           steps = node.integers(3, "the stride");
  require_count(ends, begins.size(), "the end");
  require_count(steps, begins.size(), "the stride");
  if (begins.size() > shape.size())
    TfliteNode::refuse("it cuts more axes than there are", "convert the model again");
  constexpr std::int64_t kWhole = std::int64_t{1} << 31;
  for (std::size_t d = 0; d < begins.size(); ++d) {
    const auto is_in = [&](std::int32_t mask) { return (mask >> d & 1) != 0; };
    const bool back = steps[d] < 0;
    if (is_in(options.shrink_axis_mask())) {
      const std::int64_t at = axis_of(begins[d], static_cast<std::size_t>(shape[d]));
      begins[d] = at;
      ends[d] = at + 1;
      steps[d] = 1;
      continue;
    }
    if (is_in(options.begin_mask())) begins[d] = back ? kWhole : 0;
    if (is_in(options.end_mask())) ends[d] = back ? -kWhole : kWhole;
  }
  node.set(node.reshaped(cut(node, node.value(0), begins, ends, steps), node.output().shape));
}

// One result after the other along an axis.
void set_parts(TfliteNode& node, std::size_t data, std::int64_t axis) {
  const Shape& shape = node.input(data).shape;
  axis = axis_of(axis, shape.size());
  const auto at = static_cast<std::size_t>(axis);
  Integers begins(shape.size(), 0), ends = shape;
  for (std::size_t i = 0; i < node.output_count(); ++i) {
    node.require_same_quantization(data, i);
    const Shape& part = node.output(i).shape;
    if (part.size() != shape.size())
      TfliteNode::refuse("its results have other axes than its input", "convert the model again");
    ends[at] = begins[at] + part[at];
    if (ends[at] > shape[at])
      TfliteNode::refuse("its results have more elements than its input",
                         "convert the model again");
    node.set(cut(node, node.value(data), begins, ends, Integers(shape.size(), 1)), i);
    begins[at] = ends[at];
  }
}

std::int64_t single(TfliteNode& node, std::size_t input, std::string_view what) {
  const Integers values = node.integers(input, what);
  require_count(values, 1, what);
  return values[0];
}

void split(TfliteNode& node) { set_parts(node, 1, single(node, 0, "the axis")); }

void split_v(TfliteNode& node) {
  node.integers(1, "the sizes");  // those of the results
  set_parts(node, 0, single(node, 2, "the axis"));
}

void gather(TfliteNode& node) {
  node.require_same_quantization(0);
  const auto& options = node.options<tflite::GatherOptions>();
  if (options.batch_dims() != 0)
    TfliteNode::refuse("its batch_dims are not 0", "gather without batch dimensions");
  const std::int64_t axis = axis_of(options.axis(), node.input(0).shape.size());
  node.set(node.add("Gather", {node.value(0), node.value(1)}, {{"axis", axis}}));
}

// ---- Resizing ----------------------------------------------------------------------------------

struct Resize {
  bool align_corners, half_pixel_centers;
};

// The nearest of `from` positions for each of `to`, in f32 as the kernel computes.
Tensor nearest_positions(std::int64_t from, std::int64_t to, const Resize& resize) {
  const bool align = resize.align_corners && to > 1;
  const float scale = align ? static_cast<float>(from - 1) / static_cast<float>(to - 1)
                            : static_cast<float>(from) / static_cast<float>(to);
  const float offset = resize.half_pixel_centers ? 0.5F : 0.0F;
  Integers positions;
  for (std::int64_t i = 0; i < to; ++i) {
    const float at = (static_cast<float>(i) + offset) * scale;
    const float whole = align ? std::round(at) : std::floor(at);
    positions.push_back(std::clamp<std::int64_t>(static_cast<std::int64_t>(whole), 0, from - 1));
  }
  return Tensor::from_integers(Format::integer(64, true), {to}, positions);
}

void resize_nearest_neighbor(TfliteNode& node) {
  node.require_same_quantization(0);
  const auto* options = node.optional_options<tflite::ResizeNearestNeighborOptions>();
  const Resize resize{options != nullptr && options->align_corners(),
                      options != nullptr && options->half_pixel_centers()};
  const Integers size = node.integers(1, "the size");
  require_count(size, 2, "the size");
  require_count(node.input(0).shape, 4, "the shape of its input");
  ValueId x = node.value(0);
  for (std::size_t d = 1; d <= 2; ++d) {
    constexpr std::int64_t kLargest = 65536;
    if (size[d - 1] != node.output().shape[d] || size[d - 1] > kLargest) {
      TfliteNode::refuse("its result has another size than it says, or more than 65536 rows",
                         "convert the model again");
    }
    const ValueId positions =
        node.constant(nearest_positions(node.input(0).shape[d], size[d - 1], resize));
    x = node.add("Gather", {x, positions}, {{"axis", static_cast<std::int64_t>(d)}});
  }
  node.set(x);
}

}  // namespace

void add_tflite_movement_handlers(TfliteHandlers& handlers) {
  handlers["RESHAPE"] = handlers["SQUEEZE"] = handlers["EXPAND_DIMS"] = reshape;
  handlers["TRANSPOSE"] = transpose;
  handlers["DEPTH_TO_SPACE"] = handlers["SPACE_TO_DEPTH"] = space_and_depth;
  handlers["PAD"] = handlers["PADV2"] = pad;
  handlers["MIRROR_PAD"] = mirror_pad;
  handlers["CONCATENATION"] = concatenation;
  handlers["PACK"] = pack;
  handlers["SLICE"] = slice;
  handlers["STRIDED_SLICE"] = strided_slice;
  handlers["SPLIT"] = split;
  handlers["SPLIT_V"] = split_v;
  handlers["GATHER"] = gather;
  handlers["RESIZE_NEAREST_NEIGHBOR"] = resize_nearest_neighbor;
}

}  // namespace tandem
