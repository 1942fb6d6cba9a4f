#include "tandem/codesign/limits.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

const LimitOption& option(const std::string& name) {
  for (const LimitOption& candidate : limit_options())
    if (candidate.option == name) return candidate;
  throw InternalError("no such option: " + name);
}

double bound(const std::string& name, const std::string& text) {
  return parse_limit(option(name), text).bound;
}

TEST(Limits, ReadNumbersWithUnits) {
  EXPECT_EQ(bound("--max-flash", "24KiB"), 24576);
  EXPECT_EQ(bound("--max-flash", "24 K"), 24576);
  EXPECT_EQ(bound("--max-sram", "2MB"), 2e6);
  EXPECT_EQ(bound("--max-sram", "100"), 100);
  EXPECT_DOUBLE_EQ(bound("--max-accuracy-drop", "1.5%"), 0.015);
  EXPECT_EQ(bound("--max-accuracy-drop", "0.01"), 0.01);
  EXPECT_DOUBLE_EQ(bound("--max-latency", "2.5ms"), 0.0025);
  EXPECT_EQ(bound("--min-rate", "500/s"), 500);
  EXPECT_DOUBLE_EQ(bound("--max-energy", "3uJ"), 3e-6);
  EXPECT_EQ(bound("--max-lut", "20k"), 20000);
}

TEST(Limits, SayHowManyBytesAreMissing) {
  const Limit sram = parse_limit(option("--max-sram"), "20KiB");
  EXPECT_EQ(sram.missing_bytes(20480), 0);
  EXPECT_EQ(sram.missing(20480), "");
  EXPECT_EQ(sram.missing_bytes(21713.2), 1234);
  EXPECT_EQ(sram.missing(21713.2), "1,234 bytes are missing");
  EXPECT_EQ(sram.missing(20481), "1 byte is missing");
  EXPECT_EQ(parse_limit(option("--max-latency"), "1ms").missing_bytes(2), 0);
}

TEST(Limits, RefuseWhatIsNoNumber) {
  for (const char* text : {"", "abc", "1x", "-5", "nan", "inf"})
    EXPECT_THROW(bound("--max-flash", text), Error) << text;
  try {
    bound("--max-flash", "12q");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("--max-flash"));
  }
}

TEST(Limits, ExcessIsTheShareThatIsMissed) {
  const Limit most = parse_limit(option("--max-flash"), "100");
  EXPECT_EQ(most.excess(100), 0);
  EXPECT_DOUBLE_EQ(most.excess(150), 0.5);
  const Limit least = parse_limit(option("--min-rate"), "100");
  EXPECT_EQ(least.excess(100), 0);
  EXPECT_DOUBLE_EQ(least.excess(50), 1);
  EXPECT_GT(parse_limit(option("--max-lut"), "0").excess(7), 1);
}

TEST(Limits, TextsAdmitTheValuesTheyCameFrom) {
  for (const double value : {0.00555555555, 0.0123456789, 1.0 / 540}) {
    const Limit limit = parse_limit(option("--max-accuracy-drop"), "1%");
    EXPECT_GE(bound("--max-accuracy-drop", limit.text(value)), value);
  }
  EXPECT_EQ(bound("--max-latency", parse_limit(option("--max-latency"), "1ms").text(1.0 / 3)),
            1.0 / 3);
}

TEST(Limits, UnknownMeasuresAreNamedWithThoseThatExist) {
  const Measures known = {{"flash_bytes", 1}, {"latency_seconds", 1}, {"accuracy_drop", 0}};
  const auto message_of = [&](Objective objective,
                              const std::vector<Limit>& limits) -> std::string {
    try {
      check_measures(objective, limits, known, "stm32f746");
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message_of(Objective::kFlash, {parse_limit(option("--max-flash"), "1")}), "");
  EXPECT_THAT(message_of(Objective::kArea, {}), HasSubstr("it has latency, flash"));
  EXPECT_THAT(message_of(Objective::kFlash, {parse_limit(option("--max-lut"), "1")}),
              HasSubstr("--max-accuracy-drop, --max-latency, --max-flash"));
}

TEST(Limits, ObjectivesHaveNames) {
  EXPECT_EQ(parse_objective("energy"), Objective::kEnergy);
  EXPECT_EQ(name(Objective::kSram), "sram");
  try {
    parse_objective("latenzy");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("did you mean 'latency'?"));
  }
}

}  // namespace
}  // namespace tandem
