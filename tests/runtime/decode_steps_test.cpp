#include "tandem/runtime/decode_steps.h"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

#include "tandem/graph/builder.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/printer.h"
#include "tandem/runtime/host_network.h"
#include "tandem/runtime/host_plan.h"

#include "tests/runtime/host_runs.h"

namespace tandem {
namespace {

// Networks of one product with constant codes as its weights.
class DecodeSteps : public OnAnyProcessor {
 protected:
  struct Weights {
    const char* format = "int4";
    std::int64_t depth = 64, columns = 24;
    std::int64_t group = 0;  // 0: all of a column
    bool transposed = false, with_zeros = false;
    const char* scales = "f32";
  };

  Tensor random(const Format& format, const Shape& shape, double low, double high,
                bool whole = false) {
    std::uniform_real_distribution<double> uniform(low, high);
    std::vector<double> values(static_cast<std::size_t>(element_count(shape)));
    for (double& value : values) value = whole ? std::floor(uniform(engine_)) : uniform(engine_);
    return Tensor::from_reals(format, shape, values);
  }

  // The weights as reals, [depth, columns] or transposed.
  ValueId add_weights(Builder& builder, const Weights& w) {
    const Format format = Format::parse(w.format);
    const bool grouped = w.group != 0;
    Shape shape = {w.depth, w.columns}, of_scales = {1, w.columns};
    if (grouped) {
      shape = {w.depth / w.group, w.group, w.columns};
      of_scales = {w.depth / w.group, 1, w.columns};
    }
    if (w.transposed) {
      const auto columns_first = [](Shape axes) {
        std::rotate(axes.begin(), axes.end() - 1, axes.end());
        return axes;
      };
      shape = columns_first(shape);
      of_scales = columns_first(of_scales);
    }
    std::vector<ValueId> inputs = {
        builder.constant(random(format, shape, -7, 7), "codes"),
        builder.constant(random(Format::parse(w.scales), of_scales, 0.01, 0.1), "scales")};
    if (w.with_zeros)
      inputs.push_back(builder.constant(random(Format(), of_scales, 0, 8, true), "zeros"));
    const ValueId reals = builder.add("Dequantize", inputs);
    if (!grouped) return reals;
    const auto text = [](std::int64_t n) { return std::to_string(n); };
    return builder.add(
        "Reshape", {reals},
        {{"shape", w.transposed ? std::vector<std::string>{text(w.columns), text(w.depth)}
                                : std::vector<std::string>{text(w.depth), text(w.columns)}}});
  }

  ValueId add_product(Builder& builder, ValueId x, const Weights& w) {
    if (!w.transposed) return builder.add("MatMul", {x, add_weights(builder, w)});
    const ValueId bias = builder.constant(random(Format(), {w.columns}, -1, 1), "bias");
    return builder.add("Gemm", {x, add_weights(builder, w), bias}, {{"transB", std::int64_t{1}}});
  }

  static TensorType reals(std::int64_t rows, std::int64_t depth) {
    return {{Dim(rows), Dim(depth)}, Format()};
  }

  static std::vector<std::string> forms(const Module& module) {
    const HostNetwork network = prepare_for_host(module);
    std::vector<std::string> forms;
    for (const Step& step : plan_host(network.module, {.layouts = network.layouts}).steps)
      forms.push_back(step.form);
    return forms;
  }

  void expect_reference(const Module& module) {
    const auto inputs = random_inputs_of(module, engine_());
    for (const InstructionSet set : kInstructionSets) {
      if (!processor_has(set)) continue;
      set_instruction_set(set);
      expect_close(run_on_host(module, inputs), evaluate(module, module.main(), inputs), 1e-5);
      if (HasFatalFailure()) FAIL() << print_module(module);
    }
  }

  std::mt19937_64 engine_{5};
};

TEST_F(DecodeSteps, ComputeWhatTheReferenceDoes) {
  const Weights kinds[] = {{.format = "int4", .group = 32, .scales = "f16"},
                           {.format = "uint4", .group = 32, .with_zeros = true},
                           {.format = "int8"},
                           {.format = "ternary"},
                           {.format = "bipolar"},
                           {.format = "nf4", .group = 64, .scales = "bf16"},
                           {.format = "e2m1", .group = 32},
                           {.format = "e3m2"},
                           {.format = "e4m3"},
                           {.format = "int3", .depth = 50},
                           {.format = "fixed<6,3>"},
                           {.format = "uint2", .depth = 96, .group = 32, .with_zeros = true}};
  for (Weights kind : kinds) {
    for (const bool transposed : {false, true}) {
      kind.transposed = transposed;
      for (const std::int64_t rows : {1, 3, 8}) {
        SCOPED_TRACE(testing::Message() << kind.format << ", " << rows << " rows");
        Module module;
        Builder builder(module, Builder::add_graph(module, "main"));
        const ValueId x = builder.input("x", reals(rows, kind.depth));
        builder.output(builder.add("Relu", {add_product(builder, x, kind)}));
        EXPECT_EQ(
            forms(module),
            (kind.group == 0 ? std::vector<std::string>{"packed", "decode_product"}
                             : std::vector<std::string>{"packed", "packed", "decode_product"}));
        expect_reference(module);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_F(DecodeSteps, AddBiasesAndOtherValuesAndActivate) {
  Module module;
  Builder builder(module, Builder::add_graph(module, "main"));
  const ValueId x = builder.input("x", reals(2, 64));
  const Weights kind{.format = "int4", .columns = 64, .group = 32};
  const ValueId bias = builder.constant(random(Format(), {64}, -1, 1), "bias");
  const ValueId first =
      builder.add("Tanh", {builder.add("Add", {add_product(builder, x, kind), bias})});
  const ValueId sum = builder.add("Add", {add_product(builder, first, kind), first});
  const ValueId gated = builder.add("Mul", {sum, builder.add("Sigmoid", {sum})});
  builder.output(builder.add("MatMul", {gated, add_weights(builder, kind)}));
  const auto found = forms(module);
  EXPECT_EQ(std::ranges::count(found, "decode_product"), 3);
  EXPECT_EQ(std::ranges::count(found, "real_lanes"), 0);
  expect_reference(module);
}

TEST_F(DecodeSteps, DecodeBeforehandWhereThatIsBetter) {
  struct Refused {
    std::int64_t rows;
    Weights weights;
  };
  // Many rows; groups that no kernel takes; a format that none decodes; one of 16 bits.
  for (const Refused& refused :
       {Refused{20, {}}, Refused{1, {.depth = 60, .group = 20}}, Refused{1, {.format = "log2<6>"}},
        Refused{1, {.format = "int16"}}}) {
    SCOPED_TRACE(refused.weights.format);
    Module module;
    Builder builder(module, Builder::add_graph(module, "main"));
    const ValueId x = builder.input("x", reals(refused.rows, refused.weights.depth));
    builder.output(add_product(builder, x, refused.weights));
    EXPECT_EQ(forms(module), std::vector<std::string>{"dense_product"});
    expect_reference(module);
  }
}

TEST_F(DecodeSteps, DecodeBeforehandWhatIsReadAsRealsToo) {
  Module module;
  Builder builder(module, Builder::add_graph(module, "main"));
  const ValueId x = builder.input("x", reals(1, 64));
  const ValueId weights = add_weights(builder, {});
  builder.output(builder.add("MatMul", {x, weights}));
  builder.output(builder.add("Abs", {weights}));
  const auto found = forms(module);
  EXPECT_EQ(std::ranges::count(found, "decode_product"), 0);
  EXPECT_EQ(std::ranges::count(found, "dense_product"), 1);
  expect_reference(module);
}

TEST_F(DecodeSteps, ShareWeightsThatSeveralProductsRead) {
  Module module;
  Builder builder(module, Builder::add_graph(module, "main"));
  const ValueId x = builder.input("x", reals(1, 64)), y = builder.input("y", reals(2, 64));
  const ValueId weights = add_weights(builder, {});
  builder.output(builder.add("MatMul", {x, weights}));
  builder.output(builder.add("MatMul", {y, weights}));
  EXPECT_EQ(forms(module),
            (std::vector<std::string>{"packed", "decode_product", "decode_product"}));
  expect_reference(module);
}

TEST_F(DecodeSteps, PayForFewRows) {
  const CodeDecoder int4 = *decoder_of(Format::parse("int4")),
                    fp6 = *decoder_of(Format::parse("e3m2"));
  for (std::int64_t rows = 1; rows <= 8; ++rows) {
    EXPECT_TRUE(decoding_pays(int4, rows)) << rows;
    EXPECT_TRUE(decoding_pays(fp6, rows)) << rows;
  }
  EXPECT_FALSE(decoding_pays(int4, 20));
  EXPECT_FALSE(decoding_pays(fp6, 20));
}

// What the values of the network take in memory does not hold the weights.
TEST_F(DecodeSteps, KeepWeightsOutOfTheArena) {
  Module module;
  Builder builder(module, Builder::add_graph(module, "main"));
  const Weights kind{.format = "int4", .depth = 1024, .columns = 1024, .group = 32};
  const ValueId x = builder.input("x", reals(1, 1024));
  builder.output(builder.add("Relu", {add_product(builder, x, kind)}));
  const HostNetwork network = prepare_for_host(module);
  const Plan plan = plan_host(network.module, {.layouts = network.layouts});
  EXPECT_LT(plan.peak_bytes.at("ram"), 64 * 1024);
}

}  // namespace
}  // namespace tandem
