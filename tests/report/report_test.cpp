#include "tandem/report/report.h"

#include <regex>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/printer.h"
#include "tandem/ops/register.h"
#include "tandem/report/html.h"
#include "tandem/runtime/host_plan.h"

#include "tests/support/random_module.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Checks that every element is closed in the right order, and returns how many there are.
int count_elements(const std::string& html) {
  static const std::regex kTag("<(/?)([a-zA-Z0-9]+)[^>]*?(/?)>");
  std::vector<std::string> open;
  int elements = 0;
  for (std::sregex_iterator it(html.begin(), html.end(), kTag), end; it != end; ++it) {
    const std::string name = (*it)[2];
    if (name == "meta" || (*it)[3] == "/") continue;
    if ((*it)[1] == "/") {
      if (open.empty() || open.back() != name) {
        ADD_FAILURE() << "</" << name << "> closes " << (open.empty() ? "nothing" : open.back());
        return elements;
      }
      open.pop_back();
    } else {
      open.push_back(name);
      ++elements;
    }
  }
  EXPECT_TRUE(open.empty());
  return elements;
}

class Report : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { register_operators(); }
  void SetUp() override {
    module_ = random_lowered_module(21);
    plan_ = plan_host(module_, {.fuse = false, .keep_values = true});
    input_.title = "a <network> & a device";
    input_.verdict = "all limits are met";
    input_.lowered = &module_;
    input_.plan = &plan_;
    input_.accuracy = {{"float", 100, 0.97, 1000, 12, false},
                       {"reference", 100, 0.96, 0, 0, true},
                       {"c", 100, 0.96, 1000, 0, true}};
    input_.choices = {{"conv1", "Conv", "int4 per channel", "uint8", 0.004},
                      {"fc", "Gemm", "int8 per channel", "int8", 0.0}};
    input_.narrowed_bits = 2;
    input_.limits = {{"flash", "64 KiB", "31 KiB", true}, {"latency", "1 ms", "2 ms", false}};
    estimate_.device = "device";
    for (const Step& step : plan_.steps) {
      if (step.nodes.empty()) continue;
      estimate_.steps.push_back({module_.main().nodes[step.nodes[0]].name,
                                 {{"latency_cycles", {100.0, Source::kLearned, 0.1}}}});
    }
    estimate_.total["latency_cycles"] = {12345, Source::kLearned, 0.1};
    input_.estimate = &estimate_;
  }
  Module module_;
  Plan plan_;
  Estimate estimate_;
  ReportInput input_;
};

TEST_F(Report, HoldsEverySection) {
  const std::string html = report_html(input_);
  for (const char* title : {"Accuracy and equality", "Limits", "Estimate", "Cost per layer",
                            "Memory", "Formats per layer", "The network", "How this came about"})
    EXPECT_THAT(html, HasSubstr(concat("<h2>", title, "</h2>")));
  EXPECT_THAT(html, HasSubstr("96.00 %"));
  EXPECT_THAT(html, HasSubstr("12,345"));
  EXPECT_THAT(html, HasSubstr("learned ±10 %"));
  EXPECT_THAT(html, HasSubstr("0 of 1,000 output values differ"));
  EXPECT_GT(count_elements(html), 100);
}

TEST_F(Report, NeedsNoOtherFileAndNoScript) {
  const std::string html = report_html(input_);
  for (const char* outside : {"http:", "https:", "src=", "href=", "url(", "@import", "<script"})
    EXPECT_THAT(html, Not(HasSubstr(outside)));
}

TEST_F(Report, EscapesWhatUsersNamed) {
  EXPECT_THAT(report_html(input_), HasSubstr("a &lt;network&gt; &amp; a device"));
  EXPECT_EQ(escaped("<a b=\"c\">&"), "&lt;a b=&quot;c&quot;&gt;&amp;");
}

TEST_F(Report, DrawsEveryStepAndEveryBuffer) {
  const std::string html = report_html(input_);
  for (const Node& node : module_.main().nodes)
    EXPECT_THAT(html, HasSubstr(concat(node.op->name(), " ", escaped(node.name))));
  for (const Buffer& buffer : plan_.buffers) {
    if (buffer.role != BufferRole::kValue) continue;
    EXPECT_THAT(html, HasSubstr(concat(escaped(buffer.name), ": ", buffer.bytes, " bytes at ",
                                       buffer.offset, ", steps ")));
  }
}

TEST_F(Report, SaysWhenExecutionsDifferOrALimitIsMissed) {
  input_.accuracy.push_back({"qemu", 100, 0.95, 1000, 3, true});
  input_.succeeded = false;
  input_.verdict = "no plan meets the limits";
  const std::string html = report_html(input_);
  EXPECT_THAT(html, HasSubstr("3 of 2,000 output values differ"));
  EXPECT_THAT(html, HasSubstr("✗ no plan meets the limits"));
  EXPECT_THAT(html, HasSubstr("✗ missed"));
}

TEST_F(Report, LeavesOutWhatIsMissing) {
  ReportInput bare;
  bare.title = "bare";
  bare.lowered = &module_;
  const std::string html = report_html(bare);
  EXPECT_THAT(html, Not(HasSubstr("<h2>Estimate</h2>")));
  EXPECT_THAT(html, Not(HasSubstr("<h2>Memory</h2>")));
  EXPECT_THAT(html, HasSubstr("<h2>The network</h2>"));
  count_elements(html);
}

TEST_F(Report, IsTheSameForTheSameInput) { EXPECT_EQ(report_html(input_), report_html(input_)); }

TEST_F(Report, DrawsRandomNetworksWithoutCrossingOut) {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    const Module module = random_lowered_module(seed);
    const Plan plan = plan_host(module);
    ReportInput input;
    input.lowered = &module;
    input.plan = &plan;
    const std::string html = report_html(input);
    EXPECT_THAT(html, Not(HasSubstr("nan")));
    count_elements(html);
  }
}

TEST(ReportNumbers, AreReadable) {
  EXPECT_EQ(readable_bytes(900), "900 B");
  EXPECT_EQ(readable_bytes(131072), "128 KiB");
  EXPECT_EQ(readable_bytes(std::int64_t{64} << 20), "64.0 MiB");
  EXPECT_EQ(coordinate(1.25), "1.2");
  EXPECT_EQ(coordinate(3.0), "3");
  EXPECT_EQ(coordinate(-0.01), "0");
}

}  // namespace
}  // namespace tandem
