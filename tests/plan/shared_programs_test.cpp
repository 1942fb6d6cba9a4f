#include "tandem/plan/shared_programs.h"

#include <algorithm>
#include <cstring>

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

std::string constant(RandomSequence& random, const std::string& name, const std::string& type,
                     std::int64_t count, std::int64_t low, std::int64_t high) {
  std::vector<std::string> values;
  for (std::int64_t i = 0; i < count; ++i)
    values.push_back(std::to_string(random.integer(low, high)));
  return concat("constant @", name, " : ", type, " = [", join(values, ","), "]\n");
}

// A product of so many rows, depths and columns with a scale for each column.
LoopProgram product(std::uint64_t seed, std::int64_t rows, std::int64_t depth, std::int64_t columns,
                    const std::string& form) {
  register_operators();
  RandomSequence random(seed, "test/shared");
  const std::string w = concat("int8[", depth, ",", columns, "]"), row = concat("[", columns, "]");
  const Module module = parse_module(concat(
      "tandem-module 1\n", constant(random, "w", w, depth * columns, -127, 127),
      constant(random, "m", "int32" + row, columns, 1 << 30, INT32_MAX),
      constant(random, "b", "int41" + row, columns, -100, 100),
      constant(random, "s", "uint8" + row, columns, 38, 40), "graph @main(%x : int8[", rows, ",",
      depth, "]) -> (%y) {\n  %w = constant @w\n  %m = constant @m\n  %b = constant @b\n",
      "  %s = constant @s\n  %a : int32[", rows, ",", columns,
      "] = IntMatMul(%x, %w) {format = int32}\n  %y : int8[", rows, ",", columns,
      "] = Rescale(%a, %m, %b, %s) {format = int8, rounding = \"floor\"}\n}\n"));
  const Graph& graph = module.main();
  const McuGroups groups = group_nodes(module, graph);
  EXPECT_EQ(groups.groups.size(), 1U);
  return build_kernel(module, graph, groups.base_of, groups.groups.front(), form);
}

std::vector<std::uint8_t> result_of(const LoopProgram& program,
                                    const std::vector<std::int64_t>& arguments) {
  std::vector<std::size_t> offsets{0};
  for (const Array& array : program.arrays)
    offsets.push_back(offsets.back() + static_cast<std::size_t>(array.bytes()));
  std::vector<std::uint8_t> memory(offsets.back());
  RandomSequence random(7, "test/shared input");
  for (std::uint8_t& byte : memory) byte = static_cast<std::uint8_t>(random.integer(0, 255));
  test::interpret(program, offsets, memory, arguments);
  for (std::size_t i = 0; i < program.arrays.size(); ++i)
    if (program.arrays[i].role == ArrayRole::kOutput)
      return {memory.begin() + static_cast<std::ptrdiff_t>(offsets[i]),
              memory.begin() + static_cast<std::ptrdiff_t>(offsets[i + 1])};
  return {};
}

// By program and array: all lie apart.
std::vector<std::vector<std::size_t>> buffers_apart(const std::vector<LoopProgram>& programs) {
  std::vector<std::vector<std::size_t>> buffers;
  std::size_t next = 0;
  for (const LoopProgram& program : programs) {
    buffers.emplace_back();
    for (std::size_t i = 0; i < program.arrays.size(); ++i) buffers.back().push_back(next++);
  }
  return buffers;
}

TEST(SharedPrograms, ProductsOfAllSizesAreOneFunction) {
  for (const char* form : {"pairs_2x1", "pairs_2x3", "vector_4x1", "dot_2"}) {
    std::vector<LoopProgram> programs = {product(1, 12, 48, 16, form), product(2, 15, 64, 24, form),
                                         product(3, 27, 80, 40, form)};
    const std::vector<LoopProgram> before = programs;
    const SharedPrograms shared = share_programs(programs, buffers_apart(programs));
    ASSERT_EQ(shared.calls.size(), 3U);
    if (std::string_view(form) == "vector_4x1") {
      // Depths are written out.
      EXPECT_EQ(shared.users.size(), 3U);
      continue;
    }
    ASSERT_EQ(shared.users.size(), 1U) << form;
    EXPECT_EQ(shared.users[0].size(), 3U);
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(shared.calls[i].arguments.size(), programs[i].parameters.size());
      EXPECT_GE(programs[i].parameters.size(), 3U);
      EXPECT_EQ(result_of(programs[i], shared.calls[i].arguments), result_of(before[i], {}))
          << form << " " << i;
      LoopProgram code = programs[i], first = programs[0];
      code.arrays.clear();
      first.arrays.clear();
      EXPECT_EQ(print_program(code), print_program(first));
    }
  }
}

TEST(SharedPrograms, WhatDiffersInAnInnermostLoopStaysApart) {
  const auto scaled = [](std::int64_t factor) {
    LoopProgram program;
    Array array;
    array.name = "y";
    array.role = ArrayRole::kOutput;
    array.size = 10;
    program.arrays.push_back(array);
    Statements body;
    for (int i = 0; i < 9; ++i)
      body.push_back(store_statement("y", Storage::kI8, variable_expr("i"),
                                     variable_expr("i") * constant_expr(factor)));
    program.body.push_back(for_statement("i", 5 + factor, std::move(body)));
    return program;
  };
  std::vector<LoopProgram> programs = {scaled(2), scaled(3), scaled(2)};
  const SharedPrograms shared = share_programs(programs, buffers_apart(programs));
  ASSERT_EQ(shared.users.size(), 2U);
  EXPECT_EQ(shared.users[0], (std::vector<std::size_t>{0, 2}));
  EXPECT_TRUE(shared.calls[0].arguments.empty());  // both are the same
  EXPECT_TRUE(programs[1].parameters.empty());
}

// Adds weights to what it reads, element by element: few statements.
LoopProgram short_sum(std::int64_t size) {
  LoopProgram program;
  for (const auto& [name, role] :
       {std::pair("x", ArrayRole::kInput), std::pair("weights", ArrayRole::kWeights),
        std::pair("y", ArrayRole::kOutput)}) {
    Array array;
    array.name = name;
    array.role = role;
    array.size = size;
    program.arrays.push_back(array);
  }
  const Expr sum = load_expr("x", Storage::kI8, variable_expr("i")) +
                   load_expr("weights", Storage::kI8, variable_expr("i"));
  program.body.push_back(
      for_statement("i", size, {store_statement("y", Storage::kI8, variable_expr("i"), sum)}));
  return program;
}

TEST(SharedPrograms, ShortProgramsShareWithTheSameNumbersAndConstantsOnly) {
  std::vector<LoopProgram> programs = {short_sum(4), short_sum(4), short_sum(5), short_sum(4)};
  // The first and the last one read the weights in buffer 1, the second one has others.
  const SharedPrograms shared =
      share_programs(programs, {{0, 1, 2}, {3, 4, 5}, {6, 1, 8}, {9, 1, 10}});
  EXPECT_EQ(shared.users, (std::vector<std::vector<std::size_t>>{{0, 3}, {1}, {2}}));
  EXPECT_EQ(shared.passed[0], (std::vector<std::size_t>{0, 2}));
  for (const LoopProgram& program : programs) EXPECT_TRUE(program.parameters.empty());
}

TEST(SharedPrograms, ConstantsThatDifferAreHandedOver) {
  std::vector<LoopProgram> programs;
  for (const std::int64_t rows : {12, 15, 12})
    programs.push_back(product(1, rows, 48, 16, "pairs_2x3"));
  std::vector<std::vector<std::size_t>> buffers = buffers_apart(programs);
  std::vector<std::size_t> constants, others;
  for (std::size_t i = 0; i < programs[0].arrays.size(); ++i) {
    (programs[0].arrays[i].is_constant() ? constants : others).push_back(i);
    if (programs[0].arrays[i].is_constant()) buffers[1][i] = buffers[2][i] = buffers[0][i];
  }
  ASSERT_GE(constants.size(), 2U);
  std::vector<LoopProgram> same = programs;
  const SharedPrograms named = share_programs(same, buffers);
  ASSERT_EQ(named.users.size(), 1U);
  EXPECT_EQ(named.passed[0], others);
  EXPECT_FALSE(named.calls[0].arguments.empty());  // of rows
  buffers[2][constants[0]] = 1000;
  const SharedPrograms mixed = share_programs(programs, buffers);
  ASSERT_EQ(mixed.users.size(), 1U);
  others.push_back(constants[0]);
  std::ranges::sort(others);
  EXPECT_EQ(mixed.passed[0], others);
}

}  // namespace
}  // namespace tandem
