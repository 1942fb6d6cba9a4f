#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/file.h"

#include "tests/cli/cli_test.h"
#include "tests/support/paths.h"

namespace tandem::test {
namespace {

using ::testing::HasSubstr;

class ShowVerb : public ::testing::Test {
 protected:
  std::string model(const std::string& text = small_module_text()) {
    const auto path = folder_ / "net.tandem";
    write_file_atomic(path, text);
    return path.string();
  }
  TemporaryDir folder_;
};

TEST_F(ShowVerb, PrintsTheTextAndTheWorkOfEveryNode) {
  const CliRun run = run_cli({"show", model()});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("%sums : int12[N,2] = IntMatMul"));
  EXPECT_THAT(run.out, HasSubstr("counted for N = 1"));
}

TEST_F(ShowVerb, JsonHasInputsNodesAndWork) {
  const auto json = run_cli({"show", model(), "--json"}).json();
  EXPECT_EQ(json["schema"], "tandem-show/1");
  const auto& main = json["functions"][0];
  EXPECT_EQ(main["inputs"][0]["name"], "x");
  EXPECT_EQ(main["inputs"][0]["scale"][0], 0.5);
  ASSERT_EQ(main["nodes"].size(), 2U);
  EXPECT_EQ(main["nodes"][0]["name"], "dense");
  EXPECT_EQ(main["nodes"][0]["work"]["operations"]["multiply_accumulate"], 6);
}

TEST_F(ShowVerb, BindsSymbols) {
  const auto json = run_cli({"show", model(), "--bind", "N=4", "--json"}).json();
  EXPECT_EQ(json["functions"][0]["inputs"][0]["type"], "int8[4,3]");
  EXPECT_EQ(json["functions"][0]["nodes"][0]["work"]["operations"]["multiply_accumulate"], 24);
}

TEST_F(ShowVerb, ShowsThePlanForADevice) {
  const CliRun run = run_cli({"show", model(), "--plan", "--device", "stm32f746", "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const auto plan = run.json()["plan"];
  EXPECT_EQ(plan["device"], "stm32f746");
  EXPECT_THAT(plan["text"].get<std::string>(), HasSubstr("'dense'"));
  EXPECT_TRUE(plan["peak_bytes"].contains("flash"));
  // Without a device the default of microcontrollers is taken and named.
  EXPECT_THAT(run_cli({"show", model(), "--plan"}).out, HasSubstr("plan for mps2-an386"));
  const CliRun without = run_cli({"show", model(), "--device", "stm32f746"});
  EXPECT_EQ(without.exit_code, 2);
  EXPECT_THAT(without.err, HasSubstr("--plan"));
}

TEST_F(ShowVerb, RefusesBindingsThatAreNone) {
  for (const std::string binding : {"N", "=3", "N=x", "M=1", "N=0"}) {
    const CliRun run = run_cli({"show", model(), "--bind", binding});
    EXPECT_EQ(run.exit_code, 2) << binding;
    EXPECT_THAT(run.err, HasSubstr("--bind")) << binding;
  }
  const CliRun twice = run_cli({"show", model(), "--bind", "N=1", "--bind", "N=2"});
  EXPECT_EQ(twice.exit_code, 2);
  EXPECT_THAT(twice.err, HasSubstr("names N twice"));
}

TEST_F(ShowVerb, NamesFileAndLineOfABrokenText) {
  std::string text = small_module_text();
  text.replace(text.find("IntMatMul"), 9, "IntMatMol");
  const CliRun run = run_cli({"show", model(text)});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("net.tandem:14"));
  EXPECT_THAT(run.err, HasSubstr("did you mean 'IntMatMul'?"));
}

TEST_F(ShowVerb, TakesTensorsOfAFileForConstants) {
  const TemporaryDir dir;
  const std::string net = (dir / "net.tandem").string(), weights = (dir / "w.safetensors").string();
  write_file_atomic(net,
                    "tandem-module 1\nconstant @w : f32[2] = [1,2]\n"
                    "graph @main(%x : f32[2]) -> (%y) {\n  %w = constant @w\n"
                    "  %y : f32[2] = Mul(%x, %w)\n}\n");
  const auto tensor = [](const std::string& name) {
    const std::string header =
        "{\"" + name + "\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";
    // 0.5 and -8.
    return std::string(1, static_cast<char>(header.size())) + std::string(7, '\0') + header +
           std::string("\0\0\0\x3f\0\0\0\xc1", 8);
  };
  write_file_atomic(weights, tensor("w"));
  const CliRun taken = run_cli({"show", net, "--parameters", weights});
  EXPECT_EQ(taken.exit_code, 0) << taken.err;
  EXPECT_THAT(taken.out, HasSubstr("[0.5,-8]"));
  write_file_atomic(weights, tensor("v"));
  const CliRun unknown = run_cli({"show", net, "--parameters", weights});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("none of its 1 tensors has the name of a constant"));
}

TEST_F(ShowVerb, KnowsNetworksByTheirSuffix) {
  const CliRun run = run_cli({"show", "network.pt"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("weights are .safetensors or .gguf, not .pt"));
}

}  // namespace
}  // namespace tandem::test
