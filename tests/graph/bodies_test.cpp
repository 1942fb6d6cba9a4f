#include "tandem/graph/bodies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/printer.h"
#include "tandem/graph/verifier.h"
#include "tandem/ops/register.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// y = c ? (d ? x + 1 : -x) : x, where the inner branch lies in a body of the outer one.
constexpr std::string_view kNested =
    "tandem-module 1\nsymbol N in [1,8]\nconstant @one : f32[] = [1]\n"
    "body @up(%x : f32[N]) -> (%y) {\n  %one = constant @one\n  %y : f32[N] = Add(%x, %one)\n}\n"
    "body @down(%x : f32[N]) -> (%y) {\n  %y : f32[N] = Neg(%x)\n}\n"
    "body @either(%d : bool[], %x : f32[N]) -> (%y) {\n"
    "  %y : f32[N] = If(%d, %x) body @up body @down\n}\n"
    "body @same(%d : bool[], %x : f32[N]) -> (%y) {\n  %y : f32[N] = Identity(%x)\n}\n"
    "graph @main(%c : bool[], %d : bool[], %x : f32[N]) -> (%y) {\n"
    "  %y : f32[N] = If(%c, %d, %x) body @either body @same\n}\n";

class Bodies : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { register_operators(); }
};

Tensor truth(bool value) {
  return Tensor::from_integers(Format::parse("bool"), {}, std::vector<std::int64_t>{value ? 1 : 0});
}

std::vector<double> run(const Module& module, bool c, bool d) {
  const Tensor x = Tensor::from_reals(Format(), {2}, std::vector<double>{2, -3});
  return evaluate(module, module.main(), std::vector{truth(c), truth(d), x})[0].to_reals();
}

void expect_meaning(const Module& module) {
  EXPECT_EQ(run(module, true, true), (std::vector<double>{3, -2}));
  EXPECT_EQ(run(module, true, false), (std::vector<double>{-2, 3}));
  EXPECT_EQ(run(module, false, true), (std::vector<double>{2, -3}));
}

TEST_F(Bodies, StandBeforeTheGraphsThatHoldThem) {
  Module module = parse_module(kNested);
  std::swap(module.graphs.front(), module.graphs.back());  // main first, as builders have it
  const auto swapped = [&](GraphId id) {
    return id == 0 ? module.graphs.size() - 1 : id == module.graphs.size() - 1 ? 0 : id;
  };
  for (Graph& graph : module.graphs)
    for (Node& node : graph.nodes)
      for (GraphId& body : node.bodies) body = swapped(body);
  module.functions["main"] = 0;
  verify(module);
  expect_meaning(module);
  const std::string text = print_module(module);
  EXPECT_EQ(print_module(parse_module(text)), text);
  EXPECT_EQ(bodies_first(module).back(), 0u);
}

TEST_F(Bodies, InsideThemselvesAreRefused) {
  Module module = parse_module(kNested);
  module.graphs[2].nodes[0].bodies[0] = 2;
  EXPECT_THAT([&] { verify(module); },
              ThrowsMessage<Error>(HasSubstr("graph 'either' is a body inside itself")));
}

// In either order of the graphs.
TEST_F(Bodies, TooDeepInEachOtherAreRefused) {
  for (const bool upward : {false, true}) {
    Module module = parse_module(kNested);
    const Graph link = module.graphs[2];  // an If over two bodies
    constexpr std::size_t kLinks = 100000;
    const std::size_t first = module.graphs.size();
    for (std::size_t i = 0; i < kLinks; ++i) {
      module.graphs.push_back(link);
      module.graphs.back().name = concat("link ", i);
      const std::size_t next = upward ? first + i - 1 : first + i + 1;
      module.graphs.back().nodes[0].bodies[0] = i == (upward ? 0 : kLinks - 1) ? 0 : next;
    }
    EXPECT_THAT([&] { bodies_first(module); },
                ThrowsMessage<Error>(HasSubstr("bodies lie more than 256 deep")));
  }
}

TEST_F(Bodies, AreBoundWithTheirModule) {
  const Module bound = specialize(parse_module(kNested), {{"N", 2}});
  verify(bound);
  EXPECT_EQ(bound.graphs[0].values[0].type.to_string(), "f32[2]");
  expect_meaning(bound);
}

TEST_F(Bodies, AreCopiedAndInlinedIntoOtherModules) {
  const Module module = parse_module(kNested);
  Module other;
  other.symbols = module.symbols;
  Builder builder(other, Builder::add_graph(other, "main"));
  std::vector<ValueId> inputs;
  for (const ValueId input : module.main().inputs)
    inputs.push_back(builder.input("in", module.main().values[input].type));
  for (const ValueId value : inline_graph(builder, module, module.main(), inputs))
    builder.output(value);
  verify(other);
  EXPECT_EQ(other.graphs.size(), module.graphs.size());
  expect_meaning(other);
}

}  // namespace
}  // namespace tandem
