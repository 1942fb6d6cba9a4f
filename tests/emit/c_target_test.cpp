#include "tandem/emit/c_target.h"

#include <algorithm>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/emit/c_printer.h"
#include "tandem/emit/c_words.h"
#include "tandem/graph/printer.h"

#include "tests/emit/emitted_c.h"
#include "tests/support/random_module.h"

namespace tandem::test {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class CTargetTest : public EmittedC {};

// As C and as C++, and for cores with the DSP extension and with Helium, whose functions of words
// are others than the portable ones.
TEST_F(CTargetTest, IsFreeOfWarningsInAllCompilers) {
  std::vector<std::string> sources;
  const auto add = [&](const Module& module, const std::string& name, McuObjective objective,
                       IoPlace io, const char* device = "mps2-an386") {
    const Artifacts artifacts = emitted(module, name, objective, io, device);
    write(artifacts);
    for (const Artifact& artifact : artifacts)
      if (artifact.path.ends_with(".c") && artifact.path != "main.c")
        sources.push_back(artifact.path);
  };
  add(parse_module(kAwkward), "awkward", McuObjective::kLatency, IoPlace::kCaller);
  add(parse_module(kAwkward), "arena", McuObjective::kLatency, IoPlace::kArena);
  constexpr McuObjective kObjectives[] = {McuObjective::kLatency, McuObjective::kFlash,
                                          McuObjective::kSram};
  for (const std::uint64_t seed : {14U, 15U, 17U, 21U})
    add(random_lowered_module(seed), concat("net", seed), kObjectives[seed % 3],
        seed % 2 == 0 ? IoPlace::kCaller : IoPlace::kArena);
  for (const std::uint64_t seed : {31U, 32U, 33U})
    add(random_lowered_module(seed), concat("helium", seed), kObjectives[seed % 3], IoPlace::kArena,
        "mps3-an547");
  add(separable_layers(), "layers", McuObjective::kLatency, IoPlace::kArena);
  add(separable_layers(), "vectors", McuObjective::kLatency, IoPlace::kArena, "mps3-an547");
  add(separable_layers(), "tiles", McuObjective::kLatency, IoPlace::kArena, "esp32c3");
  add(random_lowered_module(5, {.max_states = 3}), "stream", McuObjective::kFlash, IoPlace::kArena);
  add(parse_module(kDelay), "delay", McuObjective::kLatency, IoPlace::kCaller);
  add(parse_module(kCoded), "coded", McuObjective::kLatency, IoPlace::kCaller);
  sources.push_back("main.c");  // of the last one
  const std::vector<std::string> prototypes = {"-Wstrict-prototypes", "-Wmissing-prototypes"};
  compile({"gcc", "-std=c99"}, prototypes, sources);
  compile({"clang-14", "-std=c11"}, prototypes, sources);
  compile({"arm-none-eabi-gcc", "-std=c99", "-mcpu=cortex-m4"}, prototypes, sources);
  compile({"arm-none-eabi-gcc", "-std=c11", "-mcpu=cortex-m55", "-mfloat-abi=hard"}, prototypes,
          sources);
  compile({"g++"}, {"-x", "c++", "-std=c++11"}, sources);
  compile({"clang++-14"}, {"-x", "c++", "-std=c++17"}, sources);
  compile({"arm-none-eabi-gcc", "-mcpu=cortex-m55", "-mfloat-abi=hard"}, {"-x", "c++"}, sources);
}

TEST_F(CTargetTest, NeedsOnlyTwoHeadersAndCallsOnlyTwoFunctions) {
  const Artifacts artifacts = emitted(parse_module(kAwkward), "net");
  write(artifacts);
  std::set<std::string> headers;
  const std::regex include(R"re(#include <([^>]*)>)re");
  for (const Artifact& artifact : artifacts) {
    if (artifact.path == "main.c") continue;
    const std::string& text = artifact.content;
    for (std::sregex_iterator i(text.begin(), text.end(), include), end; i != end; ++i)
      headers.insert((*i)[1]);
  }
  EXPECT_EQ(headers, (std::set<std::string>{"stdint.h", "string.h"}));
  run({"gcc", "-std=c99", "-O1", "-fno-stack-protector", "-c", "net.c", "net_weights.c"});
  for (const std::string& symbol : symbols("net.o", "U")) {
    EXPECT_TRUE(symbol == "memcpy" || symbol == "memset" || symbol == "_GLOBAL_OFFSET_TABLE_" ||
                symbol.starts_with("net_"))
        << symbol;
  }
  for (const char* object : {"net.o", "net_weights.o"}) {
    for (const std::string& symbol : symbols(object, "TDBCRVW"))
      EXPECT_TRUE(symbol.starts_with("net_")) << symbol;
    EXPECT_EQ(symbols(object, "dDBC"), std::set<std::string>{}) << "writable data";
  }
  EXPECT_EQ(symbols("net.o", "b"), std::set<std::string>{"net_arena"});
}

// An attribute for each, given on the command line.
TEST_F(CTargetTest, WeightsArenaAndStatesLieInSectionsOfTheirOwn) {
  // The first one that has all three.
  const auto has = [](const Artifacts& artifacts, const std::string& text) {
    return std::ranges::any_of(artifacts, [&](const Artifact& artifact) {
      return artifact.path.ends_with(".c") && artifact.path != "main.c" &&
             artifact.content.find(text) != std::string::npos;
    });
  };
  Artifacts artifacts;
  for (std::uint64_t seed = 5; seed < 60 && artifacts.empty(); ++seed) {
    auto made =
        emitted(random_lowered_module(seed, {.max_states = 3}), "net", McuObjective::kFlash);
    if (has(made, " net_arena") && has(made, " net_states") && has(made, "NET_WEIGHTS_SECTION"))
      artifacts = std::move(made);
  }
  ASSERT_FALSE(artifacts.empty());
  write(artifacts);
  const auto attribute = [](const std::string& what, const std::string& section) {
    return concat("-DNET_", what, "_SECTION=__attribute__((section(\"", section, "\")))");
  };
  run({"arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-c", "net.c", "net_weights.c",
       attribute("WEIGHTS", ".ccm_rodata"), attribute("ARENA", ".bss.dtcm"),
       attribute("STATES", ".bss.retained")});
  // A line of objdump: address, flags, section, size, name.
  const auto sections = [&](const std::string& object) {
    std::map<std::string, std::string> found;
    std::istringstream lines(run({"arm-none-eabi-objdump", "-t", object}));
    for (std::string line; std::getline(lines, line);) {
      const std::size_t object_flag = line.find(" O ");
      if (object_flag == std::string::npos) continue;
      std::istringstream words(line.substr(object_flag + 3));
      std::string section, size, name;
      if (words >> section >> size >> name) found[name] = section;
    }
    return found;
  };
  const auto code = sections("net.o"), weights = sections("net_weights.o");
  EXPECT_EQ(code.at("net_arena"), ".bss.dtcm");
  EXPECT_EQ(code.at("net_states"), ".bss.retained");
  EXPECT_FALSE(weights.empty());
  for (const auto& [name, section] : weights) EXPECT_EQ(section, ".ccm_rodata") << name;
  EXPECT_EQ(symbols("net.o", "dDBC"), std::set<std::string>{}) << "bytes to load";
}

// The heads of loops and conditions of a text of C that no brace follows (MISRA C 2012, rule 15.6).
std::vector<std::string> heads_without_brace(const std::string& text) {
  const std::regex head(R"(^ *(\} else *)?(for|if|while) \()"), other(R"(^ *(\} )?else\b(?! if))");
  std::vector<std::string> found;
  std::string pending;
  for (const std::string& line : split(text, '\n')) {
    if (line.starts_with("#")) continue;
    pending += line;
    const bool is_head = std::regex_search(pending, head);
    const bool is_open = std::ranges::count(pending, '(') > std::ranges::count(pending, ')');
    if (is_head && is_open) continue;
    if ((is_head || std::regex_search(pending, other)) && !pending.ends_with("{"))
      found.push_back(pending);
    pending.clear();
  }
  return found;
}

TEST_F(CTargetTest, BodiesAreInBraces) {
  EXPECT_EQ(heads_without_brace("  if (a &&\n      b)\n    c();\n  for (;;) {\n  }\n").size(), 1U);
  std::vector<Module> modules = {separable_layers(), parse_module(kCoded)};
  for (std::uint64_t seed = 0; seed < 12; ++seed)
    modules.push_back(random_lowered_module(seed, {.max_states = 2}));
  for (const Module& module : modules)
    for (const Artifact& artifact : emitted(module, "net"))
      if (artifact.path.ends_with(".c") || artifact.path.ends_with(".h")) {
        EXPECT_THAT(heads_without_brace(artifact.content), testing::IsEmpty()) << artifact.path;
      }
}

TEST(CWords, AreWrittenAsTheRestAndOnlyWhereCalled) {
  std::string calls;
  for (const std::string& name : c_word_names()) calls += concat("net_", name, "(); ");
  const std::string all = c_word_functions("net", calls);
  EXPECT_THAT(heads_without_brace(all), testing::IsEmpty());
  for (const std::string& line : split(all, '\n')) EXPECT_LE(line.size(), 100U) << line;
  EXPECT_THAT(all, HasSubstr("arm_mve.h"));
  EXPECT_EQ(c_word_functions("net", "net_sum(); subnet_word();"), "");
  // A pair needs the one that it is computed by, where there is no instruction.
  const std::string pair = c_word_functions("net", "x = net_signed_pair_1(word);");
  EXPECT_EQ(std::ranges::count(split(pair, '\n'), "#else"), 1);
  const std::size_t other = pair.find("#else");
  EXPECT_EQ(pair.substr(0, other).find("net_signed_pair_0("), std::string::npos);
  EXPECT_NE(pair.find("net_signed_pair_0(", other), std::string::npos);
  EXPECT_EQ(pair.find("net_dot"), std::string::npos);
}

TEST_F(CTargetTest, InputsAndOutputsLieInTheArena) {
  write(emitted(parse_module(R"(tandem-module 1
constant @w : int4[3,2] = [1,-2,3,4,5,-6]
graph @main(%x : int8[1,3], %never : int8[1,40]) -> (%y) {
  %w = constant @w
  %y : int13[1,2] = IntMatMul(%x, %w) {format = int13} "x_input"
}
)"),
                "net"));
  write({{"user.c", including({"net.h"}) + R"(#include <stdio.h>

int main(void) {
  int run, i;
  for (run = 0; run < 2; ++run) {
    for (i = 0; i < 3; ++i) net_x_input()[i] = (int8_t)(i + run);
    for (i = 0; i < 40; ++i) net_never_input()[i] = -1;
    net_run();
    printf("%d %d ", net_output()[0], net_output()[1]);
  }
  printf("%d\n", NET_ARENA_BYTES);
  return 0;
}
)"}});
  run({"gcc", "-std=c99", "-Wall", "-Werror", "user.c", "net.c", "net_weights.c", "-o", "user"});
  // 0*1 + 1*3 + 2*5, 0*-2 + 1*4 + 2*-6; 1 + 6 + 15, -2 + 8 - 18. The result takes the place of x.
  EXPECT_EQ(run({folder() + "/user"}), "13 -8 22 -12 44\n");
}

TEST_F(CTargetTest, LinesAreNoLongerThanAHundredColumns) {
  for (std::uint64_t seed = 0; seed < 24; ++seed) {
    for (const Artifact& artifact : emitted(random_lowered_module(seed), "net")) {
      if (!artifact.path.ends_with(".c") && !artifact.path.ends_with(".h")) continue;
      for (const std::string& line : split(artifact.content, '\n'))
        EXPECT_LE(line.size(), 100u) << artifact.path << ": " << line;
    }
  }
}

TEST_F(CTargetTest, RefusesWhatItCannotEmit) {
  const Module module = parse_module(kAwkward);
  EXPECT_THAT([&] { emitted(module, "my net"); },
              ThrowsMessage<Error>(HasSubstr("for example 'my_net'")));
  const Module real = parse_module(
      "tandem-module 1\ngraph @main(%x : f32[1,4]) -> (%y) {\n  %y : f32[1,4] = Relu(%x) \"act\"\n"
      "}\n");
  const std::vector<Issue> issues = CTarget().check(real);
  ASSERT_FALSE(issues.empty());
  EXPECT_EQ(issues.front().node, "x");
  EXPECT_EQ(issues.back().node, "act");
}

TEST(CNames, AreLegalUniqueAndFreeOfReservedWords) {
  EXPECT_EQ(c_name("/fc/MatMul_output_0"), "fc_MatMul_output_0");
  EXPECT_EQ(c_name("0"), "v0");
  EXPECT_EQ(c_name("__a"), "a");
  EXPECT_EQ(c_name("_"), "v");
  EXPECT_EQ(c_name("for"), "for_2");
  EXPECT_EQ(c_name("x.1", {"x_1", "x_1_2"}), "x_1_3");
}

TEST(CText, WrapsAtTheSpaceInFewestParentheses) {
  const std::string factor = "(aaaaaaaaaaaaaaaaaaaaaaaa + bbbbbbbbbbbbbbbbbbbbbb)";
  const std::string line = "  x = " + factor + " * " + factor + ";";
  EXPECT_EQ(wrapped(line + "\n"), "  x = " + factor + " *\n      " + factor + ";\n");
  EXPECT_EQ(wrapped("  short;\n\n"), "  short;\n\n");
  EXPECT_EQ(c_literal(INT64_MIN, Storage::kI64), "(-INT64_C(9223372036854775807) - 1)");
  EXPECT_EQ(c_literal(INT32_MIN, Storage::kI32), "(-2147483647 - 1)");
}

}  // namespace
}  // namespace tandem::test
