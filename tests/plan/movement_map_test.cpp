#include "tandem/plan/movement_map.h"

#include <gtest/gtest.h>

#include "tandem/graph/printer.h"
#include "tandem/graph/registry.h"
#include "tandem/ops/register.h"
#include "tandem/tensor/tensor.h"

#include "tests/support/least_sizes.h"

namespace tandem {
namespace {

class MovementMapTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { register_operators(); }

  // The module must be kept by the caller as long as the view.
  static NodeView view_of(const Module& module) {
    return {module, module.main(), module.main().nodes.back()};
  }
  static Module module_of(const std::string& inputs, const std::string& node) {
    return parse_module("tandem-module 1\ngraph @main(" + inputs + ") -> (%y) {\n  " + node +
                        "\n}\n");
  }
};

// Every element of the output is covered once, by the box that says where it comes from.
void expect_covers(const MovementMap& map, const Shape& shape,
                   const std::vector<MovementBox>& boxes) {
  const std::vector<std::int64_t> strides = row_major_strides(shape);
  std::vector<int> seen(map.input.size(), 0);
  for (const MovementBox& box : boxes) {
    for (std::int64_t i = 0; i < element_count(box.extents); ++i) {
      std::int64_t rest = i, at = 0, from = box.base;
      for (std::size_t d = shape.size(); d-- > 0;) {
        const std::int64_t index = rest % box.extents[d];
        rest /= box.extents[d];
        at += (box.start[d] + index) * strides[d];
        from += index * box.strides[d];
      }
      ++seen[static_cast<std::size_t>(at)];
      EXPECT_EQ(map.input[static_cast<std::size_t>(at)], box.input);
      EXPECT_EQ(map.offset[static_cast<std::size_t>(at)], from);
    }
  }
  for (const int count : seen) EXPECT_EQ(count, 1);
}

TEST_F(MovementMapTest, TransposeIsOneBoxWithSwappedStrides) {
  const Module module =
      module_of("%x : int4[2,3]", "%y : int4[3,2] = Transpose(%x) {perm = [1,0]}");
  const auto map = movement_map(view_of(module), 0);
  ASSERT_TRUE(map.has_value());
  EXPECT_FALSE(map->is_identity(6));
  const auto boxes = decompose(*map, {3, 2}, 8);
  ASSERT_TRUE(boxes.has_value());
  ASSERT_EQ(boxes->size(), 1u);
  EXPECT_EQ((*boxes)[0].strides, (std::vector<std::int64_t>{1, 3}));
  expect_covers(*map, {3, 2}, *boxes);
}

// Boxes from attributes, against the map, for every sample of every movement.
TEST_F(MovementMapTest, BoxesOfEverySampleAreThoseOfTheMap) {
  int cases = 0;
  for (const Operator* op : operators().all()) {
    if (op->traits().domain != Domain::kMovement) continue;
    for (const SampleCase& sample : op->samples()) {
      if (!sample.error.empty()) continue;
      const Module module = with_least_sizes(parse_module(sample.text));
      const NodeView node = view_of(module);
      for (std::size_t output = 0; output < node.node.outputs.size(); ++output) {
        const TensorType& type = node.graph.values[node.node.outputs[output]].type;
        if (element_count(type.static_shape()) == 0) continue;  // nothing moves
        const auto map = movement_map(node, output);
        const auto boxes = movement_boxes(node, output, 512);
        if (!map || !boxes) continue;  // what moves depends on data
        ++cases;
        SCOPED_TRACE(sample.text);
        expect_covers(*map, type.static_shape(), *boxes);
      }
    }
  }
  EXPECT_GT(cases, 25);
}

TEST_F(MovementMapTest, ReshapeIsTheIdentity) {
  const Module module =
      module_of("%x : bipolar[2,3]", "%y : bipolar[6] = Reshape(%x) {shape = [\"6\"]}");
  const auto map = movement_map(view_of(module), 0);
  ASSERT_TRUE(map.has_value());
  EXPECT_TRUE(map->is_identity(6));
}

TEST_F(MovementMapTest, PaddingIsItsInputAndFourStrips) {
  const Module module =
      module_of("%x : int8[5,4]", "%y : int8[8,7] = Pad(%x) {pads = [1,1,2,2], value = -3.0}");
  const auto map = movement_map(view_of(module), 0);
  ASSERT_TRUE(map.has_value());
  const auto boxes = decompose(*map, {8, 7}, 8);
  ASSERT_TRUE(boxes.has_value());
  EXPECT_EQ(boxes->size(), 5u);
  expect_covers(*map, {8, 7}, *boxes);
  for (const MovementBox& box : *boxes) {
    if (box.input < 0) {
      EXPECT_EQ(box.base, -3);
    }
  }
}

TEST_F(MovementMapTest, ConcatenationHasABoxForEachInput) {
  const Module module = module_of("%a : uint3[2,3,2], %b : uint3[2,1,2]",
                                  "%y : uint3[2,4,2] = Concat(%a, %b) {axis = 1}");
  const auto map = movement_map(view_of(module), 0);
  ASSERT_TRUE(map.has_value());
  const auto boxes = decompose(*map, {2, 4, 2}, 8);
  ASSERT_TRUE(boxes.has_value());
  EXPECT_EQ(boxes->size(), 2u);
  expect_covers(*map, {2, 4, 2}, *boxes);
}

TEST_F(MovementMapTest, AScrambleIsNoFewBoxes) {
  MovementMap map;
  for (std::int64_t i = 0; i < 64; ++i) {
    map.input.push_back(0);
    map.offset.push_back(i * i % 61);
  }
  EXPECT_FALSE(decompose(map, {64}, 8).has_value());
  const auto boxes = decompose(map, {64}, 64);
  ASSERT_TRUE(boxes.has_value());
  expect_covers(map, {64}, *boxes);
}

TEST(MovementBoxes, AreNoneWhereThereIsNothingToMove) {
  const auto boxes = decompose(MovementMap{}, {3, 0}, 1);
  ASSERT_TRUE(boxes.has_value());
  EXPECT_TRUE(boxes->empty());
}

}  // namespace
}  // namespace tandem
