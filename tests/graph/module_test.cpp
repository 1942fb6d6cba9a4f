#include "tandem/graph/module.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/graph/builder.h"
#include "tandem/graph/printer.h"
#include "tandem/graph/verifier.h"
#include "tandem/ops/register.h"

namespace tandem {
namespace {

class ModuleTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { register_operators(); }
};

constexpr const char* kSymbolic = R"(tandem-module 1
symbol N in [1,16]
constant @w : int4[3,2] = [1,-2,7,-8,0,5]
constant @unused : int4[1] = [1]
graph @main(%x : int8[N,3]) -> (%y) {
  %w = constant @w
  %u = constant @unused
  %y : int12[N,2] = IntMatMul(%x, %w) {format = int12} "y"
  %dead : int13[N,2] = IntAdd(%y, %u) {format = int13} "dead"
}
)";

TEST_F(ModuleTest, SpecializeBindsSymbolsEverywhere) {
  const Module bound = specialize(parse_module(kSymbolic), {{"N", 4}});
  EXPECT_TRUE(bound.symbols.empty());
  for (const Value& value : bound.main().values) EXPECT_TRUE(value.type.is_static());
  EXPECT_EQ(bound.main().values[bound.main().outputs[0]].type.static_shape(), (Shape{4, 2}));
  EXPECT_NO_THROW(verify(bound));
  EXPECT_THROW(specialize(parse_module(kSymbolic), {{"N", 17}}), Error);
  EXPECT_THROW(specialize(parse_module(kSymbolic), {{"M", 1}}), Error);
}

TEST_F(ModuleTest, RemoveUnusedKeepsWhatOutputsNeed) {
  Module module = parse_module(kSymbolic);
  remove_unused(module);
  EXPECT_EQ(module.main().nodes.size(), 1U);
  EXPECT_EQ(module.constants.size(), 1U);
  EXPECT_NO_THROW(verify(module));
}

TEST_F(ModuleTest, TheVerifierNamesACycle) {
  Module module = parse_module(kSymbolic);
  Graph& graph = module.main();
  graph.nodes[0].inputs[0] = graph.nodes[1].outputs[0];  // y reads dead, dead reads y
  try {
    verify(module);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("cycle"));
    EXPECT_THAT(error.what(), testing::HasSubstr("'dead'"));
  }
}

TEST_F(ModuleTest, BuilderMakesNamesUnique) {
  Module module;
  Builder builder(module, Builder::add_graph(module, "main"));
  const ValueId x = builder.input("x", {{2}, Format::parse("int8")});
  for (int i = 0; i < 3; ++i)
    builder.output(builder.add("IntAdd", {x, x}, {{"format", Format::parse("int9")}}, "sum"));
  EXPECT_NO_THROW(verify(module));
  EXPECT_EQ(module.main().values[module.main().outputs[1]].name, "sum_2");
}

}  // namespace
}  // namespace tandem
