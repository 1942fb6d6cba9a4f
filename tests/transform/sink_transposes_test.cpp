#include "tandem/transform/sink_transposes.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tandem/graph/builder.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/printer.h"
#include "tandem/graph/verifier.h"
#include "tandem/ops/register.h"

namespace tandem {
namespace {

using Axes = std::vector<std::int64_t>;

class SinkTransposes : public testing::Test {
 protected:
  static void SetUpTestSuite() { register_operators(); }

  // The module after the pass, which must compute the same of elements that all differ.
  static Module sunk(const Module& before) {
    Module module = before;
    sink_transposes(module);
    verify(module);
    const TensorType& type = before.main().values[before.main().inputs[0]].type;
    std::vector<std::int64_t> integers(
        static_cast<std::size_t>(element_count(type.static_shape())));
    std::iota(integers.begin(), integers.end(), std::int64_t{-3});
    const Tensor x = Tensor::from_integers(type.format, type.static_shape(), integers);
    const Tensor given = evaluate(module, module.main(), std::span(&x, 1))[0];
    const Tensor expected = evaluate(before, before.main(), std::span(&x, 1))[0];
    EXPECT_EQ(given.shape(), expected.shape());
    EXPECT_EQ(given.to_integers(), expected.to_integers()) << print_module(before);
    return module;
  }
  static std::int64_t transposes(const Module& module) {
    return std::ranges::count_if(module.main().nodes,
                                 [](const Node& node) { return node.op->name() == "Transpose"; });
  }
};

// Between what lies channels last: channels change places in two groups, as in ShuffleNet.
TEST_F(SinkTransposes, ChannelsInGroupsChangePlacesInOneTranspose) {
  const Module module = sunk(parse_module(
      "tandem-module 1\ngraph @main(%x : int16[1,4,5,6]) -> (%y) {\n"
      "  %a : int16[1,6,4,5] = Transpose(%x) {perm = [0,3,1,2]}\n"
      "  %b : int16[1,2,3,4,5] = Reshape(%a) {shape = [\"1\",\"2\",\"3\",\"4\",\"5\"]}\n"
      "  %c : int16[1,3,2,4,5] = Transpose(%b) {perm = [0,2,1,3,4]}\n"
      "  %d : int16[1,6,4,5] = Reshape(%c) {shape = [\"1\",\"6\",\"4\",\"5\"]}\n"
      "  %y : int16[1,4,5,6] = Transpose(%d) {perm = [0,2,3,1]}\n}\n"));
  EXPECT_EQ(transposes(module), 1);
}

TEST_F(SinkTransposes, SlicesAreTakenOfWhatLiesChannelsLast) {
  const Module module = sunk(parse_module(
      "tandem-module 1\ngraph @main(%x : int16[1,4,5,6]) -> (%y) {\n"
      "  %a : int16[1,6,4,5] = Transpose(%x) {perm = [0,3,1,2]}\n"
      "  %b : int16[1,3,4,5] = Slice(%a) {starts = [3], ends = [6], axes = [-3], steps = [1]}\n"
      "  %c : int16[1,3,2,5] = Slice(%b) {starts = [0,0,3], ends = [1,3,0], steps = [1,1,-2]}\n"
      "  %y : int16[1,2,5,3] = Transpose(%c) {perm = [0,2,3,1]}\n}\n"));
  EXPECT_EQ(transposes(module), 0);
}

// Heads that are joined take one Transpose as before, not two.
TEST_F(SinkTransposes, AxesThatLieApartAreJoinedWhereTheyWere) {
  const Module module =
      sunk(parse_module("tandem-module 1\ngraph @main(%x : int16[2,3,4,5]) -> (%y) {\n"
                        "  %a : int16[2,4,3,5] = Transpose(%x) {perm = [0,2,1,3]}\n"
                        "  %y : int16[2,4,15] = Reshape(%a) {shape = [\"2\",\"4\",\"15\"]}\n}\n"));
  EXPECT_EQ(transposes(module), 1);
}

TEST_F(SinkTransposes, ChainsOfMovementsComputeTheSame) {
  std::mt19937_64 engine(3);
  const auto any = [&](std::int64_t least, std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(least, most)(engine);
  };
  for (int round = 0; round < 500; ++round) {
    Module module;
    Builder builder(module, Builder::add_graph(module, "main"));
    Shape shape(static_cast<std::size_t>(any(2, 4)));
    for (std::int64_t& extent : shape) extent = any(1, 2) * any(1, 4);
    TensorType type;
    type.format = Format::parse("int16");
    type.shape.assign(shape.begin(), shape.end());
    ValueId x = builder.input("x", type);
    const auto add = [&](const char* op, const Attributes& attributes) {
      x = builder.add(op, {x}, attributes, concat(op, "_", module.main().nodes.size()));
      shape = builder.type(x).static_shape();
    };
    const auto reshape = [&](const Shape& to) {
      std::vector<std::string> dims;
      for (const std::int64_t extent : to) dims.push_back(std::to_string(extent));
      add("Reshape", {{"shape", dims}});
    };
    for (std::int64_t step = any(2, 8); step > 0; --step) {
      const auto axis =
          static_cast<std::size_t>(any(0, static_cast<std::int64_t>(shape.size()) - 1));
      Shape to = shape;
      const auto at = to.begin() + static_cast<std::ptrdiff_t>(axis);
      switch (any(0, 4)) {
        case 0:
          if (shape[axis] % 2 != 0 || shape.size() > 5) break;
          *at /= 2;
          to.insert(at, 2);
          reshape(to);
          break;
        case 1:
          if (axis == 0) break;
          *(at - 1) *= *at;
          to.erase(at);
          reshape(to);
          break;
        case 2:
          if (shape[axis] > 2)
            add("Slice", {{"starts", Axes{1}},
                          {"ends", Axes{shape[axis]}},
                          {"axes", Axes{static_cast<std::int64_t>(axis)}},
                          {"steps", Axes{1}}});
          break;
        default: {
          Axes perm(shape.size());
          std::iota(perm.begin(), perm.end(), std::int64_t{0});
          std::ranges::shuffle(perm, engine);
          add("Transpose", {{"perm", perm}});
        }
      }
    }
    builder.output(x);
    verify(module);
    sunk(module);
  }
}

}  // namespace
}  // namespace tandem
