#include "tandem/kernels/recurrent.h"

#include <algorithm>

#include "tandem/base/threads.h"
#include "tandem/kernels/real_lanes.h"

namespace tandem {

RecurrentLayer::RecurrentLayer(const RecurrentShape& shape, const float* w, const float* r,
                               const float* b, PackedConstants& packed)
    : shape_(shape) {
  const std::int64_t units = shape.units, gates = shape.gates(), rows = gates * units;
  // The hidden gate of a GRU may take another state than the two before it.
  using Columns = std::vector<std::int64_t>;
  const bool is_lstm = shape.cell == RecurrentShape::Cell::kLstm;
  const Columns of_direction = is_lstm ? Columns{4 * units} : Columns{2 * units, units};
  std::int64_t size = 0;
  for (std::int64_t d = 0; d < shape.directions; ++d) {
    for (const std::int64_t columns : of_direction) {
      groups_.push_back({columns, product_panels(columns), size});
      size += groups_.back().panels * kProductPanel * units;
    }
  }
  recurrent_ = static_cast<float*>(memory_.take(static_cast<std::size_t>(size) * sizeof(float)));
  for (const Group& group : groups_) {
    turn_to_product_panels(r, group.columns, units, recurrent_ + group.at);
    r += group.columns * units;
  }
  input_bias_.assign(static_cast<std::size_t>(shape.directions * rows), 0.0F);
  hidden_bias_.assign(static_cast<std::size_t>(shape.directions * units), 0.0F);
  const bool within_reset = !is_lstm && shape.resets_after;
  for (std::int64_t d = 0; b != nullptr && d < shape.directions; ++d) {
    const float *of_input = b + 2 * d * rows, *of_state = of_input + rows;
    for (std::int64_t i = 0; i < rows; ++i) {
      const bool apart = within_reset && i >= 2 * units;
      input_bias_[static_cast<std::size_t>(d * rows + i)] = of_input[i] + (apart ? 0 : of_state[i]);
      if (apart) hidden_bias_[static_cast<std::size_t>(d * units + i - 2 * units)] = of_state[i];
    }
  }
  const DenseProduct product{.rows = shape.steps * shape.batch,
                             .depth = shape.inputs,
                             .columns = shape.directions * rows,
                             .right_is_transposed = true,
                             .copies_weights = false};
  inputs_ = dense_product(product, w, input_bias_.data(), {}, packed);
}

// What the inputs drive; then of each direction the states of all samples, a row of sums, and a
// state that is reset.
std::int64_t RecurrentLayer::memory_floats() const {
  const std::int64_t rows = shape_.gates() * shape_.units;
  return shape_.directions * (shape_.steps * shape_.batch * rows + 2 * shape_.batch * shape_.units +
                              rows + shape_.units);
}

void RecurrentLayer::run(const Operands& operands, float* memory, DenseArguments& arguments) const {
  const std::int64_t rows = shape_.gates() * shape_.units;
  float* driven = memory;
  float* own = driven + shape_.directions * shape_.steps * shape_.batch * rows;
  const std::int64_t own_floats = 2 * shape_.batch * shape_.units + rows + shape_.units;
  inputs_->run(operands.x, nullptr, nullptr, driven, arguments);
  parallel_for(0, shape_.directions, 1, [&](std::int64_t from, std::int64_t to) {
    for (std::int64_t d = from; d < to; ++d)
      run_direction(d, operands, driven, own + d * own_floats);
  });
}

void RecurrentLayer::run_direction(std::int64_t direction, const Operands& operands,
                                   const float* driven, float* memory) const {
  const std::int64_t units = shape_.units, rows = shape_.gates() * units;
  const std::int64_t size = shape_.batch * units, at = direction * size;
  float *h = memory, *c = h + size, *sums = c + size;
  const auto begin = [&](const float* given, float* state) {
    if (given == nullptr)
      std::fill(state, state + size, 0.0F);
    else
      std::copy_n(given + at, size, state);
  };
  begin(operands.h, h);
  begin(operands.c, c);
  const bool backward = direction == 1 || shape_.runs_backward;
  for (std::int64_t i = 0; i < shape_.steps; ++i) {
    const std::int64_t t = backward ? shape_.steps - 1 - i : i;
    for (std::int64_t n = 0; n < shape_.batch; ++n) {
      const std::int64_t row = (t * shape_.batch + n) * shape_.directions + direction;
      std::copy_n(driven + row * rows, rows, sums);
      if (shape_.cell == RecurrentShape::Cell::kLstm)
        lstm_step(direction, h + n * units, c + n * units, sums);
      else
        gru_step(direction, h + n * units, sums);
    }
    std::copy_n(h, size, operands.y + (t * shape_.directions + direction) * size);
  }
  std::copy_n(h, size, operands.last_h + at);
  if (operands.last_c != nullptr) std::copy_n(c, size, operands.last_c + at);
}

// Adds the product of a state with the weights of some gates to their sums.
void RecurrentLayer::add_recurrent(const Group& group, const float* h, float* sums) const {
  const std::int64_t units = shape_.units, panel_size = kProductPanel * units;
  // Panels that one thread takes: as many as take longer than to wake it up.
  constexpr std::int64_t kLeastProducts = 100'000;
  const std::int64_t grain = std::max<std::int64_t>(1, kLeastProducts / panel_size);
  parallel_for(0, group.panels, grain, [&](std::int64_t from, std::int64_t to) {
    for (std::int64_t panel = from; panel < to; ++panel) {
      const std::int64_t first = panel * kProductPanel;
      add_product_row(h, units, recurrent_ + group.at + panel * panel_size,
                      std::min(kProductPanel, group.columns - first), sums + first);
    }
  });
}

// Gates input, output, forget, cell.
void RecurrentLayer::lstm_step(std::int64_t direction, float* h, float* c, float* sums) const {
  const std::int64_t units = shape_.units;
  add_recurrent(groups_[static_cast<std::size_t>(direction)], h, sums);
  apply({RealFunction::kSigmoid}, sums, nullptr, sums, 3 * units);
  float *output = sums + units, *forget = output + units, *candidate = forget + units;
  apply({RealFunction::kTanh}, candidate, nullptr, candidate, units);
  for (std::int64_t i = 0; i < units; ++i) c[i] = forget[i] * c[i] + sums[i] * candidate[i];
  apply({RealFunction::kTanh}, c, nullptr, h, units);
  apply({RealFunction::kMultiply}, output, h, h, units);
}

// Gates update, reset, hidden.
void RecurrentLayer::gru_step(std::int64_t direction, float* h, float* sums) const {
  const std::int64_t units = shape_.units;
  float *reset = sums + units, *candidate = reset + units, *scratch = candidate + units;
  const Group* groups = groups_.data() + 2 * direction;
  add_recurrent(groups[0], h, sums);
  apply({RealFunction::kSigmoid}, sums, nullptr, sums, 2 * units);
  if (shape_.resets_after) {
    std::copy_n(hidden_bias_.data() + direction * units, units, scratch);
    add_recurrent(groups[1], h, scratch);
    for (std::int64_t i = 0; i < units; ++i) candidate[i] += reset[i] * scratch[i];
  } else {
    for (std::int64_t i = 0; i < units; ++i) scratch[i] = reset[i] * h[i];
    add_recurrent(groups[1], scratch, candidate);
  }
  apply({RealFunction::kTanh}, candidate, nullptr, candidate, units);
  for (std::int64_t i = 0; i < units; ++i) h[i] = (1 - sums[i]) * candidate[i] + sums[i] * h[i];
}

}  // namespace tandem
