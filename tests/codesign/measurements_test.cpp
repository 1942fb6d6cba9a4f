#include "tandem/codesign/measurements.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

TEST(Measurements, MeasureOnceAndSurviveStorage) {
  Measurements measurements;
  int calls = 0;
  const auto third = [&] {
    ++calls;
    return 1.0 / 3;
  };
  EXPECT_EQ(measurements.get("noise: a", third), 1.0 / 3);
  EXPECT_EQ(measurements.get("noise: a", third), 1.0 / 3);
  EXPECT_EQ(calls, 1);
  Measurements read = Measurements::read(measurements.text("digits"), "digits", "file");
  EXPECT_EQ(read.get("noise: a", third), 1.0 / 3) << "to the last bit";
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(read.reused(), 1U);
}

TEST(Measurements, OfAnotherSubjectAreNotUsed) {
  Measurements measurements;
  measurements.get("noise", [] { return 2.0; });
  const std::string text = measurements.text("digits");
  EXPECT_EQ(Measurements::read(text, "digits", "file").size(), 1U);
  EXPECT_EQ(Measurements::read(text, "letters", "file").size(), 0U);
}

TEST(Measurements, DamagedFilesAreNamed) {
  for (const char* text : {"", "{", "{}", R"({"schema": "other/1"})",
                           R"({"schema": "tandem-measurements/1", "subject": "s"})"}) {
    try {
      Measurements::read(text, "s", "run.partial.json");
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("run.partial.json"));
      EXPECT_THAT(error.what(), HasSubstr("delete the file"));
    }
  }
}

// The test vectors of the FNV authors.
TEST(ContentHash, IsFnv1a) {
  EXPECT_EQ(content_hash(""), "cbf29ce484222325");
  EXPECT_EQ(content_hash("foobar"), "85944171f73967e8");
}

}  // namespace
}  // namespace tandem
