// Layers of recent language models beside attention.
#include <cmath>
#include <memory>

#include "tandem/graph/registry.h"
#include "tandem/ops/body.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/support.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

// "RoFormer: Enhanced Transformer with Rotary Position Embedding" (Su et al., 2021).
class RotaryEmbedding final : public Operator {
 public:
  std::string_view name() const override { return "RotaryEmbedding"; }
  std::string_view description() const override {
    return "x [N,heads,S,D] (or [N,S,heads*D]) with its elements turned in pairs by the angles of "
           "its positions: cosines and sines [N,S,R/2], or [P,R/2] with int64 positions [N,S] in "
           "them; the first R of D elements turn.";
  }
  std::vector<AttributeSpec> attributes() const override {
    return {flag_attribute("interleaved", "pairs are neighbours, not the halves of R", false),
            integer_attribute("num_heads", "heads, where x has three axes", 0),
            integer_attribute("rotary_size", "elements that turn; 0: all", 0)};
  }
  std::size_t min_inputs() const override { return 3; }
  std::size_t max_inputs() const override { return 4; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const Format format = require_real(node, 0);
    if (require_real(node, 1) != format || require_real(node, 2) != format)
      throw Error("the cosines and sines must have the format of x, ", format.name());
    flag(node, "interleaved");
    const std::int64_t turned = turned_elements(node);
    const auto &cosines = node.input(1), &sines = node.input(2);
    const std::size_t rank = node.has_input(3) ? 2 : 3;
    if (cosines != sines || cosines.shape.size() != rank ||
        cosines.shape.back() != Dim(turned / 2)) {
      throw Error("the cosines ", cosines.to_string(), " and sines ", sines.to_string(),
                  " do not have ", rank, " axes with ", turned / 2, " elements in the last");
    }
    if (node.has_input(3) &&
        (node.input(3).format != index_format() || node.input(3).shape.size() != 2))
      throw Error("the positions are ", node.input(3).to_string(), ", not int64[N,S]");
    return {node.input(0)};
  }

  std::vector<Form> forms(const NodeView&) const override { return {{"pairs"}}; }

  std::vector<ValueId> body(Builder& builder, const NodeView& node, const Form&,
                            std::span<const ValueId> inputs) const override {
    Body body(builder);
    const std::vector<Dim> given = body.type(inputs[0]).shape;
    const std::int64_t size = head_size(node), turned = turned_elements(node);
    // [N,S,heads,D]
    const bool flat = given.size() == 3;
    const ValueId x = flat ? body.reshape(inputs[0], {given[0], given[1],
                                                      Dim(node.integer("num_heads")), Dim(size)})
                           : body.transpose(inputs[0], {0, 2, 1, 3});
    const auto angles = [&](ValueId table) {
      if (node.has_input(3))
        table = builder.add("Gather", {table, inputs[3]}, {{"axis", std::int64_t{0}}});
      const std::vector<Dim> shape = body.type(table).shape;
      return body.reshape(table, {shape[0], shape[1], Dim(1), shape[2]});
    };
    const ValueId cosine = angles(inputs[1]), sine = angles(inputs[2]);
    ValueId y = rotated(body, node, body.slice(x, 3, 0, turned), cosine, sine);
    if (turned < size) y = body.concat({y, body.slice(x, 3, turned, size)}, 3);
    return {flat ? body.reshape(y, given) : body.transpose(y, {0, 2, 1, 3})};
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view table, std::string_view attributes) {
      return sample_text("", concat("%x : ", x, ", %c : ", table, ", %s : ", table),
                         concat("%y : ", x, " = RotaryEmbedding(%x, %c, %s) ", attributes));
    };
    return {{text("f32[2,3,4,6]", "f32[2,4,3]", ""), ""},
            {text("f64[2,4,12]", "f64[2,4,2]", "{num_heads = 2, rotary_size = 4, interleaved = 1}"),
             ""},
            {sample_text("constant @p : int64[1,2] = [4,0]",
                         "%x : f32[1,2,2,4], %c : f32[5,2], %s : f32[5,2]",
                         "%p = constant @p\n  %y : f32[1,2,2,4] = RotaryEmbedding(%x, %c, %s, %p)"),
             ""},
            {text("f32[2,4,12]", "f32[2,4,3]", ""), "num_heads"},
            {text("f32[2,3,4,6]", "f32[2,4,6]", ""), "3 elements in the last"}};
  }

 private:
  static std::int64_t head_size(const NodeView& node) {
    const std::vector<Dim>& x = node.input(0).shape;
    if (x.size() != 3 && x.size() != 4)
      throw Error("x is ", node.input(0).to_string(), "; it must have three or four axes");
    if (x.size() == 4) return x[3].constant();
    const std::int64_t heads = node.integer("num_heads");
    if (heads < 1 || x[2].constant() % heads != 0)
      throw Error("num_heads ", heads, " does not divide the last axis of ",
                  node.input(0).to_string());
    return x[2].constant() / heads;
  }

  static std::int64_t turned_elements(const NodeView& node) {
    const std::int64_t size = head_size(node), given = node.integer("rotary_size");
    const std::int64_t turned = given == 0 ? size : given;
    if (turned < 2 || turned > size || turned % 2 != 0)
      throw Error(turned, " elements of ", size, " turn; it must be an even number of them");
    return turned;
  }

  static ValueId rotated(Body& body, const NodeView& node, ValueId x, ValueId cosine,
                         ValueId sine) {
    const std::vector<Dim> shape = body.type(x).shape;
    const std::int64_t half = shape[3].constant() / 2;
    const bool neighbours = flag(node, "interleaved");
    std::vector<Dim> split(shape.begin(), shape.end() - 1);
    split.emplace_back(neighbours ? half : 2);
    split.emplace_back(neighbours ? 2 : half);
    const std::int64_t axis = neighbours ? 4 : 3;
    const ValueId pairs = body.reshape(x, split);
    std::vector<Dim> single(shape.begin(), shape.end() - 1);
    single.emplace_back(half);
    const ValueId a = body.reshape(body.slice(pairs, axis, 0, 1), single);
    const ValueId b = body.reshape(body.slice(pairs, axis, 1, 2), single);
    const ValueId first = body.sub(body.mul(cosine, a), body.mul(sine, b));
    const ValueId second = body.add(body.mul(sine, a), body.mul(cosine, b));
    std::vector<Dim> part = split;
    part[static_cast<std::size_t>(axis)] = 1;
    return body.reshape(body.concat({body.reshape(first, part), body.reshape(second, part)}, axis),
                        shape);
  }
};

enum StateInput : std::uint8_t { kQueries, kKeys, kValues, kPastState, kDecay, kRate };

// "Transformers are RNNs" (Katharopoulos et al., 2020), "Gated Linear Attention Transformers" (Yang
// et al., 2024), "Parallelizing Linear Transformers with the Delta Rule" (Yang et al., 2024),
// "Gated Delta Networks" (Yang et al., 2025).
class LinearAttention final : public Operator {
 public:
  std::string_view name() const override { return "LinearAttention"; }
  std::string_view description() const override {
    return "y = scale * q^T S over a state S [N,groups,D,E] that every step updates by k v^T: q "
           "[N,T,heads*D], k [N,T,groups*D], v [N,T,groups*E]; optionally a first state, log "
           "decays [N,T,groups] or [N,T,groups*D] (gated), rates [N,T,groups] or [N,T,1] (delta). "
           "Returns y [N,T,heads*E] and the last state.";
  }
  std::vector<AttributeSpec> attributes() const override {
    return {integer_attribute("q_num_heads", "heads of q"),
            integer_attribute("kv_num_heads", "heads of k and v"),
            real_attribute("scale", "factor of y; 0: 1 / sqrt(D)", 0),
            choice_attribute("update_rule", "what becomes of the state before it is updated",
                             {"gated_delta", "linear", "gated", "delta"})};
  }
  std::size_t min_inputs() const override { return 3; }
  std::size_t max_inputs() const override { return 6; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const Format format = require_real(node, kQueries);
    const Heads heads = heads_of(node);
    for (std::size_t i = 1; i < node.input_count(); ++i) {
      if (i != kPastState && node.has_input(i) && node.input(i).format != format)
        throw Error("input ", i, " is ", node.input(i).format.name(), ", not ", format.name(),
                    " as q is");
    }
    const std::vector<Dim>& q = node.input(kQueries).shape;
    TensorType state{{q[0], heads.groups, heads.size, heads.value_size}, format};
    if (node.has_input(kPastState)) {
      state.format = require_real(node, kPastState);
      if (node.input(kPastState) != state)
        throw Error("the state is ", node.input(kPastState).to_string(), ", not ",
                    state.to_string());
    }
    check_gates(node, heads);
    return {{{q[0], q[1], heads.heads * heads.value_size}, format}, state};
  }

  std::vector<Form> forms(const NodeView&) const override { return {{"unrolled"}}; }
  std::vector<ValueId> body(Builder& builder, const NodeView& node, const Form&,
                            std::span<const ValueId> inputs) const override;
  std::vector<SampleCase> samples() const override;

 private:
  struct Heads {
    std::int64_t heads, groups, size, value_size;
  };

  static bool is_gated(const NodeView& node) {
    return node.string("update_rule").starts_with("gated");
  }
  static bool has_delta(const NodeView& node) {
    return node.string("update_rule").ends_with("delta");
  }

  static Heads heads_of(const NodeView& node) {
    const std::int64_t heads = node.integer("q_num_heads"), groups = node.integer("kv_num_heads");
    if (heads < 1 || groups < 1 || heads % groups != 0)
      throw Error(groups, " heads of keys do not divide the ", heads, " of queries");
    for (const std::size_t i : {kQueries, kKeys, kValues}) {
      const std::vector<Dim>& shape = node.input(i).shape;
      if (shape.size() != 3 || shape[2].constant() % (i == kQueries ? heads : groups) != 0)
        throw Error("input ", i, " is ", node.input(i).to_string(), ", not [N,T,heads*size]");
    }
    const std::int64_t size = node.input(kQueries).shape[2].constant() / heads;
    if (node.input(kKeys).shape[2] != Dim(size * groups))
      throw Error("k ", node.input(kKeys).to_string(), " has other heads than q");
    return {heads, groups, size, node.input(kValues).shape[2].constant() / groups};
  }

  static void check_gates(const NodeView& node, const Heads& heads) {
    if (node.has_input(kDecay) != is_gated(node))
      throw Error("a decay belongs to the gated update rules, and only to them");
    if (node.has_input(kRate) != has_delta(node))
      throw Error("a rate belongs to the delta update rules, and only to them");
    const auto check = [&](std::size_t input, std::int64_t a, std::int64_t b) {
      if (!node.has_input(input)) return;
      const std::vector<Dim>& shape = node.input(input).shape;
      if (shape.size() != 3 || (shape[2] != Dim(a) && shape[2] != Dim(b)))
        throw Error("input ", input, " is ", node.input(input).to_string(),
                    "; its last axis must "
                    "have ",
                    a, " or ", b, " elements");
    };
    check(kDecay, heads.groups, heads.groups * heads.size);
    check(kRate, heads.groups, 1);
  }
};

std::vector<ValueId> LinearAttention::body(Builder& builder, const NodeView& node, const Form&,
                                           std::span<const ValueId> inputs) const {
  constexpr std::int64_t kMostSteps = 4096;
  Body body(builder);
  const Heads heads = heads_of(node);
  const std::vector<Dim> shape = body.type(inputs[kQueries]).shape;
  const Format format = body.format(inputs[kQueries]);
  const Format wide = format.bits() < 32 ? Format() : format;
  const std::int64_t steps = shape[1].constant(), shared = heads.heads / heads.groups;
  if (steps > kMostSteps)
    throw Error("its ", steps, " steps are more than the ", kMostSteps,
                " that are unrolled; split the sequence");
  const double given = node.real("scale");
  const double scale = given != 0 ? given : 1 / std::sqrt(static_cast<double>(heads.size));
  // Step t of a sequence as [N,groups,rows,columns].
  const auto at = [&](std::size_t input, std::int64_t t, std::int64_t groups, std::int64_t rows,
                      std::int64_t columns) {
    return body.reshape(body.cast(body.slice(inputs[input], 1, t, t + 1), wide),
                        {shape[0], Dim(groups), Dim(rows), Dim(columns)});
  };
  const auto width = [&](std::size_t input) {
    return body.type(inputs[input]).shape[2].constant();
  };
  const std::vector<Dim> state_shape = {shape[0], heads.groups, heads.size, heads.value_size};
  ValueId state =
      node.has_input(kPastState)
          ? body.cast(inputs[kPastState], wide)
          : builder.constant(Tensor(wide, TensorType{state_shape, wide}.static_shape()), "zeros");
  std::vector<ValueId> results;
  for (std::int64_t t = 0; t < steps; ++t) {
    const ValueId key = at(kKeys, t, heads.groups, heads.size, 1);
    ValueId value = at(kValues, t, heads.groups, 1, heads.value_size);
    if (is_gated(node)) {
      const std::int64_t rows = width(kDecay) / heads.groups;
      state = body.mul(state, body.call("Exp", at(kDecay, t, heads.groups, rows, 1)));
    }
    if (has_delta(node)) {
      const ValueId turned =
          body.reshape(key, {shape[0], Dim(heads.groups), Dim(1), Dim(heads.size)});
      const ValueId rate = at(kRate, t, width(kRate), 1, 1);
      value = body.mul(rate, body.sub(value, body.matmul(turned, state)));
    }
    state = body.add(state, body.mul(key, value));
    // Heads that share a state are rows of one product.
    const ValueId y = body.matmul(at(kQueries, t, heads.groups, shared, heads.size), state);
    results.push_back(body.reshape(y, {shape[0], Dim(1), Dim(heads.heads * heads.value_size)}));
  }
  const ValueId y = body.times(body.concat(results, 1), scale);
  const Format kept = node.has_input(kPastState) ? body.format(inputs[kPastState]) : format;
  return {body.cast(y, format), body.cast(state, kept)};
}

std::vector<SampleCase> LinearAttention::samples() const {
  const auto text = [](std::string_view inputs, std::string_view names, std::string_view made,
                       std::string_view attributes) {
    return sample_text("symbol N in [1,3]", inputs,
                       concat(made, " = LinearAttention(", names, ") ", attributes), "%y, %s1");
  };
  const std::string three = "%q : f32[N,3,4], %k : f32[N,3,4], %v : f32[N,3,6]";
  const std::string made = "%y : f32[N,3,6], %s1 : f32[N,2,2,3]";
  return {{text(three, "%q, %k, %v", made,
                "{q_num_heads = 2, kv_num_heads = 2, update_rule = \"linear\"}"),
           ""},
          {text("%q : f64[2,2,8], %k : f64[2,2,4], %v : f64[2,2,4], %s : f64[2,2,2,2], %g : "
                "f64[2,2,4], %b : f64[2,2,1]",
                "%q, %k, %v, %s, %g, %b", "%y : f64[2,2,8], %s1 : f64[2,2,2,2]",
                "{q_num_heads = 4, kv_num_heads = 2, scale = 0.5}"),
           ""},
          {text(three + ", %g : f32[N,3,2]", "%q, %k, %v, _, %g", made,
                "{q_num_heads = 2, kv_num_heads = 2, update_rule = \"gated\"}"),
           ""},
          {text(three, "%q, %k, %v", made, "{q_num_heads = 2, kv_num_heads = 2}"),
           "a decay belongs to the gated"},
          {text(three, "%q, %k, %v", made,
                "{q_num_heads = 3, kv_num_heads = 2, update_rule = \"linear\"}"),
           "do not divide"}};
}

}  // namespace

void register_linear_attention_operators() {
  operators().add(std::make_unique<RotaryEmbedding>());
  operators().add(std::make_unique<LinearAttention>());
}

}  // namespace tandem
