#include <algorithm>
#include <memory>

#include "tandem/graph/registry.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/plain_integers.h"
#include "tandem/ops/positions.h"
#include "tandem/ops/strides.h"

namespace tandem {
namespace {

using Offsets = std::vector<std::int64_t>;

void require_positions(const NodeView& node, std::size_t input) {
  if (!node.input(input).format.is_integer())
    throw Error("the positions are ", node.input(input).to_string(), ", no integers");
}

// For every position the offset of the element of `shape` that lies where the position stands, with
// its coordinate on `axis` replaced by it.
Offsets element_offsets(const Tensor& positions, const Shape& shape, std::size_t axis) {
  auto strides = row_major_strides(shape);
  const std::int64_t stride = strides[axis];
  strides[axis] = 0;
  Offsets offsets = resolved_positions(positions, shape[axis]);
  for_each_run<1>(positions.shape(), {strides},
                  [&](std::int64_t first, std::int64_t count, const auto& at, const auto& step) {
                    for (std::int64_t i = 0; i < count; ++i) {
                      std::int64_t& offset = offsets[static_cast<std::size_t>(first + i)];
                      offset = offset * stride + at[0] + i * step[0];
                    }
                  });
  return offsets;
}

// Positions are at most as many as the elements they pass, on every axis but the one that they
// replace.
void require_fitting_positions(const NodeView& node, std::size_t axis) {
  const TensorType& x = node.input(0);
  const TensorType& positions = node.input(1);
  bool fits = positions.shape.size() == x.shape.size();
  for (std::size_t d = 0; fits && d < x.shape.size(); ++d) {
    const Dim &have = x.shape[d], &want = positions.shape[d];
    fits = d == axis || want == have ||
           (want.is_constant() && have.is_constant() && want.constant() <= have.constant());
  }
  if (!fits)
    throw Error("the positions ", positions.to_string(), " do not lie within ", x.to_string(),
                " on the axes other than ", axis);
}

// The parts of x that vectors of positions name, the last axis of the positions holding them:
// first their offsets in x (the first `batch` axes are walked together), then their extent.
struct Parts {
  Offsets offsets;
  std::int64_t extent = 1;
};

Parts named_parts(const Tensor& positions, const Shape& shape, std::size_t batch) {
  const Shape& at = positions.shape();
  const auto depth = static_cast<std::size_t>(at.back());
  const auto strides = row_major_strides(shape);
  Parts parts;
  for (std::size_t d = batch + depth; d < shape.size(); ++d) parts.extent *= shape[d];
  std::int64_t batches = 1;
  for (std::size_t d = 0; d < batch; ++d) batches *= shape[d];
  const std::int64_t batch_stride = batch == 0 ? 0 : strides[batch - 1];
  const Tensor wide = widened(positions);
  const std::int64_t* from = wide.data<std::int64_t>().data();
  std::int64_t vectors = 1;
  for (std::size_t d = 0; d + 1 < at.size(); ++d) vectors *= at[d];
  const std::int64_t each = batches == 0 ? 0 : vectors / batches;
  parts.offsets.reserve(static_cast<std::size_t>(vectors));
  for (std::int64_t v = 0; v < vectors; ++v) {
    std::int64_t offset = v / each * batch_stride;
    for (std::size_t d = 0; d < depth; ++d)
      offset += resolved_position(*from++, shape[batch + d]) * strides[batch + d];
    parts.offsets.push_back(offset);
  }
  return parts;
}

// How many axes the positions of a GatherND or ScatterND name, checked against x.
std::size_t named_axes(const NodeView& node, std::size_t batch) {
  require_positions(node, 1);
  const auto &x = node.input(0).shape, &positions = node.input(1).shape;
  if (positions.empty() || !positions.back().is_constant())
    throw Error("the positions ", node.input(1).to_string(),
                " need a last axis of fixed extent, of one entry for each axis named");
  const auto depth = static_cast<std::size_t>(positions.back().constant());
  if (batch >= positions.size() || batch + depth > x.size())
    throw Error("the positions ", node.input(1).to_string(), " name more axes than ",
                node.input(0).to_string(), " has");
  return depth;
}

Tensor gathered(const Tensor& x, const Offsets& offsets, std::int64_t extent, Shape shape) {
  Tensor y(x.format(), std::move(shape));
  visit_storage(x.format().storage(), [&]<typename T>() {
    const T* from = x.data<T>().data();
    T* to = y.mutable_data<T>().data();
    for (const std::int64_t offset : offsets) to = std::copy_n(from + offset, extent, to);
  });
  return y;
}

class GatherElements final : public Operator {
 public:
  std::string_view name() const override { return "GatherElements"; }
  std::string_view description() const override {
    return "For every integer position the element of x, of any format, that lies at the same "
           "place but for the axis, on which the position stands; in the shape of the positions.";
  }
  Traits traits() const override { return {.domain = Domain::kMovement}; }
  std::vector<AttributeSpec> attributes() const override {
    return {integer_attribute("axis", "axis on which the positions stand", 0)};
  }
  std::size_t min_inputs() const override { return 2; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    require_positions(node, 1);
    require_fitting_positions(node,
                              normalized_axis(node.integer("axis"), node.input(0).shape.size()));
    return {{node.input(1).shape, node.input(0).format}};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    const Shape& shape = inputs[0].shape();
    const auto offsets =
        element_offsets(inputs[1], shape, normalized_axis(node.integer("axis"), shape.size()));
    return {gathered(inputs[0], offsets, 1, inputs[1].shape())};
  }

  Work work(const NodeView& node) const override {
    return work_of(node, {operations(node, OperationKind::kMove, output_elements(node))});
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view at, std::string_view attributes) {
      const auto bracket = x.find('['), place = at.find('[');
      return sample_text("symbol N in [2,8]", concat("%x : ", x, ", %p : ", at),
                         concat("%y : ", x.substr(0, bracket), at.substr(place),
                                " = GatherElements(%x, %p) ", attributes));
    };
    return {{text("f32[N,2]", "uint1[N,3]", "{axis = 1}"), ""},
            {text("int8[2,5]", "uint1[4,5]", ""), ""},
            {text("f32[2,2]", "f32[2,2]", ""), "no integers"},
            {text("f32[2,2]", "uint1[2,3]", ""), "do not lie within"}};
  }
};

class GatherND final : public Operator {
 public:
  std::string_view name() const override { return "GatherND"; }
  std::string_view description() const override {
    return "The parts of x, of any format, that integer vectors name, the last axis of the second "
           "input: as many leading axes as a vector has entries, behind `batch_dims` axes that "
           "both share.";
  }
  Traits traits() const override { return {.domain = Domain::kMovement}; }
  std::vector<AttributeSpec> attributes() const override {
    return {integer_attribute("batch_dims", "leading axes that both inputs share", 0)};
  }
  std::size_t min_inputs() const override { return 2; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const std::size_t batch = batch_axes(node), depth = named_axes(node, batch);
    const auto &x = node.input(0).shape, &positions = node.input(1).shape;
    for (std::size_t d = 0; d < batch; ++d)
      if (x[d] != positions[d])
        throw Error("the inputs differ on axis ", d, ", which they share by batch_dims");
    TensorType y{{positions.begin(), positions.end() - 1}, node.input(0).format};
    y.shape.insert(y.shape.end(), x.begin() + static_cast<std::ptrdiff_t>(batch + depth), x.end());
    return {y};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    const std::size_t batch = batch_axes(node);
    const Shape &x = inputs[0].shape(), &positions = inputs[1].shape();
    const Parts parts = named_parts(inputs[1], x, batch);
    Shape shape(positions.begin(), positions.end() - 1);
    shape.insert(shape.end(), x.begin() + static_cast<std::ptrdiff_t>(batch) + positions.back(),
                 x.end());
    return {gathered(inputs[0], parts.offsets, parts.extent, std::move(shape))};
  }

  Work work(const NodeView& node) const override {
    return work_of(node, {operations(node, OperationKind::kMove, output_elements(node))});
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view at, std::string_view y,
                         std::string_view attributes) {
      return sample_text("symbol N in [1,8]", concat("%x : ", x, ", %p : ", at),
                         concat("%y : ", y, " = GatherND(%x, %p) ", attributes));
    };
    return {{text("f32[2,2,N]", "uint1[3,2]", "f32[3,N]", ""), ""},
            {text("int8[N,2,3]", "uint1[N,4,1]", "int8[N,4,3]", "{batch_dims = 1}"), ""},
            {text("f32[2,2]", "uint1[2]", "f32[]", ""), ""},
            {text("f32[2]", "uint1[2]", "f32[]", ""), "name more axes"},
            {text("f32[2]", "f32[1]", "f32[]", ""), "no integers"}};
  }

 private:
  static std::size_t batch_axes(const NodeView& node) {
    const std::int64_t batch = node.integer("batch_dims");
    if (batch < 0 || batch >= static_cast<std::int64_t>(node.input(0).shape.size()))
      throw Error("batch_dims is ", batch, " for ", node.input(0).to_string());
    return static_cast<std::size_t>(batch);
  }
};

// ---- Scattering ----

AttributeSpec reduction_attribute() {
  return choice_attribute("reduction", "what becomes of an element that is hit",
                          {"none", "add", "mul", "max", "min"});
}

template <typename T>
T joined(const std::string& reduction, T old, T update) {
  if constexpr (std::is_integral_v<T>) {
    if (reduction == "add") return wrapped_sum(old, update);
    if (reduction == "mul") return wrapped_product(old, update);
  } else {
    if (reduction == "add") return old + update;
    if (reduction == "mul") return old * update;
  }
  return (reduction == "max") == (update > old) ? update : old;
}

template <typename T>
void scatter(const Tensor& updates, const Parts& parts, const std::string& reduction, Tensor& y) {
  const T* from = updates.data<T>().data();
  T* to = y.mutable_data<T>().data();
  for (const std::int64_t offset : parts.offsets)
    for (std::int64_t i = 0; i < parts.extent; ++i, ++from)
      to[offset + i] = joined(reduction, to[offset + i], *from);
}

// x with the updates at the named parts, in their order.
std::vector<Tensor> scattered(std::span<const Tensor> inputs, const Parts& parts,
                              const std::string& reduction) {
  const Tensor &x = inputs[0], &updates = inputs[2];
  Tensor y = x;
  if (reduction == "none") {
    visit_storage(x.format().storage(), [&]<typename T>() {
      const T* from = updates.data<T>().data();
      T* to = y.mutable_data<T>().data();
      for (const std::int64_t offset : parts.offsets) {
        std::copy_n(from, parts.extent, to + offset);
        from += parts.extent;
      }
    });
    return {y};
  }
  if (!x.format().is_float()) {
    Tensor wide = widened(x);
    scatter<std::int64_t>(widened(updates), parts, reduction, wide);
    return {wrapped(wide, x.format())};
  }
  return compute_reals(x.format(), inputs, [&]<typename T>(std::span<const Tensor> reals) {
    Tensor result = reals[0];
    scatter<T>(reals[2], parts, reduction, result);
    return std::vector{result};
  });
}

std::vector<TensorType> scattered_type(const NodeView& node) {
  require_positions(node, 1);
  const Format format = node.input(0).format;
  if (node.input(2).format != format)
    throw Error("the updates are ", node.input(2).format.name(), " but x is ", format.name(),
                "; put a Cast before one of them");
  if (node.string("reduction") != "none") require_number(node, 0);
  return {node.input(0)};
}

Work scatter_work(const NodeView& node) {
  const std::string& reduction = node.string("reduction");
  const OperationKind kind = reduction == "none"  ? OperationKind::kMove
                             : reduction == "add" ? OperationKind::kAdd
                             : reduction == "mul" ? OperationKind::kMultiply
                                                  : OperationKind::kCompare;
  return work_of(node, {operations(node, kind, input_elements(node, 2))});
}

class ScatterElements final : public Operator {
 public:
  std::string_view name() const override { return "ScatterElements"; }
  std::string_view description() const override {
    return "x with updates: each stands for the element of x at its own place but for the axis, on "
           "which the integer position beside it stands. Without reduction in any format, where "
           "later ones win.";
  }
  Traits traits() const override { return {.domain = Domain::kMovement}; }
  std::vector<AttributeSpec> attributes() const override {
    return {integer_attribute("axis", "axis on which the positions stand", 0),
            reduction_attribute()};
  }
  std::size_t min_inputs() const override { return 3; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    auto types = scattered_type(node);
    require_fitting_positions(node,
                              normalized_axis(node.integer("axis"), node.input(0).shape.size()));
    if (node.input(1).shape != node.input(2).shape)
      throw Error("the updates ", node.input(2).to_string(), " are not as many as the positions ",
                  node.input(1).to_string());
    return types;
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    const Shape& shape = inputs[0].shape();
    const std::size_t axis = normalized_axis(node.integer("axis"), shape.size());
    return scattered(inputs, {element_offsets(inputs[1], shape, axis), 1},
                     node.string("reduction"));
  }

  Work work(const NodeView& node) const override { return scatter_work(node); }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view at, std::string_view updates,
                         std::string_view attributes) {
      return sample_text("symbol N in [2,8]", concat("%x : ", x, ", %p : ", at, ", %u : ", updates),
                         concat("%y : ", x, " = ScatterElements(%x, %p, %u) ", attributes));
    };
    return {{text("f32[N,4]", "uint2[N,2]", "f32[N,2]", "{axis = 1}"), ""},
            {text("int8[2,3]", "uint1[5,3]", "int8[5,3]", "{reduction = \"add\"}"), ""},
            {text("f16[4]", "uint2[6]", "f16[6]", "{reduction = \"mul\"}"), ""},
            {text("bipolar[4]", "uint2[2]", "bipolar[2]", ""), ""},
            {text("f32[2]", "uint1[2]", "f32[3]", ""), "not as many"},
            {text("f32[2]", "uint1[2]", "f64[2]", ""), "put a Cast before"}};
  }
};

class ScatterND final : public Operator {
 public:
  std::string_view name() const override { return "ScatterND"; }
  std::string_view description() const override {
    return "x with updates, each for the part that an integer vector names: as many leading axes "
           "as the vector has entries. Without reduction in any format, where later ones win.";
  }
  Traits traits() const override { return {.domain = Domain::kMovement}; }
  std::vector<AttributeSpec> attributes() const override { return {reduction_attribute()}; }
  std::size_t min_inputs() const override { return 3; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    auto types = scattered_type(node);
    const auto depth = static_cast<std::ptrdiff_t>(named_axes(node, 0));
    const auto &x = node.input(0).shape, &positions = node.input(1).shape;
    std::vector<Dim> wanted(positions.begin(), positions.end() - 1);
    wanted.insert(wanted.end(), x.begin() + depth, x.end());
    if (node.input(2).shape != wanted)
      throw Error("the updates are ", node.input(2).to_string(), " where ",
                  TensorType{wanted, node.input(0).format}.to_string(), " belongs");
    return types;
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    return scattered(inputs, named_parts(inputs[1], inputs[0].shape(), 0),
                     node.string("reduction"));
  }

  Work work(const NodeView& node) const override { return scatter_work(node); }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view at, std::string_view updates,
                         std::string_view attributes) {
      return sample_text("symbol N in [1,8]", concat("%x : ", x, ", %p : ", at, ", %u : ", updates),
                         concat("%y : ", x, " = ScatterND(%x, %p, %u) ", attributes));
    };
    return {{text("f32[2,2,N]", "uint1[3,2]", "f32[3,N]", "{reduction = \"max\"}"), ""},
            {text("int8[2,N]", "uint1[4,1]", "int8[4,N]", ""), ""},
            {text("f64[2]", "uint1[1]", "f64[]", "{reduction = \"min\"}"), ""},
            {text("f32[2]", "uint1[1]", "f32[3]", ""), "where f32[] belongs"},
            {text("bool[2]", "uint1[1]", "bool[]", "{reduction = \"add\"}"), "put a Dequantize"}};
  }
};

class TensorScatter final : public Operator {
 public:
  std::string_view name() const override { return "TensorScatter"; }
  std::string_view description() const override {
    return "A cache [N,...], of any format, with an update written into one of its axes from the "
           "integer position of each batch entry on (optional [N], 0 where absent).";
  }
  Traits traits() const override { return {.domain = Domain::kMovement}; }
  std::vector<AttributeSpec> attributes() const override {
    return {integer_attribute("axis", "axis written along, not the first", -2),
            choice_attribute("mode", "circular: what passes the end goes on at the begin",
                             {"linear", "circular"})};
  }
  std::size_t min_inputs() const override { return 2; }
  std::size_t max_inputs() const override { return 3; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const TensorType &cache = node.input(0), &update = node.input(1);
    const std::size_t axis = normalized_axis(node.integer("axis"), cache.shape.size());
    if (axis == 0) throw Error("axis is 0, the batch; give the axis of the sequence");
    std::vector<Dim> others = update.shape;
    if (others.size() == cache.shape.size()) others[axis] = cache.shape[axis];
    if (others != cache.shape || update.format != cache.format)
      throw Error("the update ", update.to_string(), " differs from the cache ", cache.to_string(),
                  " in more than axis ", axis);
    if (node.has_input(2)) {
      require_positions(node, 2);
      if (node.input(2).shape != std::vector<Dim>{cache.shape[0]})
        throw Error("the positions are ", node.input(2).to_string(),
                    ", not one for each batch entry of ", cache.to_string());
    }
    return {cache};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    Tensor y = inputs[0];
    const std::size_t axis = normalized_axis(node.integer("axis"), y.shape().size());
    const AxisSplit cache = split_at(y.shape(), axis), part = split_at(inputs[1].shape(), axis);
    const bool circular = node.string("mode") == "circular";
    const std::int64_t batch = y.shape()[0];
    std::vector<std::int64_t> begins(static_cast<std::size_t>(batch), 0);
    if (node.has_input(2)) begins = inputs[2].to_integers();
    for (std::int64_t& begin : begins) {
      if (begin < 0 || (!circular && begin + part.extent > cache.extent))
        throw Error("position ", begin, " leaves no room for ", part.extent, " of ", cache.extent,
                    " elements");
      if (circular) begin %= cache.extent;
    }
    visit_storage(y.format().storage(), [&]<typename T>() {
      const T* from = inputs[1].data<T>().data();
      T* to = y.mutable_data<T>().data();
      for (std::int64_t o = 0; o < cache.outer; ++o, to += cache.extent * cache.inner) {
        std::int64_t at = begins[static_cast<std::size_t>(o * batch / cache.outer)];
        for (std::int64_t i = 0; i < part.extent; ++i, ++at, from += cache.inner)
          std::copy_n(from, cache.inner, to + at % cache.extent * cache.inner);
      }
    });
    return {y};
  }

  Work work(const NodeView& node) const override {
    return work_of(node, {operations(node, OperationKind::kMove, input_elements(node, 1))});
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view update, std::string_view rest) {
      return sample_text("symbol N in [1,8]",
                         concat("%x : f32[N,2,5,3], %u : ", update, ", %p : uint2[N]"),
                         concat("%y : f32[N,2,5,3] = TensorScatter(%x, %u", rest));
    };
    return {{text("f32[N,2,2,3]", ", %p)"), ""},
            {text("f32[N,2,4,3]", ", %p) {mode = \"circular\"}"), ""},
            {text("f32[N,2,5,1]", ") {axis = 3}"), ""},
            {text("f32[N,2,2,2]", ")"), "in more than axis"},
            {text("f32[N,2,2,3]", ") {axis = 0}"), "the batch"}};
  }
};

}  // namespace

std::int64_t resolved_position(std::int64_t position, std::int64_t extent) {
  if (position < -extent || position >= extent)
    throw Error("position ", position, " is outside of an axis of ", extent, " elements");
  return position < 0 ? position + extent : position;
}

std::vector<std::int64_t> resolved_positions(const Tensor& positions, std::int64_t extent) {
  std::vector<std::int64_t> result = positions.to_integers();
  for (std::int64_t& position : result) position = resolved_position(position, extent);
  return result;
}

void register_scatter_operators() {
  operators().add(std::make_unique<GatherElements>());
  operators().add(std::make_unique<GatherND>());
  operators().add(std::make_unique<ScatterElements>());
  operators().add(std::make_unique<ScatterND>());
  operators().add(std::make_unique<TensorScatter>());
}

}  // namespace tandem
