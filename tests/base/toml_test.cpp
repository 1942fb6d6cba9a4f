#include "tandem/base/toml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr std::string_view kText = R"(title = "a machine"
count = 3
volts = 3.3
fast = true
tags = ["x", "y"]

[clock]
hertz = 100

[[unit]]
name = "one"
[[unit]]
name = "two"
)";

TEST(Toml, ReadsEveryKindOfValue) {
  const TomlTable root = TomlTable::parse(kText, "m.toml");
  EXPECT_EQ(root.string("title"), "a machine");
  EXPECT_EQ(root.integer("count"), 3);
  EXPECT_EQ(root.number("count"), 3.0);
  EXPECT_EQ(root.number("volts"), 3.3);
  EXPECT_TRUE(root.boolean("fast"));
  EXPECT_EQ(root.strings("tags"), (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(root.table("clock").integer("hertz"), 100);
  ASSERT_EQ(root.tables("unit").size(), 2u);
  EXPECT_EQ(root.tables("unit")[1].string("name"), "two");
  EXPECT_NO_THROW(root.done());
}

TEST(Toml, DefaultsStandOnlyForMissingKeys) {
  const TomlTable root = TomlTable::parse(kText, "m.toml");
  EXPECT_EQ(root.integer("absent", 7), 7);
  EXPECT_EQ(root.string("absent", "z"), "z");
  EXPECT_EQ(root.integer("count", 7), 3);
  EXPECT_TRUE(root.strings("absent").empty());
  EXPECT_TRUE(root.tables("absent").empty());
  EXPECT_THAT([&] { root.integer("title", 7); },
              ThrowsMessage<Error>(HasSubstr("m.toml:1: 'title' must be an integer, found a "
                                             "string")));
}

TEST(Toml, ErrorsNameLineKeyAndRemedy) {
  const TomlTable root = TomlTable::parse(kText, "m.toml");
  EXPECT_THAT([&] { root.string("count"); },
              ThrowsMessage<Error>(HasSubstr("m.toml:2: 'count' must be a string")));
  EXPECT_THAT([&] { root.integer("volts"); }, ThrowsMessage<Error>(HasSubstr("m.toml:3")));
  EXPECT_THAT([&] { root.table("clock").number("volts"); },
              ThrowsMessage<Error>(HasSubstr("missing key 'volts' in [clock]")));
  EXPECT_THAT([&] { root.tables("unit")[1].number("name"); },
              ThrowsMessage<Error>(HasSubstr("m.toml:13: 'unit[1].name' must be a number")));
  EXPECT_THAT([] { TomlTable::parse("a = = 1", "m.toml"); },
              ThrowsMessage<Error>(HasSubstr("m.toml:1: not TOML")));
  EXPECT_THAT([] { TomlTable::read("/nonexistent/m.toml"); },
              ThrowsMessage<Error>(HasSubstr("/nonexistent/m.toml: cannot be read")));
}

TEST(Toml, DoneNamesTheNearestKnownKey) {
  const TomlTable root = TomlTable::parse("hertz = 1\nvoltz = 2\n", "m.toml");
  root.number("hertz");
  root.number("volts", 3.3);
  EXPECT_THAT(
      [&] { root.done(); },
      ThrowsMessage<Error>(HasSubstr("m.toml:2: unknown key 'voltz'; did you mean 'volts'?")));
}

}  // namespace
}  // namespace tandem
