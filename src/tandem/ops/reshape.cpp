#include <algorithm>
#include <memory>
#include <optional>

#include "tandem/base/text.h"
#include "tandem/graph/registry.h"
#include "tandem/graph/symbolic.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/lowering_rules.h"
#include "tandem/ops/movement.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/strides.h"
#include "tandem/ops/support.h"

namespace tandem {
namespace {

const std::vector<std::string>& shape_attribute(const NodeView& node) {
  return std::get<std::vector<std::string>>(node.node.attributes.at("shape"));
}

// "4*d0" over the dimensions of an input: the product of its factors; "{L+1}" over symbols.
Dim relative_dim(const std::string& text, std::span<const Dim> input) {
  if (const auto expression = braced_dim(text)) return *expression;
  Dim product = 1;
  for (const std::string& raw : split(text, '*')) {
    std::string_view factor = trim(raw);
    const bool is_reference = factor.starts_with('d');
    if (is_reference) factor.remove_prefix(1);
    if (factor.empty() || factor.find_first_not_of("0123456789") != std::string_view::npos) {
      throw Error("the shape entry '", text,
                  "' is no product of integers and input dimensions such as 4 or 2*d0 (or -1), and "
                  "no expression in symbols in braces such as {2*N}");
    }
    const std::int64_t value = parse_integer(factor, "shape entry");
    if (!is_reference) {
      if (value == 0)
        throw Error("the shape entry '", text,
                    "' is 0; write d0, d1, ... to keep "
                    "a dimension of the input");
      product = product * Dim(value);
    } else if (static_cast<std::size_t>(value) < input.size()) {
      product = product * input[static_cast<std::size_t>(value)];
    } else {
      throw Error("the shape entry '", text, "' names dimension ", value, " of an input of rank ",
                  input.size());
    }
  }
  return product;
}

Dim element_product(std::span<const Dim> dims) {
  Dim product = 1;
  for (const Dim& dim : dims) product = product * dim;
  return product;
}

std::string shape_text(std::span<const Dim> dims) {
  std::vector<std::string> parts;
  for (const Dim& dim : dims) parts.push_back(dim.to_string());
  return "[" + join(parts, ",") + "]";
}

std::vector<Dim> reshaped_dims(const std::vector<std::string>& entries,
                               const std::vector<Dim>& input) {
  std::vector<Dim> dims;
  std::optional<std::size_t> open;
  for (const std::string& entry : entries) {
    if (trim(entry) == "-1") {
      if (open) throw Error("the shape has -1 twice; only one dimension can be inferred");
      open = dims.size();
      dims.emplace_back(1);
    } else {
      dims.push_back(relative_dim(entry, input));
    }
  }
  const Dim total = element_product(input), known = element_product(dims);
  if (open) {
    const std::optional<Dim> rest = total.divided_by(known);
    if (!rest) {
      throw Error("the ", total.to_string(), " elements of ", shape_text(input),
                  " do not divide by ", known.to_string(), ", the known part of [",
                  join(entries, ","), "]");
    }
    dims[*open] = *rest;
  } else if (known != total) {
    throw Error(shape_text(input), " has ", total.to_string(), " elements, the new shape ",
                shape_text(dims), " has ", known.to_string());
  }
  return dims;
}

std::vector<Dim> dims_of(const Shape& shape) { return {shape.begin(), shape.end()}; }

Shape constants_of(const std::vector<Dim>& dims) {
  return TensorType{dims, Format()}.static_shape();
}

AttributeSpec shape_spec(std::string description) {
  return {"shape", AttributeKind::kStrings, std::move(description), {}, {}};
}

class Identity final : public Operator {
 public:
  std::string_view name() const override { return "Identity"; }
  std::string_view description() const override { return "y = x, in any format."; }
  Traits traits() const override {
    return {.domain = Domain::kMovement, .elementwise = true, .in_place = true};
  }
  std::vector<TensorType> infer(const NodeView& node) const override { return {node.input(0)}; }
  std::vector<Tensor> evaluate(const NodeView&, std::span<const Tensor> inputs) const override {
    return {inputs[0]};
  }
  Work work(const NodeView& node) const override { return work_of(node, {}); }
  std::optional<std::vector<CodedValue>> lower(LoweringSite& site) const override {
    return lower_movement(site);
  }

  std::vector<SampleCase> samples() const override {
    return {{sample_text("symbol N in [1,8]", "%x : f32[N,3]", "%y : f32[N,3] = Identity(%x)"), ""},
            {sample_text("", "%x : bipolar[5]", "%y : bipolar[5] = Identity(%x)"), ""},
            {sample_text("", "%x : f32[2]", "%y : f32[3] = Identity(%x)"), "is declared f32[3]"}};
  }
};

class Reshape final : public Operator {
 public:
  std::string_view name() const override { return "Reshape"; }
  std::string_view description() const override {
    return "The elements of x in row-major order under another shape, in any format.";
  }
  Traits traits() const override { return {.domain = Domain::kMovement, .in_place = true}; }
  std::vector<AttributeSpec> attributes() const override {
    return {
        shape_spec("entries such as \"4\", \"d0\" (dimension 0 of x), \"2*d1\", \"{N*L}\" (of "
                   "symbols), or once \"-1\" for what is left")};
  }
  std::vector<TensorType> infer(const NodeView& node) const override {
    return {{reshaped_dims(shape_attribute(node), node.input(0).shape), node.input(0).format}};
  }
  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    return {inputs[0].reshaped(
        constants_of(reshaped_dims(shape_attribute(node), dims_of(inputs[0].shape()))))};
  }
  Work work(const NodeView& node) const override { return work_of(node, {}); }

  std::optional<std::vector<CodedValue>> lower(LoweringSite& site) const override {
    return lower_movement(site);
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view y, std::string_view shape) {
      return sample_text("symbol N in [1,8]", concat("%x : ", x),
                         concat("%y : ", y, " = Reshape(%x) {shape = ", shape, "}"));
    };
    return {{text("f32[N,2,3]", "f32[N,6]", R"(["d0","-1"])"), ""},
            {text("int8[N,2,3]", "int8[6*N]", R"(["-1"])"), ""},
            {text("f32[6*N]", "f32[N,2,3]", R"(["-1","2","3"])"), ""},
            {text("uint3[N,4]", "uint3[2*N,2]", R"(["2*d0","2"])"), ""},
            {text("f64[1]", "f64[]", "[]"), ""},
            {text("f32[N,6]", "f32[2,N,3]", R"(["-1","{N}","3"])"), ""},
            {text("f32[N,5]", "f32[N,2]", R"(["-1","2"])"), "do not divide"},
            {text("f32[2,3]", "f32[7]", R"(["7"])"), "has 6 elements"},
            {text("f32[2,3]", "f32[6]", R"(["0"])"), "write d0"},
            {text("f32[2,3]", "f32[6]", R"(["N"])"), "is no product of integers"},
            {text("f32[2,3]", "f32[6]", R"(["d2"])"), "names dimension 2"},
            {text("f32[2,3]", "f32[2,3]", R"(["-1","-1"])"), "-1 twice"}};
  }
};

class Expand final : public Operator {
 public:
  std::string_view name() const override { return "Expand"; }
  std::string_view description() const override {
    return "x repeated along its dimensions of extent 1 (and new leading ones) to a larger shape, "
           "in any format; entries of the shape may name dimensions of the optional second input, "
           "which gives nothing but its shape.";
  }
  Traits traits() const override { return {.domain = Domain::kMovement}; }
  std::vector<AttributeSpec> attributes() const override {
    return {
        shape_spec("entries such as \"4\", \"{N*L}\" (of symbols) or \"d0\", dimension 0 of the "
                   "second input (of x where there is none)")};
  }
  std::size_t max_inputs() const override { return 2; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const TensorType& like = node.input(node.has_input(1) ? 1 : 0);
    return {{target(node, node.input(0).shape, like.shape), node.input(0).format}};
  }
  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    const Shape& like = inputs[node.has_input(1) ? 1 : 0].shape();
    const Shape shape = constants_of(target(node, dims_of(inputs[0].shape()), dims_of(like)));
    return {strided_copy(inputs[0], shape, 0, broadcast_strides(inputs[0].shape(), shape))};
  }
  Work work(const NodeView& node) const override {
    Work work = work_of(node, {operations(node, OperationKind::kMove, output_elements(node))});
    work.input_bits =
        node.constant(0) != nullptr ? 0 : input_elements(node, 0) * node.input(0).format.bits();
    return work;
  }

  std::optional<std::vector<CodedValue>> lower(LoweringSite& site) const override {
    return lower_movement(site);
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view y, std::string_view rest) {
      return sample_text("symbol N in [1,8]", concat("%x : ", x, ", %like : f32[N,7]"),
                         concat("%y : ", y, " = Expand(%x", rest));
    };
    return {{text("f32[2,1]", "f32[4,2,3]", R"() {shape = ["4","2","3"]})"), ""},
            {text("int8[1,3]", "int8[N,3]", R"(, %like) {shape = ["d0","3"]})"), ""},
            {text("bipolar[N,1]", "bipolar[N,2]", R"() {shape = ["d0","2"]})"), ""},
            {text("f32[2]", "f32[N+1,2]", R"() {shape = ["{N+1}","2"]})"), ""},
            {text("f32[2,3]", "f32[2,4]", R"() {shape = ["2","4"]})"), "does not broadcast"},
            {text("f32[2,1]", "f32[2,4]", R"() {shape = ["2","-1"]})"), "is no product"}};
  }

 private:
  static std::vector<Dim> target(const NodeView& node, const std::vector<Dim>& x,
                                 const std::vector<Dim>& like) {
    std::vector<Dim> shape;
    for (const std::string& entry : shape_attribute(node))
      shape.push_back(relative_dim(entry, like));
    if (!broadcasts_to(x, shape)) {
      throw Error(shape_text(x), " does not broadcast to ", shape_text(shape),
                  "; each dimension must be 1 or stay as it is");
    }
    return shape;
  }
};

class Tile final : public Operator {
 public:
  std::string_view name() const override { return "Tile"; }
  std::string_view description() const override {
    return "x repeated as a whole along each axis, in any format.";
  }
  Traits traits() const override { return {.domain = Domain::kMovement}; }
  std::vector<AttributeSpec> attributes() const override {
    return {integers_attribute("repeats", "how often x stands along each axis")};
  }
  std::vector<TensorType> infer(const NodeView& node) const override {
    TensorType type = node.input(0);
    const auto& repeats = node.integers("repeats");
    if (repeats.size() != type.shape.size())
      throw Error("repeats has ", repeats.size(), " entries for ", type.to_string());
    for (std::size_t d = 0; d < repeats.size(); ++d) {
      if (repeats[d] < 0) throw Error("repeats has the entry ", repeats[d], "; the least is 0");
      type.shape[d] = type.shape[d] * Dim(repeats[d]);
    }
    return {type};
  }
  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    const auto& repeats = node.integers("repeats");
    const auto dense = row_major_strides(inputs[0].shape());
    Shape split, shape;  // every axis as (repeat, position)
    std::vector<std::int64_t> strides;
    for (std::size_t d = 0; d < repeats.size(); ++d) {
      split.insert(split.end(), {repeats[d], inputs[0].shape()[d]});
      strides.insert(strides.end(), {0, dense[d]});
      shape.push_back(repeats[d] * inputs[0].shape()[d]);
    }
    return {strided_copy(inputs[0], split, 0, strides).reshaped(shape)};
  }
  std::optional<std::vector<CodedValue>> lower(LoweringSite& site) const override {
    return lower_movement(site);
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view y, std::string_view repeats) {
      return sample_text("symbol N in [1,8]", concat("%x : ", x),
                         concat("%y : ", y, " = Tile(%x) {repeats = ", repeats, "}"));
    };
    return {{text("f32[N,3]", "f32[2*N,9]", "[2,3]"), ""},
            {text("int8[2,1,3]", "int8[2,4,3]", "[1,4,1]"), ""},
            {text("f32[]", "f32[]", "[]"), ""},
            {text("f32[2,3]", "f32[4,3]", "[2]"), "repeats has 1 entries"},
            {text("f32[2]", "f32[0]", "[0]"), ""},
            {text("f32[2]", "f32[0]", "[-1]"), "the least is 0"}};
  }
};

}  // namespace

std::vector<std::string> reshape_attribute(const std::vector<Dim>& from,
                                           const std::vector<Dim>& to) {
  std::vector<std::string> entries;
  bool open = false;
  for (const Dim& dim : to) {
    if (dim == Dim(0)) {  // which the attribute can only copy
      const auto same = std::find(from.begin(), from.end(), dim);
      if (same == from.end())
        throw Error("a reshape from ", shape_text(from), " to ", shape_text(to), " loses elements");
      entries.push_back(concat("d", same - from.begin()));
      continue;
    }
    if (dim.is_constant()) {
      entries.push_back(dim.to_string());
      continue;
    }
    std::string entry;
    for (std::size_t d = 0; d < from.size() && entry.empty(); ++d) {
      const std::optional<Dim> factor = dim.divided_by(from[d]);
      if (from[d].is_constant() || !factor || !factor->is_constant()) continue;
      entry = concat("d", d);
      if (*factor != Dim(1)) entry = factor->to_string() + "*" + entry;
    }
    if (entry.empty()) {
      entry = open ? braced(dim) : "-1";
      open = true;
    }
    entries.push_back(entry);
  }
  return entries;
}

ValueId add_reshape(Builder& builder, ValueId x, const std::vector<Dim>& to, std::string name) {
  const std::vector<Dim> from = builder.type(x).shape;
  if (from == to) return x;
  return builder.add("Reshape", {x}, {{"shape", reshape_attribute(from, to)}}, std::move(name));
}

void register_reshape_operators() {
  operators().add(std::make_unique<Identity>());
  operators().add(std::make_unique<Reshape>());
  operators().add(std::make_unique<Expand>());
  operators().add(std::make_unique<Tile>());
}

}  // namespace tandem
