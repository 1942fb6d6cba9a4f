// "Attention Is All You Need" (Vaswani et al., 2017), with the caches, masks and groups of heads of
// ONNX's operator.
#include <cmath>
#include <limits>
#include <memory>

#include "tandem/graph/registry.h"
#include "tandem/ops/body.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/support.h"

namespace tandem {
namespace {

enum Input : std::uint8_t {
  kQuery,
  kKey,
  kValue,
  kMask,
  kPastKey,
  kPastValue,
  kValidKeys,
  kInputs
};

// Heads and extents of one node, over the types of its inputs.
struct HeadShape {
  Dim batch, queries, keys, past, total;  // keys: new ones; total: with those of the cache
  std::int64_t heads = 0, groups = 0;     // of queries; of keys and values
  std::int64_t size = 0, value_size = 0;  // elements of one head
};

class Attention final : public Operator {
 public:
  std::string_view name() const override { return "Attention"; }
  std::string_view description() const override {
    return "softmax(scale * q k^T + mask) v for each head, with q [N,heads,S,D], k [N,groups,T,D] "
           "and v [N,groups,T,E] (or [N,S,heads*D] and so on), the optional mask (real, added, or "
           "boolean, true where a key counts), past_key, past_value [N,groups,P,...] that stand "
           "before k and v, and int64 numbers [N] of valid keys; heads share groups of keys. "
           "Returns y, k and v with their past, and with `scores` the scores too.";
  }
  std::vector<AttributeSpec> attributes() const override {
    return {
        real_attribute("scale", "factor of the scores; 0: 1 / sqrt(D)", 0),
        flag_attribute("is_causal", "no query sees keys that come after it", false),
        integer_attribute("q_num_heads", "heads of q, where it has three axes", 0),
        integer_attribute("kv_num_heads", "heads of k and v, where they have three axes", 0),
        real_attribute("softcap", "limits scores x to softcap * tanh(x / softcap); 0: none", 0),
        integer_attribute("left_window_size", "keys seen before the query's place; -1: all", -1),
        integer_attribute("right_window_size", "keys seen after the query's place; -1: all", -1),
        choice_attribute("softmax_format", "format of the softmax",
                         {"same", "f32", "f64", "f16", "bf16"}),
        choice_attribute("scores",
                         "what the fourth output holds: the scores, or those after "
                         "softcap, after mask, after softmax",
                         {"none", "product", "softcap", "mask", "softmax"})};
  }
  std::size_t min_inputs() const override { return 3; }
  std::size_t max_inputs() const override { return kInputs; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const Format format = require_real(node, kQuery);
    for (const std::size_t i : {kKey, kValue, kPastKey, kPastValue}) {
      if (node.has_input(i) && node.input(i).format != format)
        throw Error("input ", i, " is ", node.input(i).to_string(), ", not ", format.name(),
                    " as q is");
    }
    if (node.real("scale") < 0 || node.real("softcap") < 0)
      throw Error("scale and softcap must not be negative");
    const HeadShape shape = head_shape(node);
    check_optional_inputs(node, shape);
    TensorType y{{shape.batch, shape.heads, shape.queries, shape.value_size}, format};
    if (is_flat(node)) y.shape = {shape.batch, shape.queries, shape.heads * shape.value_size};
    const TensorType keys{{shape.batch, shape.groups, shape.total, shape.size}, format};
    const TensorType values{{shape.batch, shape.groups, shape.total, shape.value_size}, format};
    if (node.string("scores") == "none") return {y, keys, values};
    return {y, keys, values, {{shape.batch, shape.heads, shape.queries, shape.total}, format}};
  }

  std::vector<Form> forms(const NodeView&) const override { return {{"products"}}; }
  std::vector<ValueId> body(Builder& builder, const NodeView& node, const Form&,
                            std::span<const ValueId> inputs) const override;
  std::vector<SampleCase> samples() const override;

 private:
  static bool is_flat(const NodeView& node) { return node.input(kQuery).shape.size() == 3; }
  static HeadShape head_shape(const NodeView& node);
  static void check_optional_inputs(const NodeView& node, const HeadShape& shape);
};

HeadShape Attention::head_shape(const NodeView& node) {
  const auto &q = node.input(kQuery).shape, &k = node.input(kKey).shape,
             &v = node.input(kValue).shape;
  if (q.size() != k.size() || q.size() != v.size() || (q.size() != 3 && q.size() != 4)) {
    throw Error("q, k and v are ", node.input(kQuery).to_string(), ", ",
                node.input(kKey).to_string(), " and ", node.input(kValue).to_string(),
                "; all must have three or four axes");
  }
  const std::int64_t heads = node.integer("q_num_heads"), groups = node.integer("kv_num_heads");
  HeadShape shape;
  shape.batch = q[0];
  shape.heads = heads;
  shape.groups = groups;
  const std::size_t sequence = q.size() - 2;
  shape.queries = q[sequence];
  shape.keys = k[sequence];
  if (q.size() == 4) {
    if (heads != 0 || groups != 0)
      throw Error("q_num_heads and kv_num_heads belong to inputs of three axes");
    shape.heads = q[1].constant();
    shape.groups = k[1].constant();
    if (v[1] != k[1]) throw Error("k and v have different numbers of heads");
    shape.size = q[3].constant();
    shape.value_size = v[3].constant();
  } else {
    if (heads < 1 || groups < 1 || q[2].constant() % heads != 0 || v[2].constant() % groups != 0)
      throw Error("q_num_heads ", heads, " and kv_num_heads ", groups,
                  " do not divide the last axes");
    shape.size = q[2].constant() / heads;
    shape.value_size = v[2].constant() / groups;
  }
  const Dim key_size = q.size() == 4 ? k[3] : k[2];
  if (key_size != Dim(q.size() == 4 ? shape.size : shape.size * shape.groups))
    throw Error("k ", node.input(kKey).to_string(), " has other heads than q ",
                node.input(kQuery).to_string());
  if (shape.heads % shape.groups != 0)
    throw Error(shape.groups, " heads of keys do not divide the ", shape.heads, " of queries");
  if (v[sequence] != shape.keys || k[0] != shape.batch || v[0] != shape.batch)
    throw Error("q, k and v differ in their batch or their number of keys");
  if (node.has_input(kPastKey) && node.input(kPastKey).shape.size() != 4)
    throw Error("past_key is ", node.input(kPastKey).to_string(), "; it must have four axes");
  shape.past = node.has_input(kPastKey) ? node.input(kPastKey).shape[2] : Dim(0);
  shape.total = shape.past + shape.keys;
  return shape;
}

void Attention::check_optional_inputs(const NodeView& node, const HeadShape& shape) {
  if (node.has_input(kPastKey) != node.has_input(kPastValue))
    throw Error("past_key and past_value come together");
  if (node.has_input(kPastKey)) {
    if (node.has_input(kValidKeys)) throw Error("a number of valid keys does not go with a past");
    const std::vector<Dim> keys = {shape.batch, shape.groups, shape.past, shape.size},
                           values = {shape.batch, shape.groups, shape.past, shape.value_size};
    if (node.input(kPastKey).shape != keys || node.input(kPastValue).shape != values)
      throw Error("past_key ", node.input(kPastKey).to_string(), " and past_value ",
                  node.input(kPastValue).to_string(), " do not fit k and v");
  }
  if (node.has_input(kValidKeys) &&
      node.input(kValidKeys) != TensorType{{shape.batch}, index_format()}) {
    throw Error("the numbers of valid keys are ", node.input(kValidKeys).to_string(),
                ", not int64[", shape.batch.to_string(), "]");
  }
  if (!node.has_input(kMask)) return;
  TensorType mask = node.input(kMask);
  if (mask.format != boolean_format() && mask.format != node.input(kQuery).format)
    throw Error("the mask is ", mask.to_string(), ", neither boolean nor in the format of q");
  if (mask.shape.empty()) throw Error("the mask has no axis");
  const Dim missing = shape.total - mask.shape.back();
  if (missing.is_constant() && missing.constant() > 0) mask.shape.back() = shape.total;
  if (!broadcasts_to(mask.shape, {shape.batch, shape.heads, shape.queries, shape.total}))
    throw Error("the mask ", mask.to_string(),
                " does not broadcast to [batch, heads, queries, "
                "keys]");
}

// The sum of what is added to the scores: 0 where a key counts, minus infinity where it does not.
class AttentionBias {
 public:
  AttentionBias(Body& body, const NodeView& node, const HeadShape& shape, ValueId like)
      : body_(body),
        node_(node),
        like_(like),
        queries_(extent(shape.queries)),
        keys_(extent(shape.total)),
        past_(extent(shape.past)) {}

  // kNone where every key counts.
  ValueId build(std::span<const ValueId> inputs) {
    if (node_.has_input(kMask)) add(mask(inputs[kMask]));
    const std::int64_t left = node_.integer("left_window_size"),
                       right = node_.integer("right_window_size");
    valid_ = node_.has_input(kValidKeys)
                 ? body_.reshape(inputs[kValidKeys],
                                 {body_.type(inputs[kValidKeys]).shape[0], Dim(1), Dim(1), Dim(1)})
                 : kNone;
    if (flag(node_, "is_causal")) add(not_after(0));
    if (right >= 0) add(not_after(right));
    if (left >= 0) add(not_before(left));
    if (valid_ != kNone) add(allowed(body_.builder().add("Less", {positions(0, 1, 0), valid_})));
    return sum_;
  }

 private:
  static std::int64_t extent(const Dim& dim) {
    if (!dim.is_constant())
      throw Error("its sequence ", dim.to_string(), " is symbolic; bind it (--bind NAME=VALUE)");
    return dim.constant();
  }

  void add(ValueId bias) { sum_ = sum_ == kNone ? bias : body_.add(sum_, bias); }

  ValueId infinity() { return body_.scalar(-std::numeric_limits<double>::infinity(), like_); }
  ValueId allowed(ValueId condition) {
    return body_.where(condition, body_.scalar(0, like_), infinity());
  }

  ValueId mask(ValueId mask) {
    const std::int64_t missing = keys_ - body_.type(mask).shape.back().constant();
    const bool is_boolean = body_.format(mask) == boolean_format();
    if (is_boolean) mask = allowed(mask);
    if (missing <= 0 || body_.type(mask).shape.back() == Dim(1)) return mask;
    std::vector<std::int64_t> pads(2 * body_.rank(mask));
    pads.back() = missing;
    return body_.builder().add(
        "Pad", {mask}, {{"pads", pads}, {"value", -std::numeric_limits<double>::infinity()}});
  }

  // int64 [queries, keys] of by_query * i + by_key * j + base.
  ValueId positions(std::int64_t by_query, std::int64_t by_key, std::int64_t base) {
    std::vector<std::int64_t> values;
    for (std::int64_t i = 0; i < queries_; ++i)
      for (std::int64_t j = 0; j < keys_; ++j) values.push_back(by_query * i + by_key * j + base);
    return body_.builder().constant(
        Tensor::from_integers(index_format(), {queries_, keys_}, values), "positions");
  }

  // Query i stands at i + past, or at i + valid - queries where a number of valid keys is given.
  // Key j <= that place + distance:
  ValueId not_after(std::int64_t distance) {
    if (valid_ == kNone) return compared(-1, 1, -past_ - distance);  // j - i - past - distance <= 0
    return allowed(
        body_.builder().add("LessOrEqual", {positions(-1, 1, queries_ - distance), valid_}));
  }
  // Key j >= that place - distance:
  ValueId not_before(std::int64_t distance) {
    if (valid_ == kNone) return compared(1, -1, past_ - distance);
    return allowed(
        body_.builder().add("GreaterOrEqual", {positions(-1, 1, queries_ + distance), valid_}));
  }

  // Zero where by_query * i + by_key * j + base <= 0, as a constant.
  ValueId compared(std::int64_t by_query, std::int64_t by_key, std::int64_t base) {
    std::vector<double> bias;
    for (std::int64_t i = 0; i < queries_; ++i) {
      for (std::int64_t j = 0; j < keys_; ++j) {
        const bool counts = by_query * i + by_key * j + base <= 0;
        bias.push_back(counts ? 0.0 : -std::numeric_limits<double>::infinity());
      }
    }
    return body_.builder().constant(
        Tensor::from_reals(body_.format(like_), {queries_, keys_}, bias), "bias");
  }

  Body& body_;
  const NodeView& node_;
  ValueId like_, valid_ = kNone, sum_ = kNone;
  std::int64_t queries_, keys_, past_;
};

// [N,S,heads*D] to [N,heads,S,D].
ValueId split_heads(Body& body, ValueId x, std::int64_t heads, std::int64_t size) {
  const std::vector<Dim> shape = body.type(x).shape;
  if (shape.size() == 4) return x;
  return body.transpose(body.reshape(x, {shape[0], shape[1], Dim(heads), Dim(size)}), {0, 2, 1, 3});
}

// Groups of keys or values to one for each head.
ValueId repeated(Body& body, ValueId x, std::int64_t times) {
  if (times == 1) return x;
  const std::vector<Dim> shape = body.type(x).shape;
  const std::vector<ValueId> parts(
      static_cast<std::size_t>(times),
      body.reshape(x, {shape[0], shape[1], Dim(1), shape[2], shape[3]}));
  return body.reshape(body.concat(parts, 2), {shape[0], shape[1] * Dim(times), shape[2], shape[3]});
}

// Softmax, with zeros where no key counts at all.
ValueId guarded_softmax(Body& body, const NodeView& node, ValueId scores, ValueId bias) {
  const std::string& wanted = node.string("softmax_format");
  const Format format = body.format(scores);
  const ValueId wide = wanted == "same" ? scores : body.cast(scores, Format::parse(wanted));
  const ValueId weights = body.builder().add("Softmax", {wide}, {{"axis", std::int64_t{-1}}});
  if (bias == kNone) return body.cast(weights, format);
  const ValueId most = body.max(bias, {-1});
  const ValueId none = body.builder().add(
      "Equal", {most, body.scalar(-std::numeric_limits<double>::infinity(), most)});
  return body.cast(body.where(none, body.scalar(0, weights), weights), format);
}

std::vector<ValueId> Attention::body(Builder& builder, const NodeView& node, const Form&,
                                     std::span<const ValueId> inputs) const {
  Body body(builder);
  HeadShape shape = head_shape(node);
  const bool flat = is_flat(node);
  const std::size_t sequence = flat ? 1 : 2;
  shape.batch = body.type(inputs[kQuery]).shape[0];
  shape.queries = body.type(inputs[kQuery]).shape[sequence];
  shape.keys = body.type(inputs[kKey]).shape[sequence];
  if (node.has_input(kPastKey)) shape.past = body.type(inputs[kPastKey]).shape[2];
  shape.total = shape.past + shape.keys;
  const ValueId q = split_heads(body, inputs[kQuery], shape.heads, shape.size);
  ValueId k = split_heads(body, inputs[kKey], shape.groups, shape.size);
  ValueId v = split_heads(body, inputs[kValue], shape.groups, shape.value_size);
  if (node.has_input(kPastKey)) {
    k = body.concat({inputs[kPastKey], k}, 2);
    v = body.concat({inputs[kPastValue], v}, 2);
  }
  std::vector<ValueId> results = {kNone, body.call("Identity", k), body.call("Identity", v)};
  const std::int64_t shared = shape.heads / shape.groups;
  const double given = node.real("scale");
  // The root goes to either factor, so that narrow formats do not overflow.
  const double root = std::sqrt(given > 0 ? given : 1 / std::sqrt(static_cast<double>(shape.size)));
  const ValueId turned = body.transpose(body.times(repeated(body, k, shared), root), {0, 1, 3, 2});
  std::map<std::string, ValueId> stages;
  ValueId scores = stages["product"] = body.matmul(body.times(q, root), turned);
  if (const double cap = node.real("softcap"); cap > 0) {
    const ValueId limit = body.scalar(cap, scores);
    scores = body.mul(body.call("Tanh", body.div(scores, limit)), limit);
  }
  stages["softcap"] = scores;
  const ValueId bias = AttentionBias(body, node, shape, scores).build(inputs);
  if (bias != kNone) scores = body.add(scores, bias);
  stages["mask"] = scores;
  const ValueId weights = stages["softmax"] = guarded_softmax(body, node, scores, bias);
  ValueId y = body.matmul(weights, repeated(body, v, shared));
  if (flat) {
    y = body.reshape(body.transpose(y, {0, 2, 1, 3}),
                     {shape.batch, shape.queries, Dim(shape.heads * shape.value_size)});
  }
  results[0] = y;
  if (const std::string& wanted = node.string("scores"); wanted != "none")
    results.push_back(body.call("Identity", stages.at(wanted)));
  return results;
}

std::vector<SampleCase> Attention::samples() const {
  const auto text = [](std::string_view inputs, std::string_view names, std::string_view outputs,
                       std::string_view attributes, std::string_view made = "%y, %k1, %v1") {
    return sample_text("symbol N in [1,3]", inputs,
                       concat(outputs, " = Attention(", names, ") ", attributes), made);
  };
  const std::string small = "%y : f32[N,2,3,4], %k1 : f32[N,2,5,4], %v1 : f32[N,2,5,4]";
  return {
      {text("%q : f32[N,2,3,4], %k : f32[N,2,5,4], %v : f32[N,2,5,4]", "%q, %k, %v", small, ""),
       ""},
      {text("%q : f32[N,2,3,4], %k : f32[N,2,2,4], %v : f32[N,2,2,4], %p : f32[N,2,3,4], "
            "%r : f32[N,2,3,4]",
            "%q, %k, %v, _, %p, %r", small, "{is_causal = 1, softcap = 2.0}"),
       ""},
      {text("%q : f64[2,3,8], %k : f64[2,5,4], %v : f64[2,5,6], %m : bool[3,5]", "%q, %k, %v, %m",
            "%y : f64[2,3,12], %k1 : f64[2,2,5,2], %v1 : f64[2,2,5,3], %s : f64[2,4,3,5]",
            "{q_num_heads = 4, kv_num_heads = 2, scores = \"softmax\", left_window_size = 1}",
            "%y, %k1, %v1, %s"),
       ""},
      {text("%q : f32[2,2,3,4], %k : f32[2,2,5,4], %v : f32[2,2,5,4], %m : f32[2,1,3,4], "
            "%n : int64[2]",
            "%q, %k, %v, %m, _, _, %n",
            "%y : f32[2,2,3,4], %k1 : f32[2,2,5,4], %v1 : f32[2,2,5,4], %s : f32[2,2,3,5]",
            "{is_causal = 1, right_window_size = 2, scale = 0.5, scores = \"softcap\"}",
            "%y, %k1, %v1, %s"),
       ""},
      {text("%q : f32[N,3,3,4], %k : f32[N,2,5,4], %v : f32[N,2,5,4]", "%q, %k, %v", small, ""),
       "2 heads of keys do not divide the 3 of queries"},
      {text("%q : f32[N,3,8], %k : f32[N,5,8], %v : f32[N,5,8]", "%q, %k, %v", small, ""),
       "do not divide the last axes"},
      {text("%q : f32[N,2,3,4], %k : f32[N,2,5,4], %v : f32[N,2,5,4], %m : f32[4,5]",
            "%q, %k, %v, %m", small, ""),
       "does not broadcast"}};
}

}  // namespace

void register_attention_operators() { operators().add(std::make_unique<Attention>()); }

}  // namespace tandem
