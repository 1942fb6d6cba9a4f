#include "tandem/files/onnx_writer.h"

#include <cstdlib>
#include <filesystem>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/files/onnx_reader.h"
#include "tandem/graph/equality.h"
#include "tandem/graph/printer.h"
#include "tandem/ops/register.h"
#include "tandem/transform/lower.h"

#include "tests/files/golden_cases.h"
#include "tests/support/paths.h"

namespace tandem {
namespace {

using test::golden_cases;
using test::GoldenCase;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class OnnxWriter : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { register_operators(); }
};

Module read(const std::string& bytes) {
  return read_onnx(std::as_bytes(std::span(bytes)), "model");
}

// Keeps a written model where check_written.py asks for it.
void keep(const std::string& name, const std::string& bytes) {
  if (const char* folder = std::getenv("TANDEM_WRITTEN"))
    write_file_atomic(std::filesystem::path(folder) / (name + ".onnx"), bytes);
}

// The dialect, after checking that what was written reads back as the same network.
OnnxDialect round_trip(const Module& module, const std::string& kept = "") {
  const OnnxFile file = write_onnx(module);
  if (!kept.empty()) keep(kept, file.bytes);
  const Module back = read(file.bytes);
  EXPECT_EQ(difference(module, back), std::nullopt);
  EXPECT_EQ(back.metadata.contains("producer"), true);
  EXPECT_EQ(back.symbols.size(), module.symbols.size());
  return file.dialect;
}

// A network of one input x [N,4] and the given lines, which compute %y.
Module network(const std::string& constants, const std::string& lines) {
  return parse_module("tandem-module 1\nsymbol N in [1,64]\nconstant @s : f32[] = [0.5]\n" +
                      constants + "\ngraph @main(%x : f32[N,4]) -> (%y) {\n  %s = constant @s\n" +
                      lines + "\n}");
}

TEST_F(OnnxWriter, WrittenOperatorsReadBack) {
  int quantized = 0;
  for (const GoldenCase& c : golden_cases("operators")) {
    SCOPED_TRACE(c.name);
    const Module module = read(c.model);
    ASSERT_NO_THROW({
      const OnnxDialect dialect = round_trip(module, "operators_" + c.name);
      const bool is_quantized = print_module(module).find("quantize(") != std::string::npos ||
                                print_module(module).find("Quantize(") != std::string::npos;
      EXPECT_EQ(dialect, is_quantized ? OnnxDialect::kQdq : OnnxDialect::kPlain);
      if (is_quantized) ++quantized;
    });
  }
  EXPECT_GT(quantized, 10);
}

// All but what ONNX says in other words, or not at all.
TEST_F(OnnxWriter, WrittenLayersReadBack) {
  const std::map<std::string, std::string> refused = {
      {"MaxPool_indices_12", "it is not written as an operator of ONNX"},
      {"MaxPool_columns_12", "it is not written as an operator of ONNX"},
      {"MaxUnpool_11", "it is not written as an operator of ONNX"},
      {"DynamicQuantizeLinear_11", "its zero point is no constant"},
      {"DequantizeLinear_fed_13", "its zero point is no constant"},
      {"DequantizeLinear_blocks_21", "its scale varies along more than one axis"}};
  for (const GoldenCase& c : golden_cases("layers")) {
    SCOPED_TRACE(c.name);
    const Module module = read(c.model);
    const auto reason = refused.find(c.name);
    if (reason == refused.end())
      EXPECT_NO_THROW(round_trip(module));
    else
      EXPECT_THAT([&] { write_onnx(module, "cut"); },
                  ThrowsMessage<Error>(HasSubstr(reason->second)));
  }
}

// All but a Trunc, whose two quantizers have different scales.
TEST_F(OnnxWriter, WrittenQonnxGraphsReadBack) {
  int written = 0;
  for (const GoldenCase& c : golden_cases("qonnx")) {
    SCOPED_TRACE(c.name);
    const Module module = read(c.model);
    if (c.name.starts_with("trunc")) {
      EXPECT_THAT(
          [&] { write_onnx(module, "cut"); },
          ThrowsMessage<Error>(AllOf(HasSubstr("cannot be written"), HasSubstr("QuantizeLinear: "),
                                     HasSubstr("has another scale or zero point"))));
      continue;
    }
    ASSERT_NO_THROW(round_trip(module, "qonnx_" + c.name));
    ++written;
  }
  EXPECT_GT(written, 50);
}

TEST_F(OnnxWriter, ChoosesTheDialectByWhatItCanSay) {
  const auto dialect = [](const std::string& attributes) {
    return round_trip(network("", "  %q : " + attributes.substr(0, attributes.find(' ')) +
                                      "[N,4] = Quantize(%x, %s) {format = " + attributes +
                                      "}\n  %y : f32[N,4] = Dequantize(%q, %s)"));
  };
  EXPECT_EQ(dialect("int8 "), OnnxDialect::kQdq);
  EXPECT_EQ(dialect("uint8 "), OnnxDialect::kQdq);
  EXPECT_EQ(dialect("int4 "), OnnxDialect::kQdq);
  EXPECT_EQ(dialect("uint16 "), OnnxDialect::kQdq);
  EXPECT_EQ(dialect("int3 "), OnnxDialect::kQonnx);
  EXPECT_EQ(dialect("uint13 "), OnnxDialect::kQonnx);
  EXPECT_EQ(dialect("int8 , limits = [-127,127]"), OnnxDialect::kQonnx);
  EXPECT_EQ(dialect("uint4 , limits = [0,14]"), OnnxDialect::kQonnx);
  EXPECT_EQ(dialect("int8 , rounding = \"floor\""), OnnxDialect::kQonnx);
}

TEST_F(OnnxWriter, KeepsZerosOnTheirSideOfTheRounding) {
  const auto text = [](const std::string& side) {
    return network("constant @z : f32[] = [3]",
                   "  %z = constant @z\n  %q : int8[N,4] = Quantize(%x, %s, %z) {format = int8, "
                   "zero_added = \"" +
                       side +
                       "_rounding\"}\n"
                       "  %y : f32[N,4] = Dequantize(%q, %s, %z)");
  };
  EXPECT_EQ(round_trip(text("after")), OnnxDialect::kQdq);
  EXPECT_EQ(round_trip(text("before")), OnnxDialect::kQonnx);
}

// One quantizer that only QONNX can say does not hinder one that only QuantizeLinear can.
// QuantizeLinear has lists of one length, so one zero point is written once for each channel.
TEST_F(OnnxWriter, WritesOneZeroPointBesideAScaleForEachChannel) {
  const std::string constants = "constant @c : f32[4] = [0.5,1,2,4]\nconstant @z : f32[] = [3]";
  for (const char* zero : {"%z", "%z4"}) {
    const Module module =
        network(constants + "\nconstant @z4 : f32[4] = [3,3,3,3]",
                concat("  %c = constant @c\n  %z = constant @z\n  %z4 = constant @z4\n"
                       "  %q : uint8[N,4] = Quantize(%x, %c, ",
                       zero,
                       ") {format = uint8, zero_added = \"after_rounding\"}\n"
                       "  %y : f32[N,4] = Dequantize(%q, %c, ",
                       zero, ")"));
    EXPECT_EQ(round_trip(module), OnnxDialect::kQdq);
  }
}

TEST_F(OnnxWriter, MixesBothWhereItMust) {
  const Module module = network(
      "constant @z : f32[] = [3]",
      "  %z = constant @z\n  %q : int8[N,4] = Quantize(%x, %s, %z) {format = int8, zero_added = "
      "\"after_rounding\"}\n  %r : f32[N,4] = Dequantize(%q, %s, %z)\n"
      "  %p : int3[N,4] = Quantize(%r, %s) {format = int3}\n  %y : f32[N,4] = Dequantize(%p, %s)");
  EXPECT_EQ(round_trip(module), OnnxDialect::kQonnx);
}

TEST_F(OnnxWriter, WritesCodesThatLeaveTheNetwork) {
  const Module module = network("", "  %y : int8[N,4] = Quantize(%x, %s) {format = int8}");
  EXPECT_EQ(round_trip(module), OnnxDialect::kQdq);
}

TEST_F(OnnxWriter, RefusesWhatNeitherCanSay) {
  const auto refusal = [](const std::string& attributes, const std::string& scale) {
    const Module module =
        network("constant @t : f32[] = [0.25]",
                "  %t = constant @t\n  %q : int8[N,4] = Quantize(%x, %s) {format = int8" +
                    attributes + "}\n  %y : f32[N,4] = Dequantize(%q, %" + scale + ")");
    try {
      write_onnx(module, "net");
    } catch (const RefusedModel& error) {
      return std::string(error.what());
    }
    return std::string("written");
  };
  EXPECT_THAT(refusal(", rounding = \"half_up\"", "s"),
              AllOf(HasSubstr("net: 1 node"), HasSubstr("node 'q' (Quantize)"),
                    HasSubstr("no rounding half_up")));
  EXPECT_THAT(refusal(", overflow = \"wrap\"", "s"), HasSubstr("no overflow wrap"));
  EXPECT_THAT(refusal(", limits = [-5,6]", "s"), HasSubstr("no limits narrower"));
  EXPECT_THAT(refusal(", zero_added = \"after_rounding\", rescale = \"single_rounding\"", "s"),
              HasSubstr("no rescale single_rounding"));
  EXPECT_THAT(refusal(", rounding = \"floor\"", "t"), HasSubstr("another scale"));
  EXPECT_EQ(refusal("", "t"), "written") << "QuantizeLinear takes scales of its own";
}

TEST_F(OnnxWriter, RefusesLoweredModulesAndStates) {
  const Module lowered = parse_module(R"(tandem-module 1
constant @one : f64[] = [1]
constant @zero : f64[] = [0]
graph @main(%x : int8[1,4] coded(@one,@zero)) -> (%y coded(@one,@zero)) {
  %y : int8[1,4] = Clamp(%x) {format = int8, min = 0, max = 127}
})");
  EXPECT_THAT([&] { write_onnx(lowered, "low"); },
              ThrowsMessage<Error>(AllOf(HasSubstr("low: "), HasSubstr("lowered to integers"))));
  const Module stateful = parse_module(R"(tandem-module 1
constant @zero : f32[4] = [0,0,0,0]
state @h : f32[4] = @zero stream
graph @main(%x : f32[4]) -> (%y) updates(@h = %y) {
  %h = state @h
  %y : f32[4] = Add(%x, %h)
})");
  EXPECT_THAT([&] { write_onnx(stateful); },
              ThrowsMessage<Error>(HasSubstr("no place for states")));
}

TEST_F(OnnxWriter, KeepsBoundsAndMetadata) {
  Module module = network("", "  %y : f32[N,4] = Relu(%x)");
  module.metadata = {{"producer", "trainer"}, {"preprocessing", "uint8 codes"}};
  const Module back = read(write_onnx(module).bytes);
  ASSERT_EQ(back.symbols.size(), 1u);
  EXPECT_EQ(back.symbols[0].name, "N");
  EXPECT_EQ(back.symbols[0].min, 1);
  EXPECT_EQ(back.symbols[0].max, 64);
  EXPECT_EQ(back.metadata.at("producer"), "trainer");
  EXPECT_EQ(back.metadata.at("preprocessing"), "uint8 codes");
}

TEST_F(OnnxWriter, RoundTripsTheSharedNetworks) {
  TANDEM_REQUIRE_DATA("models/qonnx");
  for (const auto& entry : std::filesystem::directory_iterator(test::data_dir() / "models/qonnx")) {
    SCOPED_TRACE(entry.path().string());
    const Module module = read_onnx(entry.path());
    EXPECT_EQ(round_trip(module), OnnxDialect::kQonnx);
  }
}

}  // namespace
}  // namespace tandem
