#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "tandem/kernels/dense.h"
#include "tandem/kernels/large_memory.h"

namespace tandem {

struct RecurrentShape {
  enum class Cell { kLstm, kGru } cell = Cell::kLstm;
  std::int64_t steps = 1, batch = 1, inputs = 1, units = 1, directions = 1;
  bool runs_backward = false;  // the only direction; of two, the second does
  bool resets_after = false;   // GRU: what the recurrent weights make of the state is reset

  std::int64_t gates() const { return cell == Cell::kLstm ? 4 : 3; }
};

// A recurrent layer of f32 over a whole sequence, as ONNX defines LSTM and GRU with sigmoid and
// tanh: one product for the inputs of all steps, then step by step the product with the state and
// the cell. Directions run on threads of their own; bits do not depend on their number.
class RecurrentLayer {
 public:
  // w [directions, gates * units, inputs], r [directions, gates * units, units], b [directions, 2 *
  // gates * units] or null. `w` must stay as long as the layer, as dense_product() says.
  RecurrentLayer(const RecurrentShape& shape, const float* w, const float* r, const float* b,
                 PackedConstants& packed);

  struct Operands {
    const float* x = nullptr;                    // [steps, batch, inputs]
    const float *h = nullptr, *c = nullptr;      // [directions, batch, units] or null for zeros
    float* y = nullptr;                          // [steps, directions, batch, units]
    float *last_h = nullptr, *last_c = nullptr;  // [directions, batch, units]; c of an LSTM alone
  };
  // `memory` holds memory_floats() numbers.
  void run(const Operands& operands, float* memory, DenseArguments& arguments) const;
  std::int64_t memory_floats() const;

 private:
  void run_direction(std::int64_t direction, const Operands& operands, const float* driven,
                     float* memory) const;
  // Gates whose products with a state are one.
  struct Group {
    std::int64_t columns, panels, at;
  };
  void add_recurrent(const Group& group, const float* h, float* sums) const;
  void lstm_step(std::int64_t direction, float* h, float* c, float* sums) const;
  void gru_step(std::int64_t direction, float* h, float* sums) const;

  RecurrentShape shape_;
  std::vector<Group> groups_;  // of each direction
  LargeMemory memory_;
  float* recurrent_ = nullptr;      // their product panels
  std::vector<float> input_bias_;   // of the product for all steps
  std::vector<float> hidden_bias_;  // [directions, units] within the reset
  std::unique_ptr<DenseCall> inputs_;
};

}  // namespace tandem
