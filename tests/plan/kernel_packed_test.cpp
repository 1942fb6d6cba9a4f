#include "tandem/plan/kernel_packed.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "tandem/base/random.h"
#include "tandem/base/text.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/printer.h"
#include "tandem/ops/register.h"
#include "tandem/plan/kernel.h"

#include "tests/support/loop_interpreter.h"

namespace tandem {
namespace {

// A product of `rows` of 8 bits with weights of so many bits.
Module narrow_product(int bits, std::int64_t rows, std::int64_t depth, std::int64_t columns,
                      const std::string& input) {
  register_operators();
  RandomSequence random(static_cast<std::uint64_t>(bits), "test/packed");
  std::vector<std::string> weights;
  const IntegerRange range = integer_range(bits, true);
  for (std::int64_t i = 0; i < depth * columns; ++i)
    weights.push_back(std::to_string(i == 0 ? range.min : random.integer(range.min, range.max)));
  return parse_module(concat("tandem-module 1\nconstant @w : int", bits, "[", depth, ",", columns,
                             "] = [", join(weights, ","), "]\ngraph @main(%x : ", input, "[", rows,
                             ",", depth, "]) -> (%y) {\n  %w = constant @w\n  %y : int32[", rows,
                             ",", columns, "] = IntMatMul(%x, %w) {format = int32}\n}\n"));
}

std::vector<std::uint8_t> result_bytes(const LoopProgram& program) {
  std::vector<std::size_t> offsets{0};
  for (const Array& array : program.arrays)
    offsets.push_back(offsets.back() + static_cast<std::size_t>(array.bytes()));
  std::vector<std::uint8_t> memory(offsets.back(), 0x5a);
  for (std::size_t i = 0; i < program.arrays.size(); ++i) {
    if (program.arrays[i].role != ArrayRole::kInput) continue;
    RandomSequence random(9, "test/packed input");
    for (std::size_t k = offsets[i]; k < offsets[i + 1]; ++k)
      memory[k] = static_cast<std::uint8_t>(random.integer(0, 255));
  }
  test::interpret(program, offsets, memory);
  for (std::size_t i = 0; i < program.arrays.size(); ++i)
    if (program.arrays[i].role == ArrayRole::kOutput)
      return {memory.begin() + static_cast<std::ptrdiff_t>(offsets[i]),
              memory.begin() + static_cast<std::ptrdiff_t>(offsets[i + 1])};
  return {};
}

std::int64_t weight_bytes(const LoopProgram& program) {
  std::int64_t bytes = 0;
  for (const Array& array : program.arrays)
    if (array.role == ArrayRole::kWeights) bytes += array.bytes();
  return bytes;
}

TEST(PackedProducts, AllWidthsAndTilesComputeTheProduct) {
  for (const int bits : {2, 4, 8})
    for (const std::int64_t depth : {5, 16, 37, 64})
      for (const char* input : {"int8", "uint8"}) {
        const Module module = narrow_product(bits, 7, depth, 9, input);
        const Graph& graph = module.main();
        const McuGroups groups = group_nodes(module, graph);
        const std::vector<NodeId>& nodes = groups.groups.front();
        const auto built = [&](const std::string& form) {
          return build_kernel(module, graph, groups.base_of, nodes, form);
        };
        const std::vector<std::uint8_t> expected = result_bytes(built("dot_1"));
        for (const std::string& form : kernel_forms(module, graph, groups.base_of, nodes))
          EXPECT_EQ(result_bytes(built(form)), expected)
              << form << ", depth " << depth << ", " << input;
      }
}

TEST(PackedProducts, NarrowWeightsTakeTheirBits) {
  for (const int bits : {2, 4}) {
    const Module module = narrow_product(bits, 3, 64, 8, "int8");
    const McuGroups groups = group_nodes(module, module.main());
    const auto bytes = [&](const std::string& form) {
      return weight_bytes(
          build_kernel(module, module.main(), groups.base_of, groups.groups.front(), form));
    };
    EXPECT_EQ(bytes("pairs_2x1"), 64 * 8);
    EXPECT_EQ(bytes("pairs4_2x1"), 64 * 8 / 2);
    EXPECT_EQ(bytes("vector4_4x1"), 64 * 8 / 2);
    if (bits == 2) {
      EXPECT_EQ(bytes("pairs2_2x1"), 64 * 8 / 4);
      EXPECT_EQ(bytes("vector2_4x1"), 64 * 8 / 4);
    }
    const auto forms = kernel_forms(module, module.main(), groups.base_of, groups.groups.front());
    EXPECT_EQ(std::ranges::count(forms, "pairs2_2x1"), bits == 2 ? 1 : 0);
  }
}

}  // namespace
}  // namespace tandem
