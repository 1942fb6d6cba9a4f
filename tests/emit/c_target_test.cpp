#include "tandem/emit/c_target.h"

#include <regex>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/base/process.h"
#include "tandem/base/random.h"
#include "tandem/base/text.h"
#include "tandem/emit/c_printer.h"
#include "tandem/graph/printer.h"
#include "tandem/mapping/mcu_planner.h"
#include "tandem/ops/register.h"
#include "tandem/plan/mcu_plan.h"
#include "tandem/verify/c_program.h"

#include "tests/support/random_module.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// Names that C and C++ keep for themselves, that differ in case only, and that the emitted code
// uses; a step that is computed in scratch; two layers of one name but for a dot.
constexpr std::string_view kAwkward = R"(tandem-module 1
constant @w : int4[6,3] = [1,-2,3,4,5,-6,7,-8,0,1,2,3,1,-2,3,4,5,-6]
constant @k : int4[2,3,3,2] = [1,2,3,4,5,6,7,-1,-2,-3,-4,-5,-6,-7,1,2,3,4,5,6,7,-1,-2,-3,-4,-5,-6,-7,1,2,3,4,5,6,7,-1]
graph @main(%0 : int8[1,4,4,2], %a : int8[1,6], %A : int8[1,6]) -> (%for, %_x) {
  %w = constant @w
  %k = constant @k
  %s : int9[1,6] = IntAdd(%a, %A) {format = int9} "run"
  %for : int17[1,3] = IntMatMul(%s, %w) {format = int17} "fc.1"
  %u : int17[1,3] = IntMatMul(%a, %w) {format = int17} "fc_1"
  %v : int18[1,3] = IntSub(%u, %for) {format = int18} "fc_1_weights"
  %_x : int20[1,4,4,2] = IntConv(%0, %k) {format = int20, pads = [1,1,1,1]} "memcpy"
}
)";

// A pointwise, a depthwise and a full convolution of int8, each with a rescaling: their forms use
// words on a Cortex-M4, vectors and quads on a Cortex-M55.
Module separable_layers() {
  RandomSequence random(1, "test/separable");
  const auto constant = [&](const std::string& name, const std::string& type, std::int64_t count,
                            std::int64_t low, std::int64_t high) {
    std::vector<std::string> values;
    for (std::int64_t i = 0; i < count; ++i)
      values.push_back(std::to_string(random.integer(low, high)));
    return concat("constant @", name, " : ", type, " = [", join(values, ","), "]\n");
  };
  std::string constants, nodes;
  const auto layer = [&](const std::string& from, const std::string& to, const std::string& shape,
                         std::int64_t weights, const std::string& attributes) {
    constants += constant(to + "_w", concat("int8[", shape, "]"), weights, -127, 127) +
                 constant(to + "_m", "int32[16]", 16, 1 << 30, INT32_MAX) +
                 constant(to + "_b", "int41[16]", 16, -100, 100) +
                 constant(to + "_s", "uint8[16]", 16, 38, 40);
    for (const char* part : {"_w", "_m", "_b", "_s"})
      nodes += concat("  %", to, part, " = constant @", to, part, "\n");
    nodes += concat("  %", to, "_sum : int32[1,8,8,16] = IntConv(%", from, ", %", to,
                    "_w) {format = int32", attributes, "}\n  %", to,
                    " : int8[1,8,8,16] = Rescale(%", to, "_sum, %", to, "_m, %", to, "_b, %", to,
                    "_s) {format = int8, rounding = \"floor\"}\n");
  };
  layer("x", "point", "16,1,1,16", 256, "");
  layer("point", "depth", "16,3,3,1", 144, ", group = 16, pads = [1,1,1,1]");
  layer("depth", "full", "16,3,3,16", 2304, ", pads = [1,1,1,1]");
  return parse_module(concat("tandem-module 1\n", constants,
                             "graph @main(%x : int8[1,8,8,16]) -> (%full) {\n", nodes, "}\n"));
}

Artifacts emitted(const Module& module, const std::string& name,
                  McuObjective objective = McuObjective::kLatency, IoPlace io = IoPlace::kArena,
                  const char* device_name = "mps2-an386") {
  const Device device = find_device(device_name);
  return CTarget().emit(module, plan_mcu(module, device, {.objective = objective, .io = io}), name);
}

// The symbols of an object file of one of nm's kinds ("U", "T", "b", ...).
std::set<std::string> symbols(const std::string& object, const std::string& kinds,
                              const std::string& folder) {
  std::set<std::string> found;
  std::istringstream lines(run_tool({"nm", object}, "reading symbols", {.folder = folder}).output);
  for (std::string line; std::getline(lines, line);) {
    const auto words = split(line, ' ');
    const std::string& kind = words[words.size() - 2];
    if (kind.size() == 1 && kinds.find(kind) != std::string::npos) found.insert(words.back());
  }
  return found;
}

class CTargetTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { register_operators(); }

  void write(const Artifacts& artifacts) { write_files(artifacts, folder()); }
  std::string folder() const { return folder_.path().string(); }
  void run(const std::vector<std::string>& command) {
    run_tool(command, "building the emitted C", {.folder = folder()});
  }

  // With every warning that projects of firmware are built with, as an error.
  void compile(std::vector<std::string> command, const std::vector<std::string>& language,
               const std::vector<std::string>& sources) {
    command.insert(command.end(), language.begin(), language.end());
    for (const char* option :
         {"-O1", "-Werror", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion",
          "-Wshadow", "-Wundef", "-Wcast-qual", "-Wunused-function", "-Wdouble-promotion", "-c"})
      command.push_back(option);
    command.insert(command.end(), sources.begin(), sources.end());
    run(command);
  }

  TemporaryFolder folder_{"c_target"};
};

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
  add(random_lowered_module(5, {.max_states = 3}), "stream", McuObjective::kFlash, IoPlace::kArena);
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
  for (const std::string& symbol : symbols("net.o", "U", folder())) {
    EXPECT_TRUE(symbol == "memcpy" || symbol == "memset" || symbol == "_GLOBAL_OFFSET_TABLE_" ||
                symbol.starts_with("net_"))
        << symbol;
  }
  for (const char* object : {"net.o", "net_weights.o"}) {
    for (const std::string& symbol : symbols(object, "TDBCRVW", folder()))
      EXPECT_TRUE(symbol.starts_with("net_")) << symbol;
    EXPECT_EQ(symbols(object, "dDBC", folder()), std::set<std::string>{}) << "writable data";
  }
  EXPECT_EQ(symbols("net.o", "b", folder()), std::set<std::string>{"net_arena"});
}

TEST_F(CTargetTest, TheExampleBuildsAloneAndAgreesWithTheReference) {
  for (const IoPlace io : {IoPlace::kCaller, IoPlace::kArena}) {
    write(emitted(parse_module(kAwkward), "net", McuObjective::kLatency, io));
    const ProcessResult made = run_tool({"make", "run"}, "make run", {.folder = folder()});
    EXPECT_THAT(made.output, HasSubstr("net: 0 of 35 output values differ from the reference"));
    run({"make", "clean"});
  }
  run({"make", "libnet.a", "CC=arm-none-eabi-gcc", "AR=arm-none-eabi-ar",
       "CFLAGS=-O2 -mcpu=cortex-m4 -mthumb"});
}

// A delay of two calls: without the states, or without the reset, the example would differ. What is
// set once takes no bytes of initialized data.
TEST_F(CTargetTest, TheExampleOfAStreamRunsItAgainAfterAReset) {
  const Module module = parse_module(R"(tandem-module 1
constant @first : int8[1,3] = [5,-6,7]
constant @second : int8[1,3] = [9,9,9]
state @reset : int8[1,3] = @first stream
state @states : int8[1,3] = @second stream
graph @main(%x : int8[1,3]) -> (%y) updates(@reset = %x, @states = %a) {
  %a = state @reset
  %b = state @states
  %y : int9[1,3] = IntAdd(%b, %x) {format = int9} "reset"
}
)");
  for (const IoPlace io : {IoPlace::kCaller, IoPlace::kArena}) {
    const Artifacts artifacts = emitted(module, "net", McuObjective::kLatency, io);
    for (const Artifact& artifact : artifacts)
      for (const std::string& line : split(artifact.content, '\n'))
        EXPECT_LE(line.size(), 100U) << artifact.path << ": " << line;
    write(artifacts);
    const ProcessResult made = run_tool({"make", "run"}, "make run", {.folder = folder()});
    EXPECT_THAT(made.output, HasSubstr("net: 0 of 18 output values differ from the reference"));
    EXPECT_EQ(symbols("net.o", "dDBC", folder()), std::set<std::string>{}) << "writable data";
    EXPECT_TRUE(symbols("net.o", "b", folder()).contains("net_states"));
    run({"make", "clean"});
  }
}

TEST_F(CTargetTest, TheExampleFindsAWrongWeight) {
  Artifacts artifacts = emitted(parse_module(kAwkward), "net");
  for (Artifact& artifact : artifacts) {
    if (artifact.path != "net_weights.c") continue;
    const std::size_t weight = artifact.content.find("-8");
    ASSERT_NE(weight, std::string::npos);
    artifact.content.replace(weight, 2, "-7");
  }
  write(artifacts);
  const ProcessResult made = run_process({"make", "run"}, {.folder = folder()});
  EXPECT_NE(made.exit_code, 0);
  EXPECT_EQ(made.output.find("net: 0 of"), std::string::npos);
}

TEST_F(CTargetTest, TwoNetworksWithLayersOfEqualNamesLinkTogether) {
  Module other = parse_module(kAwkward);
  other.constants[0].tensor =
      Tensor::from_integers(Format::parse("int4"), {6, 3}, std::vector<std::int64_t>(18, 7));
  write(emitted(parse_module(kAwkward), "first", McuObjective::kLatency, IoPlace::kCaller));
  write(emitted(other, "second", McuObjective::kLatency, IoPlace::kCaller));
  const std::string include = "#include ";
  write({{"both.c",
          include + "<stdio.h>\n" + include + "\"first.h\"\n" + include + "\"second.h\"\n" + R"(
static int8_t image[32], a[6] = {1, 2, 3, 4, 5, 6}, b[6];
static int32_t product[3], map[32];
int main(void) {
  first_run(image, a, b, product, map);
  printf("%ld ", (long)product[0]);
  second_run(image, a, b, product, map);
  printf("%ld\n", (long)product[0]);
  return 0;
}
)"}});
  run({"gcc", "-std=c99", "-Wall", "-Werror", "both.c", "first.c", "first_weights.c", "second.c",
       "second_weights.c", "-o", "both"});
  // 1*1 + 2*4 + 3*7 + 4*1 + 5*1 + 6*4 and 7 * 21.
  EXPECT_EQ(run_tool({folder() + "/both"}, "both", {}).output, "63 147\n");
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
  const std::string include = "#include ";
  write({{"user.c", include + "<stdio.h>\n" + include + "\"net.h\"\n" + R"(
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
  EXPECT_EQ(run_tool({folder() + "/user"}, "user", {}).output, "13 -8 22 -12 44\n");
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
}  // namespace tandem
