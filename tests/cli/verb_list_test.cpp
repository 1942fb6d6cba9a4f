#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/cli_test.h"

namespace tandem::test {
namespace {

using ::testing::HasSubstr;

TEST(ListVerb, ListsFormatsWithTheirIntegers) {
  const CliRun run = run_cli({"list", "formats", "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const auto json = run.json();
  EXPECT_EQ(json["schema"], "tandem-list/1");
  bool found = false;
  for (const auto& format : json["formats"]) {
    if (format["name"] != "int8") continue;
    found = true;
    EXPECT_EQ(format["integers"], nlohmann::json({-128, 127}));
  }
  EXPECT_TRUE(found);
  EXPECT_THAT(run_cli({"list", "formats"}).out, HasSubstr("[-128,127]"));
}

TEST(ListVerb, ListsDevicesWithOneDefaultPerKind) {
  const auto devices = run_cli({"list", "devices", "--json"}).json()["devices"];
  std::map<std::string, int> defaults;
  for (const auto& device : devices) defaults[device["kind"]] += device["default_of_kind"] ? 1 : 0;
  EXPECT_TRUE(defaults.contains("mcu"));
  for (const auto& [kind, count] : defaults) EXPECT_EQ(count, 1) << kind;
}

TEST(ListVerb, ListsOperatorsWithTheirAttributes) {
  const auto list = run_cli({"list", "operators", "--json"}).json()["operators"];
  bool found = false;
  for (const auto& op : list) {
    if (op["name"] != "Clamp") continue;
    found = true;
    EXPECT_EQ(op["attributes"].size(), 3U);
  }
  EXPECT_TRUE(found);
  EXPECT_THAT(run_cli({"list", "operators"}).out, HasSubstr("IntMatMul"));
}

TEST(ListVerb, NamesTheNearestList) {
  const CliRun run = run_cli({"list", "device"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("did you mean 'devices'?"));
}

}  // namespace
}  // namespace tandem::test
