#include "tandem/ops/recurrent_cells.h"

#include <algorithm>
#include <array>

#include "tandem/base/text.h"

namespace tandem {
namespace {

// A function's constants: how many it has, and ONNX's defaults where there are any.
struct FunctionKind {
  std::string_view name;
  int constants = 0;
  bool has_defaults = false;
  double alpha = 0, beta = 0;
};
constexpr std::array kFunctions = {FunctionKind{"Relu"},
                                   FunctionKind{"Tanh"},
                                   FunctionKind{"Sigmoid"},
                                   FunctionKind{"Softsign"},
                                   FunctionKind{"Softplus"},
                                   FunctionKind{"LeakyRelu", 1, true, 0.01},
                                   FunctionKind{"ThresholdedRelu", 1, true, 1.0},
                                   FunctionKind{"Elu", 1, true, 1.0},
                                   FunctionKind{"HardSigmoid", 2, true, 0.2, 0.5},
                                   FunctionKind{"Affine", 2, false},
                                   FunctionKind{"ScaledTanh", 2, false}};

std::string lower_case(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return result;
}

const FunctionKind& function_kind(const std::string& name) {
  std::vector<std::string> names;
  for (const FunctionKind& kind : kFunctions) {
    if (lower_case(kind.name) == lower_case(name)) return kind;
    names.emplace_back(kind.name);
  }
  throw Error("there is no gate function '", name, "'", suggestion(name, names));
}

// The next number of a list, or the default.
double next_constant(const std::vector<double>& list, std::size_t& position,
                     const FunctionKind& kind, double otherwise) {
  if (position < list.size()) return list[position++];
  if (!kind.has_defaults) throw Error("the gate function ", kind.name, " lacks its alpha or beta");
  return otherwise;
}

ValueId applied(Body& body, const GateFunction& function, double clip, ValueId x) {
  if (clip > 0) x = body.builder().add("Clip", {x, body.scalar(-clip, x), body.scalar(clip, x)});
  const auto& [name, alpha, beta] = function;
  if (name == "Affine") return body.plus(body.times(x, alpha), beta);
  if (name == "ScaledTanh") return body.times(body.call("Tanh", body.times(x, beta)), alpha);
  if (name == "Softsign") return body.div(x, body.plus(body.call("Abs", x), 1));
  if (name == "HardSigmoid")
    return body.builder().add(name, {x}, {{"alpha", alpha}, {"beta", beta}});
  if (function_kind(name).constants == 1) return body.builder().add(name, {x}, {{"alpha", alpha}});
  return body.call(name, x);
}

// Column block `index` of what holds one block of units for each gate.
ValueId gate_columns(Body& body, const CellOptions& options, ValueId x, std::int64_t index,
                     std::int64_t count = 1) {
  const auto axis = static_cast<std::int64_t>(body.rank(x)) - 1;
  return body.slice(x, axis, index * options.units, (index + count) * options.units);
}

ValueId sum_of(Body& body, ValueId a, ValueId b) {
  if (a == kNone) return b;
  return b == kNone ? a : body.add(a, b);
}

// "Long Short-Term Memory" (Hochreiter and Schmidhuber, 1997); gates in the order input, output,
// forget, cell; states hidden and cell.
class LstmCell final : public Cell {
 public:
  std::string_view name() const override { return "LSTM"; }
  std::string_view description() const override {
    return "Long short-term memory over x [T,N,I] in one or two directions D with W [D,4*H,I], R "
           "[D,4*H,H] (gates input, output, forget, cell), and optionally B [D,8*H], int32 lengths "
           "[N], first states h and c [D,N,H], and peepholes [D,3*H]: y [T,D,N,H], h and c "
           "[D,N,H].";
  }
  std::int64_t gates() const override { return 4; }
  std::size_t states() const override { return 2; }
  std::vector<std::string> functions() const override { return {"Sigmoid", "Tanh", "Tanh"}; }
  std::string_view variant() const override { return "input_forget"; }
  std::string_view variant_description() const override {
    return "the forget gate is 1 minus the input gate";
  }
  bool has_peepholes() const override { return true; }

  Prepared prepare(Body& body, const CellOptions& options, ValueId recurrent, ValueId input_bias,
                   ValueId recurrent_bias, ValueId peepholes) const override {
    Prepared prepared{sum_of(body, input_bias, recurrent_bias),
                      {body.transpose(recurrent, {1, 0})}};
    for (std::int64_t i = 0; peepholes != kNone && i < 3; ++i)
      prepared.parameters.push_back(gate_columns(body, options, peepholes, i));
    return prepared;
  }

  std::vector<ValueId> step(Body& body, const CellOptions& options, ValueId driven,
                            const std::vector<ValueId>& parameters,
                            const std::vector<ValueId>& states) const override {
    const ValueId cell = states[1];
    const ValueId sums = body.add(driven, body.matmul(states[0], parameters[0]));
    const auto gate = [&](std::int64_t index, std::size_t peephole, ValueId seen) {
      ValueId x = gate_columns(body, options, sums, index);
      if (parameters.size() > 1) x = body.add(x, body.mul(parameters[peephole], seen));
      return applied(body, options.functions[0], options.clip, x);
    };
    const ValueId input = gate(0, 1, cell);
    const ValueId forget =
        options.variant ? body.sub(body.scalar(1, input), input) : gate(2, 3, cell);
    const ValueId candidate =
        applied(body, options.functions[1], options.clip, gate_columns(body, options, sums, 3));
    const ValueId next = body.add(body.mul(forget, cell), body.mul(input, candidate));
    const ValueId output = gate(1, 2, next);
    return {body.mul(output, applied(body, options.functions[2], options.clip, next)), next};
  }
};

// "Learning Phrase Representations using RNN Encoder-Decoder" (Cho et al., 2014); gates in the
// order update, reset, hidden.
class GruCell final : public Cell {
 public:
  std::string_view name() const override { return "GRU"; }
  std::string_view description() const override {
    return "Gated recurrent unit over x [T,N,I] in one or two directions D with W [D,3*H,I], R "
           "[D,3*H,H] (gates update, reset, hidden), and optionally B [D,6*H], int32 lengths [N] "
           "and a first state [D,N,H]: y [T,D,N,H] and h [D,N,H].";
  }
  std::int64_t gates() const override { return 3; }
  std::size_t states() const override { return 1; }
  std::vector<std::string> functions() const override { return {"Sigmoid", "Tanh"}; }
  std::string_view variant() const override { return "linear_before_reset"; }
  std::string_view variant_description() const override {
    return "reset what the recurrent weights make of the state, not the state";
  }

  Prepared prepare(Body& body, const CellOptions& options, ValueId recurrent, ValueId input_bias,
                   ValueId recurrent_bias, ValueId) const override {
    const ValueId turned = body.transpose(recurrent, {1, 0});
    Prepared prepared{
        sum_of(body, input_bias, recurrent_bias),
        {gate_columns(body, options, turned, 0, 2), gate_columns(body, options, turned, 2)}};
    if (recurrent_bias == kNone || !options.variant) return prepared;
    // The bias of the hidden gate goes with the recurrent product.
    const ValueId hidden = gate_columns(body, options, recurrent_bias, 2);
    prepared.added = body.concat({gate_columns(body, options, prepared.added, 0, 2),
                                  gate_columns(body, options, input_bias, 2)},
                                 0);
    prepared.parameters.push_back(hidden);
    return prepared;
  }

  std::vector<ValueId> step(Body& body, const CellOptions& options, ValueId driven,
                            const std::vector<ValueId>& parameters,
                            const std::vector<ValueId>& states) const override {
    const ValueId hidden = states[0];
    const ValueId gates = applied(
        body, options.functions[0], options.clip,
        body.add(gate_columns(body, options, driven, 0, 2), body.matmul(hidden, parameters[0])));
    const ValueId update = gate_columns(body, options, gates, 0);
    const ValueId reset = gate_columns(body, options, gates, 1);
    ValueId recurrent = kNone;
    if (options.variant) {
      recurrent = body.matmul(hidden, parameters[1]);
      if (parameters.size() > 2) recurrent = body.add(recurrent, parameters[2]);
      recurrent = body.mul(reset, recurrent);
    } else {
      recurrent = body.matmul(body.mul(reset, hidden), parameters[1]);
    }
    const ValueId candidate = applied(body, options.functions[1], options.clip,
                                      body.add(gate_columns(body, options, driven, 2), recurrent));
    const ValueId kept = body.mul(update, hidden);
    return {body.add(body.mul(body.sub(body.scalar(1, update), update), candidate), kept)};
  }
};

class RnnCell final : public Cell {
 public:
  std::string_view name() const override { return "RNN"; }
  std::string_view description() const override {
    return "Recurrent layer h = f(W x + R h + b) over x [T,N,I] in one or two directions D with W "
           "[D,H,I], R [D,H,H], and optionally B [D,2*H], int32 lengths [N] and a first state "
           "[D,N,H]: y [T,D,N,H] and h [D,N,H].";
  }
  std::int64_t gates() const override { return 1; }
  std::size_t states() const override { return 1; }
  std::vector<std::string> functions() const override { return {"Tanh"}; }

  Prepared prepare(Body& body, const CellOptions&, ValueId recurrent, ValueId input_bias,
                   ValueId recurrent_bias, ValueId) const override {
    return {sum_of(body, input_bias, recurrent_bias), {body.transpose(recurrent, {1, 0})}};
  }

  std::vector<ValueId> step(Body& body, const CellOptions& options, ValueId driven,
                            const std::vector<ValueId>& parameters,
                            const std::vector<ValueId>& states) const override {
    return {applied(body, options.functions[0], options.clip,
                    body.add(driven, body.matmul(states[0], parameters[0])))};
  }
};

}  // namespace

std::vector<GateFunction> gate_functions(const NodeView& node, std::size_t direction,
                                         std::size_t directions, std::size_t per_direction) {
  const auto& names = std::get<std::vector<std::string>>(node.node.attributes.at("activations"));
  if (names.size() != directions * per_direction) {
    throw Error("activations has ", names.size(), " entries, not ", per_direction, " for each of ",
                directions, " direction(s)");
  }
  const auto &alphas = node.reals("activation_alpha"), &betas = node.reals("activation_beta");
  std::size_t alpha = 0, beta = 0;
  std::vector<GateFunction> functions;
  for (const std::string& name : names) {
    const FunctionKind& kind = function_kind(name);
    GateFunction function{std::string(kind.name), kind.alpha, kind.beta};
    if (kind.constants > 0) function.alpha = next_constant(alphas, alpha, kind, kind.alpha);
    if (kind.constants > 1) function.beta = next_constant(betas, beta, kind, kind.beta);
    functions.push_back(std::move(function));
  }
  if (alpha < alphas.size() || beta < betas.size())
    throw Error("activation_alpha or activation_beta has more entries than the functions take");
  const auto first = functions.begin() + static_cast<std::ptrdiff_t>(direction * per_direction);
  return {first, first + static_cast<std::ptrdiff_t>(per_direction)};
}

const Cell& lstm_cell() {
  static const LstmCell kCell;
  return kCell;
}

const Cell& gru_cell() {
  static const GruCell kCell;
  return kCell;
}

const Cell& rnn_cell() {
  static const RnnCell kCell;
  return kCell;
}

}  // namespace tandem
