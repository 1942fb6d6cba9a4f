#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/file.h"

#include "tests/cli/cli_test.h"
#include "tests/support/paths.h"

namespace tandem::test {
namespace {

using ::testing::HasSubstr;

class CompareVerb : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& content) {
    write_file_atomic(folder_ / name, content);
    return (folder_ / name).string();
  }
  std::string model() { return write("net.tandem", small_module_text()); }
  // The same with one weight changed.
  std::string other() {
    std::string text = small_module_text();
    text.replace(text.find("[1,-2,7"), 7, "[1,-2,6");
    return write("other.tandem", text);
  }
  TemporaryDir folder_;
};

TEST_F(CompareVerb, EveryPairOfExecutionsAgrees) {
  const CliRun run = run_cli({"compare", model(), "--executions", "float,reference,cpu,c", "--data",
                              "random:50", "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const auto json = run.json();
  EXPECT_EQ(json["schema"], "tandem-compare/1");
  EXPECT_EQ(json["samples"], 50);
  ASSERT_EQ(json["pairs"].size(), 6U);
  for (const auto& pair : json["pairs"]) {
    EXPECT_EQ(pair["compared_values"], 100);
    EXPECT_EQ(pair["differing_values"], 0);
    EXPECT_EQ(pair["max_difference"], 0);
    EXPECT_EQ(pair["must_be_equal"], pair["first"] != "float");
  }
}

TEST_F(CompareVerb, TheCircuitAgreesWithAndWithoutStalls) {
  for (const std::vector<std::string>& stalls :
       {std::vector<std::string>{}, std::vector<std::string>{"--stalls", "7"}}) {
    std::vector<std::string> arguments = {
        "compare", model(), "--executions", "reference,circuit", "--data", "random:20", "--json"};
    arguments.insert(arguments.end(), stalls.begin(), stalls.end());
    const CliRun run = run_cli(arguments);
    ASSERT_EQ(run.exit_code, 0) << run.err;
    EXPECT_EQ(run.json()["pairs"][0]["compared_values"], 40);
    EXPECT_EQ(run.json()["pairs"][0]["differing_values"], 0);
  }
}

TEST_F(CompareVerb, RefusesStallsOfWhatCannotStall) {
  const auto message_of = [&](const std::vector<std::string>& arguments) {
    const CliRun run = run_cli(arguments);
    EXPECT_EQ(run.exit_code, 2);
    return run.err;
  };
  EXPECT_THAT(message_of({"compare", model(), "--executions", "reference,cpu", "--data", "random:2",
                          "--stalls", "7"}),
              HasSubstr("--stalls is for the circuit"));
  EXPECT_THAT(message_of({"compare", model(), other(), "--data", "random:2", "--stalls", "7"}),
              HasSubstr("--stalls is for --executions"));
  EXPECT_THAT(
      message_of({"run", model(), "--execution", "circuit", "--data", "random:2", "--stalls", "0"}),
      HasSubstr("give a positive seed"));
}

TEST_F(CompareVerb, ComparesLayerByLayer) {
  const auto json = run_cli({"compare", model(), "--executions", "reference,cpu", "--data",
                             "random:5", "--layers", "--json"})
                        .json();
  ASSERT_EQ(json["layers"].size(), 2U);
  EXPECT_EQ(json["layers"][0]["layer"], "dense");
  EXPECT_EQ(json["layers"][0]["compared_values"], 10);
  EXPECT_EQ(json["layers"][1]["differing_values"], 0);
}

TEST_F(CompareVerb, TwoNetworksThatDifferEndWithOne) {
  const CliRun run = run_cli({"compare", model(), other(), "--data", "random:50", "--json"});
  EXPECT_EQ(run.exit_code, 1) << run.err;
  const auto pair = run.json()["pairs"][0];
  EXPECT_EQ(pair["compared_values"], 100);
  EXPECT_GT(pair["differing_values"].get<int>(), 10);
  EXPECT_GT(pair["max_difference"].get<double>(), 0);
  EXPECT_EQ(run_cli({"compare", model(), model(), "--data", "random:50"}).exit_code, 0);
  // The outputs of int8 with scale 0.5 differ by less than 128.
  EXPECT_EQ(
      run_cli({"compare", model(), other(), "--data", "random:50", "--tolerance", "128"}).exit_code,
      0);
}

TEST_F(CompareVerb, TwoNetworksLayerByLayerShowWhereTheyPart) {
  const CliRun run =
      run_cli({"compare", model(), other(), "--data", "random:10", "--layers", "--json"});
  const auto json = run.json();
  ASSERT_EQ(json["layers"].size(), 2U);
  EXPECT_EQ(json["layers"][0]["value"], "sums");
  EXPECT_GT(json["layers"][0]["differing_values"].get<int>(), 0);
}

TEST_F(CompareVerb, RefusesWhatMakesNoSense) {
  const std::string net = model();
  const std::vector<std::pair<std::vector<std::string>, std::string>> refusals = {
      {{"compare", net, "--data", "random:2"}, "either --executions"},
      {{"compare", net, net, "--executions", "reference,c", "--data", "random:2"},
       "either --executions"},
      {{"compare", net, "--executions", "reference,c"}, "--data"},
      {{"compare", net, "--executions", "reference", "--data", "random:2"}, "two or more"},
      {{"compare", net, "--executions", "reference,cp", "--data", "random:2"},
       "did you mean 'cpu'?"},
      {{"compare", net, "--executions", "cpu,cpu", "--data", "random:2"}, "twice"},
      {{"compare", net, "--executions", "reference,cpu", "--data", "random:2", "--tolerance", "1"},
       "--tolerance"}};
  for (const auto& [arguments, message] : refusals) {
    const CliRun run = run_cli(arguments);
    EXPECT_EQ(run.exit_code, 2) << ::testing::PrintToString(arguments);
    EXPECT_THAT(run.err, HasSubstr(message));
  }
}

TEST_F(CompareVerb, ComparesTheRealsOfFloatAndKernels) {
  const std::string text =
      "tandem-module 1\nsymbol N in [1,8]\nconstant @m : f32[3,2] = [1,2,3,4,5,6]\n"
      "graph @main(%x : f32[N,3]) -> (%y) {\n  %m = constant @m\n"
      "  %s : f32[N,2] = MatMul(%x, %m) \"product\"\n  %y : f32[N,2] = Exp(%s) \"exp\"\n}\n";
  const std::string net = write("real.tandem", text);
  const CliRun run = run_cli({"compare", net, "--executions", "float,cpu", "--data", "random:5",
                              "--layers", "--tolerance", "1", "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const auto json = run.json();
  EXPECT_EQ(json["pairs"][0]["compared_values"], 10);
  EXPECT_LT(json["pairs"][0]["max_difference"].get<double>(), 1);
  ASSERT_EQ(json["layers"].size(), 2U);
  EXPECT_EQ(json["layers"][0]["layer"], "product");
  // e^12 rounds differently; without a tolerance that is no failure.
  const CliRun counted =
      run_cli({"compare", net, "--executions", "float,cpu", "--data", "random:5"});
  EXPECT_EQ(counted.exit_code, 0) << counted.err;
}

TEST_F(CompareVerb, RefusesNetworksWithOtherOutputs) {
  const std::string text =
      "tandem-module 1\nsymbol N in [1,8]\ngraph @main(%x : int8[N,3]) -> (%y) {\n"
      "  %y : uint7[N,3] = Clamp(%x) {format = uint7, min = 0, max = 100}\n}\n";
  const CliRun run =
      run_cli({"compare", model(), write("clamp.tandem", text), "--data", "random:2"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("same outputs"));
}

}  // namespace
}  // namespace tandem::test
