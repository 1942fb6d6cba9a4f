#include <algorithm>
#include <array>

#include "tandem/base/text.h"
#include "tandem/files/onnx_import.h"
#include "tandem/files/onnx_tensor.h"
#include "tandem/ops/broadcast.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

// The largest constant that a few bytes of a model may call into being.
constexpr std::int64_t kMostFilled = std::int64_t{1} << 22;

Format index_format() { return Format::parse("int64"); }

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
  const auto dims = node.dims(0);
  if (!dims || !dims->is_constant()) {
    OnnxNode::refuse("its shape is symbolic or computed while the network runs",
                     "export the model with fixed dimensions");
  }
  Shape target;
  for (const Dim& dim : dims->elements) target.push_back(dim.constant());
  const std::int64_t count = element_count(target);
  if (count > kMostFilled) {
    OnnxNode::refuse(concat("it makes ", count, " equal elements"),
                     "let a broadcasting operator take a scalar instead");
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
  const auto wanted = node.dims(1);
  if (!wanted || wanted->shape.size() != 1) {
    OnnxNode::refuse("its shape is computed while the network runs",
                     "export the model with that shape as a constant");
  }
  const auto from = node.type(0).shape;
  const bool allow_zero = node.integer("allowzero", 0) != 0;
  std::vector<Dim> to = wanted->elements;
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
  for (std::int64_t i = 0; sizes.size() < static_cast<std::size_t>(parts) && i < parts; ++i)
    sizes.push_back(std::min(each, extent - i * each));
  const auto outputs =
      node.add_node("Split", {node.value(0)}, {{"axis", axis}, {"sizes", std::move(sizes)}});
  for (std::size_t i = 0; i < outputs.size(); ++i) node.set(i, outputs[i]);
}

void slice(OnnxNode& node) {
  const auto list = [&](std::size_t input, std::string_view name) {
    if (node.has(input)) return node.integers(input, concat("its list of ", name));
    return node.integers(name).value_or(Integers{});
  };
  const Integers starts = list(1, "starts"), ends = list(2, "ends");
  const Integers axes = list(3, "axes"), steps = list(4, "steps");
  node.set(0, node.add("Slice", {node.value(0)},
                       {{"starts", starts}, {"ends", ends}, {"axes", axes}, {"steps", steps}}));
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
  node.set(0,
           node.add("Pad", {node.value(0)},
                    {{"pads", pads}, {"mode", node.text("mode", "constant")}, {"value", value}}));
}

void gather(OnnxNode& node) {
  node.set(0, node.add("Gather", node.values(), {{"axis", node.integer("axis", 0)}}));
}

void expand(OnnxNode& node) {
  const auto wanted = node.dims(1);
  if (!wanted || wanted->shape.size() != 1) {
    OnnxNode::refuse("its shape is computed while the network runs",
                     "export the model with that shape as a constant");
  }
  const auto from = node.type(0).shape;
  const std::vector<Dim> to = broadcast_dims(from, wanted->elements);
  if (from == to) {
    node.set(0, node.value(0));
    return;
  }
  std::vector<std::string> entries;
  for (const Dim& dim : to) {
    const auto same = std::find(from.begin(), from.end(), dim);
    if (!dim.is_constant() && same == from.end()) {
      OnnxNode::refuse(concat("it expands to ", dim.to_string(), ", no dimension of its input"),
                       "export the model with fixed dimensions");
    }
    entries.push_back(dim.is_constant() ? dim.to_string() : concat("d", same - from.begin()));
  }
  node.set(0, node.add("Expand", {node.value(0)}, {{"shape", std::move(entries)}}));
}

void tile(OnnxNode& node) {
  node.set(0, node.add("Tile", {node.value(0)}, {{"repeats", node.integers(1, "its repeats")}}));
}

void blocks(OnnxNode& node) {
  Attributes attributes = {{"blocksize", node.integer("blocksize")}};
  if (node.op() == "DepthToSpace") attributes["mode"] = node.text("mode", "DCR");
  node.set(0, node.add(node.op(), node.values(), std::move(attributes)));
}

void reduce(OnnxNode& node) {
  const auto rank = node.type(0).shape.size();
  const auto axes = axes_of(node, 1, rank);
  const bool none = !axes || axes->empty();
  const std::int64_t keepdims = node.integer("keepdims", 1) != 0 ? 1 : 0;
  if (node.integer("noop_with_empty_axes", 0) != 0 && none) {
    node.set(0, node.value(0));
    return;
  }
  const Integers listed = none ? Integers{} : Integers(axes->begin(), axes->end());
  node.set(0, node.add(node.op(), {node.value(0)}, {{"axes", listed}, {"keepdims", keepdims}}));
}

// The least element of x is the greatest of -x.
void arg_extreme(OnnxNode& node) {
  const ValueId x = node.op() == "ArgMax" ? node.value(0) : node.add("Neg", {node.value(0)});
  const Attributes attributes = {{"axis", node.integer("axis", 0)},
                                 {"keepdims", node.integer("keepdims", 1)},
                                 {"select_last_index", node.integer("select_last_index", 0)}};
  node.set(0, node.add("ArgMax", {x}, attributes));
}

void top_k(OnnxNode& node) {
  std::int64_t k = 0;
  if (node.has(1)) {
    const Integers given = node.integers(1, "its k");
    if (given.size() != 1) OnnxNode::refuse("its k is no single number", "correct the input");
    k = given[0];
  } else {
    k = node.integer("k");
  }
  node.ignore("sorted");  // sorted elements are one of the orders that sorted = 0 allows
  const auto outputs = node.add_node(
      "TopK", {node.value(0)},
      {{"k", k}, {"axis", node.integer("axis", -1)}, {"largest", node.integer("largest", 1)}});
  for (std::size_t i = 0; i < outputs.size(); ++i) node.set(i, outputs[i]);
}

// Known only as arithmetic on shapes, which never comes to a handler.
void shapes_only(OnnxNode& node) {
  OnnxNode::refuse(
      concat(node.op(), " is read where it computes shapes from constants, not on data"),
      "replace it by operators that are read (`tandem list operators`)");
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
  handlers["Gather"] = gather;
  handlers["Expand"] = expand;
  handlers["Tile"] = tile;
  handlers["DepthToSpace"] = handlers["SpaceToDepth"] = blocks;
  for (const char* name : {"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"})
    handlers[name] = reduce;
  handlers["ArgMax"] = handlers["ArgMin"] = arg_extreme;
  handlers["TopK"] = top_k;
  for (const char* name : {"And", "Mod", "Not", "Or", "Range", "ReduceProd"})
    handlers[name] = shapes_only;
}

}  // namespace tandem
