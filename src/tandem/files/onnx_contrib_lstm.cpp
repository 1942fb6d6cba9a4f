// ONNX Runtime's DynamicQuantizeLSTM: an LSTM whose input and hidden states are quantized by their
// own range before they meet quantized weights.
#include <algorithm>
#include <array>

#include "tandem/files/onnx_contrib.h"
#include "tandem/files/onnx_quant.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

// Inputs behind those of LSTM.
enum QuantizedInput : std::uint8_t { kWScale = 8, kWZero, kRScale, kRZero };

class QuantizedLstm {
 public:
  explicit QuantizedLstm(OnnxNode& node)
      : node_(node), direction_(node.text("direction", "forward")) {
    const auto &x = node.type(0).shape, &w = node.type(1).shape, &r = node.type(2).shape;
    if (x.size() != 3 || w.size() != 3 || r.size() != 3)
      OnnxNode::refuse("its input or weights have not three axes", "correct the inputs");
    units_ = node.integer("hidden_size", r[1].constant());
    directions_ = direction_ == "bidirectional" ? 2 : 1;
    constexpr std::int64_t kMostUnits = 1 << 20;
    if (units_ < 1 || units_ > kMostUnits || w[2] != Dim(4 * units_) ||
        r != std::vector<Dim>{directions_, units_, 4 * units_})
      OnnxNode::refuse(concat("its weights ", node.type(1).to_string(), " and ",
                              node.type(2).to_string(), " do not fit ", units_, " units"),
                       "give them as [directions,inputs,4*units] and [directions,units,4*units]");
    for (const std::size_t i : {4U, 7U})
      if (node.has(i)) OnnxNode::refuse("it has lengths or peepholes", "export the layer without");
    for (const char* name : {"activations", "activation_alpha", "activation_beta", "clip"})
      if (node.has_attribute(name))
        OnnxNode::refuse(concat("it has the attribute ", name), "export the layer without it");
    if (node.integer("input_forget", 0) != 0)
      OnnxNode::refuse("it couples input and forget gates", "export the layer without it");
  }

  void read() {
    const DynamicCodes x = quantized_dynamically(node_, node_.value(0));
    const ValueId codes = exact(x.codes, x.zero);
    std::array<std::vector<ValueId>, 3> results;  // y, h, c of each direction
    for (std::int64_t d = 0; d < directions_; ++d) {
      const auto made = read_direction(d, codes, x.scale);
      const std::vector<Dim> steps = node_.type_of_value(made[2]).shape;
      results[0].push_back(node_.reshape(made[2], {steps[0], 1, steps[1], steps[2]}));
      for (const std::size_t i : {0U, 1U})
        results[i + 1].push_back(node_.reshape(made[i], {1, steps[1], steps[2]}));
    }
    for (std::size_t i = 0; i < results.size(); ++i) {
      const Attributes along = {{"axis", std::int64_t{i == 0 ? 1 : 0}}};
      node_.set(i, directions_ == 1 ? results[i][0] : node_.add("Concat", results[i], along));
    }
  }

 private:
  // Codes less their zero point, as f64, which holds every sum that 32 bits hold.
  ValueId exact(ValueId codes, ValueId zero) {
    return node_.add("Sub", {cast_to(node_, codes, Format::parse("f64")),
                             cast_to(node_, zero, Format::parse("f64"))});
  }

  ValueId product(ValueId a, ValueId b, ValueId scale) {
    const ValueId sums = node_.add("MatMul", {a, b});
    return node_.add("Mul", {cast_to(node_, sums, Format()), scale});
  }

  // Of one direction, without that axis.
  ValueId one(std::size_t input, std::int64_t direction) {
    std::vector<Dim> shape = node_.type(input).shape;
    if (shape.empty() || shape[0] != Dim(directions_))
      OnnxNode::refuse(concat("input ", input, " is ", node_.type(input).to_string()),
                       concat("give it ", directions_, " entries along its first axis"));
    shape.erase(shape.begin());
    return node_.reshape(sliced(node_, node_.value(input), 0, direction, direction + 1), shape);
  }

  // The next states and h, from the gates driven by x [N,4H]: input, output, forget, cell.
  std::vector<ValueId> step(const std::vector<ValueId>& given) {
    const ValueId c = given[1], driven = given[2], weights = given[3], scale = given[4];
    const DynamicCodes h = quantized_dynamically(node_, given[0]);
    const ValueId recurrent =
        product(exact(h.codes, h.zero), weights, node_.add("Mul", {h.scale, scale}));
    const ValueId gates = node_.add("Add", {driven, recurrent});
    const auto gate = [&](std::int64_t index, std::string_view function) {
      return node_.add(function, {sliced(node_, gates, 1, index * units_, (index + 1) * units_)});
    };
    const ValueId kept = node_.add("Mul", {gate(2, "Sigmoid"), c});
    const ValueId added = node_.add("Mul", {gate(0, "Sigmoid"), gate(3, "Tanh")});
    const ValueId next = node_.add("Add", {kept, added});
    const ValueId out = node_.add("Mul", {gate(1, "Sigmoid"), node_.add("Tanh", {next})});
    return {out, next, out};
  }

  // Last h, last c, all h.
  std::vector<ValueId> read_direction(std::int64_t d, ValueId x, ValueId x_scale) {
    const ValueId w = exact(one(1, d), one(kWZero, d)), r = exact(one(2, d), one(kRZero, d));
    ValueId driven = product(x, w, node_.add("Mul", {x_scale, one(kWScale, d)}));
    if (node_.has(3)) {
      const ValueId bias = one(3, d);
      driven = node_.add(
          "Add", {driven, node_.add("Add", {sliced(node_, bias, 0, 0, 4 * units_),
                                            sliced(node_, bias, 0, 4 * units_, 8 * units_)})});
    }
    std::vector<ValueId> inputs = {first(5, d), first(6, d), driven, r, one(kRScale, d)};
    std::vector<TensorType> types;
    for (const ValueId input : inputs) types.push_back(node_.type_of_value(input));
    types[2].shape.erase(types[2].shape.begin());
    const OnnxBody body = node_.build_body(
        types, "step", [&](const std::vector<ValueId>& given) { return step(given); });
    const Integers reversed = {direction_ == "reverse" || d == 1 ? 1 : 0};
    return node_.add_node("Scan", inputs,
                          {{"states", std::int64_t{2}},
                           {"scanned", std::int64_t{1}},
                           {"input_reversed", reversed},
                           {"output_reversed", reversed}},
                          {body.graph});
  }

  ValueId first(std::size_t input, std::int64_t direction) {
    if (node_.has(input)) return one(input, direction);
    const Shape shape = {node_.type(0).shape[1].constant(), units_};
    node_.charge(element_count(shape));
    return node_.add_constant(Tensor(Format(), shape));
  }

  OnnxNode& node_;
  std::string direction_;
  std::int64_t units_ = 0, directions_ = 1;
};

void dynamic_quantize_lstm(OnnxNode& node) { QuantizedLstm(node).read(); }

}  // namespace

void add_contrib_lstm_handlers(OnnxHandlers& handlers) {
  handlers["ms:DynamicQuantizeLSTM"] = dynamic_quantize_lstm;
}

}  // namespace tandem
