#include "tandem/base/toml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/base/file.h"

namespace tandem {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using ::testing::ThrowsMessage;

constexpr std::string_view kDevice = R"(name = "m4"
clock_mhz = 168
ratio = 0.5
fpu = true
widths = [8, 16]

[flash]
bytes = 1048576

[[unit]]
kind = "alu"
[[unit]]
kind = "mac"
costs = { add = 1.0, mul = 3 }
)";

TomlTable device() { return TomlTable::parse(kDevice, "m4.toml"); }

TomlTable parse(std::string_view text) { return TomlTable::parse(text, "f.toml"); }

TEST(Toml, ReadsEveryType) {
  const TomlTable table = device();
  EXPECT_EQ(table.string("name"), "m4");
  EXPECT_EQ(table.integer("clock_mhz"), 168);
  EXPECT_EQ(table.number("clock_mhz"), 168.0);
  EXPECT_EQ(table.number("ratio", {.min = 0, .max = 1}), 0.5);
  EXPECT_TRUE(table.boolean("fpu"));
  EXPECT_THAT(table.integers("widths"), ElementsAre(8, 16));
  EXPECT_THAT(table.numbers("widths"), ElementsAre(8.0, 16.0));
  EXPECT_EQ(table.table("flash").integer("bytes", {.min = 0, .unit = "bytes"}), 1048576);
  const std::vector<TomlTable> units = table.tables("unit");
  ASSERT_EQ(units.size(), 2u);
  EXPECT_EQ(units[0].choice("kind", {"alu", "mac"}), "alu");
  EXPECT_EQ(units[1].choice("kind", {"alu", "mac"}), "mac");
  EXPECT_EQ(units[1].table("costs").number("mul"), 3.0);
  EXPECT_EQ(units[1].table("costs").number("add"), 1.0);
  EXPECT_NO_THROW(table.done());
}

TEST(Toml, OptionalValuesHaveDefaults) {
  const TomlTable table = device();
  EXPECT_EQ(table.string("name", "x"), "m4");
  EXPECT_EQ(table.string("vendor", "x"), "x");
  EXPECT_EQ(table.integer("cores", 1), 1);
  EXPECT_EQ(table.number("volts", 3.3), 3.3);
  EXPECT_FALSE(table.boolean("cache", false));
  EXPECT_TRUE(table.strings("tags").empty());
  EXPECT_TRUE(table.tables("link").empty());
  EXPECT_TRUE(table.has("fpu"));
  EXPECT_FALSE(table.has("npu"));
}

TEST(Toml, KeysComeInTheOrderOfTheFile) {
  EXPECT_THAT(device().keys(),
              ElementsAre("name", "clock_mhz", "ratio", "fpu", "widths", "flash", "unit"));
}

TEST(Toml, DoneNamesEveryUnknownKeyWithLineAndNearest) {
  const TomlTable table = parse("clock_mhz = 1\nclok_source = 'a'\n[flash]\nbites = 2\n[x.y]\n");
  table.integer("clock_mhz");
  table.string("clock_source", "");
  table.table("flash").integer("bytes", 0);
  EXPECT_THAT(
      [&] { table.done(); },
      ThrowsMessage<Error>("f.toml:2: unknown key 'clok_source'; did you mean 'clock_source'?\n"
                           "f.toml:4: unknown key 'flash.bites'; did you mean 'bytes'?\n"
                           "f.toml:5: unknown key 'x'; known: clock_mhz, clock_source, flash"));
}

TEST(Toml, DoneLooksIntoArraysOfTables) {
  const TomlTable table = parse("[[unit]]\nkind = 'a'\n[[unit]]\nkind = 'b'\nextra = 1\n");
  for (const TomlTable& unit : table.tables("unit")) unit.string("kind");
  EXPECT_THAT([&] { table.done(); },
              ThrowsMessage<Error>(StartsWith("f.toml:5: unknown key 'unit[1].extra'")));
}

TEST(Toml, AskingWhetherAKeyIsThereDoesNotUseIt) {
  const TomlTable table = parse("a = 1\n");
  EXPECT_TRUE(table.has("a"));
  EXPECT_THROW(table.done(), Error);
}

TEST(Toml, MissingKeysAreNamedWithThePlaceAndAGuess) {
  EXPECT_THAT([] { parse("").number("clock_mhz"); },
              ThrowsMessage<Error>("f.toml: missing key 'clock_mhz'; add it"));
  EXPECT_THAT([] { parse("\n[flash]\nbites = 1").table("flash").integer("bytes"); },
              ThrowsMessage<Error>("f.toml:2: missing key 'bytes' in table 'flash'; is 'bites' in "
                                   "line 3 meant?"));
}

// What a getter says about a text.
template <typename Ask>
std::string complaint(std::string_view text, Ask ask) {
  try {
    ask(parse(text));
  } catch (const Error& error) {
    return error.what();
  }
  return "none";
}

TEST(Toml, WrongTypesNameKeyLineWantedAndFound) {
  EXPECT_EQ(complaint("\na = 1", [](const TomlTable& t) { t.string("a"); }),
            "f.toml:2: 'a' must be a string, found an integer (1)");
  EXPECT_EQ(complaint("a = 1.5", [](const TomlTable& t) { t.integer("a"); }),
            "f.toml:1: 'a' must be an integer, found a number (1.5)");
  EXPECT_EQ(complaint("a = \"x\\ny\"", [](const TomlTable& t) { t.number("a"); }),
            "f.toml:1: 'a' must be a number, found a string ('x\\ny')");
  EXPECT_EQ(complaint("a = 1979-05-27", [](const TomlTable& t) { t.boolean("a", true); }),
            "f.toml:1: 'a' must be true or false, found a date or time");
  EXPECT_EQ(complaint("a = true", [](const TomlTable& t) { t.table("a"); }),
            "f.toml:1: 'a' must be a table, found a boolean");
  EXPECT_EQ(complaint("[a]", [](const TomlTable& t) { t.tables("a"); }),
            "f.toml:1: 'a' must be an array of tables, [[a]], found a table");
  EXPECT_EQ(complaint("a = [1]", [](const TomlTable& t) { t.tables("a"); }),
            "f.toml:1: 'a[0]' must be a table, found an integer (1)");
  EXPECT_EQ(complaint("a = 1", [](const TomlTable& t) { t.strings("a"); }),
            "f.toml:1: 'a' must be an array of strings, found an integer (1)");
  EXPECT_EQ(
      complaint("[b]\na = [\n1,\n'x']", [](const TomlTable& t) { t.table("b").integers("a"); }),
      "f.toml:4: 'b.a[1]' must be an integer, found a string ('x')");
  EXPECT_EQ(complaint("\"a\\u0007\" = [1, 'x']", [](const TomlTable& t) { t.numbers("a\a"); }),
            "f.toml:1: 'a\\x07[1]' must be a number, found a string ('x')");
}

TEST(Toml, BoundsAndChoicesAreChecked) {
  EXPECT_EQ(complaint("a = 0", [](const TomlTable& t) { t.integer("a", {.min = 1, .max = 9}); }),
            "f.toml:1: 'a' must be an integer from 1 to 9, found an integer (0)");
  EXPECT_EQ(complaint("a = 0", [](const TomlTable& t) { t.integer("a", 3, {.min = 1}); }),
            "f.toml:1: 'a' must be an integer of at least 1, found an integer (0)");
  EXPECT_EQ(complaint("a = -1", [](const TomlTable& t) { t.number("a", 0.5, {.max = -2.5}); }),
            "f.toml:1: 'a' must be a number of at most -2.5, found an integer (-1)");
  EXPECT_EQ(
      complaint("a = [1, 2000]",
                [](const TomlTable& t) { t.numbers("a", {.min = 1, .max = 1000, .unit = "MHz"}); }),
      "f.toml:1: 'a[1]' must be a number from 1 to 1000 MHz, found an integer (2000)");
  EXPECT_EQ(complaint("a = 'mcuu'",
                      [](const TomlTable& t) {
                        t.choice("a", {"mcu", "fpga"});
                      }),
            "f.toml:1: 'a' cannot be 'mcuu'; did you mean 'mcu'?");
  EXPECT_EQ(complaint("a = 'x'",
                      [](const TomlTable& t) {
                        t.choice("a", {"mcu", "fpga"});
                      }),
            "f.toml:1: 'a' cannot be 'x'; known: mcu, fpga");
}

TEST(Toml, InfinitiesAndNanAreNoNumbers) {
  for (const char* text : {"a = nan", "a = -nan", "a = inf", "a = -inf"}) {
    EXPECT_THAT(complaint(text, [](const TomlTable& t) { t.number("a"); }),
                HasSubstr("'a' must be a finite number, found a number ("))
        << text;
  }
}

TEST(Toml, PlacesAreForErrorsOfCallers) {
  const TomlTable table = parse("a = 1\n[b]\nc = 2\n");
  EXPECT_EQ(table.place(), "f.toml");
  EXPECT_EQ(table.place("a"), "f.toml:1");
  EXPECT_EQ(table.place("none"), "f.toml");
  EXPECT_EQ(table.table("b").place(), "f.toml:2");
  EXPECT_EQ(table.table("b").place("c"), "f.toml:3");
}

TEST(Toml, InvalidTextIsAnErrorWithALine) {
  for (const char* text : {"\na = ", "\na = 1 2", "\n[a", "\na = 1\na = 2", "\na = \"\x80\"",
                           "\n\xff = 1", "\na = 99999999999999999999", "\na = '", "\n= 1"}) {
    EXPECT_THAT([&] { parse(text); },
                ThrowsMessage<Error>(AllOf(StartsWith("f.toml:"), HasSubstr("not TOML"))))
        << text;
  }
  EXPECT_THAT([] { parse("\n\na = 1\nb = ]"); }, ThrowsMessage<Error>(StartsWith("f.toml:4:")));
}

TEST(Toml, LettersBeyondAsciiStandInStringsAndComments) {
  const TomlTable table = parse("a = 'ä' # ö\n'ü' = 1\nb = \"\"\"x\\\n  äж\"\"\"");
  EXPECT_EQ(table.string("a"), "ä");
  EXPECT_EQ(table.integer("ü"), 1);
  EXPECT_EQ(table.string("b"), "xäж") << "a backslash swallows the white space behind it";
  for (const char* text : {"\n[ä]\na = 1", "\nä = 1", "\na = ж"}) {
    EXPECT_THAT([&] { parse(text); },
                ThrowsMessage<Error>(AllOf(StartsWith("f.toml:2:"), HasSubstr("not TOML"))))
        << text;
  }
}

std::string repeated(std::string_view text, int count) {
  std::string result;
  for (int i = 0; i < count; ++i) result += text;
  return result;
}

TEST(Toml, DepthBombsAreErrors) {
  constexpr int kMany = 200'000;
  for (const std::string& bomb :
       {"a" + repeated(".a", kMany) + " = 1", "[a" + repeated(".a", kMany) + "]",
        "[[a" + repeated(" . 'a'", kMany) + "]]", "a = " + repeated("[", kMany),
        "a = " + repeated("[", kMany) + repeated("]", kMany), "a = " + repeated("{a=", kMany),
        "x = 'it''s'\n\"=\"" + repeated(".\"=\"", kMany) + " = 1",
        "x = \"\"\"\n.\"\"\"\na" + repeated(".a", kMany) + " = 1"}) {
    EXPECT_THROW(parse(bomb), Error) << bomb.substr(0, 40);
  }
  // As deep as the parser goes, one dotted key in the other.
  const std::string key = "a" + repeated(".a", 62);
  EXPECT_THROW(parse(repeated("x = {", 0) + key + " = " + repeated("{" + key + " = ", 60) + "1" +
                     repeated("}", 60)),
               Error);
  EXPECT_NO_THROW(parse(key + " = 1"));
  EXPECT_NO_THROW(parse("a = [" + repeated("0.5, ", 1000) + "]"));
  EXPECT_NO_THROW(parse("a = '" + repeated("x.", 1000) + "' # " + repeated("x.", 1000)));
}

TEST(Toml, FilesAreRead) {
  const TemporaryFolder folder;
  const std::string path = (folder.path() / "d.toml").string();
  write_file_atomic(path, "a = 1\n");
  EXPECT_EQ(TomlTable::read(path).integer("a"), 1);
  EXPECT_THAT([&] { TomlTable::read(path).done(); },
              ThrowsMessage<Error>(StartsWith(path + ":1: unknown key 'a'")));
  EXPECT_THAT([&] { TomlTable::read(path + "x"); },
              ThrowsMessage<Error>(HasSubstr("No such file")));
  write_file_atomic(path, std::string(TomlTable::kMostBytes + 1, '\n'));
  EXPECT_THAT([&] { TomlTable::read(path); }, ThrowsMessage<Error>(HasSubstr("16 MiB")));
}

}  // namespace
}  // namespace tandem
