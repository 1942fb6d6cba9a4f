#include "tandem/transform/pass_log.h"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/transform/hoist_clamps.h"

#include "tests/support/networks.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(PassLog, PrintsWhatAPassChanged) {
  test::NetworkMaker maker;
  const ValueId pool = maker.max_pool("pool", maker.input("x", {2, 4, 4}));
  Module network = maker.finish(maker.unary("Relu", "relu", pool));
  std::ostringstream log;
  set_pass_log(&log);
  run_pass("hoist_clamps", network, hoist_clamps);
  EXPECT_THAT(log.str(), HasSubstr("pass hoist_clamps: 2 -> 2 nodes"));
  EXPECT_THAT(log.str(), HasSubstr("graph @main"));
  log.str("");
  run_pass("hoist_clamps", network, hoist_clamps);
  EXPECT_THAT(log.str(), HasSubstr("nothing changed"));
  EXPECT_THAT(log.str(), Not(HasSubstr("graph @main")));
  set_pass_log(nullptr);
  log.str("");
  run_pass("hoist_clamps", network, hoist_clamps);
  EXPECT_EQ(log.str(), "");
}

}  // namespace
}  // namespace tandem
