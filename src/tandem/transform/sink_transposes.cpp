#include "tandem/transform/sink_transposes.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "tandem/base/error.h"
#include "tandem/ops/integer.h"
#include "tandem/transform/rewriter.h"

namespace tandem {
namespace {

using Order = std::vector<std::int64_t>;

Order inverse(const Order& perm) {
  Order result(perm.size());
  for (std::size_t i = 0; i < perm.size(); ++i)
    result[static_cast<std::size_t>(perm[i])] = static_cast<std::int64_t>(i);
  return result;
}

bool is_identity(const Order& perm) {
  for (std::size_t i = 0; i < perm.size(); ++i)
    if (perm[i] != static_cast<std::int64_t>(i)) return false;
  return true;
}

// Elements of a constant of any format picked by flat index.
Tensor gathered(const Tensor& from, Shape shape, const std::vector<std::int64_t>& indices) {
  Tensor result(from.format(), std::move(shape));
  const auto width = static_cast<std::size_t>(storage_bytes(from.format().storage()));
  const auto source = from.bytes();
  auto to = result.mutable_bytes();
  for (std::size_t i = 0; i < indices.size(); ++i) {
    const auto begin = source.begin() + indices[i] * static_cast<std::ptrdiff_t>(width);
    std::copy(begin, begin + static_cast<std::ptrdiff_t>(width),
              to.begin() + static_cast<std::ptrdiff_t>(i * width));
  }
  return result;
}

// The flat source index of every element of a transposed row-major array.
std::vector<std::int64_t> transposed_indices(const Shape& from, const Order& perm, Shape& to) {
  const auto strides = row_major_strides(from);
  to.clear();
  for (const auto axis : perm) to.push_back(from[static_cast<std::size_t>(axis)]);
  std::vector<std::int64_t> indices(static_cast<std::size_t>(element_count(to)));
  Shape index(to.size(), 0);
  for (auto& flat : indices) {
    flat = 0;
    for (std::size_t d = 0; d < to.size(); ++d)
      flat += index[d] * strides[static_cast<std::size_t>(perm[d])];
    for (std::size_t d = to.size(); d-- > 0;) {
      if (++index[d] < to[d]) break;
      index[d] = 0;
    }
  }
  return indices;
}

// A value of the old graph in the new one: either Transpose(base, perm), or, when `picks` is not
// empty, base with its last axis reordered: value[..., i] = base[..., picks[i]].
struct Carried {
  ValueId base = kNone;
  Order perm;   // empty: none
  Order picks;  // empty: none

  bool plain() const { return perm.empty() && picks.empty(); }
  bool same_order(const Carried& other) const { return perm == other.perm && picks == other.picks; }
};

class Sinker {
 public:
  explicit Sinker(const Module& module)
      : old_(module), graph_(module.main()), rewriter_(module), builder_(&rewriter_.builder()) {
    for (ValueId id = 0; id < graph_.values.size(); ++id)
      values_.push_back({rewriter_.at(id), {}, {}});
  }

  Module run() {
    for (const Node& node : graph_.nodes) move_node(node);
    return rewriter_.finish([this](ValueId id) { return written(id); });
  }

 private:
  bool is_constant(ValueId id) const { return graph_.values[id].constant != kNone; }

  // The value in its original order, for operators that need it so.
  ValueId written(ValueId id) {
    Carried& value = values_[id];
    if (value.plain()) return value.base;
    ValueId result = kNone;
    if (!value.perm.empty()) {
      result = transposed(value);
    } else {
      const auto count = static_cast<std::int64_t>(value.picks.size());
      const Tensor indices = Tensor::from_integers(Format::integer(64, true), {count}, value.picks);
      result = builder_->add("Gather", {value.base, builder_->constant(indices, "order")},
                             {{"axis", std::int64_t{-1}}}, "reorder");
    }
    value = {result, {}, {}};
    return result;
  }

  ValueId transposed(const Carried& value) {
    if (moves_only_ones(value)) return reshaped(value);
    return builder_->add("Transpose", {value.base}, {{"perm", value.perm}}, "transpose");
  }

  // Axes of extent 1 change place without any element moving.
  bool moves_only_ones(const Carried& value) {
    const auto& shape = builder_->type(value.base).shape;
    std::int64_t last = -1;
    for (const auto axis : value.perm) {
      if (shape[static_cast<std::size_t>(axis)] == Dim(1)) continue;
      if (axis < last) return false;
      last = axis;
    }
    return true;
  }

  ValueId reshaped(const Carried& value) {
    std::vector<std::string> dims;
    for (const auto axis : value.perm) dims.push_back(concat("d", axis));
    return builder_->add("Reshape", {value.base}, {{"shape", dims}}, "reshape");
  }

  void move_node(const Node& node) {
    const Traits traits = node.op->traits();
    const std::string_view op = node.op->name();
    bool done = false;
    builder_->set_scope(node.scope);
    if (op == "Transpose")
      done = move_transpose(node);
    else if (op == "Reshape")
      done = move_reshape(node) || regroup(node);
    else if (op == "Slice")
      done = move_slice(node);
    else if (op == "IntMatMul")
      done = move_product(node);
    else if (op == "IntSum" || op == "IntReduceMax")
      done = move_reduction(node);
    else if (op == "Concat")
      done = move_concatenation(node);
    else if (traits.elementwise)
      done = move_elementwise(node);
    if (!done) copy(node);
  }

  void copy(const Node& node) {
    std::vector<ValueId> inputs;
    for (const ValueId input : node.inputs)
      inputs.push_back(input == kNone ? kNone : written(input));
    rewriter_.copy(node, std::move(inputs));
    for (const ValueId output : node.outputs) values_[output] = {rewriter_.at(output), {}, {}};
  }

  bool move_transpose(const Node& node) {
    const Carried& x = values_[node.inputs[0]];
    if (!x.picks.empty()) return false;
    const auto& perm = std::get<Order>(node.attributes.at("perm"));
    Order composed;
    for (const auto axis : perm)
      composed.push_back(x.perm.empty() ? axis : x.perm[static_cast<std::size_t>(axis)]);
    values_[node.outputs[0]] = {x.base, is_identity(composed) ? Order{} : composed, {}};
    return true;
  }

  // Flattening [N, a, b, c] to [N, a*b*c] in another order is a flattening and a reordering.
  bool move_reshape(const Node& node) {
    const Carried x = values_[node.inputs[0]];
    if (x.perm.empty() || x.perm[0] != 0) return false;
    const TensorType& type = graph_.values[node.outputs[0]].type;
    const TensorType& base = builder_->type(x.base);
    if (type.shape.size() != 2 || base.shape.empty() || type.shape[0] != base.shape[0])
      return false;
    Shape inner;
    for (std::size_t d = 1; d < base.shape.size(); ++d) {
      if (!base.shape[d].is_constant()) return false;
      inner.push_back(base.shape[d].constant());
    }
    Order perm;
    for (std::size_t d = 1; d < x.perm.size(); ++d) perm.push_back(x.perm[d] - 1);
    Shape to;
    const Order picks = transposed_indices(inner, perm, to);
    // The shape as it is written may speak of axes by their place.
    const ValueId flat = builder_->add(
        "Reshape", {x.base},
        {{"shape", std::vector<std::string>{"d0", std::to_string(element_count(inner))}}},
        node.name);
    values_[node.outputs[0]] = {flat, {}, is_identity(picks) ? Order{} : picks};
    return true;
  }

  bool move_slice(const Node& node) {
    const Carried& x = values_[node.inputs[0]];
    if (x.perm.empty()) return false;
    Attributes attributes = node.attributes;
    Order axes = std::get<Order>(attributes.at("axes"));
    if (axes.empty()) {
      axes.resize(std::get<Order>(attributes.at("starts")).size());
      std::iota(axes.begin(), axes.end(), std::int64_t{0});
    }
    for (std::int64_t& axis : axes) {
      if (axis < 0) axis += static_cast<std::int64_t>(x.perm.size());
      axis = x.perm[static_cast<std::size_t>(axis)];
    }
    attributes["axes"] = axes;
    const Order perm = x.perm;
    const ValueId result = builder_->add("Slice", {x.base}, attributes, node.name);
    values_[node.outputs[0]] = {result, perm, {}};
    return true;
  }

  // Axes that a Reshape makes of others: one of one, some of one, or one of some.
  struct Regrouped {
    std::size_t first = 0, count = 1;  // of the axes that were
    std::vector<Dim> dims;             // of those that are
  };
  static std::optional<std::vector<Regrouped>> regrouped_axes(const std::vector<Dim>& from,
                                                              const std::vector<Dim>& to) {
    std::vector<Regrouped> result;
    std::size_t i = 0, j = 0;
    while (i < from.size() && j < to.size()) {
      Regrouped group{i, 1, {to[j]}};
      Dim before = from[i++], after = to[j++];
      while (!(before == after)) {
        if (!before.is_constant() || !after.is_constant()) return std::nullopt;
        if (before.constant() < after.constant()) {
          if (i == from.size()) return std::nullopt;
          before = before * from[i++];
          ++group.count;
        } else {
          if (j == to.size()) return std::nullopt;
          after = after * to[j];
          group.dims.push_back(to[j++]);
        }
      }
      if (group.count > 1 && group.dims.size() > 1) return std::nullopt;
      result.push_back(group);
    }
    if (i != from.size() || j != to.size()) return std::nullopt;
    return result;
  }

  // An axis that is split is so where it lies; axes that become one are put in their order first,
  // if they lie side by side. Channels that change places in groups, as in ShuffleNet, become one
  // Transpose of what lies channels last.
  bool regroup(const Node& node) {
    const Carried x = values_[node.inputs[0]];
    if (x.perm.empty()) return false;
    const auto groups = regrouped_axes(graph_.values[node.inputs[0]].type.shape,
                                       graph_.values[node.outputs[0]].type.shape);
    if (!groups) return false;
    // By axis of the base: the group it belongs to, and the order in which they are put.
    std::vector<std::size_t> group_of(x.perm.size());
    for (std::size_t g = 0; g < groups->size(); ++g)
      for (std::size_t i = 0; i < (*groups)[g].count; ++i)
        group_of[static_cast<std::size_t>(x.perm[(*groups)[g].first + i])] = g;
    Order arranged;
    std::vector<std::string> dims;
    std::vector<std::int64_t> place(groups->size());  // of the first axis that a group becomes
    for (std::size_t axis = 0; axis < group_of.size(); axis += (*groups)[group_of[axis]].count) {
      const Regrouped& group = (*groups)[group_of[axis]];
      for (std::size_t i = 0; i < group.count; ++i) {
        if (axis + i >= group_of.size() || group_of[axis + i] != group_of[axis]) return false;
        arranged.push_back(x.perm[group.first + i]);
      }
      place[group_of[axis]] = static_cast<std::int64_t>(dims.size());
      if (group.count == 1 && group.dims.size() == 1)
        dims.push_back(concat("d", arranged.size() - 1));
      else
        for (const Dim& dim : group.dims) dims.push_back(std::to_string(dim.constant()));
    }
    const ValueId base = is_identity(arranged) ? x.base : transposed({x.base, arranged, {}});
    const ValueId result = builder_->add("Reshape", {base}, {{"shape", dims}}, node.name);
    Order perm;
    for (std::size_t g = 0; g < groups->size(); ++g)
      for (std::size_t i = 0; i < (*groups)[g].dims.size(); ++i)
        perm.push_back(place[g] + static_cast<std::int64_t>(i));
    values_[node.outputs[0]] = {result, is_identity(perm) ? Order{} : perm, {}};
    return true;
  }

  // The rows of a constant matrix follow the reordered last axis.
  bool move_product(const Node& node) {
    const Carried x = values_[node.inputs[0]];
    const Tensor* matrix = constant_of(old_, graph_, node.inputs[1]);
    if (x.picks.empty() || matrix == nullptr || matrix->rank() != 2) return false;
    const std::int64_t columns = matrix->shape()[1];
    std::vector<std::int64_t> indices(static_cast<std::size_t>(matrix->size()));
    for (std::size_t row = 0; row < x.picks.size(); ++row) {
      for (std::int64_t column = 0; column < columns; ++column) {
        indices[static_cast<std::size_t>(x.picks[row] * columns + column)] =
            static_cast<std::int64_t>(row) * columns + column;
      }
    }
    const ValueId weights =
        builder_->constant(gathered(*matrix, matrix->shape(), indices), "weights");
    const ValueId result =
        builder_->add("IntMatMul", {x.base, weights}, node.attributes, node.name);
    values_[node.outputs[0]] = {result, {}, {}};
    return true;
  }

  bool move_reduction(const Node& node) {
    const Carried& x = values_[node.inputs[0]];
    if (x.perm.empty()) return false;
    Attributes attributes = node.attributes;
    Order axes;
    for (const auto axis : std::get<Order>(attributes.at("axes")))
      axes.push_back(x.perm[static_cast<std::size_t>(axis)]);
    attributes["axes"] = axes;
    const ValueId result = builder_->add(node.op->name(), {x.base}, attributes, node.name);
    values_[node.outputs[0]] = {result, x.perm, {}};
    return true;
  }

  bool move_concatenation(const Node& node) {
    const Carried& first = values_[node.inputs[0]];
    if (first.perm.empty()) return false;
    std::vector<ValueId> inputs;
    for (const ValueId input : node.inputs) {
      if (is_constant(input) || !values_[input].same_order(first)) return false;
      inputs.push_back(values_[input].base);
    }
    Attributes attributes = node.attributes;
    auto axis = std::get<std::int64_t>(attributes.at("axis"));
    if (axis < 0) axis += static_cast<std::int64_t>(first.perm.size());
    attributes["axis"] = first.perm[static_cast<std::size_t>(axis)];
    const Order perm = first.perm;
    const ValueId result = builder_->add("Concat", inputs, attributes, node.name);
    values_[node.outputs[0]] = {result, perm, {}};
    return true;
  }

  // Tables and thresholds have one axis more than what they broadcast to.
  static std::size_t extra_axes(const Node& node, std::size_t input) {
    const std::string_view op = node.op->name();
    return input == 1 && (op == "Table" || op == "Threshold") ? 1 : 0;
  }

  bool move_elementwise(const Node& node) {
    const Carried* order = nullptr;
    const std::size_t rank = graph_.values[node.outputs[0]].type.shape.size();
    for (const ValueId input : node.inputs) {
      if (is_constant(input)) continue;
      const Carried& value = values_[input];
      if (graph_.values[input].type.shape.size() != rank) return false;
      if (order == nullptr)
        order = &value;
      else if (!value.same_order(*order))
        return false;
    }
    if (order == nullptr || order->plain()) return false;
    const Carried carried = *order;
    if (!carried.picks.empty() && !broadcast_keeps_last(node, carried)) return false;
    std::vector<ValueId> inputs;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      if (!is_constant(node.inputs[i])) {
        inputs.push_back(values_[node.inputs[i]].base);
        continue;
      }
      const Tensor moved =
          reordered(*constant_of(old_, graph_, node.inputs[i]), carried, rank, extra_axes(node, i));
      inputs.push_back(builder_->constant(moved, graph_.values[node.inputs[i]].name));
    }
    const ValueId result = builder_->add(node.op->name(), inputs, node.attributes, node.name);
    values_[node.outputs[0]] = {result, carried.perm, carried.picks};
    return true;
  }

  bool broadcast_keeps_last(const Node& node, const Carried& carried) const {
    const Dim& last = graph_.values[node.outputs[0]].type.shape.back();
    return last == Dim(static_cast<std::int64_t>(carried.picks.size())) &&
           std::all_of(node.inputs.begin(), node.inputs.end(), [&](ValueId input) {
             return is_constant(input) || graph_.values[input].type.shape.back() == last;
           });
  }

  // A constant in the order of the base.
  static Tensor reordered(const Tensor& constant, const Carried& carried, std::size_t rank,
                          std::size_t extra) {
    Shape shape = constant.shape();
    if (shape.size() < rank + extra) shape.insert(shape.begin(), rank + extra - shape.size(), 1);
    Tensor full = constant.reshaped(shape);
    Shape to;
    if (!carried.perm.empty()) {
      Order perm = inverse(carried.perm);
      for (std::size_t d = 0; d < extra; ++d) perm.push_back(static_cast<std::int64_t>(rank + d));
      const auto indices = transposed_indices(shape, perm, to);
      return gathered(full, to, indices);
    }
    if (shape[rank - 1] == 1) return full;
    const std::int64_t inner = extra == 0 ? 1 : shape.back();
    const auto count = static_cast<std::int64_t>(carried.picks.size());
    std::vector<std::int64_t> indices(static_cast<std::size_t>(full.size()));
    for (std::int64_t i = 0; i < full.size(); ++i) {
      const std::int64_t lane = i / inner % count;
      const std::int64_t target = carried.picks[static_cast<std::size_t>(lane)];
      indices[static_cast<std::size_t>(i + (target - lane) * inner)] = i;
    }
    return gathered(full, shape, indices);
  }

  const Module& old_;
  const Graph& graph_;
  Rewriter rewriter_;
  Builder* builder_;
  std::vector<Carried> values_;  // by old value
};

}  // namespace

void sink_transposes(Module& module) { module = Sinker(module).run(); }

}  // namespace tandem
