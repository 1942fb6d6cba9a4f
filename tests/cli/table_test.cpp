#include "tandem/cli/table.h"

#include <gtest/gtest.h>

#include "tandem/base/error.h"

namespace tandem {
namespace {

TEST(TextTable, PutsNumbersToTheRight) {
  TextTable table({"name", "count"});
  table.add({"a", "1,234"});
  table.add({"bcdef", "5"});
  EXPECT_EQ(table.text(),
            "name   count\n"
            "-----  -----\n"
            "a      1,234\n"
            "bcdef      5\n");
}

TEST(TextTable, CountsCharactersAndNotBytes) {
  TextTable table({"x", "y"});
  table.add({"µ", "z"});
  EXPECT_EQ(table.text(), "x  y\n-  -\nµ  z\n");
}

TEST(TextTable, RefusesRowsOfAnotherLength) {
  TextTable table({"x", "y"});
  EXPECT_THROW(table.add({"1"}), InternalError);
}

}  // namespace
}  // namespace tandem
