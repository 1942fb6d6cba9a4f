#include "tandem/verify/qemu_execution.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/base/process.h"
#include "tandem/graph/printer.h"
#include "tandem/mapping/mcu_planner.h"
#include "tandem/ops/register.h"
#include "tandem/verify/equality.h"
#include "tandem/verify/samples.h"

#include "tests/support/random_module.h"
#include "tests/verify/varied_plans.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr std::string_view kLayer = R"(tandem-module 1
constant @w : int4[4,3] = [1,-2,3,4,5,-6,7,-8,0,1,2,3]
constant @m : int32[3] = [1234567,-3456789,99991]
constant @b : int8[1] = [5]
constant @s : uint6[1] = [22]
graph @main(%x : int8[1,4]) -> (%z) {
  %w = constant @w
  %m = constant @m
  %b = constant @b
  %s = constant @s
  %y : int13[1,3] = IntMatMul(%x, %w) {format = int13} "fc"
  %a : int14[1,3] = IntAdd(%y, %y) {format = int14} "double"
  %z : int8[1,3] = Rescale(%a, %m, %b, %s) {format = int8} "rescale"
}
)";

class QemuTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { register_operators(); }
};

// With a compiler and an emulator that the demo does without.
class QemuRiscvTest : public QemuTest {
 protected:
  void SetUp() override {
    for (const char* program : {"riscv64-unknown-elf-gcc", "qemu-system-riscv32"})
      if (!has_program(program))
        GTEST_SKIP() << program << " is not installed; tools/setup.sh test does";
  }
};

TEST_F(QemuTest, ALayerEqualsTheReferenceOnBothCores) {
  const Module module = parse_module(kLayer);
  const Samples inputs = stack(random_inputs(module, 1, 10));
  const Samples expected = make_execution("reference", module)->run(inputs);
  for (const char* device : {"mps2-an386", "mps2-an500", "stm32f746"}) {
    ExecutionOptions options;
    options.device = device;
    const bool in_arena = std::string_view(device) == "mps2-an386";
    if (!in_arena) options.plan = plan_mcu(module, find_device(device), {.io = IoPlace::kCaller});
    const auto qemu = make_execution("qemu", module, options);
    const Equality equality = compare_samples(expected, qemu->run(inputs));
    EXPECT_TRUE(equality.equal()) << to_string(equality, "reference", device);
    const auto& measured = qemu->measured();
    EXPECT_EQ(measured.at("weights_bytes"), 16);  // three columns in pairs
    EXPECT_EQ(measured.at("tables_bytes"), 12);   // three multipliers
    // In the arena two of the three results are written before the last column reads all four
    // codes.
    EXPECT_EQ(measured.at("arena_bytes"), in_arena ? 2 + 4 : 0);
    EXPECT_EQ(measured.at("io_bytes"), in_arena ? 0 : 4 + 3);
    EXPECT_GT(measured.at("instructions_per_run"), 40);
    EXPECT_LT(measured.at("instructions_per_run"), 200);
  }
}

// Random modules, planned for a device, in one firmware.
void expect_random_modules_equal(const char* device_name) {
  std::vector<Module> modules;
  std::vector<Plan> plans;
  std::vector<Samples> inputs;
  std::vector<CNetwork> networks;
  std::string input;
  const Device device = find_device(device_name);
  for (std::uint64_t seed = 1000; seed < 1024; ++seed) {
    modules.push_back(random_lowered_module(seed));
    plans.push_back(plan_mcu(modules.back(), device));
    inputs.push_back(stack(random_inputs(modules.back(), seed, 8)));
    input += pack_count(8) + pack_samples(inputs.back());
  }
  for (std::size_t i = 0; i < modules.size(); ++i)
    networks.push_back({&modules[i], &plans[i], "net" + std::to_string(i)});
  const TemporaryFolder folder("qemu");
  QemuOptions options;
  options.core = device.unit().text("core");
  const QemuProgram program = build_qemu_program(networks, folder.path().string(), options);
  const QemuRun run = run_qemu_program(program, input);
  std::string expected;
  std::size_t as_planned = 0;
  for (std::size_t i = 0; i < modules.size(); ++i) {
    expected += pack_samples(make_execution("reference", modules[i])->run(inputs[i]));
    const LinkedSizes sizes = linked_sizes(program.sections, plans[i], networks[i].name);
    std::int64_t weights = 0, tables = 0;
    for (const Buffer& buffer : plans[i].buffers) {
      if (buffer.role == BufferRole::kWeights) weights += buffer.bytes;
      if (buffer.role == BufferRole::kTable) tables += buffer.bytes;
    }
    EXPECT_LE(sizes.weights_bytes, weights);
    EXPECT_LE(sizes.tables_bytes, tables);
    as_planned += sizes.arena_bytes == plans[i].peak_bytes.at("sram") &&
                  sizes.weights_bytes == weights && sizes.tables_bytes == tables;
    EXPECT_GT(run.instructions[i], 0);
  }
  // In values of one element the compiler may find a constant that the plan's ranges miss.
  EXPECT_GE(as_planned, modules.size() - 1);
  EXPECT_TRUE(run.output == expected) << "outputs under QEMU differ from the reference";
}

TEST_F(QemuTest, RandomModulesEqualTheReferenceInOneFirmware) {
  expect_random_modules_equal("mps2-an386");
}

TEST_F(QemuRiscvTest, RandomModulesEqualTheReferenceInOneFirmware) {
  expect_random_modules_equal("esp32c3");
}

void expect_all_forms_equal(const std::vector<std::string>& cores) {
  std::vector<Module> modules;
  std::vector<CNetwork> networks;
  std::string input, expected;
  for (std::uint64_t seed = 2000; seed < 2060; ++seed) {
    modules.push_back(random_lowered_module(seed));
    const Samples inputs = stack(random_inputs(modules.back(), seed, 4));
    input += pack_count(4) + pack_samples(inputs);
    expected += pack_samples(make_execution("reference", modules.back())->run(inputs));
  }
  const std::vector<Plan> plans = varied_plans(modules);
  for (std::size_t i = 0; i < modules.size(); ++i)
    networks.push_back({&modules[i], &plans[i], "net" + std::to_string(i)});
  for (const std::string& core : cores) {
    const TemporaryFolder folder("qemu");
    QemuOptions options;
    options.core = core;
    options.counted_runs = 0;
    const QemuRun run =
        run_qemu_program(build_qemu_program(networks, folder.path().string(), options), input);
    EXPECT_TRUE(run.output == expected) << core;
  }
}

// Words on the M4, vectors and quads on the M55, their portable forms on the M0+.
TEST_F(QemuTest, AllKernelFormsEqualTheReferenceOnCoresThatHaveTheirInstructions) {
  expect_all_forms_equal({"cortex-m0plus", "cortex-m4", "cortex-m55"});
}

TEST_F(QemuRiscvTest, AllKernelFormsEqualTheReference) {
  expect_all_forms_equal({"rv32imc", "rv32imac"});
}

// Elements of a loop that all take the same way take the same instructions: the counter has no
// grain.
TEST_F(QemuRiscvTest, CountsSingleInstructions) {
  const auto instructions = [](std::int64_t elements) {
    const std::string shape = concat("[1,", elements, "]");
    const Module module = parse_module(
        concat("tandem-module 1\ngraph @main(%x : int8", shape, ") -> (%y) {\n  %y : int8", shape,
               " = Clamp(%x) {format = int8, min = -9, max = 99}\n}\n"));
    ExecutionOptions options;
    options.device = "gd32vf103";
    options.plan = plan_mcu(module, find_device(options.device), {.io = IoPlace::kCaller});
    const auto qemu = make_execution("qemu", module, options);
    // Codes that are not clamped, so that each takes the same way.
    const std::vector<std::int64_t> codes(static_cast<std::size_t>(elements), 5);
    qemu->run(Samples{Tensor::from_integers(Format::parse("int8"), {1, 1, elements}, codes)});
    return qemu->measured().at("instructions_per_run");
  };
  const double first = instructions(100), more = instructions(101) - first;
  EXPECT_GE(more, 4);  // a load, two comparisons, a store
  EXPECT_LE(more, 12);
  EXPECT_EQ(instructions(110) - first, 10 * more);
  EXPECT_EQ(instructions(200) - first, 100 * more);
}

TEST_F(QemuRiscvTest, ALayerEqualsTheReference) {
  const Module module = parse_module(kLayer);
  const Samples inputs = stack(random_inputs(module, 1, 10));
  const Samples expected = make_execution("reference", module)->run(inputs);
  for (const char* device : {"esp32c3", "gd32vf103"}) {
    ExecutionOptions options;
    options.device = device;
    const auto qemu = make_execution("qemu", module, options);
    const Equality equality = compare_samples(expected, qemu->run(inputs));
    EXPECT_TRUE(equality.equal()) << to_string(equality, "reference", device);
    EXPECT_EQ(qemu->measured().at("weights_bytes"), 12);
    EXPECT_EQ(qemu->measured().at("tables_bytes"), 12);
    EXPECT_GT(qemu->measured().at("instructions_per_run"), 40);
    EXPECT_LT(qemu->measured().at("instructions_per_run"), 200);
  }
}

TEST_F(QemuRiscvTest, TheFirstLayerThatDiffersIsNamed) {
  const Module module = parse_module(kLayer);
  Module other = module;
  other.constants[0].tensor =
      Tensor::from_integers(Format::parse("int4"), {4, 3},
                            std::vector<std::int64_t>{1, -2, 3, 4, 5, -6, 7, -8, 1, 1, 2, 3});
  const Samples inputs = stack(random_inputs(module, 2, 10));
  const auto reference = make_execution("reference", module);
  ExecutionOptions options;
  options.device = "esp32c3";
  const auto qemu = make_execution("qemu", other, options);
  const Equality equality = compare_executions(module, *reference, reference->run(inputs), *qemu,
                                               qemu->run(inputs), inputs);
  EXPECT_THAT(equality.first_layer, HasSubstr("Rescale 'rescale', element 2 of [1,3]"));
}

TEST_F(QemuTest, TheFirstLayerThatDiffersIsNamed) {
  const Module module = parse_module(kLayer);
  Module other = module;
  other.constants[0].tensor =
      Tensor::from_integers(Format::parse("int4"), {4, 3},
                            std::vector<std::int64_t>{1, -2, 3, 4, 5, -6, 7, -8, 1, 1, 2, 3});
  const Samples inputs = stack(random_inputs(module, 2, 10));
  const auto reference = make_execution("reference", module), c = make_execution("c", other),
             qemu = make_execution("qemu", other);
  const Samples expected = reference->run(inputs);
  for (Execution* execution : {c.get(), qemu.get()}) {
    const Equality equality = compare_executions(module, *reference, expected, *execution,
                                                 execution->run(inputs), inputs);
    EXPECT_FALSE(equality.equal());
    EXPECT_THAT(equality.first_layer, HasSubstr("Rescale 'rescale', element 2 of [1,3]"));
  }
}

TEST_F(QemuTest, ANetworkBeyondTheMachineIsRefused) {
  const Module module = parse_module(
      "tandem-module 1\ngraph @main(%x : int32[1,2000000]) -> (%y) {\n"
      "  %y : int32[1,2000000] = Clamp(%x) {format = int32, min = -9, max = 9}\n}\n");
  const Samples inputs = {Tensor(Format::parse("int32"), {1, 1, 2000000})};
  EXPECT_THAT([&] { make_execution("qemu", module)->run(inputs); },
              ThrowsMessage<Error>(HasSubstr("does not fit the QEMU machine mps2-an386")));
  ExecutionOptions options;
  options.device = "mps2-an38";
  EXPECT_THAT([&] { make_execution("qemu", module, options); },
              ThrowsMessage<Error>(HasSubstr("mps2-an386")));
}

TEST(LinkerMap, ReadsNamesOnTheirOwnLineAndSkipsWhatWasDiscarded) {
  const std::string map = R"(Discarded input sections

 .text.gone     0x00000000        0x8 a.o

Linker script and memory map

.text           0x00000000       0x60
 .text.net_run  0x00000000       0x1a net.c.o
 .text.net_a_rather_long_function
                0x0000001c       0x10 net.c.o
 .rodata.net_fc_weights
                0x0000002c       0x0c net_weights.c.o
 .text.memcpy   0x00000038       0x20 /usr/lib/libc_nano.a(memcpy.o)
 *fill*         0x00000058       0x2
.bss            0x20000000       0x40
 .bss.net_arena 0x20000000       0x40 net.c.o
)";
  const std::vector<MapSection> sections = parse_linker_map(map, "x.map");
  ASSERT_EQ(sections.size(), 5u);
  EXPECT_EQ(sections[1].symbol(), "net_a_rather_long_function");
  Plan plan;
  plan.buffers.emplace_back();
  plan.buffers[0].name = "fc_weights";
  plan.buffers[0].role = BufferRole::kWeights;
  plan.buffers[0].memory = "flash";
  const LinkedSizes sizes = linked_sizes(sections, plan, "net");
  EXPECT_EQ(sizes.code_bytes, 0x1a + 0x10);
  EXPECT_EQ(sizes.weights_bytes, 0xc);
  EXPECT_EQ(sizes.arena_bytes, 0x40);
  EXPECT_EQ(sizes.library_bytes, 0x20);
  EXPECT_THAT([] { parse_linker_map("hello", "x.map"); },
              ThrowsMessage<Error>(HasSubstr("x.map: no map")));
}

}  // namespace
}  // namespace tandem
