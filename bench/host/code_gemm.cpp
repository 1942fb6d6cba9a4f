// Products of matrices of 8-bit codes on this processor, in one thread, with every instruction set:
//
//   tandem_code_gemm
//
// prints products a second, their share of what the set's instructions reach with operands in
// registers (kernels/processor_rates.h; of AMX as many times those of AVX-512), and, of AVX2, the
// share of pairs proven not to saturate. Weights are normal, scaled to 127 in each column.
#include "tandem/kernels/code_gemm.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <random>

#include "tandem/kernels/processor_rates.h"

namespace tandem {
namespace {

struct Shape {
  std::int64_t rows, depth, columns;
};
// Of ResNet-18, MobileNetV2 and DeiT-tiny.
constexpr Shape kShapes[] = {{12544, 147, 64}, {3136, 576, 64}, {784, 1152, 128}, {196, 2304, 256},
                             {49, 4608, 512},  {12544, 16, 96}, {3136, 24, 144},  {196, 96, 576},
                             {49, 960, 160},   {197, 192, 768}, {197, 768, 192}};

std::vector<std::int8_t> weights_of(const Shape& shape) {
  std::mt19937 engine(1);
  std::normal_distribution<float> normal;
  std::vector<float> reals(static_cast<std::size_t>(shape.depth * shape.columns));
  for (float& real : reals) real = normal(engine);
  std::vector<std::int8_t> weights(reals.size());
  const auto columns = static_cast<std::size_t>(shape.columns);
  for (std::size_t j = 0; j < columns; ++j) {
    float most = 0;
    for (std::size_t i = j; i < reals.size(); i += columns)
      most = std::max(most, std::abs(reals[i]));
    for (std::size_t i = j; i < reals.size(); i += columns)
      weights[i] = static_cast<std::int8_t>(std::nearbyint(127 * reals[i] / most));
  }
  return weights;
}

void measure(const Shape& shape, double peak) {
  const auto weights = weights_of(shape);
  const PackedCodes packed =
      pack_codes(weights.data(), shape.depth, shape.columns, shape.columns, 1);
  const std::int64_t stride = packed.padded_depth();
  std::vector<std::uint8_t> a(static_cast<std::size_t>(shape.rows * stride), 77);
  constexpr std::int64_t kBlock = 64, kPanels = 4, kWidth = kPanels * PackedCodes::kPanel;
  std::vector<std::int32_t> c(static_cast<std::size_t>(kBlock * kWidth));
  const auto run = [&] {
    for (std::int64_t row = 0; row < shape.rows; row += kBlock)
      for (std::int64_t panel = 0; panel < packed.panel_count(); panel += kPanels)
        multiply_codes(a.data() + row * stride, std::min(kBlock, shape.rows - row), stride, packed,
                       panel, std::min(kPanels, packed.panel_count() - panel), c.data(), kWidth);
  };
  const auto now = [] { return std::chrono::steady_clock::now(); };
  double best = 1e30, total = 0;
  for (run(); total < 0.1;) {
    const auto start = now();
    run();
    const double seconds = std::chrono::duration<double>(now() - start).count();
    best = std::min(best, seconds);
    total += seconds;
  }
  const double rate = static_cast<double>(shape.rows * shape.depth * shape.columns) / best;
  std::printf("  %5lld x %4lld x %3lld: %6.1f G/s, %3.0f%% of the peak",
              static_cast<long long>(shape.rows), static_cast<long long>(shape.depth),
              static_cast<long long>(shape.columns), rate * 1e-9, 100 * rate / peak);
  std::size_t doubles = 0, steps = 0;
  for (const PairedPanel& panel : packed.paired) {
    doubles += 2 * panel.doubles;
    steps += 2 * panel.doubles + panel.singles;
  }
  if (steps > 0)
    std::printf(", %.2f steps a quad, %.0f%% in twos",
                static_cast<double>(steps) / static_cast<double>((packed.depth + 3) / 4) /
                    static_cast<double>(packed.panel_count()),
                100 * static_cast<double>(doubles) / static_cast<double>(steps));
  std::printf("\n");
}

}  // namespace
}  // namespace tandem

int main() {
  using namespace tandem;
  for (const InstructionSet set : kInstructionSets) {
    if (!processor_has(set) || set == InstructionSet::kPortable) continue;
    set_instruction_set(set);
    const double peak = operations_per_second(Products::kI8, 1) / 2;
    std::printf("%s, %.1f G products/s\n", std::string(name(set)).c_str(), peak * 1e-9);
    for (const Shape& shape : kShapes) measure(shape, peak);
  }
}
