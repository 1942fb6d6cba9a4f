#include "tandem/runtime/code_groups.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "tandem/kernels/instruction_set.h"
#include "tandem/ops/integer.h"
#include "tandem/runtime/periodic.h"

namespace tandem {
namespace {

constexpr std::int64_t kMostTaps = 256;

// The constants of a Rescale along the last axis; nullopt where they vary along others, or do not
// fit the kernels.
// Of x, or of x * 2^left.
std::optional<std::vector<RescaleLine>> lines_of(const NodeView& rescale, int left) {
  const Shape shape = rescale.input(0).static_shape();
  const std::int64_t channels = shape.empty() ? 1 : shape.back();
  std::int64_t period = 1;
  for (std::size_t i = 1; i <= 3; ++i)
    period = std::max(period, broadcast_period(rescale.constant(i)->shape(), shape));
  if (period != 1 && period != channels) return std::nullopt;
  const auto multipliers = expanded_constant<std::int64_t>(*rescale.constant(1), shape, period),
             addends = expanded_constant<std::int64_t>(*rescale.constant(2), shape, period),
             shifts = expanded_constant<std::int64_t>(*rescale.constant(3), shape, period);
  const IntegerRange range = rescale.input(0).format.integer_range();
  const Int128 greatest = std::max<Int128>(-Int128{range.min}, range.max) << left;
  std::vector<RescaleLine> lines;
  for (std::size_t c = 0; c < multipliers.size(); ++c) {
    const int shift = static_cast<int>(shifts[c]) + left, more = std::max(0, 32 - shift);
    const Int128 multiplier = Int128{multipliers[c]} << more,
                 addend = Int128{addends[c]} << (left + more);
    const Int128 magnitude = multiplier < 0 ? -multiplier : multiplier;
    const Int128 reach = magnitude * greatest + (addend < 0 ? -addend : addend);
    if (magnitude > INT32_MAX || reach >= Int128{1} << 60 || shift > 60) return std::nullopt;
    lines.push_back(
        {static_cast<std::int64_t>(multiplier), static_cast<std::int64_t>(addend), shift + more});
  }
  return lines;
}

class Groups {
 public:
  Groups(const Module& module, const std::set<ValueId>& kept,
         const std::vector<std::vector<NodeId>>& readers)
      : module_(module), graph_(module.main()), kept_(kept), readers_(readers) {}

  std::vector<CodeGroup> run() const {
    std::vector<CodeGroup> groups;
    std::set<NodeId> taken;
    for (NodeId id = 0; id < graph_.nodes.size(); ++id) {
      if (taken.contains(id)) continue;
      auto group = group_of(id);
      if (!group) continue;
      taken.insert(group->nodes.begin(), group->nodes.end());
      groups.push_back(std::move(*group));
    }
    return groups;
  }

 private:
  NodeView view(NodeId id) const { return {module_, graph_, graph_.nodes[id]}; }
  const Format& format(ValueId value) const { return graph_.values[value].type.format; }

  // The only reader of a node's result, if it is one of this operator.
  std::optional<NodeId> reader(NodeId id, std::string_view op) const {
    const ValueId value = graph_.nodes[id].outputs[0];
    if (kept_.contains(value) || readers_[value].size() != 1) return std::nullopt;
    const NodeId next = readers_[value].front();
    if (graph_.nodes[next].op->name() != op) return std::nullopt;
    return next;
  }

  std::optional<CodeGroup> group_of(NodeId id) const {
    const std::string_view op = graph_.nodes[id].op->name();
    if (op == "Rescale") {
      auto group = pair(id);
      return group ? group : rescaled_codes(id);
    }
    if (is_code_border(view(id))) return CodeGroup{"code_border", {id}};
    if (op == "Table" && is_byte(format(graph_.nodes[id].inputs[0])) && byte_tables(view(id)) &&
        graph_.values[graph_.nodes[id].inputs[0]].constant == kNone)
      return CodeGroup{"code_table", {id}};
    if (op == "IntMatMul" && graph_.values[graph_.nodes[id].inputs[1]].constant == kNone)
      return computed_product(id);
    if (op != "IntConv" && op != "IntMatMul" && op != "IntMaxPool" && op != "IntSum")
      return std::nullopt;
    const auto form = head_form(view(id));
    if (!form) return std::nullopt;
    if (*form == "code_pool") return CodeGroup{*form, {id}};
    std::vector<NodeId> nodes{id};
    const auto rescale = reader(id, "Rescale");
    if (!rescale) return std::nullopt;
    nodes.push_back(*rescale);
    if (!add_tail(nodes)) return std::nullopt;
    return CodeGroup{*form, nodes};
  }

  std::optional<CodeGroup> computed_product(NodeId id) const {
    const auto product = code_matmul(module_, graph_, id, kept_, readers_);
    const auto rescale = reader(id, "Rescale");
    if (!product || !rescale) return std::nullopt;
    std::vector<NodeId> tail{*rescale};
    if (!add_tail(tail) || code_tail(module_, graph_, tail)->lines.size() != 1) return std::nullopt;
    CodeGroup group{"code_matmul", product->nodes};
    group.nodes.insert(group.nodes.end(), tail.begin(), tail.end());
    return group;
  }

  // Clamp and Table behind a Rescale.
  bool add_tail(std::vector<NodeId>& nodes, bool of_codes = false) const {
    if (!code_tail(module_, graph_, nodes, of_codes)) return false;
    for (const std::string_view op : {"Clamp", "Table"}) {
      if (const auto next = reader(nodes.back(), op)) {
        nodes.push_back(*next);
        if (!code_tail(module_, graph_, nodes, of_codes)) nodes.pop_back();
      }
    }
    return true;
  }

  std::optional<std::string> head_form(const NodeView& node) const {
    const std::string_view op = node.node.op->name();
    const TensorType& x = node.input(0);
    if (node.constant(0) != nullptr || !is_byte(x.format)) return std::nullopt;
    if (op == "IntMaxPool")
      return is_byte(node.format("format")) ? std::optional("code_pool") : std::nullopt;
    if (op == "IntSum") return sums_pixels(node) ? std::optional("code_mean") : std::nullopt;
    const Tensor* weights = node.constant(1);
    if (weights == nullptr) return std::nullopt;
    const IntegerRange range = input_range(node, 1);
    if (range.min < INT8_MIN || range.max > INT8_MAX) return std::nullopt;
    const Shape w = weights->shape();
    const std::int64_t depth = op == "IntMatMul" ? w[0] : weights->size() / w[0];
    constexpr std::int64_t kMostDepth = INT32_MAX / (255 * 128);
    if (depth > kMostDepth) return std::nullopt;
    if (op == "IntMatMul") return w.size() == 2 ? std::optional("code_product") : std::nullopt;
    const bool depthwise = w.back() == 1 && w[0] == node.integer("group") && w[0] > 1;
    if (depthwise && depth <= kMostTaps) return "code_depthwise";
    return "code_convolution";
  }
  // Over all axes but the first and the last.
  static bool sums_pixels(const NodeView& node) {
    const auto rank = static_cast<std::int64_t>(node.input(0).shape.size());
    auto axes = node.integers("axes");
    std::sort(axes.begin(), axes.end());
    if (rank < 3 || static_cast<std::int64_t>(axes.size()) != rank - 2) return false;
    for (std::int64_t d = 1; d + 1 < rank; ++d)
      if (axes[static_cast<std::size_t>(d - 1)] != d) return false;
    return true;
  }

  std::optional<CodeGroup> pair(NodeId rescale) const {
    auto sum = code_pair(module_, graph_, graph_.nodes[rescale].inputs[0], kept_, readers_);
    if (!sum) return std::nullopt;
    std::vector<NodeId> tail{rescale};
    if (!add_tail(tail)) return std::nullopt;
    if (sum->wide && !wide_terms(*sum->wide, *code_tail(module_, graph_, tail)))
      return std::nullopt;
    CodeGroup group{"code_pair", sum->nodes};
    group.nodes.insert(group.nodes.end(), tail.begin(), tail.end());
    return group;
  }

  std::optional<CodeGroup> rescaled_codes(NodeId rescale) const {
    const NodeView node = view(rescale);
    if (node.constant(0) != nullptr || !is_byte(node.input(0).format)) return std::nullopt;
    std::vector<NodeId> nodes{rescale};
    if (!add_tail(nodes, true)) return std::nullopt;
    return CodeGroup{"code_rescale", nodes};
  }

  const Module& module_;
  const Graph& graph_;
  const std::set<ValueId>& kept_;
  const std::vector<std::vector<NodeId>>& readers_;
};

// A node's result as product * x * y + x_factor * x + y_factor * y + constant.
struct Terms {
  Int128 product = 0, x = 0, y = 0, constant = 0;
};

Int128 magnitude(Int128 v) { return v < 0 ? -v : v; }

class Pair {
 public:
  Pair(const Module& module, const Graph& graph, const std::set<ValueId>& kept,
       const std::vector<std::vector<NodeId>>& readers)
      : module_(module), graph_(graph), kept_(kept), readers_(readers) {}

  std::optional<CodePair> of(ValueId sum) {
    const auto terms = terms_of(sum, 0);
    if (!terms || pair_.x == kNone || pair_.y == kNone || !order(sum)) return std::nullopt;
    if (!narrow(*terms) && !wide(*terms, sum)) return std::nullopt;
    std::sort(pair_.nodes.begin(), pair_.nodes.end());
    return pair_;
  }

 private:
  const TensorType& type(ValueId value) const { return graph_.values[value].type; }

  bool narrow(const Terms& terms) {
    for (const Int128 constant : {terms.product, terms.x, terms.y, terms.constant})
      if (constant > INT32_MAX || constant < INT32_MIN) return false;
    PairTerms& to = pair_.terms;
    to = {static_cast<std::int32_t>(terms.product), static_cast<std::int32_t>(terms.x),
          static_cast<std::int32_t>(terms.y), static_cast<std::int32_t>(terms.constant)};
    if (swapped_) std::swap(to.x_factor, to.y_factor);
    const Int128 reach = 255 * (255 * magnitude(to.product) + magnitude(to.x_factor)) +
                         255 * magnitude(to.y_factor) + magnitude(to.constant);
    return reach <= INT32_MAX;
  }
  bool wide(const Terms& terms, ValueId sum) {
    constexpr Int128 kMost = Int128{1} << 52;
    const Int128 reach =
        255 * (magnitude(terms.x) + magnitude(terms.y)) + magnitude(terms.constant);
    if (terms.product != 0 || reach >= kMost || type(pair_.y).shape != type(sum).shape)
      return false;
    pair_.wide = {static_cast<std::int64_t>(terms.x), static_cast<std::int64_t>(terms.y),
                  static_cast<std::int64_t>(terms.constant)};
    if (swapped_) std::swap(pair_.wide->x_factor, pair_.wide->y_factor);
    return true;
  }

  // The larger operand comes first; the other is as large, or one for each channel.
  bool order(ValueId sum) {
    const auto& shape = type(sum).shape;
    if (type(pair_.x).shape != shape) {
      std::swap(pair_.x, pair_.y);
      swapped_ = true;
    }
    if (type(pair_.x).shape != shape) return false;
    const auto& other = type(pair_.y).shape;
    if (other == shape) return true;
    if (other.size() != shape.size() || shape.empty() || other.back() != shape.back()) return false;
    return std::all_of(other.begin(), other.end() - 1, [](const Dim& d) { return d == Dim(1); });
  }

  std::optional<Terms> leaf(ValueId value) {
    if (!is_byte(type(value).format)) return std::nullopt;
    if (pair_.x == kNone || pair_.x == value) {
      pair_.x = value;
      return Terms{0, 1, 0, 0};
    }
    if (pair_.y != kNone && pair_.y != value) return std::nullopt;
    pair_.y = value;
    return Terms{0, 0, 1, 0};
  }

  std::optional<Terms> terms_of(ValueId value, int depth) {
    if (const Tensor* constant = constant_of(module_, graph_, value)) {
      if (constant->size() != 1) return std::nullopt;
      return Terms{0, 0, 0, constant->to_integers()[0]};
    }
    const NodeId producer = graph_.values[value].producer;
    constexpr int kDeepest = 6;
    if (is_byte(type(value).format) || producer == kNone || depth > kDeepest) return leaf(value);
    const Node& node = graph_.nodes[producer];
    const std::string_view op = node.op->name();
    if (op != "IntAdd" && op != "IntSub" && op != "IntMul") return std::nullopt;
    const auto a = terms_of(node.inputs[0], depth + 1), b = terms_of(node.inputs[1], depth + 1);
    if (!a || !b) return std::nullopt;
    if (!kept_.contains(value) && readers_[value].size() == 1) pair_.nodes.push_back(producer);
    return op == "IntMul" ? product(*a, *b) : sum(*a, *b, op == "IntAdd" ? 1 : -1);
  }
  static Terms sum(const Terms& a, const Terms& b, int sign) {
    return {a.product + sign * b.product, a.x + sign * b.x, a.y + sign * b.y,
            a.constant + sign * b.constant};
  }
  // nullopt where squares or higher powers remain.
  static std::optional<Terms> product(const Terms& a, const Terms& b) {
    if (a.x * b.x != 0 || a.y * b.y != 0) return std::nullopt;
    if (a.product * (b.x != 0 || b.y != 0 || b.product != 0) != 0) return std::nullopt;
    if (b.product * (a.x != 0 || a.y != 0) != 0) return std::nullopt;
    return Terms{a.x * b.y + a.y * b.x + a.product * b.constant + b.product * a.constant,
                 a.x * b.constant + b.x * a.constant, a.y * b.constant + b.y * a.constant,
                 a.constant * b.constant};
  }

  const Module& module_;
  const Graph& graph_;
  const std::set<ValueId>& kept_;
  const std::vector<std::vector<NodeId>>& readers_;
  CodePair pair_;
  bool swapped_ = false;
};

}  // namespace

std::vector<CodeGroup> code_groups(const Module& module, const std::set<ValueId>& kept,
                                   const std::vector<std::vector<NodeId>>& readers) {
  return Groups(module, kept, readers).run();
}

std::optional<CodeMatMul> code_matmul(const Module& module, const Graph& graph, NodeId product,
                                      const std::set<ValueId>& kept,
                                      const std::vector<std::vector<NodeId>>& readers) {
  const NodeView node{module, graph, graph.nodes[product]};
  CodeMatMul result;
  // Codes, or codes and a constant added to them.
  const auto operand = [&](ValueId value) -> std::optional<CodeOperand> {
    const auto is_code = [&](ValueId v) {
      return is_byte(graph.values[v].type.format) && graph.values[v].constant == kNone;
    };
    if (is_code(value)) return CodeOperand{value, 0};
    const NodeId producer = graph.values[value].producer;
    if (producer == kNone || graph.values[value].constant != kNone) return std::nullopt;
    const Node& sum = graph.nodes[producer];
    if (sum.op->name() != "IntAdd" && sum.op->name() != "IntSub") return std::nullopt;
    const Tensor* constant = constant_of(module, graph, sum.inputs[1]);
    constexpr std::int64_t kMostZero = 255;
    if (constant == nullptr || constant->size() != 1 || !is_code(sum.inputs[0]) ||
        graph.values[sum.inputs[0]].type.shape != graph.values[value].type.shape ||
        std::abs(constant->to_integers()[0]) > kMostZero)
      return std::nullopt;
    if (!kept.contains(value) && readers[value].size() == 1) result.nodes.push_back(producer);
    const std::int64_t addend = constant->to_integers()[0];
    return CodeOperand{sum.inputs[0], sum.op->name() == "IntAdd" ? -addend : addend};
  };
  const auto a = operand(node.node.inputs[0]), b = operand(node.node.inputs[1]);
  if (!a || !b) return std::nullopt;
  const Shape x = node.input(0).static_shape(), y = node.input(1).static_shape();
  const bool alike = x.size() == y.size() && std::equal(x.begin(), x.end() - 2, y.begin());
  // Sums of products of bytes, and with zeros of up to 9 bits, stay within 32 bits.
  constexpr std::int64_t kMostDepth = INT32_MAX / (4 * 512 * 512);
  if (!alike || x.back() > kMostDepth) return std::nullopt;
  result.a = *a;
  result.b = *b;
  result.nodes.push_back(product);
  std::sort(result.nodes.begin(), result.nodes.end());
  return result;
}

std::span<const std::int8_t> signed_bytes(const Tensor& constant, std::vector<std::int8_t>& room) {
  if (constant.format().storage() == Storage::kI8) return constant.data<std::int8_t>();
  room.resize(static_cast<std::size_t>(constant.size()));
  visit_storage(constant.format().storage(), [&]<typename T>() {
    std::ranges::transform(constant.data<T>(), room.begin(),
                           [](T stored) { return static_cast<std::int8_t>(stored); });
  });
  return room;
}

std::vector<PackedCodes> packed_weights(const NodeView& head) {
  const bool multiplies = head.node.op->name() == "IntMatMul";
  const Tensor& constant = *head.constant(1);
  const Shape w = constant.shape();
  std::vector<std::int8_t> room;
  const auto weights = signed_bytes(constant, room);
  const std::int64_t groups = multiplies ? 1 : head.integer("group");
  const std::int64_t columns = (multiplies ? w[1] : w[0]) / groups;
  const std::int64_t depth = multiplies ? w[0] : element_count(w) / w[0];
  // Signed codes are flipped to unsigned ones.
  const Format& x = head.input(0).format;
  const int most = is_signed_byte(x) ? 255 : static_cast<int>(x.integer_range().max);
  std::vector<PackedCodes> packed;
  for (std::int64_t group = 0; group < groups; ++group) {
    const std::int8_t* from = weights.data() + group * columns * depth;
    packed.push_back(multiplies ? pack_codes(from, depth, columns, columns, 1, most)
                                : pack_codes(from, depth, columns, 1, depth, most));
  }
  return packed;
}

std::size_t rescale_of(const Graph& graph, const std::vector<NodeId>& nodes) {
  return static_cast<std::size_t>(
      std::find_if(nodes.begin(), nodes.end(),
                   [&](NodeId id) { return graph.nodes[id].op->name() == "Rescale"; }) -
      nodes.begin());
}

std::optional<CodeTail> code_tail(const Module& module, const Graph& graph,
                                  const std::vector<NodeId>& nodes, bool of_codes) {
  const std::size_t first = rescale_of(graph, nodes);
  const NodeView rescale{module, graph, graph.nodes[nodes[first]]};
  const Format format = rescale.format("format");
  if (!is_byte(format) || rescale.string("rounding") != "floor" ||
      rescale.string("overflow") != "saturate" || rescale.constant(0) != nullptr)
    return std::nullopt;
  // So far that 8 bits stay within 31.
  constexpr int kMostLeft = 22;
  int left = 0;
  auto lines = lines_of(rescale, left);
  while (!lines && of_codes && left < kMostLeft) lines = lines_of(rescale, ++left);
  if (!lines) return std::nullopt;
  const IntegerRange range = format.integer_range();
  CodeTail tail{
      *lines, left, static_cast<std::int32_t>(range.min), static_cast<std::int32_t>(range.max), {}};
  for (std::size_t i = first + 1; i < nodes.size(); ++i) {
    const NodeView node{module, graph, graph.nodes[nodes[i]]};
    if (node.node.op->name() == "Clamp") {
      if (!is_byte(node.format("format")) ||
          is_signed_byte(node.format("format")) != is_signed_byte(format))
        return std::nullopt;
      tail.low = static_cast<std::int32_t>(
          std::clamp<std::int64_t>(tail.low, node.integer("min"), node.integer("max")));
      tail.high = static_cast<std::int32_t>(
          std::clamp<std::int64_t>(tail.high, node.integer("min"), node.integer("max")));
    } else {
      tail.table = byte_table(node);
      if (!tail.table) return std::nullopt;
    }
  }
  return tail;
}

std::optional<CodeTables> byte_tables(const NodeView& node) {
  const Tensor& table = *node.constant(1);
  const Shape& given = table.shape();
  const Shape shape = node.input(0).static_shape();
  if (!is_byte(node.format("format")) || given.size() > shape.size() + 1) return std::nullopt;
  CodeTables result;
  std::int64_t extent = 1;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    const std::size_t skipped = shape.size() + 1 - given.size();
    const std::int64_t own = d < skipped ? 1 : given[d - skipped];
    if (own > 1 && extent > 1) return std::nullopt;
    if (own > 1)
      extent = own;
    else if (extent > 1)
      result.inner *= shape[d];
  }
  const auto integers = table.to_integers();
  const auto codes = static_cast<std::size_t>(given.back());
  const std::int64_t least = node.input(0).format.integer_range().min;
  result.tables.resize(static_cast<std::size_t>(extent));
  for (std::size_t i = 0; i < integers.size(); ++i) {
    const auto code = static_cast<std::uint8_t>(least + static_cast<std::int64_t>(i % codes));
    result.tables[i / codes][code] = static_cast<std::uint8_t>(integers[i]);
  }
  return result;
}

std::optional<std::array<std::uint8_t, 256>> byte_table(const NodeView& node) {
  const auto tables = byte_tables(node);
  if (!tables || tables->tables.size() > 1) return std::nullopt;
  return tables->tables[0];
}

std::optional<WidePairTerms> wide_terms(const CodePair::Wide& sum, const CodeTail& tail) {
  if (tail.lines.size() != 1) return std::nullopt;
  const RescaleLine& line = tail.lines[0];
  const Int128 x = Int128{sum.x_factor} * line.multiplier,
               y = Int128{sum.y_factor} * line.multiplier,
               constant = Int128{sum.constant} * line.multiplier + line.addend;
  const Int128 reach = 255 * (magnitude(x) + magnitude(y)) + magnitude(constant);
  if (reach >= Int128{1} << std::min(52, line.shift + 31)) return std::nullopt;
  const auto real = [&](Int128 integer) {
    return std::ldexp(static_cast<double>(integer), -line.shift);
  };
  return WidePairTerms{real(x), real(y), real(constant), tail.low, tail.high};
}

std::optional<CodePair> code_pair(const Module& module, const Graph& graph, ValueId sum,
                                  const std::set<ValueId>& kept,
                                  const std::vector<std::vector<NodeId>>& readers) {
  return Pair(module, graph, kept, readers).of(sum);
}

bool is_byte(const Format& format) {
  return format.is_integer() && format != Format::parse("bipolar") &&
         (format.storage() == Storage::kI8 || format.storage() == Storage::kU8);
}
bool is_signed_byte(const Format& format) { return format.storage() == Storage::kI8; }

}  // namespace tandem
