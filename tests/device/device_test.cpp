#include "tandem/device/device.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/device/unit_kind.h"

namespace tandem {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const std::string kSmall = R"(schema = "tandem-device/1"
title = "a small machine"
[clock]
hertz = 1e6
source = "exact: a data sheet"
[[memory]]
name = "flash"
bytes = 65536
source = "exact: a data sheet"
[[memory]]
name = "sram"
bytes = 8192
address = 0x20000000
source = "exact: a data sheet"
[[unit]]
name = "core"
kind = "mcu"
core = "cortex-m4"
active_milliwatts = 12.5
flash_wait_cycles = 0
source = "assumed: a guess"
[[unit.cost]]
form = "copy"
feature = "results"
instructions = 3
cycles = 4.5
code_bytes = 0
)";

std::string with(std::string text, const std::string& old, const std::string& replacement) {
  const std::size_t at = text.find(old);
  ensure(at != std::string::npos, "text to replace");
  return text.replace(at, old.size(), replacement);
}

TEST(Device, ReadsWhatTheFileSays) {
  const Device device = parse_device(kSmall, "folder/small.toml");
  EXPECT_EQ(device.name, "small");
  EXPECT_EQ(device.title, "a small machine");
  EXPECT_EQ(device.clock.hertz, 1e6);
  EXPECT_EQ(device.memory("sram").bytes, 8192);
  EXPECT_EQ(device.memory("sram").address, 0x20000000);
  EXPECT_EQ(device.kind(), "mcu");
  EXPECT_EQ(device.unit().number("active_milliwatts"), 12.5);
  EXPECT_EQ(device.unit().text("core"), "cortex-m4");
  EXPECT_EQ(device.unit().provenance.source, Source::kAssumed);
  const Cost* cost = device.unit().find_cost("copy", "results");
  ASSERT_NE(cost, nullptr);
  EXPECT_EQ(cost->per.at("cycles"), 4.5);
  EXPECT_EQ(device.unit().find_cost("copy", "calls"), nullptr);
}

struct Refusal {
  std::string old, replacement, message;
};

TEST(Device, RefusalsNameThePlaceAndTheRemedy) {
  const std::vector<Refusal> refusals = {
      {"device/1", "device/9", "d.toml:1: schema 'tandem-device/9'"},
      {"title", "titel", "missing key 'title'"},
      {"hertz = 1e6", "hertz = 1e6\nherz = 2",
       "d.toml:5: unknown key 'clock.herz'; did you mean "
       "'hertz'?"},
      {"hertz = 1e6", "hertz = -1", "d.toml:4: 'hertz' must be a positive number"},
      {"hertz = 1e6", "hertz = nan", "'clock.hertz' must be a finite number"},
      {"hertz = 1e6", "hertz = \"fast\"", "'clock.hertz' must be a number, found a string"},
      {"exact: a data", "exakt: a data",
       "starts with no known kind of source; did you mean "
       "'exact'?"},
      {"exact: a data sheet", "exact", "say after a colon"},
      {"bytes = 65536", "bytes = 0", "d.toml:8: 'bytes' of memory 'flash' must be positive"},
      {"name = \"flash\"", "name = \"flush\"", "needs a [[memory]] named 'flash'"},
      {"name = \"flash\"", "name = \"sram\"", "two memories are called 'sram'"},
      {"kind = \"mcu\"", "kind = \"mcc\"", "did you mean 'mcu'?"},
      {"cortex-m4", "cortex-m5",
       "d.toml:18: 'core' cannot be 'cortex-m5'; did you mean "
       "'cortex-m4'?"},
      {"active_milliwatts", "active_milliwats",
       "missing key 'active_milliwatts' in table 'unit[0]'"},
      {"instructions = 3", "instruction = 3", "did you mean 'instructions'?"},
      {"source = \"assumed: a guess\"", "source = \"assumed: a guess\"\ncosts = \"none.toml\"",
       "d.toml:22: no file of costs 'none.toml'"},
  };
  for (const Refusal& refusal : refusals) {
    const std::string text = with(kSmall, refusal.old, refusal.replacement);
    EXPECT_THAT([&] { parse_device(text, "d.toml"); },
                ThrowsMessage<Error>(AllOf(HasSubstr("d.toml"), HasSubstr(refusal.message))))
        << refusal.replacement;
  }
}

TEST(Device, EveryShippedDeviceReads) {
  const std::vector<std::string> names = device_names();
  EXPECT_GE(names.size(), 5u);
  for (const std::string& name : names) {
    const Device device = find_device(name);
    EXPECT_EQ(device.name, name);
    EXPECT_THAT(device_names(device.kind()), Contains(name));
  }
  for (const UnitKind& kind : unit_kinds()) {
    if (kind.default_device.empty()) continue;
    EXPECT_EQ(find_device(default_device(kind.name)).kind(), kind.name);
  }
}

TEST(Device, IsWrittenAsTheFileThatItIsReadFrom) {
  for (const std::string& name : device_names()) {
    const Device device = find_device(name);
    const std::string text = to_toml(device);
    const Device again = parse_device(text, device.path);
    EXPECT_EQ(to_toml(again), text);
    EXPECT_EQ(again.title, device.title);
    EXPECT_EQ(again.clock.hertz, device.clock.hertz);
    ASSERT_EQ(again.memories.size(), device.memories.size());
    for (std::size_t i = 0; i < device.memories.size(); ++i) {
      EXPECT_EQ(again.memories[i].name, device.memories[i].name);
      EXPECT_EQ(again.memories[i].bytes, device.memories[i].bytes);
      EXPECT_EQ(again.memories[i].address, device.memories[i].address);
      EXPECT_EQ(again.memories[i].bytes_per_second, device.memories[i].bytes_per_second);
      EXPECT_EQ(again.memories[i].provenance.note, device.memories[i].provenance.note);
    }
    EXPECT_EQ(again.unit().numbers, device.unit().numbers);
    EXPECT_EQ(again.unit().texts, device.unit().texts);
    ASSERT_EQ(again.unit().costs.size(), device.unit().costs.size());
    for (const Cost& cost : device.unit().costs)
      EXPECT_EQ(again.unit().find_cost(cost.form, cost.feature)->per, cost.per);
  }
}

TEST(Device, IsWrittenWithAnyTextAndBandwidths) {
  Device device = parse_device(kSmall, "d.toml");
  device.title = "a \"quoted\" \\ title\n\x01 of lines";
  device.memories[0].bytes_per_second = 1.5e10;
  const Device again = parse_device(to_toml(device), "d.toml");
  EXPECT_EQ(again.title, device.title);
  EXPECT_EQ(again.memories[0].bytes_per_second, 1.5e10);
}

TEST(Device, IsFoundByNameByPathAndInTheUsersFolder) {
  EXPECT_THAT([] { find_device("stm32f7466"); },
              ThrowsMessage<Error>(HasSubstr("did you mean 'stm32f746'?")));
  const std::filesystem::path folder =
      std::filesystem::path(testing::TempDir()) / "tandem_device_test";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "own.toml") << kSmall;
  EXPECT_EQ(find_device((folder / "own.toml").string()).title, "a small machine");
  setenv("TANDEM_DEVICES", folder.c_str(), 1);
  EXPECT_EQ(find_device("own").title, "a small machine");
  setenv("TANDEM_DEVICES", "/nonexistent", 1);
  EXPECT_THAT([] { find_device("own"); }, ThrowsMessage<Error>(HasSubstr("'/nonexistent'")));
  unsetenv("TANDEM_DEVICES");
  EXPECT_THROW(find_device("own"), Error);
}

}  // namespace
}  // namespace tandem
