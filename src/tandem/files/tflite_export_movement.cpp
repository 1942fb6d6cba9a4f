// Data movement as TensorFlow Lite's operators: codes move as they are.
#include <algorithm>
#include <numeric>

#include "tandem/base/text.h"
#include "tandem/files/tflite_export.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

constexpr int kMoveVersion = 2;  // of operators that move codes too

int plain_operand(TfliteExporter& out, const Node& node, const Sink& sink, std::size_t index = 0) {
  return out.plain(out.moved_operand(node.inputs[index], sink));
}

// Elements of channels last in the order of channels second where only one axis is not 1.
bool has_one_long_axis(const Shape& shape) {
  return std::count_if(shape.begin() + 1, shape.end(), [](auto n) { return n != 1; }) <= 1;
}

Placed write_reshape(TfliteExporter& out, const Node& node, const Sink& sink) {
  const Placed x = out.moved_operand(node.inputs[0], sink);
  const bool as_it_is = x.is_channels_last && has_one_long_axis(out.file().shape(x.tensor));
  const int from = as_it_is ? x.tensor : out.plain(x);
  const int y = out.result(sink, out.shape(sink.value));
  out.reshape(from, y);
  return {y, false};
}

Placed write_identity(TfliteExporter& out, const Node& node, const Sink& sink) {
  return out.moved_operand(node.inputs[0], sink);
}

// From channels last to channels second and back is only another name for the same tensor.
Placed write_transpose(TfliteExporter& out, const Node& node, const Sink& sink) {
  const Integers& perm = out.view_of(node).integers("perm");
  const Placed x = out.moved_operand(node.inputs[0], sink);
  if (x.is_channels_last && perm == Integers{0, 2, 3, 1}) return {x.tensor, false};
  if (!x.is_channels_last && perm == Integers{0, 3, 1, 2}) return {x.tensor, true};
  const int from = out.plain(x), y = out.result(sink, out.shape(sink.value));
  out.file().add("TRANSPOSE", {from, out.index_constant(perm, sink.name + ".perm")}, {y},
                 kMoveVersion);
  return {y, false};
}

Placed write_concat(TfliteExporter& out, const Node& node, const Sink& sink) {
  const Shape to = out.shape(sink.value);
  std::int64_t axis = out.view_of(node).integer("axis");
  if (axis < 0) axis += static_cast<std::int64_t>(to.size());
  std::vector<Placed> parts;
  for (const ValueId input : node.inputs) parts.push_back(out.moved_operand(input, sink));
  const bool last =
      to.size() == 4 && std::ranges::any_of(parts, [](Placed p) { return p.is_channels_last; });
  std::vector<int> inputs;
  for (const Placed& part : parts) inputs.push_back(out.in_order(part, last));
  constexpr std::int64_t kLast[] = {0, 3, 1, 2};
  tflite::ConcatenationOptionsT options;
  options.axis = static_cast<std::int32_t>(last ? kLast[axis] : axis);
  const int y = out.result(sink, last ? Shape{to[0], to[2], to[3], to[1]} : to);
  out.file().add("CONCATENATION", inputs, {y}, kMoveVersion, std::move(options));
  return {y, last};
}

// x[begin : end : step] along every axis; an end of -1 with a step back is the whole rest.
Placed cut(TfliteExporter& out, int x, const Integers& begins, Integers ends, const Integers& steps,
           const Sink& sink) {
  tflite::StridedSliceOptionsT options;
  for (std::size_t d = 0; d < ends.size(); ++d) {
    if (ends[d] >= 0) continue;
    options.end_mask |= 1 << d;
    ends[d] = 0;
  }
  const int y = out.result(sink, out.shape(sink.value));
  out.file().add("STRIDED_SLICE",
                 {x, out.index_constant(begins, sink.name + ".begin"),
                  out.index_constant(ends, sink.name + ".end"),
                  out.index_constant(steps, sink.name + ".step")},
                 {y}, kMoveVersion, options);
  return {y, false};
}

Placed write_slice(TfliteExporter& out, const Node& node, const Sink& sink) {
  const NodeView view = out.view_of(node);
  const Shape shape = out.shape(node.inputs[0]);
  Integers begins(shape.size(), 0), ends = shape, steps(shape.size(), 1);
  const Integers &starts = view.integers("starts"), &stops = view.integers("ends"),
                 &given = view.integers("steps");
  Integers axes = view.integers("axes");
  if (axes.empty()) {
    axes.resize(starts.size());
    std::iota(axes.begin(), axes.end(), std::int64_t{0});
  }
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const auto d = static_cast<std::size_t>(
        axes[i] < 0 ? axes[i] + static_cast<std::int64_t>(shape.size()) : axes[i]);
    const std::int64_t extent = shape[d], step = given.empty() ? 1 : given[i];
    const auto at = [&](std::int64_t position) {
      return position < 0 ? position + extent : position;
    };
    const bool back = step < 0;
    begins[d] = std::clamp<std::int64_t>(at(starts[i]), 0, back ? extent - 1 : extent);
    ends[d] = std::clamp<std::int64_t>(at(stops[i]), back ? -1 : 0, back ? extent - 1 : extent);
    steps[d] = step;
  }
  return cut(out, plain_operand(out, node, sink), begins, ends, steps, sink);
}

Placed write_split(TfliteExporter& out, const Node& node, const Sink& sink) {
  const NodeView view = out.view_of(node);
  const Shape shape = out.shape(node.inputs[0]);
  std::int64_t axis = view.integer("axis");
  if (axis < 0) axis += static_cast<std::int64_t>(shape.size());
  const auto d = static_cast<std::size_t>(axis);
  Integers begins(shape.size(), 0), ends = shape;
  const Integers& sizes = view.integers("sizes");
  for (std::size_t i = 0; node.outputs[i] != sink.value; ++i) begins[d] += sizes[i];
  ends[d] = begins[d] + out.shape(sink.value)[d];
  return cut(out, plain_operand(out, node, sink), begins, ends, Integers(shape.size(), 1), sink);
}

// What a Pad of codes or reals pads with, as the file's code or real.
double padding_value(TfliteExporter& out, const Node& node, const Sink& sink) {
  const double value = out.view_of(node).real("value");
  if (!sink.is_coded()) return value;
  const TfliteCoding& coding = sink.codes->coding;
  if (!out.type(node.inputs[0]).format.is_float()) return value + static_cast<double>(coding.shift);
  return out.coded_constant(Tensor::scalar(value), coding, sink.codes->rounding).real(0);
}

Placed write_pad(TfliteExporter& out, const Node& node, const Sink& sink) {
  const NodeView view = out.view_of(node);
  const std::string& mode = view.string("mode");
  if (mode != "constant" && mode != "reflect")
    TfliteExporter::refuse(concat("its mode is ", mode), "pad with a constant or by reflection");
  const int x = plain_operand(out, node, sink);
  const Integers& pads = view.integers("pads");
  const std::size_t rank = pads.size() / 2;
  constexpr std::size_t kMostAxes = 5;  // of the kernels
  if (rank > kMostAxes)
    TfliteExporter::refuse(concat("it pads ", rank, " axes"), "pad at most 5 axes");
  if (std::ranges::any_of(pads, [](auto n) { return n < 0; }))
    TfliteExporter::refuse("it cuts elements off", "slice instead");
  Integers pairs;
  for (std::size_t d = 0; d < rank; ++d) pairs.insert(pairs.end(), {pads[d], pads[rank + d]});
  const int table = out.file().constant(
      Tensor::from_integers(Format::integer(32, true), {static_cast<std::int64_t>(rank), 2}, pairs),
      {}, sink.name + ".pads");
  const int y = out.result(sink, out.shape(sink.value));
  if (mode == "reflect") {
    out.file().add("MIRROR_PAD", {x, table}, {y}, kMoveVersion, tflite::MirrorPadOptionsT());
    return {y, false};
  }
  const double value = padding_value(out, node, sink);
  const double nothing = sink.is_coded() ? static_cast<double>(sink.codes->coding.zero) : 0;
  if (value == nothing) {
    out.file().add("PAD", {x, table}, {y}, kMoveVersion);
    return {y, false};
  }
  std::optional<TfliteQuantization> quantization;
  if (sink.is_coded()) quantization = sink.codes->coding.quantization();
  const Format format = sink.is_coded() ? sink.codes->coding.format : Format();
  const int constant = out.file().constant(Tensor::from_reals(format, {1}, std::vector{value}),
                                           quantization, sink.name + ".value");
  out.file().add("PADV2", {x, table, constant}, {y}, kMoveVersion);
  return {y, false};
}

Placed write_gather(TfliteExporter& out, const Node& node, const Sink& sink) {
  const auto positions = out.known(node.inputs[1]);
  if (!positions)
    TfliteExporter::refuse("its positions are computed while the network runs", "fix them");
  std::int64_t axis = out.view_of(node).integer("axis");
  const Shape shape = out.shape(node.inputs[0]);
  if (axis < 0) axis += static_cast<std::int64_t>(shape.size());
  Integers wanted = positions->to_integers();
  for (std::int64_t& position : wanted)
    if (position < 0) position += shape[static_cast<std::size_t>(axis)];
  const int x = plain_operand(out, node, sink);
  const int table = out.file().constant(
      Tensor::from_integers(Format::integer(32, true), positions->shape(), wanted), {},
      out.name(node.inputs[1]));
  tflite::GatherOptionsT options;
  options.axis = static_cast<std::int32_t>(axis);
  const int y = out.result(sink, out.shape(sink.value));
  out.file().add("GATHER", {x, table}, {y}, kMoveVersion, options);
  return {y, false};
}

Placed write_blocks(TfliteExporter& out, const Node& node, const Sink& sink) {
  const NodeView view = out.view_of(node);
  const bool to_space = node.op->name() == "DepthToSpace";
  if (to_space && view.string("mode") != "DCR")
    TfliteExporter::refuse("its mode is CRD", "order its channels as mode DCR takes them");
  const int x = out.in_order(out.moved_operand(node.inputs[0], sink), true);
  const Shape to = out.shape(sink.value);
  const int y = out.result(sink, {to[0], to[2], to[3], to[1]});
  const auto size = static_cast<std::int32_t>(view.integer("blocksize"));
  if (to_space) {
    tflite::DepthToSpaceOptionsT options;
    options.block_size = size;
    out.file().add("DEPTH_TO_SPACE", {x}, {y}, kMoveVersion, options);
  } else {
    tflite::SpaceToDepthOptionsT options;
    options.block_size = size;
    out.file().add("SPACE_TO_DEPTH", {x}, {y}, kMoveVersion, options);
  }
  return {y, true};
}

}  // namespace

void add_tflite_movement_writers(TfliteWriters& writers) {
  const auto add = [&](const char* op, TfliteWriter write) {
    writers[op] = {.write = write, .moves = true};
  };
  add("Reshape", write_reshape);
  add("Identity", write_identity);
  add("Transpose", write_transpose);
  add("Concat", write_concat);
  add("Slice", write_slice);
  add("Split", write_split);
  add("Pad", write_pad);
  add("Gather", write_gather);
  add("DepthToSpace", write_blocks);
  add("SpaceToDepth", write_blocks);
}

}  // namespace tandem
