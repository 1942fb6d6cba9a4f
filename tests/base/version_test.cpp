#include "tandem/base/version.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem {
namespace {

using ::testing::MatchesRegex;

TEST(Version, HasThreeNumbers) { EXPECT_THAT(version(), MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+")); }

TEST(Version, DetailsNameCommitCompilerAndBuildType) {
  EXPECT_THAT(version_details(),
              MatchesRegex("[0-9.]+ \\((no git|[0-9a-f]{12}(-dirty)?), (GCC|Clang) [0-9.]+, "
                           "(release|debug|relwithdebinfo|minsizerel|)( with .* sanitizer)?\\)"));
}

}  // namespace
}  // namespace tandem
