#include <algorithm>
#include <array>

#include "tandem/base/text.h"
#include "tandem/files/onnx_import.h"
#include "tandem/files/onnx_tensor.h"
#include "tandem/graph/symbolic.h"
#include "tandem/ops/broadcast.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

// The largest constant that a few bytes of a model may call into being.
constexpr std::int64_t kMostFilled = std::int64_t{1} << 22;

Format index_format() { return Format::parse("int64"); }

// As an attribute of Expand or Range.
std::vector<std::string> expressions(const std::vector<Dim>& dims) {
  std::vector<std::string> texts;
  for (const Dim& dim : dims) texts.push_back(braced(dim));
  return texts;
}

// Repeated to sizes. A value that decides one stands beside it, so that the size is known then.
ValueId expanded(OnnxNode& node, ValueId x, const std::vector<Dim>& to) {
  const auto deciding = node.deciding_values(to);
  if (deciding.size() > 1)
    OnnxNode::refuse("it expands to two sizes that data decide", "expand by one after the other");
  std::vector<ValueId> inputs = {x};
  inputs.insert(inputs.end(), deciding.begin(), deciding.end());
  std::vector<std::string> entries;
  for (const Dim& dim : to)
    entries.push_back(dim.is_constant() && dim != Dim(0) ? dim.to_string() : braced(dim));
  return node.add("Expand", inputs, {{"shape", std::move(entries)}});
}

void set_dims(OnnxNode& node, DimTensor dims) {
  OnnxValue value;
  if (dims.is_constant()) value.constant = dims.tensor();
  value.dims = std::move(dims);
  node.set(0, std::move(value));
}

void shape(OnnxNode& node) {
  const auto& dims = node.type(0).shape;
  const auto rank = static_cast<std::int64_t>(dims.size());
  const auto clamped = [&](std::int64_t at) {
    return std::clamp<std::int64_t>(at < 0 ? at + rank : at, 0, rank);
  };
  const std::int64_t begin = clamped(node.integer("start", 0));
  const std::int64_t end = std::max(begin, clamped(node.integer("end", rank)));
  set_dims(node, {index_format(), {end - begin}, {dims.begin() + begin, dims.begin() + end}});
}

void size(OnnxNode& node) {
  Dim product = 1;
  for (const Dim& dim : node.type(0).shape) product = product * dim;
  set_dims(node, {index_format(), {}, {product}});
}

Tensor attribute_tensor(OnnxNode& node, const onnx::TensorProto& proto) {
  try {
    return tensor_of(proto, node.folder());
  } catch (const Error& error) {
    throw error.at("attribute 'value'");
  }
}

void constant(OnnxNode& node) {
  OnnxValue value;
  if (const auto* tensor = node.tensor("value")) {
    value.constant = attribute_tensor(node, *tensor);
  } else if (node.has_attribute("value_float")) {
    value.constant = Tensor::scalar(node.real("value_float", 0));
  } else if (node.has_attribute("value_int")) {
    const std::array<std::int64_t, 1> element = {node.integer("value_int")};
    value.constant = Tensor::from_integers(index_format(), {}, element);
  } else if (const auto* floats = node.attribute("value_floats")) {
    const std::vector<double> elements(floats->floats().begin(), floats->floats().end());
    value.constant =
        Tensor::from_reals(Format(), {static_cast<std::int64_t>(elements.size())}, elements);
  } else if (const auto ints = node.integers("value_ints")) {
    value.constant =
        Tensor::from_integers(index_format(), {static_cast<std::int64_t>(ints->size())}, *ints);
  } else {
    OnnxNode::refuse("it has no value of a kind that is read",
                     "give it value, value_float(s) or value_int(s)");
  }
  value.dims = dims_of(*value.constant);
  node.set(0, std::move(value));
}

void constant_of_shape(OnnxNode& node) {
  Tensor fill = Tensor::scalar(0);
  if (const auto* proto = node.tensor("value")) fill = attribute_tensor(node, *proto);
  if (fill.size() != 1) OnnxNode::refuse("its value has not one element", "correct the attribute");
  const TensorType wanted{node.required_dims(0, "its shape"), fill.format()};
  if (!wanted.is_static())
    return node.set(0, expanded(node, node.add_constant(fill.reshaped({})), wanted.shape));
  const Shape target = wanted.static_shape();
  const std::int64_t count = element_count(target);
  constexpr std::int64_t kMost = std::int64_t{1} << 30;
  if (count > kMost) {
    OnnxNode::refuse(concat("it makes ", count, " equal elements"),
                     "let a broadcasting operator take a scalar instead");
  }
  if (count > kMostFilled) {  // made where they are used, so that reading takes no memory
    std::vector<std::string> shape;
    for (const std::int64_t extent : target) shape.push_back(std::to_string(extent));
    node.set(0, node.add("Expand", {node.add_constant(fill.reshaped({}))}, {{"shape", shape}}));
    return;
  }
  node.charge(count);
  OnnxValue value;
  value.constant = Tensor(fill.format(), target);
  visit_storage(fill.format().storage(), [&]<typename T>() {
    const auto to = value.constant->mutable_data<T>();
    std::fill(to.begin(), to.end(), fill.data<T>()[0]);
  });
  value.dims = dims_of(*value.constant);
  node.set(0, std::move(value));
}

void reshape(OnnxNode& node) {
  const auto wanted = node.required_dims(1, "its shape");
  const auto from = node.type(0).shape;
  const bool allow_zero = node.integer("allowzero", 0) != 0;
  std::vector<Dim> to = wanted;
  Dim total = 1, known = 1;
  for (const Dim& dim : from) total = total * dim;
  std::optional<std::size_t> open;
  for (std::size_t i = 0; i < to.size(); ++i) {
    if (to[i] == Dim(0) && !allow_zero) {
      if (i >= from.size())
        OnnxNode::refuse(concat("entry ", i, " of its shape copies a dimension that ",
                                node.type(0).to_string(), " has not"),
                         "correct the shape");
      to[i] = from[i];
    }
    if (to[i] == Dim(-1)) {
      if (open) OnnxNode::refuse("its shape has -1 twice", "leave one dimension open at most");
      open = i;
    } else {
      known = known * to[i];
    }
  }
  if (open) {
    const auto rest = total.divided_by(known);
    if (known == Dim(0) || !rest) {
      OnnxNode::refuse(concat("the ", total.to_string(), " elements of ", node.type(0).to_string(),
                              " do not divide by ", known.to_string(), ", the rest of its shape"),
                       "correct the shape");
    }
    to[*open] = *rest;
  }
  node.set(0, node.reshape(node.value(0), to));
}

void flatten(OnnxNode& node) {
  const auto from = node.type(0).shape;
  const auto rank = static_cast<std::int64_t>(from.size());
  std::int64_t axis = node.integer("axis", 1);
  if (axis < -rank || axis > rank)
    OnnxNode::refuse(concat("axis ", axis, " is outside the rank ", rank), "correct the axis");
  if (axis < 0) axis += rank;
  std::vector<Dim> matrix = {1, 1};
  for (std::int64_t d = 0; d < rank; ++d) {
    Dim& side = matrix[d < axis ? 0 : 1];
    side = side * from[static_cast<std::size_t>(d)];
  }
  node.set(0, node.reshape(node.value(0), matrix));
}

// Axes as an attribute or, in later operator sets, as an input; normalised, sorted, distinct.
std::optional<std::vector<std::size_t>> axes_of(OnnxNode& node, std::size_t input,
                                                std::size_t rank) {
  std::optional<Integers> raw = node.integers("axes");
  if (node.has(input)) raw = node.integers(input, "its axes");
  if (!raw) return std::nullopt;
  std::vector<std::size_t> axes;
  for (const std::int64_t axis : *raw) axes.push_back(normalized_axis(axis, rank));
  std::sort(axes.begin(), axes.end());
  if (std::adjacent_find(axes.begin(), axes.end()) != axes.end())
    OnnxNode::refuse("its axes name one axis twice", "correct the axes");
  return axes;
}

void squeeze(OnnxNode& node) {
  const auto from = node.type(0).shape;
  const auto axes = axes_of(node, 1, from.size());
  std::vector<Dim> to;
  for (std::size_t d = 0; d < from.size(); ++d) {
    const bool listed = axes && std::binary_search(axes->begin(), axes->end(), d);
    if (listed && from[d] != Dim(1)) {
      OnnxNode::refuse(concat("axis ", d, " of ", node.type(0).to_string(), " is not 1"),
                       "correct the axes");
    }
    if (!listed && (axes || from[d] != Dim(1))) to.push_back(from[d]);
  }
  node.set(0, node.reshape(node.value(0), to));
}

void unsqueeze(OnnxNode& node) {
  const auto from = node.type(0).shape;
  const std::size_t added = node.has(1) ? node.integers(1, "its axes").size()
                                        : node.integers("axes").value_or(Integers{}).size();
  const auto axes = axes_of(node, 1, from.size() + added);
  if (!axes) OnnxNode::refuse("it has no axes", "give it axes");
  std::vector<Dim> to;
  std::size_t next = 0;
  for (std::size_t d = 0; d < from.size() + added; ++d) {
    const bool is_new = std::binary_search(axes->begin(), axes->end(), d);
    to.push_back(is_new ? Dim(1) : from[next++]);
  }
  node.set(0, node.reshape(node.value(0), to));
}

void transpose(OnnxNode& node) {
  Integers perm = node.integers("perm").value_or(Integers{});
  node.set(0, node.add("Transpose", node.values(), {{"perm", perm}}));
}

void concat_values(OnnxNode& node) {
  node.set(0, node.add("Concat", node.values(), {{"axis", node.integer("axis")}}));
}

void split(OnnxNode& node) {
  const std::int64_t axis = node.integer("axis", 0);
  const auto& dims = node.type(0).shape;
  const std::int64_t extent = dims[normalized_axis(axis, dims.size())].constant();
  const auto parts = static_cast<std::int64_t>(node.output_count());
  Integers sizes = node.integers("split").value_or(Integers{});
  if (node.has(1)) sizes = node.integers(1, "its list of sizes");
  const std::int64_t count = node.integer("num_outputs", parts);
  if (count != parts || parts == 0)
    OnnxNode::refuse("num_outputs differs from its number of outputs", "correct the attribute");
  const std::int64_t each = (extent + parts - 1) / parts;
  const bool is_listed = !sizes.empty();
  for (std::int64_t i = 0; !is_listed && i < parts; ++i)
    sizes.push_back(std::clamp<std::int64_t>(extent - i * each, 0, each));
  const auto outputs =
      node.add_node("Split", {node.value(0)}, {{"axis", axis}, {"sizes", std::move(sizes)}});
  for (std::size_t i = 0; i < outputs.size(); ++i) node.set(i, outputs[i]);
}

constexpr std::int64_t kWhole = 0x7fffffff;  // what exporters write for "to the end"

// Where a position of a slice lies on an axis whose extent or that itself is symbolic.
Dim symbolic_place(OnnxNode& node, const Dim& at, const Dim& extent) {
  if (at.is_constant() && at.constant() >= kWhole) return extent;
  if (at.is_constant() && at.constant() <= -kWhole) return 0;
  const auto range = dim_bounds(at, node.symbols());
  const bool from_end = range && range->max < 0;
  if (!from_end && (!range || range->min < 0))
    OnnxNode::refuse(concat("one of its positions, ", at.to_string(),
                            ", counts from the begin or from the end, as the sizes will be"),
                     "export the model with fixed dimensions");
  const Dim place = from_end ? extent + at : at;
  const auto least = dim_bounds(place, node.symbols()),
             rest = dim_bounds(extent - place, node.symbols());
  if (least && least->max <= 0) return 0;
  if (rest && rest->max <= 0) return extent;
  // Positions beyond the axis mean its end. A size that exceeds a constant axis is refused by its
  // bounds, any other by the Gather.
  if (extent.is_constant()) node.bound_size(place, extent.constant());
  return place;
}

// Elements between positions that are sizes of the network.
ValueId symbolic_slice(OnnxNode& node, ValueId x, std::size_t axis, const Dim& start,
                       const Dim& end, std::int64_t step) {
  const Dim extent = node.type_of_value(x).shape[axis];
  if (step != 1)
    OnnxNode::refuse(concat("it cuts an axis of ", extent.to_string(), " by steps of ", step),
                     "export the model with fixed dimensions");
  const Dim first = symbolic_place(node, start, extent), last = symbolic_place(node, end, extent);
  if (first == Dim(0) && last == extent) return x;
  const ValueId positions = node.add("Range", node.deciding_values({first, last}),
                                     {{"bounds", expressions({first, last})}, {"step", step}});
  return node.add("Gather", {x, positions}, {{"axis", static_cast<std::int64_t>(axis)}});
}

void slice(OnnxNode& node) {
  const auto list = [&](std::size_t input, std::string_view name) {
    const std::string what = concat("its list of ", name);
    if (node.has(input)) return node.required_dims(input, what);
    const Integers given = node.integers(name).value_or(Integers{});
    return std::vector<Dim>(given.begin(), given.end());
  };
  const auto constants = [&](std::size_t input, std::string_view name) {
    if (node.has(input)) return node.integers(input, concat("its list of ", name));
    return node.integers(name).value_or(Integers{});
  };
  const std::vector<Dim> starts = list(1, "starts"), ends = list(2, "ends");
  const Integers axes = constants(3, "axes"), steps = constants(4, "steps");
  if (starts.size() != ends.size() || (!axes.empty() && axes.size() != starts.size()) ||
      (!steps.empty() && steps.size() != starts.size()))
    OnnxNode::refuse("its starts, ends, axes and steps differ in length", "correct the inputs");
  ValueId x = node.value(0);
  const std::vector<Dim> shape = node.type(0).shape;
  Integers kept_starts, kept_ends, kept_axes, kept_steps;
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const auto given = axes.empty() ? static_cast<std::int64_t>(i) : axes[i];
    const std::size_t axis = normalized_axis(given, shape.size());
    const std::int64_t step = steps.empty() ? 1 : steps[i];
    const bool is_constant = starts[i].is_constant() && ends[i].is_constant();
    if (!is_constant || !shape[axis].is_constant()) {
      x = symbolic_slice(node, x, axis, starts[i], ends[i], step);
      continue;
    }
    kept_starts.push_back(starts[i].constant());
    kept_ends.push_back(ends[i].constant());
    kept_axes.push_back(given);
    kept_steps.push_back(step);
  }
  if (kept_starts.size() == starts.size()) {  // as given
    kept_axes = axes;
    kept_steps = steps;
  }
  if (!kept_starts.empty() || starts.empty())
    x = node.add(
        "Slice", {x},
        {{"starts", kept_starts}, {"ends", kept_ends}, {"axes", kept_axes}, {"steps", kept_steps}});
  node.set(0, x);
}

// Negative pads cut.
ValueId cut_by(OnnxNode& node, ValueId x, Integers& pads) {
  const std::vector<Dim> shape = node.type_of_value(x).shape;
  Integers starts, ends, axes;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    std::int64_t& before = pads[d];
    std::int64_t& after = pads[d + shape.size()];
    if (before >= 0 && after >= 0) continue;
    axes.push_back(static_cast<std::int64_t>(d));
    starts.push_back(before < 0 ? -before : 0);
    ends.push_back(shape[d].constant() - (after < 0 ? -after : 0));
    before = std::max<std::int64_t>(before, 0);
    after = std::max<std::int64_t>(after, 0);
  }
  if (axes.empty()) return x;
  return node.add("Slice", {x}, {{"starts", starts}, {"ends", ends}, {"axes", axes}});
}

void pad(OnnxNode& node) {
  const auto rank = node.type(0).shape.size();
  Integers pads = node.integers("pads").value_or(Integers{});
  if (node.has(1)) pads = node.integers(1, "its list of pads");
  double value = node.real("value", 0);
  if (node.has(2)) value = node.scalar(2, "its padding value");
  if (node.has(3)) {
    Integers all(2 * rank);
    const Integers axes = node.integers(3, "its axes");
    if (pads.size() != 2 * axes.size())
      OnnxNode::refuse("it has not two pads for each of its axes", "correct the pads");
    for (std::size_t i = 0; i < axes.size(); ++i) {
      const std::size_t axis = normalized_axis(axes[i], rank);
      all[axis] = pads[i];
      all[axis + rank] = pads[i + axes.size()];
    }
    pads = all;
  }
  if (pads.size() != 2 * rank)
    OnnxNode::refuse(concat("it has ", pads.size(), " pads for ", node.type(0).to_string()),
                     "give it two for each axis");
  const ValueId x = cut_by(node, node.value(0), pads);
  node.set(0,
           node.add("Pad", {x},
                    {{"pads", pads}, {"mode", node.text("mode", "constant")}, {"value", value}}));
}

void expand(OnnxNode& node) {
  const auto wanted = node.required_dims(1, "its shape");
  const auto from = node.type(0).shape;
  const std::vector<Dim> to = broadcast_dims(from, wanted);
  if (from == to) {
    node.set(0, node.value(0));
    return;
  }
  const bool is_own = std::ranges::all_of(to, [&](const Dim& dim) {
    return dim.is_constant() || std::ranges::find(from, dim) != from.end();
  });
  if (!is_own) return node.set(0, expanded(node, node.value(0), to));
  std::vector<std::string> entries;
  for (const Dim& dim : to)
    entries.push_back(dim.is_constant() ? dim.to_string()
                                        : concat("d", std::ranges::find(from, dim) - from.begin()));
  node.set(0, node.add("Expand", {node.value(0)}, {{"shape", std::move(entries)}}));
}

// By sizes of the network: each axis behind one that is repeated.
void symbolic_tile(OnnxNode& node, const std::vector<Dim>& repeats) {
  const std::vector<Dim> from = node.type(0).shape;
  if (repeats.size() != from.size())
    OnnxNode::refuse(concat("it has ", repeats.size(), " repeats for ", node.type(0).to_string()),
                     "give it one for each axis");
  std::vector<Dim> split, wide, to;
  for (std::size_t d = 0; d < from.size(); ++d) {
    split.insert(split.end(), {Dim(1), from[d]});
    wide.insert(wide.end(), {repeats[d], from[d]});
    to.push_back(repeats[d] * from[d]);
  }
  const ValueId parts = node.reshape(node.value(0), split);
  node.set(0, node.reshape(expanded(node, parts, wide), to));
}

void tile(OnnxNode& node) {
  const auto sizes = node.dims(1);
  if (sizes && !sizes->is_constant()) return symbolic_tile(node, sizes->elements);
  node.set(0, node.add("Tile", {node.value(0)}, {{"repeats", node.integers(1, "its repeats")}}));
}

void depth_to_space(OnnxNode& node) {
  node.set(
      0, node.add("DepthToSpace", node.values(),
                  {{"blocksize", node.integer("blocksize")}, {"mode", node.text("mode", "DCR")}}));
}

// Channels become block-major (DCR), or stay together (CRD, since operator set 28).
void space_to_depth(OnnxNode& node) {
  const std::int64_t block = node.integer("blocksize");
  const std::string mode = node.text("mode", "DCR");
  if (mode == "DCR")
    return node.set(0, node.add("SpaceToDepth", node.values(), {{"blocksize", block}}));
  if (mode != "CRD") OnnxNode::refuse(concat("mode is '", mode, "'"), "give it DCR or CRD");
  const std::vector<Dim> x = node.type(0).shape;
  if (x.size() != 4 || block < 1)
    OnnxNode::refuse(concat("its input is ", node.type(0).to_string()), "give it [N,C,H,W]");
  const auto rows = x[2].divided_by(Dim(block)), columns = x[3].divided_by(Dim(block));
  if (!rows || !columns)
    OnnxNode::refuse(concat(node.type(0).to_string(), " is no multiple of blocks"),
                     "correct the blocksize");
  const ValueId split =
      node.reshape(node.value(0), {x[0], x[1], *rows, Dim(block), *columns, Dim(block)});
  const ValueId moved = node.add("Transpose", {split}, {{"perm", Integers{0, 1, 3, 5, 2, 4}}});
  node.set(0, node.reshape(moved, {x[0], x[1] * Dim(block * block), *rows, *columns}));
}

// What is left of a reduction without axes: what it does to every element and to every total.
ValueId reduced_over_nothing(OnnxNode& node, ValueId x) {
  const std::string& op = node.op();
  if (op == "ReduceL1" || op == "ReduceL2") return node.add("Abs", {x});
  if (op == "ReduceSumSquare") return node.add("Mul", {x, x});
  if (op == "ReduceLogSum") return node.add("Log", {x});
  return x;
}

void reduce(OnnxNode& node) {
  const auto rank = node.type(0).shape.size();
  const auto axes = axes_of(node, 1, rank);
  const bool none = !axes || axes->empty();
  const std::int64_t keepdims = node.integer("keepdims", 1) != 0 ? 1 : 0;
  if (node.integer("noop_with_empty_axes", 0) != 0 && none)
    return node.set(0, reduced_over_nothing(node, node.value(0)));
  const Integers listed = none ? Integers{} : Integers(axes->begin(), axes->end());
  node.set(0, node.add(node.op(), {node.value(0)}, {{"axes", listed}, {"keepdims", keepdims}}));
}

}  // namespace

void add_shape_handlers(OnnxHandlers& handlers) {
  handlers["Shape"] = shape;
  handlers["Size"] = size;
  handlers["Constant"] = constant;
  handlers["ConstantOfShape"] = constant_of_shape;
  handlers["Reshape"] = reshape;
  handlers["Flatten"] = flatten;
  handlers["Squeeze"] = squeeze;
  handlers["Unsqueeze"] = unsqueeze;
  handlers["Transpose"] = transpose;
  handlers["Concat"] = concat_values;
  handlers["Split"] = split;
  handlers["Slice"] = slice;
  handlers["Pad"] = pad;
  handlers["Expand"] = expand;
  handlers["Tile"] = tile;
  handlers["DepthToSpace"] = depth_to_space;
  handlers["SpaceToDepth"] = space_to_depth;
  for (const char* name : {"ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax",
                           "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare"})
    handlers[name] = reduce;
}

}  // namespace tandem
