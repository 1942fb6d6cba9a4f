// ONNX Runtime's own operators of attention, over the operator Attention.
#include <algorithm>
#include <numeric>

#include "tandem/files/onnx_contrib.h"

namespace tandem {
namespace {

using Axes = std::vector<std::int64_t>;

const Format& position_format() {
  static const Format kFormat = Format::integer(64, true);
  return kFormat;
}

// One attention under construction: q, k and v are [N,S,heads*D] or all [N,heads,S,D].
struct Heads {
  ValueId q = kNone, k = kNone, v = kNone;
  ValueId past_k = kNone, past_v = kNone;
  ValueId bias = kNone;  // added to the scores
  std::int64_t heads = 0, groups = 0;
  bool is_causal = false;
  double scale = 0, softcap = 0;
  std::int64_t window = -1;
};

std::vector<ValueId> attend(OnnxNode& node, const Heads& heads) {
  const bool is_flat = node.type_of_value(heads.q).shape.size() == 3;
  return node.add_node("Attention",
                       {heads.q, heads.k, heads.v, heads.bias, heads.past_k, heads.past_v},
                       {{"scale", heads.scale},
                        {"softcap", heads.softcap},
                        {"is_causal", std::int64_t{heads.is_causal ? 1 : 0}},
                        {"left_window_size", heads.window},
                        {"q_num_heads", is_flat ? heads.heads : std::int64_t{0}},
                        {"kv_num_heads", is_flat ? heads.groups : std::int64_t{0}}});
}

Dim past_length(OnnxNode& node, const Heads& heads) {
  if (heads.past_k == kNone) return 0;
  const TensorType past = node.type_of_value(heads.past_k);
  if (past.shape.size() != 4)
    OnnxNode::refuse(concat("its past is ", past.to_string()), "give it [batch,heads,length,size]");
  return past.shape[2];
}

void add_bias(OnnxNode& node, Heads& heads, ValueId bias) {
  heads.bias = heads.bias == kNone ? bias : node.add("Add", {heads.bias, bias});
}

// Scores where a mask of 0 and 1 forbids a key get a number added, as ONNX Runtime has it.
ValueId filtered(OnnxNode& node, ValueId allowed, double filter, ValueId like) {
  return node.add("Where",
                  {allowed, constant_like(node, 0, like), constant_like(node, filter, like)});
}

// [batch, keys], [batch, queries, keys] of 0 and 1, or [batch] numbers of keys.
void add_key_mask(OnnxNode& node, Heads& heads, std::size_t input, const Dim& keys) {
  const double filter = node.real("mask_filter_value", -10000);
  if (!node.has(input)) return;
  const std::vector<Dim> shape = node.type(input).shape;
  ValueId mask = node.value(input);
  const Dim batch = node.type_of_value(heads.q).shape[0];
  if (shape.size() == 1 && shape[0] == batch) {
    node.charge(keys.constant());
    Axes places(static_cast<std::size_t>(keys.constant()));
    std::iota(places.begin(), places.end(), 0);
    const ValueId row =
        node.add_constant(Tensor::from_integers(position_format(), {keys.constant()}, places));
    const ValueId lengths = cast_to(node, mask, position_format());
    mask = node.add("Less", {row, node.reshape(lengths, {batch, 1, 1, 1})});
  } else if ((shape.size() == 2 || shape.size() == 3) && shape[0] == batch &&
             shape.back() == keys) {
    const bool has_queries = shape.size() == 3;
    mask = node.reshape(mask, {batch, 1, has_queries ? shape[1] : Dim(1), keys});
    mask = cast_to(node, mask, Format::parse("bool"));
  } else {
    OnnxNode::refuse(concat("its mask is ", node.type(input).to_string()),
                     "give it [batch], [batch,keys] or [batch,queries,keys]");
  }
  add_bias(node, heads, filtered(node, mask, filter, heads.q));
}

// Several equal or given parts of the last axis.
std::vector<ValueId> parts_of(OnnxNode& node, ValueId x, const Axes& sizes) {
  const auto rank = static_cast<std::int64_t>(node.type_of_value(x).shape.size());
  std::vector<ValueId> parts;
  std::int64_t begin = 0;
  for (const std::int64_t size : sizes) {
    parts.push_back(sliced(node, x, rank - 1, begin, begin + size));
    begin += size;
  }
  return parts;
}

void add_past_pair(OnnxNode& node, Heads& heads, std::size_t input) {
  if (!node.has(input)) return;
  const std::vector<Dim> shape = node.type(input).shape;
  if (shape.size() != 5 || shape[0] != Dim(2))
    OnnxNode::refuse(concat("its past is ", node.type(input).to_string()),
                     "give it [2,batch,heads,length,size]");
  const std::vector<Dim> one(shape.begin() + 1, shape.end());
  heads.past_k = node.reshape(sliced(node, node.value(input), 0, 0, 1), one);
  heads.past_v = node.reshape(sliced(node, node.value(input), 0, 1, 2), one);
}

void set_present_pair(OnnxNode& node, std::size_t output, const std::vector<ValueId>& results) {
  if (!node.has_output(output)) return;
  std::vector<ValueId> parts;
  for (const std::size_t i : {1U, 2U}) {
    std::vector<Dim> shape = node.type_of_value(results[i]).shape;
    shape.insert(shape.begin(), 1);
    parts.push_back(node.reshape(results[i], shape));
  }
  node.set(output, node.add("Concat", parts, {{"axis", std::int64_t{0}}}));
}

std::int64_t head_count(OnnxNode& node, std::string_view name = "num_heads") {
  constexpr std::int64_t kMostHeads = 1 << 20;
  const std::int64_t heads = node.integer(name);
  if (heads < 1 || heads > kMostHeads)
    OnnxNode::refuse(concat(name, " is ", heads), "correct the attribute");
  return heads;
}

// Attention over the sum of q, k and v in one tensor [N,S,all].
void packed_attention(OnnxNode& node, ValueId all, Axes sizes, std::size_t mask, std::size_t past,
                      std::size_t bias) {
  Heads heads;
  heads.heads = heads.groups = head_count(node);
  heads.scale = node.real("scale", 0);
  heads.is_causal = node.integer("unidirectional", 0) != 0;
  for (const char* name : {"do_rotary", "past_present_share_buffer"})
    if (node.integer(name, 0) != 0)
      OnnxNode::refuse(concat("its ", name, " is set"), "export the model without it");
  node.ignore("rotary_embedding_dim");
  const std::vector<Dim> shape = node.type_of_value(all).shape;
  if (shape.size() != 3) OnnxNode::refuse("its input has not three axes", "give it [N,S,size]");
  if (sizes.empty()) sizes.assign(3, shape[2].constant() / 3);
  if (sizes.size() != 3 ||
      Dim(std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0})) != shape[2])
    OnnxNode::refuse("its sizes of q, k and v do not fit its weights", "correct qkv_hidden_sizes");
  const auto parts = parts_of(node, all, sizes);
  heads.q = parts[0];
  heads.k = parts[1];
  heads.v = parts[2];
  add_past_pair(node, heads, past);
  const Dim length = past_length(node, heads);
  if (bias != kNone && node.has(bias)) add_bias(node, heads, node.value(bias));
  add_key_mask(node, heads, mask, length + shape[1]);
  const auto results = attend(node, heads);
  node.set(0, results[0]);
  set_present_pair(node, 1, results);
}

void attention(OnnxNode& node) {
  ValueId all = node.add("MatMul", {node.value(0), node.value(1)});
  if (node.has(2)) all = node.add("Add", {all, node.value(2)});
  packed_attention(node, all, node.integers("qkv_hidden_sizes").value_or(Axes{}), 3, 4, 5);
}

// The same over codes: the sums of products are exact, then scaled.
void quantized_attention(OnnxNode& node) {
  const auto centred = [&](std::size_t input, std::size_t zero) {
    const ValueId x = cast_to(node, node.value(input), Format::parse("f64"));
    return node.has(zero)
               ? node.add("Sub", {x, cast_to(node, node.value(zero), Format::parse("f64"))})
               : x;
  };
  const ValueId sums = node.add("MatMul", {centred(0, 6), centred(1, 7)});
  const ValueId scale = node.add("Mul", {node.value(3), node.value(4)});
  const ValueId real = cast_to(node, sums, Format());
  const ValueId all = node.add("Add", {node.add("Mul", {real, scale}), node.value(2)});
  packed_attention(node, all, {}, 5, 8, kNone);
}

// ---- MultiHeadAttention ----------------------------------------------------------------------

class MultiHead {
 public:
  explicit MultiHead(OnnxNode& node) : node_(node) {
    heads_.heads = heads_.groups = head_count(node);
    heads_.scale = node.real("scale", 0);
    heads_.is_causal = node.integer("unidirectional", 0) != 0;
  }

  void read() {
    take_operands();
    if (node_.has(3)) add_biases();
    if (node_.has(6)) {
      heads_.past_k = node_.value(6);
      heads_.past_v = node_.value(7);
    }
    to_heads();
    if (node_.has(5)) add_bias(node_, heads_, node_.value(5));
    const Dim past = past_length(node_, heads_);
    add_key_mask(node_, heads_, 4, past + node_.type_of_value(heads_.k).shape[2]);
    const auto results = attend(node_, heads_);
    const auto shape = node_.type_of_value(results[0]).shape;
    node_.set(0, node_.reshape(permuted(node_, results[0], {0, 2, 1, 3}),
                               {shape[0], shape[2], shape[1] * shape[3]}));
    if (node_.has_output(1)) node_.set(1, results[1]);
    if (node_.has_output(2)) node_.set(2, results[2]);
  }

 private:
  void take_operands() {
    for (const std::size_t i : {0U, 1U, 2U}) {
      if (!node_.has(i)) OnnxNode::refuse("it has no key or value", "give it q, k and v");
      const std::size_t rank = node_.type(i).shape.size();
      if (rank != 3 && rank != 4)
        OnnxNode::refuse(concat("its input ", i, " is ", node_.type(i).to_string()),
                         "give it [batch,length,size] or [batch,heads,length,size]");
    }
    heads_.q = node_.value(0);
    heads_.k = node_.value(1);
    heads_.v = node_.value(2);
  }

  void add_biases() {
    const auto size = [&](ValueId x) {
      const auto& shape = node_.type_of_value(x).shape;
      return (shape.size() == 4 ? shape[1] * shape[3] : shape.back()).constant();
    };
    const auto parts =
        parts_of(node_, node_.value(3), {size(heads_.q), size(heads_.k), size(heads_.v)});
    heads_.q = node_.add("Add", {heads_.q, parts[0]});
    if (node_.type_of_value(heads_.k).shape.size() == 4) return;  // of a cache, which has it
    heads_.k = node_.add("Add", {heads_.k, parts[1]});
    heads_.v = node_.add("Add", {heads_.v, parts[2]});
  }

  // [N,S,heads*D] as [N,heads,S,D]; keys and values of a cache are so.
  void to_heads() {
    for (ValueId* x : {&heads_.q, &heads_.k, &heads_.v}) {
      const std::vector<Dim> shape = node_.type_of_value(*x).shape;
      if (shape.size() == 4) continue;
      if (shape.size() != 3 || shape[2].constant() % heads_.heads != 0)
        OnnxNode::refuse(concat(node_.type_of_value(*x).to_string(), " does not divide in ",
                                heads_.heads, " heads"),
                         "correct num_heads");
      *x = permuted(node_,
                    node_.reshape(*x, {shape[0], shape[1], Dim(heads_.heads),
                                       Dim(shape[2].constant() / heads_.heads)}),
                    {0, 2, 1, 3});
    }
  }

  OnnxNode& node_;
  Heads heads_;
};

void multi_head_attention(OnnxNode& node) { MultiHead(node).read(); }

// ---- Rotary embedding ------------------------------------------------------------------------

ValueId rotated(OnnxNode& node, ValueId x, ValueId cosines, ValueId sines, ValueId positions,
                std::int64_t heads, bool interleaved) {
  const std::int64_t turned = 2 * node.type_of_value(cosines).shape.back().constant();
  return node.add("RotaryEmbedding", {x, cosines, sines, positions},
                  {{"interleaved", std::int64_t{interleaved ? 1 : 0}},
                   {"num_heads", heads},
                   {"rotary_size", turned}});
}

// Places from `first` on, [1, count].
ValueId places(OnnxNode& node, std::int64_t first, std::int64_t count) {
  node.charge(count);
  Axes values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), first);
  return node.add_constant(Tensor::from_integers(position_format(), {1, count}, values));
}

void rotary_embedding(OnnxNode& node) {
  const std::vector<Dim> x = node.type(0).shape, given = node.type(1).shape;
  const bool is_flat = x.size() == 3;
  if ((!is_flat && x.size() != 4) || node.type(2).shape.size() != 2)
    OnnxNode::refuse("its input or cosines have other axes than it needs", "correct the inputs");
  if (node.integer("is_packed_batching", 0) != 0 || node.real("scale", 1) != 1)
    OnnxNode::refuse("it packs its batch or scales", "export the model without it");
  std::int64_t heads = node.integer("num_heads", 0);
  node.integer("rotary_embedding_dim", 0);  // said by the cosines
  const std::int64_t pairs = node.type(2).shape[1].constant();
  if (pairs < 1) OnnxNode::refuse("its cosines have no elements", "correct the inputs");
  if (is_flat && heads == 0) heads = x[2].constant() / (2 * pairs);
  ValueId positions = node.value(1);
  if (given.size() == 1)
    positions = node.add("Add", {places(node, 0, x[is_flat ? 1 : 2].constant()), positions});
  node.set(0, rotated(node, node.value(0), node.value(2), node.value(3), positions,
                      is_flat ? heads : 0, node.integer("interleaved", 0) != 0));
}

// ---- GroupQueryAttention ---------------------------------------------------------------------

class GroupQuery {
 public:
  explicit GroupQuery(OnnxNode& node) : node_(node) {
    heads_.heads = head_count(node);
    heads_.groups = head_count(node, "kv_num_heads");
    heads_.scale = node.real("scale", 0);
    heads_.softcap = node.real("softcap", 0);
    heads_.is_causal = node.integer("causal", 1) != 0;
    const std::int64_t window = node.integer("local_window_size", -1);
    heads_.window = window > 0 ? window - 1 : -1;  // its window counts the query's own place
    for (const char* name :
         {"smooth_softmax", "qk_output", "kv_cache_bit_width", "sliding_window_cache"})
      if (node.integer(name, 0) > 0)
        OnnxNode::refuse(concat("its ", name, " is set"), "export the model without it");
    for (const char* name : {"k_quant_type", "v_quant_type"})
      if (node.text(name, "NONE") != "NONE")
        OnnxNode::refuse("its cache is quantized", "export the model with a cache of reals");
    for (const char* name : {"qk_norm_epsilon", "q_norm_epsilon", "k_norm_epsilon"})
      node.ignore(name);  // of inputs that are refused
  }

  void read() {
    take_operands();
    const std::vector<Dim> q = node_.type_of_value(heads_.q).shape;
    if (node_.has(3)) {
      heads_.past_k = node_.value(3);
      heads_.past_v = node_.value(4);
    }
    const Dim past = past_length(node_, heads_);
    check_lengths(q, past);
    if (node_.integer("do_rotary", 0) != 0) rotate(q, past);
    if (node_.has(10)) add_bias(node_, heads_, node_.value(10));
    const auto results = attend(node_, heads_);
    for (std::size_t i = 0; i < 3; ++i)
      if (node_.has_output(i)) node_.set(i, results[i]);
  }

 private:
  void take_operands() {
    heads_.q = node_.value(0);
    if (node_.type(0).shape.size() != 3)
      OnnxNode::refuse("its query has not three axes", "give it [batch,length,size]");
    if (node_.has(1)) {
      heads_.k = node_.value(1);
      heads_.v = node_.value(2);
      return;
    }
    const std::int64_t size =
        node_.type(0).shape[2].constant() / (heads_.heads + 2 * heads_.groups);
    const auto parts = parts_of(node_, heads_.q,
                                {heads_.heads * size, heads_.groups * size, heads_.groups * size});
    heads_.q = parts[0];
    heads_.k = parts[1];
    heads_.v = parts[2];
  }

  // Read is what exporters write: the cache grows by what is new, and a batch has one length.
  // Without a past, places behind a sample's length hold nothing that others see.
  void check_lengths(const std::vector<Dim>& q, const Dim& past) {
    const bool is_prompt = past == Dim(0);
    node_.has(5);
    const auto total = node_.dims(6);
    if (is_prompt) return;
    if (!total || total->elements.size() != 1 || total->elements[0] != past + q[1]) {
      node_.note_deciding(6);
      OnnxNode::refuse(
          "its total_sequence_length is not known to be that of the past and the new "
          "keys together",
          "give it as a constant, and a past without free places");
    }
    if (q[0] == Dim(1)) return;
    const Tensor& lengths = node_.required_constant(5, "seqlens_k of several samples");
    for (const double last : lengths.to_reals())
      if (last + 1 != static_cast<double>(total->elements[0].constant()))
        OnnxNode::refuse("its samples differ in length", "give them one length");
  }

  void rotate(const std::vector<Dim>& q, const Dim& past) {
    const bool interleaved = node_.integer("rotary_interleaved", 0) != 0;
    if (!node_.has(7) || !node_.has(8) || node_.type(7).shape.size() != 2)
      OnnxNode::refuse("it has no cosines and sines [positions,pairs]", "give it both");
    const ValueId positions =
        node_.has(9) ? node_.value(9) : places(node_, past.constant(), q[1].constant());
    heads_.q = rotated(node_, heads_.q, node_.value(7), node_.value(8), positions, heads_.heads,
                       interleaved);
    heads_.k = rotated(node_, heads_.k, node_.value(7), node_.value(8), positions, heads_.groups,
                       interleaved);
  }

  OnnxNode& node_;
  Heads heads_;
};

void group_query_attention(OnnxNode& node) { GroupQuery(node).read(); }

}  // namespace

void add_contrib_attention_handlers(OnnxHandlers& handlers) {
  handlers["ms:Attention"] = attention;
  handlers["ms:QAttention"] = quantized_attention;
  handlers["ms:MultiHeadAttention"] = multi_head_attention;
  handlers["ms:GroupQueryAttention"] = group_query_attention;
  handlers["ms:RotaryEmbedding"] = rotary_embedding;
}

}  // namespace tandem
