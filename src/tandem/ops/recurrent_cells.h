#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tandem/ops/body.h"
#include "tandem/ops/support.h"

namespace tandem {

// What one step of a recurrent layer computes. Internal to the room.

// A function of a gate, by ONNX's name, with its constants.
struct GateFunction {
  std::string name;
  double alpha = 0, beta = 0;
};

// The functions of one direction, in the order of the attribute `activations`; constants are taken
// from activation_alpha and activation_beta by the functions that have them, in their order. Throws
// Error on an unknown function or a wrong number of functions or constants.
std::vector<GateFunction> gate_functions(const NodeView& node, std::size_t direction,
                                         std::size_t directions, std::size_t per_direction);

// What a step needs besides values.
struct CellOptions {
  std::vector<GateFunction> functions;
  double clip = 0;       // of what functions take; 0: none
  bool variant = false;  // LSTM: input_forget, GRU: linear_before_reset
  std::int64_t units = 0;
};

// A kind of recurrent cell. `parameters` are what a step reads besides the driven gates and the
// states: matrices [units,columns] and rows [units], made once from the node's inputs.
class Cell {
 public:
  virtual ~Cell() = default;
  virtual std::string_view name() const = 0;
  virtual std::string_view description() const = 0;
  virtual std::int64_t gates() const = 0;
  virtual std::size_t states() const = 0;                  // the first is the output
  virtual std::vector<std::string> functions() const = 0;  // of one direction, by default
  virtual std::string_view variant() const { return ""; }  // name of its flag, if it has one
  virtual std::string_view variant_description() const { return ""; }
  virtual bool has_peepholes() const { return false; }

  // From recurrent weights [gates*units,units], both halves of the bias [gates*units] (or kNone)
  // and peepholes [3*units] (or kNone): what is added to the driven gates (or kNone), and the
  // parameters.
  struct Prepared {
    ValueId added = kNone;
    std::vector<ValueId> parameters;
  };
  virtual Prepared prepare(Body& body, const CellOptions& options, ValueId recurrent,
                           ValueId input_bias, ValueId recurrent_bias, ValueId peepholes) const = 0;

  // The next states [N,units] from the driven gates [N,gates*units] and the states.
  virtual std::vector<ValueId> step(Body& body, const CellOptions& options, ValueId driven,
                                    const std::vector<ValueId>& parameters,
                                    const std::vector<ValueId>& states) const = 0;
};

const Cell& lstm_cell();
const Cell& gru_cell();
const Cell& rnn_cell();

}  // namespace tandem
