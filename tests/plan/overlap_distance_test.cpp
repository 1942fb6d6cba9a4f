#include "tandem/plan/overlap_distance.h"

#include <cstdio>
#include <cstring>
#include <exception>

#include <gtest/gtest.h>

#include "tandem/base/random.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/printer.h"
#include "tandem/ops/register.h"
#include "tandem/plan/kernel.h"

#include "tests/support/loop_interpreter.h"
#include "tests/support/random_module.h"

namespace tandem {
namespace {

// The program of a module's only group.
LoopProgram program_of(const std::string& body, const std::string& form) {
  register_operators();
  const Module module = parse_module("tandem-module 1\n" + body);
  const Graph& graph = module.main();
  const McuGroups groups = group_nodes(module, graph);
  EXPECT_EQ(groups.groups.size(), 1U);
  return build_kernel(module, graph, groups.base_of, groups.groups.front(), form);
}

std::int64_t distance(const LoopProgram& program, const std::string& read,
                      const std::string& written) {
  for (const OverlapDistance& overlap : overlap_distances(program))
    if (program.arrays[overlap.read].name == read &&
        program.arrays[overlap.written].name == written)
      return overlap.bytes;
  ADD_FAILURE() << "no pair " << read << ", " << written << " in\n" << print_program(program);
  return 0;
}

TEST(OverlapDistance, ElementByElementInPlace) {
  const LoopProgram program = program_of(
      "graph @main(%x : int8[1,50], %u : int8[1,50]) -> (%y) {\n"
      "  %y : int9[1,50] = IntAdd(%x, %u) {format = int9}\n}\n",
      "elements");
  // Element i of two bytes is written at 2 i + 1 after element i is read: the last but one element
  // written ends at 98, and element 49 is read after it.
  EXPECT_EQ(distance(program, "x0", "y"), 98 - 49);
  EXPECT_EQ(distance(program, "x1", "y"), 98 - 49);
  const LoopProgram narrowing = program_of(
      "graph @main(%x : int20[1,50]) -> (%y) {\n"
      "  %y : int8[1,50] = Clamp(%x) {format = int8, min = -9, max = 9}\n}\n",
      "elements");
  EXPECT_EQ(distance(narrowing, "x0", "y"), 1 - 4);
}

TEST(OverlapDistance, TwoWidthsThatCompilersMayReorderNeverShare) {
  const LoopProgram program = program_of(
      "graph @main(%x : int12[1,50]) -> (%y) {\n"
      "  %y : int24[1,50] = IntMul(%x, %x) {format = int24}\n}\n",
      "elements");
  EXPECT_TRUE(overlap_distances(program).empty());
}

constexpr const char* kConvolution = R"(constant @w : int4[3,3,3,2] = [
1,2,3,4,5,6,7,1,2,3,4,5,6,7,1,2,3,4, 1,2,3,4,5,6,7,1,2,3,4,5,6,7,1,2,3,4,
1,2,3,4,5,6,7,1,2,3,4,5,6,7,1,2,3,4]
graph @main(%x : int8[1,8,10,2]) -> (%y) {
  %w = constant @w
  %a : int15[1,8,10,3] = IntConv(%x, %w) {format = int15, pads = [1,1,1,1]}
  %y : int8[1,8,10,3] = Clamp(%a) {format = int8, min = -100, max = 99}
}
)";

TEST(OverlapDistance, AConvolutionReadsTheRowAboveItsPosition) {
  const LoopProgram program = program_of(kConvolution, "patch_1");
  // Before the window of row 7, column 9 is gathered, 79 positions of 3 channels are written; the
  // window starts in row 6, column 8.
  EXPECT_EQ(distance(program, "x0", "y"), 79 * 3 - (6 * 10 + 8) * 2);
}

TEST(OverlapDistance, WhatIsCopiedFirstMayLieAnywhere) {
  const LoopProgram program = program_of(kConvolution, "padded_1");
  EXPECT_EQ(distance(program, "x0", "y"), -160);
  // The copy: 10 rows of 12 positions. Row 7, column 9 starts at its row 7, column 9; before it
  // has computed its last channel, 239 bytes are written.
  EXPECT_EQ(distance(program, "padded", "y"), 239 - (7 * 12 + 9) * 2);
  // Row 7 of the input, 10 positions, is copied into row 8 from position 1 on.
  EXPECT_EQ(distance(program, "x0", "padded"), (8 * 12 + 1 + 10) * 2 - 7 * 10 * 2);
}

TEST(OverlapDistance, ChannelByChannelInPlace) {
  const LoopProgram program = program_of(
      "constant @w : int4[2,3,3,1] = [1,2,3,4,5,6,7,1,2, 3,4,5,6,7,1,2,3,4]\n"
      "graph @main(%x : int8[1,8,10,2]) -> (%y) {\n"
      "  %w = constant @w\n"
      "  %a : int15[1,4,5,2] = IntConv(%x, %w) {format = int15, pads = [1,1,0,0], strides = [2,2], "
      "group = 2}\n"
      "  %y : int8[1,4,5,2] = Clamp(%a) {format = int8, min = -100, max = 99}\n}\n",
      "plane");
  bool found = false;
  for (const OverlapDistance& overlap : overlap_distances(program)) {
    if (program.arrays[overlap.read].name != "x0" || program.arrays[overlap.written].name != "y")
      continue;
    found = true;
    EXPECT_EQ(overlap.bytes, -160);
    EXPECT_EQ(overlap.multiple, 2);
  }
  EXPECT_TRUE(found);
}

// Runs one program on random operands: what its outputs hold then.
class Runs {
 public:
  Runs(const LoopProgram& program, const Graph& graph, std::uint64_t seed) : program_(program) {
    for (std::size_t i = 0; i < program.arrays.size(); ++i) {
      const Array& array = program.arrays[i];
      contents_.emplace_back();
      if (array.role != ArrayRole::kInput) continue;
      RandomSequence random(seed + i, "test/overlap");
      const Format format = graph.values[array.value].type.format;
      for (std::int64_t k = 0; k < array.size; ++k) {
        const IntegerRange range = format.integer_range();
        const std::int64_t value = random.integer(range.min, range.max);
        contents_.back().push_back(value == 0 && format == Format::parse("bipolar") ? 1 : value);
      }
    }
  }

  std::vector<std::uint8_t> apart() const { return results(offsets()); }

  // With array `read` so many bytes behind array `written`, the others apart.
  std::vector<std::uint8_t> sharing(std::size_t read, std::size_t written,
                                    std::int64_t distance) const {
    std::vector<std::size_t> places = offsets();
    const std::size_t room = places.back();
    places[written] = room + bytes(read);
    places[read] = static_cast<std::size_t>(static_cast<std::int64_t>(places[written]) + distance);
    places.back() = room + 2 * (bytes(read) + bytes(written)) + 8;
    return results(places);
  }

 private:
  std::size_t bytes(std::size_t array) const {
    return static_cast<std::size_t>(program_.arrays[array].bytes());
  }

  // Of the arrays, one behind the other, and of what follows them.
  std::vector<std::size_t> offsets() const {
    std::vector<std::size_t> offsets{0};
    for (std::size_t i = 0; i < program_.arrays.size(); ++i)
      offsets.push_back(offsets.back() + bytes(i));
    return offsets;
  }

  std::vector<std::uint8_t> results(const std::vector<std::size_t>& offsets) const {
    std::vector<std::uint8_t> memory(offsets.back(), 0x5a);
    for (std::size_t i = 0; i < contents_.size(); ++i) {
      const auto width = static_cast<std::size_t>(storage_bytes(program_.arrays[i].storage));
      for (std::size_t k = 0; k < contents_[i].size(); ++k)
        std::memcpy(memory.data() + offsets[i] + k * width, &contents_[i][k], width);
    }
    test::interpret(program_, offsets, memory);
    std::vector<std::uint8_t> results;
    for (std::size_t i = 0; i < program_.arrays.size(); ++i) {
      if (program_.arrays[i].role != ArrayRole::kOutput) continue;
      const auto from = memory.begin() + static_cast<std::ptrdiff_t>(offsets[i]);
      results.insert(results.end(), from, from + program_.arrays[i].bytes());
    }
    return results;
  }

  const LoopProgram& program_;
  std::vector<std::vector<std::int64_t>> contents_;  // by array
};

// Whether a byte less than the distance spoils a result; what is spoilt may lead anywhere.
bool is_spoilt(const Runs& runs, const OverlapDistance& overlap) {
  try {
    return runs.sharing(overlap.read, overlap.written, overlap.bytes - 1) != runs.apart();
  } catch (const std::exception&) {
    return true;
  }
}

TEST(OverlapDistance, RandomStepsComputeTheSameAtTheDistanceAndOftenNotCloser) {
  register_operators();
  int pairs = 0, bounded = 0, spoilt = 0, below = 0, by_channel = 0;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    const Module module = random_lowered_module(seed);
    const Graph& graph = module.main();
    const McuGroups groups = group_nodes(module, graph);
    for (const std::vector<NodeId>& nodes : groups.groups) {
      for (const std::string& form : kernel_forms(module, graph, groups.base_of, nodes)) {
        const LoopProgram program = build_kernel(module, graph, groups.base_of, nodes, form);
        const Runs runs(program, graph, seed);
        for (const OverlapDistance& overlap : overlap_distances(program)) {
          const Array &read = program.arrays[overlap.read],
                      &written = program.arrays[overlap.written];
          const std::int64_t least =
              -(-overlap.bytes / overlap.multiple) * overlap.multiple;  // both may be negative
          for (const std::int64_t more : {0, 1, 3, 5}) {
            const std::int64_t distance = least + more * overlap.multiple;
            ASSERT_EQ(runs.sharing(overlap.read, overlap.written, distance), runs.apart())
                << "seed " << seed << ", form " << form << ": " << read.name << " " << distance
                << " bytes behind " << written.name << " in\n"
                << print_program(program);
          }
          ++pairs;
          by_channel += overlap.multiple > 1;
          if (overlap.bytes == -read.bytes()) continue;
          ++bounded;
          below += overlap.bytes < 0;
          spoilt += is_spoilt(runs, overlap);
        }
      }
    }
  }
  std::printf(
      "%d pairs, %d with a least distance, %d below 0; %d spoilt a byte closer; %d by channel\n",
      pairs, bounded, below, spoilt, by_channel);
  EXPECT_GE(pairs, 2000);
  EXPECT_GE(by_channel, 5);
  EXPECT_GE(spoilt, bounded / 3);
}

}  // namespace
}  // namespace tandem
