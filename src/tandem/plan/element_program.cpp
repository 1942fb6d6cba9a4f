#include "tandem/plan/element_program.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "tandem/base/error.h"
#include "tandem/graph/operator.h"
#include "tandem/numerics/overflow.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/integer.h"

namespace tandem {
namespace {

Shape output_shape(const Graph& graph, const Node& node) {
  return graph.values[node.outputs[0]].type.static_shape();
}

IntegerRange range_of_values(const std::vector<std::int64_t>& values) {
  const auto [low, high] = std::ranges::minmax(values);
  return {low, high};
}

// How many axes at the end of an input belong to the row of each element: the entries of a table.
std::size_t row_axes_of(const Node& node, std::size_t input) {
  const std::string_view op = node.op->name();
  return input == 1 && (op == "Table" || op == "Threshold") ? 1 : 0;
}

// Rows of a constant: its shape without the row axes, the length of a row.
struct TableRows {
  Shape shape;
  std::int64_t length = 1;
};
TableRows table_rows(Shape shape, std::size_t row_axes) {
  TableRows rows;
  for (std::size_t i = 0; i < row_axes; ++i) {
    rows.length *= shape.back();
    shape.pop_back();
  }
  rows.shape = std::move(shape);
  return rows;
}

bool has_equal_rows(const Tensor& constant, std::int64_t length) {
  for (std::int64_t i = length; i < constant.size(); ++i)
    if (constant.integer(i) != constant.integer(i - length)) return false;
  return true;
}

// The strides, by axis of the nest, at which a node's constant advances in rows: zeros when all
// rows are equal.
std::optional<std::vector<std::int64_t>> constant_strides(const Tensor& constant,
                                                          std::size_t row_axes, const Shape& output,
                                                          const LoopExtents& nest) {
  const TableRows rows = table_rows(constant.shape(), row_axes);
  if (has_equal_rows(constant, rows.length)) return std::vector<std::int64_t>(nest.size(), 0);
  return affine_strides(broadcast_offsets(rows.shape, output), nest);
}

std::string new_array(LoopProgram& program, const std::string& stem, ArrayRole role,
                      std::vector<std::int64_t> values) {
  Array array;
  array.role = role;
  array.storage = storage_for(range_of_values(values));
  array.size = static_cast<std::int64_t>(values.size());
  array.values = std::move(values);
  const auto known = [&](const std::string& name) {
    return std::ranges::any_of(program.arrays, [&](const Array& a) { return a.name == name; });
  };
  array.name = stem;
  for (int i = 2; known(array.name); ++i) array.name = concat(stem, i);
  program.arrays.push_back(array);
  return array.name;
}

}  // namespace

std::optional<std::vector<std::int64_t>> affine_strides(std::span<const std::int64_t> sequence,
                                                        const LoopExtents& nest) {
  std::vector<std::int64_t> strides(nest.size(), 0);
  const std::vector<std::int64_t> steps = row_major_strides(nest);
  for (std::size_t d = 0; d < nest.size(); ++d)
    if (nest[d] > 1) strides[d] = sequence[static_cast<std::size_t>(steps[d])] - sequence[0];
  std::vector<std::int64_t> index(nest.size(), 0);
  std::int64_t expected = sequence.empty() ? 0 : sequence[0];
  for (const std::int64_t actual : sequence) {
    if (actual != expected) return std::nullopt;
    for (std::size_t d = nest.size(); d-- > 0;) {
      expected += strides[d];
      if (++index[d] < nest[d]) break;
      expected -= strides[d] * nest[d];
      index[d] = 0;
    }
  }
  return strides;
}

std::vector<bool> register_inputs(const Graph& graph, const std::vector<ValueId>& base_of,
                                  std::span<const NodeId> before, const Node& node) {
  std::vector<bool> result;
  for (const ValueId input : node.inputs)
    result.push_back(std::ranges::any_of(
        before, [&](NodeId id) { return base_of[graph.nodes[id].outputs[0]] == base_of[input]; }));
  return result;
}

bool fits_nest(const Module& module, const Graph& graph, const Node& node,
               const std::vector<bool>& in_register, const LoopExtents& nest) {
  const Shape output = output_shape(graph, node);
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    if (in_register[i]) continue;
    if (const Tensor* constant = constant_of(module, graph, node.inputs[i])) {
      if (!constant_strides(*constant, row_axes_of(node, i), output, nest)) return false;
      continue;
    }
    const Shape shape = graph.values[node.inputs[i]].type.static_shape();
    if (!affine_strides(broadcast_offsets(shape, output), nest)) return false;
  }
  return true;
}

std::string input_array(LoopProgram& program, const Graph& graph, ValueId base) {
  std::size_t inputs = 0;
  for (const Array& array : program.arrays) {
    if (array.role != ArrayRole::kInput) continue;
    if (array.value == base) return array.name;
    ++inputs;
  }
  const TensorType& type = graph.values[base].type;
  Array array;
  array.name = concat("x", inputs);
  array.role = ArrayRole::kInput;
  array.storage = type.format.storage();
  array.size = element_count(type.static_shape());
  array.channels = type.shape.empty() ? 1 : type.static_shape().back();
  array.value = base;
  program.arrays.push_back(array);
  return array.name;
}

ElementProgram::ElementProgram(const Module& module, const Graph& graph, LoopProgram& program,
                               const std::vector<ValueId>& base_of, LoopExtents nest)
    : module_(module),
      graph_(graph),
      program_(program),
      base_of_(base_of),
      nest_(std::move(nest)) {}

bool takes_quads(const Module& module, const Graph& graph, const std::vector<ValueId>& base_of,
                 const std::vector<NodeId>& nodes, const LoopExtents& nest) {
  const Node& first = graph.nodes[nodes.front()];
  LoopProgram unused;
  ElementProgram elements(module, graph, unused, base_of, nest);
  elements.hand_over(base_of[first.outputs[0]],
                     dynamic_cast<const IntegerOperator&>(*first.op).range({module, graph, first}));
  for (std::size_t i = 1; i < nodes.size(); ++i) elements.add(graph.nodes[nodes[i]]);
  return elements.takes_quads();
}

ElementProgram::Pattern ElementProgram::pattern_of(const Node& node,
                                                   std::span<const std::size_t> inputs,
                                                   std::int64_t row_axes) const {
  const Shape output = output_shape(graph_, node);
  std::vector<std::vector<std::int64_t>> strides;
  std::vector<bool> varies(nest_.size(), false);
  for (const std::size_t input : inputs) {
    const auto found = constant_strides(*constant_of(module_, graph_, node.inputs[input]),
                                        static_cast<std::size_t>(row_axes), output, nest_);
    ensure(found.has_value(), "a constant does not fit the nest of its step");
    strides.push_back(*found);
    for (std::size_t d = 0; d < nest_.size(); ++d)
      if (strides.back()[d] != 0) varies[d] = true;
  }
  Pattern pattern;
  pattern.strides.assign(nest_.size(), 0);
  pattern.points.resize(inputs.size());
  std::int64_t count = 1;
  for (std::size_t d = nest_.size(); d-- > 0;) {
    if (!varies[d]) continue;
    pattern.strides[d] = count;
    count *= nest_[d];
  }
  for (std::int64_t point = 0; point < count; ++point)
    for (std::size_t k = 0; k < inputs.size(); ++k) {
      std::int64_t offset = 0;
      for (std::size_t d = 0; d < nest_.size(); ++d)
        if (varies[d]) offset += point / pattern.strides[d] % nest_[d] * strides[k][d];
      pattern.points[k].push_back(offset);
    }
  return pattern;
}

ElementProgram::Operand ElementProgram::compacted(const Pattern& pattern,
                                                  std::vector<std::int64_t> values,
                                                  std::int64_t row, const std::string& stem,
                                                  ArrayRole role) {
  Operand result;
  result.range = range_of_values(values);
  result.storage = storage_for(result.range);
  result.row = row;
  result.strides = pattern.strides;
  bool equal_rows = true;
  for (std::size_t i = static_cast<std::size_t>(row); equal_rows && i < values.size(); ++i)
    equal_rows = values[i] == values[i - static_cast<std::size_t>(row)];
  if (equal_rows) {
    values.resize(static_cast<std::size_t>(row));
    result.strides.assign(nest_.size(), 0);
    result.values = std::move(values);
    return result;
  }
  result.array = new_array(program_, stem, role, std::move(values));
  return result;
}

ElementProgram::Operand ElementProgram::operand(const Node& node, std::size_t input) {
  const ValueId value = node.inputs[input];
  if (const Tensor* constant = constant_of(module_, graph_, value)) {
    const std::size_t inputs[] = {input};
    const Pattern pattern = pattern_of(node, inputs, 0);
    std::vector<std::int64_t> values;
    for (const std::int64_t at : pattern.points[0]) values.push_back(constant->integer(at));
    return compacted(pattern, std::move(values), 1, "operand", ArrayRole::kWeights);
  }
  Operand result;
  const TensorType& type = graph_.values[value].type;
  result.array = input_array(program_, graph_, base_of_[value]);
  result.storage = type.format.storage();
  result.range = type.format.integer_range();
  result.strides =
      *affine_strides(broadcast_offsets(type.static_shape(), output_shape(graph_, node)), nest_);
  return result;
}

void ElementProgram::hand_over(ValueId base, IntegerRange range) {
  ensure(register_ranges_.empty(), "only one value is handed over, before all others");
  register_of_[base] = 0;
  register_ranges_.push_back(range);
}

void ElementProgram::add(const Node& node) {
  Link link;
  link.node = &node;
  link.operands.resize(node.inputs.size());
  link.sources.assign(node.inputs.size(), kNone);
  const std::string_view op = node.op->name();
  const bool has_tables = op == "Rescale" || op == "Table" || op == "Threshold";
  for (std::size_t i = 0; i < (has_tables ? 1 : node.inputs.size()); ++i) {
    const auto held = register_of_.find(base_of_[node.inputs[i]]);
    if (held != register_of_.end())
      link.sources[i] = held->second;
    else
      link.operands[i] = operand(node, i);
  }
  const IntegerRange x =
      link.sources[0] == kNone ? link.operands[0].range : register_ranges_[link.sources[0]];
  link.range = dynamic_cast<const IntegerOperator&>(*node.op).range({module_, graph_, node});
  if (op == "Rescale") prepare_rescale(link, x);
  if (op == "Table") prepare_table(link);
  if (op == "Threshold") prepare_threshold(link, x);
  register_of_[base_of_[node.outputs[0]]] = register_ranges_.size();
  register_ranges_.push_back(link.range);
  links_.push_back(std::move(link));
}

void ElementProgram::prepare_table(Link& link) {
  const Tensor& table = *constant_of(module_, graph_, link.node->inputs[1]);
  const std::int64_t entries = table.shape().back();
  const std::size_t inputs[] = {1};
  const Pattern pattern = pattern_of(*link.node, inputs, 1);
  std::vector<std::int64_t> values;
  for (const std::int64_t row : pattern.points[0])
    for (std::int64_t i = 0; i < entries; ++i) values.push_back(table.integer(row * entries + i));
  Operand& operand = link.operands[1];
  operand = compacted(pattern, std::move(values), entries, "table", ArrayRole::kTable);
  // A table is looked up at run time, so it needs its array even where there is one row only.
  if (operand.array.empty())
    operand.array = new_array(program_, "table", ArrayRole::kTable, operand.values);
}

void ElementProgram::prepare_threshold(Link& link, IntegerRange x) {
  const Tensor& thresholds = *constant_of(module_, graph_, link.node->inputs[1]);
  const std::int64_t count = thresholds.shape().back();
  const std::size_t inputs[] = {1};
  const Pattern pattern = pattern_of(*link.node, inputs, 1);
  // Beyond x's range only the side matters, so the array can be as narrow as x.
  const std::int64_t never = x.max == std::numeric_limits<std::int64_t>::max() ? x.max : x.max + 1;
  std::vector<std::int64_t> values;
  for (const std::int64_t row : pattern.points[0])
    for (std::int64_t i = 0; i < count; ++i)
      values.push_back(std::clamp(thresholds.integer(row * count + i), x.min, never));
  Operand& operand = link.operands[1];
  operand = compacted(pattern, std::move(values), count, "thresholds", ArrayRole::kTable);
  constexpr std::int64_t kFewThresholds = 4;
  if (operand.array.empty() && count > kFewThresholds)
    operand.array = new_array(program_, "thresholds", ArrayRole::kTable, operand.values);
}

Expr ElementProgram::index_of(const Operand& operand, std::span<const Expr> position) const {
  Expr index = constant_expr(0);
  for (std::size_t d = 0; d < nest_.size(); ++d)
    index = index + position[d] * constant_expr(operand.strides[d]);
  return index * constant_expr(operand.row);
}

Ranged ElementProgram::fetch(const Operand& operand, std::span<const Expr> position) const {
  if (operand.array.empty())
    return {constant_expr(operand.values[0], arithmetic_for(operand.range)), operand.range};
  if (quad_axis_ != kNone && operand.strides[quad_axis_] != 0)
    return {load_quad_expr(operand.array, operand.storage, index_of(operand, position),
                           operand.strides[quad_axis_] * operand.row),
            operand.range};
  return {load_expr(operand.array, operand.storage, index_of(operand, position)), operand.range};
}

bool ElementProgram::takes_quads() const {
  return std::ranges::all_of(links_, [&](const Link& link) { return takes_quads(link); });
}

bool ElementProgram::takes_quads(const Link& link) const {
  const std::string_view op = link.node->op->name();
  const auto is_word = [](IntegerRange range) { return arithmetic_for(range) == Storage::kI32; };
  if (!is_word(link.range)) return false;
  for (std::size_t i = 0; i < link.sources.size(); ++i) {
    if (op == "Rescale" && i > 0) break;
    const Operand& operand = link.operands[i];
    const bool held = link.sources[i] != kNone;
    if (!is_word(held ? register_ranges_[link.sources[i]] : operand.range)) return false;
    if (!held && (storage_bytes(operand.storage) > 4 || operand.storage == Storage::kU32))
      return false;
  }
  if (op == "Rescale") {
    const Overflow overflow =
        parse_overflow(NodeView{module_, graph_, *link.node}.string("overflow"));
    if (overflow != Overflow::kSaturate && overflow != Overflow::kSaturateSymmetric) return false;
    if (link.scaling.upper) return true;
    const Rounding rounding =
        parse_rounding(NodeView{module_, graph_, *link.node}.string("rounding"));
    return link.scaling.folded && link.scaling.type == Storage::kI32 &&
           ScalarCode::shifts_lanes(rounding);
  }
  return op == "Clamp" || op == "IntAdd" || op == "IntSub" || op == "IntMul";
}

Ranged ElementProgram::apply(Statements& body, std::optional<Ranged> handed,
                             std::span<const Expr> position, std::size_t quad_axis) {
  ScalarCode code(body, program_);
  quad_axis_ = quad_axis;
  std::vector<Ranged> registers;
  if (handed) registers.push_back(std::move(*handed));
  for (const Link& link : links_) {
    // What can only be one number is not computed; a compiler would find that out as well, and
    // drop the tables that the plan counts.
    if (link.range.min == link.range.max)
      registers.push_back({constant_expr(link.range.min, arithmetic_for(link.range)), link.range});
    else
      registers.push_back(apply_link(code, link, registers, position));
    registers.back().range = link.range;
  }
  return std::move(registers.back());
}

Ranged ElementProgram::apply_link(ScalarCode& code, const Link& link,
                                  std::vector<Ranged>& registers, std::span<const Expr> position) {
  const bool twice =
      link.sources.size() > 1 && link.sources[0] != kNone && link.sources[0] == link.sources[1];
  if (twice) {
    Ranged& held = registers[link.sources[0]];
    held.value = code.local(std::move(held.value));
  }
  const auto input = [&](std::size_t i) {
    return link.sources[i] != kNone ? registers[link.sources[i]]
                                    : fetch(link.operands[i], position);
  };
  const std::string_view op = link.node->op->name();
  const NodeView view{module_, graph_, *link.node};
  if (op == "Rescale") return apply_rescale(code, link, input(0), position);
  if (op == "Table") return apply_table(code, link, input(0), position);
  if (op == "Threshold") return apply_threshold(code, link, input(0), position);
  if (op == "Clamp") {
    const Ranged x = code.in_type(input(0), arithmetic_for(cover(input(0).range, link.range)));
    return code.clamp(x, view.integer("min"), view.integer("max"));
  }
  if (op == "IntSqrt") {
    const Ranged x = input(0);
    return code.square_root(code.in_type(x, arithmetic_for(cover(x.range, link.range))),
                            link.range);
  }
  return apply_binary(code, link, input(0), input(1));
}

Ranged ElementProgram::apply_binary(ScalarCode& code, const Link& link, Ranged a, Ranged b) {
  const std::string_view op = link.node->op->name();
  const NodeView view{module_, graph_, *link.node};
  Storage type = arithmetic_for(cover(cover(a.range, b.range), link.range));
  // The least 32-bit number has no counterpart: -x and x / -1 leave the type.
  if (op == "IntDiv" && std::min(a.range.min, b.range.min) == range_of(Storage::kI32).min)
    type = Storage::kI64;
  a = code.in_type(std::move(a), type);
  b = code.in_type(std::move(b), type);
  if (op == "IntDiv")
    return code.divide(std::move(a), std::move(b), link.range,
                       parse_rounding(view.string("rounding")));
  if (op == "IntAdd") return {std::move(a.value) + std::move(b.value), link.range};
  if (op == "IntSub") return {std::move(a.value) - std::move(b.value), link.range};
  if (op == "IntMul") return {std::move(a.value) * std::move(b.value), link.range};
  ensure(op == "IntMax" || op == "IntMin", concat("no element program for ", op));
  const Expr x = code.local(std::move(a.value)), y = code.local(std::move(b.value));
  const Expr smaller = less_expr(x, y);
  return {op == "IntMax" ? select_expr(smaller, y, x) : select_expr(smaller, x, y), link.range};
}

Ranged ElementProgram::apply_table(ScalarCode&, const Link& link, Ranged x,
                                   std::span<const Expr> position) {
  const Operand& table = link.operands[1];
  const std::int64_t least = graph_.values[link.node->inputs[0]].type.format.integer_range().min;
  // The index lies in the table, so it fits 32 bits even where x - least is written wider.
  const Storage type = arithmetic_for(cover(x.range, {std::min<std::int64_t>(least, 0), -least}));
  const Expr entry = convert_expr(
      convert_expr(std::move(x.value), type) - constant_expr(least, type), Storage::kI32);
  return {load_expr(table.array, table.storage, index_of(table, position) + entry), link.range};
}

Ranged ElementProgram::apply_threshold(ScalarCode& code, const Link& link, Ranged x,
                                       std::span<const Expr> position) {
  const Operand& thresholds = link.operands[1];
  const NodeView view{module_, graph_, *link.node};
  const Storage type = arithmetic_for(cover(x.range, thresholds.range));
  const Expr value = code.local(convert_expr(std::move(x.value), type));
  const Expr row = index_of(thresholds, position);
  const std::int64_t count = thresholds.row;
  const auto passed = [&](const Expr& at, std::int64_t known) {
    const Expr threshold =
        thresholds.array.empty()
            ? constant_expr(thresholds.values[static_cast<std::size_t>(known)], type)
            : convert_expr(load_expr(thresholds.array, thresholds.storage, at), type);
    return binary_expr(ExprOp::kLessEqual, threshold, value);
  };
  Expr number = constant_expr(0);
  if (count <= 4) {
    for (std::int64_t i = 0; i < count; ++i) number = number + passed(row + constant_expr(i), i);
  } else {
    // Binary search without branches: `number` thresholds are known to be passed.
    const Expr start = code.local(row, "row");
    number = code.variable(constant_expr(0), "passed");
    std::int64_t most = 0;
    for (auto step = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(count)));
         step > 0; step /= 2) {
      const Expr next = number + constant_expr(step);
      Expr chosen = select_expr(passed(start + number + constant_expr(step - 1), 0), next, number);
      if (most + step > count)
        chosen = select_expr(binary_expr(ExprOp::kLessEqual, next, constant_expr(count)),
                             std::move(chosen), number);
      code.append(assign_statement(number.name, std::move(chosen)));
      most += step;
    }
  }
  Storage result = arithmetic_for(link.range);
  return {convert_expr(number, result) * constant_expr(view.integer("step"), result) +
              constant_expr(view.integer("base"), result),
          link.range};
}

}  // namespace tandem
