#include "tandem/plan/kernel.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/integer.h"
#include "tandem/plan/kernel_builder.h"

namespace tandem {
namespace {

IntegerRange sum_range_of(const NodeView& view) {
  const auto* primitive = dynamic_cast<const IntegerOperator*>(view.node.op);
  return primitive == nullptr ? IntegerRange{} : primitive->range(view);
}

bool is_packed(const std::string& form) {
  return form.starts_with("bytes") || form.starts_with("pairs") || form.starts_with("vector");
}

}  // namespace

bool is_padded(const NodeView& view, const Window& window) {
  const Shape input = view.input(0).static_shape();
  const std::vector<std::int64_t> extents(input.begin() + 1, input.end() - 1),
      outputs = window.output_extents(extents);
  for (std::size_t d = 0; d < window.rank(); ++d) {
    const std::int64_t last = (outputs[d] - 1) * window.strides[d] - window.pads_begin[d] +
                              window.dilations[d] * (window.kernel[d] - 1);
    if (window.pads_begin[d] > 0 || last >= extents[d]) return true;
  }
  return false;
}

std::vector<std::string> kernel_forms(const Module& module, const Graph& graph,
                                      const std::vector<ValueId>& base_of,
                                      const std::vector<NodeId>& nodes) {
  const Node& node = graph.nodes[nodes.front()];
  const NodeView view{module, graph, node};
  const std::string_view op = node.op->name();
  if (op == "IntMatMul") {
    const Tensor* b = view.constant(1);
    if (b == nullptr || b->rank() != 2) return {"plain"};
    std::vector<std::string> forms = {"dot_1", "dot_2", "dot_4"};
    add_packed_forms(module, graph, base_of, nodes, forms);
    return forms;
  }
  if (op == "IntConv") {
    const Shape weight = view.input(1).static_shape();
    const bool padded = is_padded(view, window_of(view, {weight.begin() + 1, weight.end() - 1}));
    std::vector<std::string> forms;
    for (const char* blocks : {"1", "2", "4"}) {
      // Weights that are computed lie column after column.
      if (view.constant(1) == nullptr && blocks[0] != '1') continue;
      forms.push_back(concat(padded ? "padded_" : "window_", blocks));
      forms.push_back(concat("patch_", blocks));
    }
    add_packed_forms(module, graph, base_of, nodes, forms);
    add_plane_form(view, forms);
    add_quad_forms(module, graph, base_of, nodes, forms);
    return forms;
  }
  if (op == "IntSumPool" || op == "IntMaxPool") {
    if (!is_padded(view, window_of(view, view.integers("kernel")))) return {"pool"};
    return {"pool", "padded_pool"};
  }
  if (op == "IntSum" || op == "IntReduceMax") return {"reduce"};
  if (op == "IntArgMax") return {"argmax"};
  return {node.op->traits().domain == Domain::kMovement ? "move" : "elements"};
}

FormNeeds needs_of(const std::string& form) {
  if (form.starts_with("vector") || form.ends_with("quads")) return FormNeeds::kVectors;
  if (form.starts_with("pairs") || form == "plane") return FormNeeds::kPackedProducts;
  if (form.starts_with("bytes") || form == "plane_bytes") return FormNeeds::kRegisters;
  return FormNeeds::kNothing;
}

LoopProgram build_kernel(const Module& module, const Graph& graph,
                         const std::vector<ValueId>& base_of, const std::vector<NodeId>& nodes,
                         const std::string& form) {
  LoopProgram program = KernelBuilder(module, graph, base_of, nodes, form).build();
  remove_unused(program);
  return program;
}

KernelBuilder::KernelBuilder(const Module& module, const Graph& graph,
                             const std::vector<ValueId>& base_of, const std::vector<NodeId>& nodes,
                             const std::string& form)
    : module_(module),
      graph_(graph),
      base_of_(base_of),
      nodes_(nodes),
      form_(form),
      first_(graph.nodes[nodes.front()]),
      view_{module, graph, first_},
      nest_(first_.op->traits().domain == Domain::kMovement ? LoopExtents{}
            : is_packed(form)                               ? row_nest(graph, first_)
                              : group_nest(module, graph, base_of, nodes)),
      elements_(module, graph, program_, base_of, nest_),
      sum_range_(sum_range_of(view_)),
      sum_type_(arithmetic_for(sum_range_)) {
  if (form.ends_with("quads") ||
      (form.starts_with("vector") && takes_quads(module, graph, base_of, nodes, nest_)))
    elements_.expect_quads();
}

LoopProgram KernelBuilder::build() {
  if (form_ == "move") {
    build_movement();
    return std::move(program_);
  }
  const bool elementwise = form_ == "elements";
  if (!elementwise) elements_.hand_over(base_of_[first_.outputs[0]], sum_range_);
  for (std::size_t i = elementwise ? 0 : 1; i < nodes_.size(); ++i)
    elements_.add(graph_.nodes[nodes_[i]]);
  const ValueId result = base_of_[graph_.nodes[nodes_.back()].outputs[0]];
  Array array;
  array.name = "y";
  array.role = ArrayRole::kOutput;
  array.storage = graph_.values[result].type.format.storage();
  array.size = element_count(shape(result));
  array.channels = shape(result).empty() ? 1 : shape(result).back();
  array.value = result;
  program_.arrays.push_back(std::move(array));

  if (is_packed(form_))
    build_packed();
  else if (form_ == "plane" || form_ == "plane_bytes")
    build_planes();
  else if (form_ == "plane_quads")
    build_plane_quads();
  else if (form_ == "channel_quads")
    build_channel_quads();
  else if (form_.starts_with("dot"))
    build_matmul();
  else if (form_ == "plain")
    build_plain_matmul();
  else if (form_.ends_with("pool"))
    build_pool();
  else if (first_.op->name() == "IntConv")
    build_conv();
  else if (form_ == "reduce")
    build_reduce();
  else if (form_ == "argmax")
    build_argmax();
  else if (elementwise)
    build_elements();
  else
    throw InternalError(concat("unknown form ", form_));
  return std::move(program_);
}

std::int64_t KernelBuilder::block() const {
  return parse_integer(form_.substr(form_.find('_') + 1), "block of a form");
}

bool KernelBuilder::write_out(Statements& to, std::int64_t extent, std::int64_t step,
                              const Body& body) {
  constexpr std::int64_t kFewIterations = 4;
  constexpr std::size_t kFewStatements = 12;
  if ((extent + step - 1) / step > kFewIterations) return false;
  const auto names = program_.names;
  Statements written;
  for (std::int64_t i = 0; i < extent; i += step) body(written, constant_expr(i));
  const bool plain = std::ranges::none_of(written, [](const Statement& s) {
    return s.kind == StatementKind::kFor || s.kind == StatementKind::kIf;
  });
  if (!plain || written.size() > kFewStatements) {
    program_.names = names;
    return false;
  }
  for (Statement& statement : written) to.push_back(std::move(statement));
  return true;
}

void KernelBuilder::loop(Statements& to, const std::string& stem, std::int64_t extent,
                         const Body& body, std::int64_t step) {
  if (extent <= step) {
    if (extent > 0) body(to, constant_expr(0));
    return;
  }
  if (write_out(to, extent, step, body)) return;
  const std::string name = program_.fresh(stem);
  Statements inner;
  body(inner, variable_expr(name));
  to.push_back(for_statement(name, extent, std::move(inner), step));
}

Expr KernelBuilder::flat(const std::vector<Expr>& position) const {
  // Horner's scheme keeps the last, fastest index outermost in the sum.
  Expr index = constant_expr(0);
  for (std::size_t d = 0; d < nest_.size(); ++d)
    index = index * constant_expr(nest_[d]) + position[d];
  return index;
}

Statement KernelBuilder::finished(Statements& to, const Expr& sum,
                                  const std::vector<Expr>& position, std::size_t quad_axis) {
  Ranged result{sum, sum_range_};
  if (!elements_.empty()) result = elements_.apply(to, std::move(result), position, quad_axis);
  if (quad_axis != kNone) {
    // What is the same everywhere is computed once.
    if (result.value.lanes == 1)
      result.value = quad_expr(std::vector<Expr>(kQuadLanes, result.value));
    return store_quad_statement("y", storage_of_array("y"), flat(position), std::move(result.value),
                                row_major_strides(nest_)[quad_axis]);
  }
  return store_statement("y", storage_of_array("y"), flat(position), std::move(result.value));
}

void KernelBuilder::finish(Statements& to, const Expr& sum, const std::vector<Expr>& position) {
  Statement store = finished(to, sum, position);
  to.push_back(std::move(store));
}

std::vector<Expr> KernelBuilder::zero_sums(Statements& to, std::int64_t count) {
  std::vector<Expr> sums;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::string name = program_.fresh("sum");
    to.push_back(variable_statement(name, constant_expr(0, sum_type_)));
    sums.push_back(variable_expr(name, sum_type_));
  }
  return sums;
}

std::string KernelBuilder::read(ValueId value) {
  const Tensor* constant = constant_of(module_, graph_, value);
  if (constant != nullptr) return add_constant("weights", constant->to_integers());
  return input_array(program_, graph_, base_of_[value]);
}

std::string KernelBuilder::add_constant(const std::string& stem, std::vector<std::int64_t> values) {
  Array array;
  array.name = stem;
  for (int i = 2;
       std::ranges::any_of(program_.arrays, [&](const Array& a) { return a.name == array.name; });
       ++i)
    array.name = concat(stem, i);
  const auto [low, high] = std::ranges::minmax(values);
  array.role = ArrayRole::kWeights;
  array.storage = storage_for({low, high});
  array.size = static_cast<std::int64_t>(values.size());
  array.values = std::move(values);
  program_.arrays.push_back(array);
  return array.name;
}

Storage KernelBuilder::storage_of_array(const std::string& name) const {
  for (const Array& array : program_.arrays)
    if (array.name == name) return array.storage;
  throw InternalError(concat("no array ", name));
}

void KernelBuilder::build_elements() {
  std::vector<Expr> position(nest_.size());
  const std::function<void(Statements&, std::size_t)> nested = [&](Statements& to, std::size_t d) {
    if (d == nest_.size()) {
      const Ranged result = elements_.apply(to, std::nullopt, position);
      to.push_back(store_statement("y", storage_of_array("y"), flat(position), result.value));
      return;
    }
    loop(to, "i", nest_[d], [&](Statements& inner, const Expr& index) {
      position[d] = index;
      nested(inner, d + 1);
    });
  };
  nested(program_.body, 0);
}

namespace {

// An axis of a reduction's input: several neighbouring ones that are all kept or all reduced.
struct MergedAxis {
  std::int64_t extent = 1, stride = 1;
  bool reduced = false;
};

std::vector<MergedAxis> merged_axes(const Shape& shape, const std::vector<std::int64_t>& axes) {
  std::vector<MergedAxis> merged;
  const std::vector<std::int64_t> strides = row_major_strides(shape);
  for (std::size_t d = 0; d < shape.size(); ++d) {
    if (shape[d] == 1) continue;
    const bool reduced = std::ranges::find(axes, static_cast<std::int64_t>(d)) != axes.end();
    if (!merged.empty() && merged.back().reduced == reduced) {
      merged.back().extent *= shape[d];
      merged.back().stride = strides[d];
    } else {
      merged.push_back({shape[d], strides[d], reduced});
    }
  }
  return merged;
}

}  // namespace

void KernelBuilder::build_reduce() {
  const bool is_sum = first_.op->name() == "IntSum";
  const auto axes = merged_axes(shape(first_.inputs[0]), view_.integers("axes"));
  const std::string source = read(first_.inputs[0]);
  const Storage source_type = storage_of_array(source);
  const std::int64_t least = view_.input(0).format.integer_range().min;
  std::vector<Expr> position;
  const auto reduce = [&](Statements& to, const Expr& base) {
    const std::string name = program_.fresh(is_sum ? "sum" : "most");
    to.push_back(variable_statement(name, constant_expr(is_sum ? 0 : least, sum_type_)));
    const Expr result = variable_expr(name, sum_type_);
    const std::function<void(Statements&, std::size_t, Expr)> nested = [&](Statements& inner,
                                                                           std::size_t d, Expr at) {
      while (d < axes.size() && !axes[d].reduced) ++d;
      if (d < axes.size()) {
        loop(inner, "k", axes[d].extent, [&](Statements& body, const Expr& k) {
          nested(body, d + 1, at + k * constant_expr(axes[d].stride));
        });
        return;
      }
      Expr value = convert_expr(load_expr(source, source_type, at), sum_type_);
      if (!is_sum) {
        const std::string local = program_.fresh("v");
        inner.push_back(let_statement(local, value));
        value = variable_expr(local, sum_type_);
      }
      inner.push_back(assign_statement(
          name, is_sum ? result + value : select_expr(less_expr(result, value), value, result)));
    };
    nested(to, 0, base);
    if (position.empty()) position.push_back(constant_expr(0));
    finish(to, result, position);
  };
  const std::function<void(Statements&, std::size_t, Expr)> kept = [&](Statements& to,
                                                                       std::size_t d, Expr base) {
    while (d < axes.size() && axes[d].reduced) ++d;
    if (d == axes.size()) return reduce(to, base);
    loop(to, "o", axes[d].extent, [&](Statements& inner, const Expr& index) {
      position.push_back(index);
      kept(inner, d + 1, base + index * constant_expr(axes[d].stride));
      position.pop_back();
    });
  };
  kept(program_.body, 0, constant_expr(0));
}

void KernelBuilder::build_argmax() {
  const Shape from = shape(first_.inputs[0]);
  const AxisSplit split = split_at(from, static_cast<std::size_t>(view_.integer("axis")));
  const bool last = view_.integer("select_last") != 0;
  const std::string source = read(first_.inputs[0]);
  const Storage source_type = storage_of_array(source);
  const Storage type = arithmetic_for(view_.input(0).format.integer_range());
  const auto element = [&](const Expr& at) {
    return convert_expr(load_expr(source, source_type, at), type);
  };
  loop(program_.body, "o", split.outer, [&](Statements& outer, const Expr& o) {
    loop(outer, "n", split.inner, [&](Statements& to, const Expr& n) {
      const Expr base = o * constant_expr(split.extent * split.inner) + n;
      const std::string best = program_.fresh("best"), at = program_.fresh("at");
      to.push_back(variable_statement(best, element(base)));
      to.push_back(variable_statement(at, constant_expr(0)));
      const Expr most = variable_expr(best, type), index = variable_expr(at);
      if (split.extent > 1) {
        const std::string k = program_.fresh("k");
        Statements body;
        ScalarCode code(body, program_);
        const Expr value =
            code.local(element(base + variable_expr(k) * constant_expr(split.inner)));
        const Expr better = code.local(
            binary_expr(last ? ExprOp::kLessEqual : ExprOp::kLess, most, value), "better");
        body.push_back(assign_statement(at, select_expr(better, variable_expr(k), index)));
        body.push_back(assign_statement(best, select_expr(better, value, most)));
        to.push_back(for_statement(k, split.extent, std::move(body), 1, 1));
      }
      // An axis of one element splits nothing: the nest has one loop for what is around it.
      std::vector<Expr> position;
      if (split.extent == 1) position.push_back(o * constant_expr(split.inner) + n);
      if (split.extent > 1 && split.outer > 1) position.push_back(o);
      if (split.extent > 1 && (split.inner > 1 || position.empty())) position.push_back(n);
      finish(to, convert_expr(index, sum_type_), position);
    });
  });
}

}  // namespace tandem
