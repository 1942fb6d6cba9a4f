#include <cmath>
#include <map>
#include <random>

#include <gtest/gtest.h>

#include "tandem/base/threads.h"
#include "tandem/graph/builder.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/printer.h"
#include "tandem/kernels/instruction_set.h"
#include "tandem/ops/register.h"
#include "tandem/runtime/host_network.h"
#include "tandem/runtime/host_plan.h"
#include "tandem/runtime/program.h"
#include "tandem/verify/host_steps.h"

#include "tests/runtime/host_runs.h"

namespace tandem {
namespace {

// A network of reals with Quantize and Dequantize around its operators, as quantizers write it.
class RandomQuantized {
 public:
  explicit RandomQuantized(std::uint64_t seed)
      : engine_(seed), builder_(module_, Builder::add_graph(module_, "main")) {}

  Module run() {
    const std::int64_t channels = any(1, 24), size = any(4, 11);
    ValueId x = quantized(builder_.input("x", {{1, channels, size, size}, Format()}));
    const std::int64_t layers = any(1, 4);
    for (std::int64_t layer = 0; layer < layers; ++layer) x = next(x);
    builder_.output(x);
    return std::move(module_);
  }

 private:
  std::int64_t any(std::int64_t least, std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(least, most)(engine_);
  }
  ValueId real(double value) {
    return builder_.constant(Tensor::from_reals(Format(), {}, std::vector{value}));
  }

  // x as codes and back.
  ValueId quantized(ValueId x) {
    const bool is_signed = any(0, 1) == 0;
    const ValueId scale = real(std::uniform_real_distribution<double>(0.01, 0.08)(engine_)),
                  zero = real(static_cast<double>(is_signed ? any(-20, 20) : any(90, 160)));
    const ValueId codes = builder_.add(
        "Quantize", {x, scale, zero},
        {{"format", Format::integer(8, is_signed)}, {"zero_added", std::string("after_rounding")}});
    return builder_.add("Dequantize", {codes, scale, zero});
  }

  ValueId weights(const Shape& shape) {
    std::vector<std::int64_t> codes(static_cast<std::size_t>(element_count(shape)));
    for (auto& code : codes) code = any(-128, 127);
    std::vector<double> scales(static_cast<std::size_t>(shape[0]));
    const double fan = static_cast<double>(element_count(shape)) / static_cast<double>(shape[0]);
    for (auto& scale : scales) scale = 0.02 / std::sqrt(fan) * static_cast<double>(any(1, 3));
    const Shape channels{shape[0], 1, 1, 1};
    return builder_.add(
        "Dequantize",
        {builder_.constant(Tensor::from_integers(Format::integer(8, true), shape, codes)),
         builder_.constant(Tensor::from_reals(Format(), channels, scales))});
  }

  // The sum or difference of a value and what a convolution makes of it.
  ValueId residual(ValueId x) {
    const std::int64_t channels = builder_.shape(x)[1];
    const ValueId y = quantized(builder_.add("Conv", {x, weights({channels, channels, 1, 1})}));
    return quantized(any(0, 1) == 0 ? builder_.add("Add", {x, y}) : builder_.add("Sub", {y, x}));
  }

  // A product of two computed operands, one of them transposed.
  ValueId attention(ValueId x) {
    const ValueId keys = builder_.add("Transpose", {quantized(builder_.add("Tanh", {x}))},
                                      {{"perm", std::vector<std::int64_t>{0, 1, 3, 2}}});
    return quantized(builder_.add("MatMul", {x, keys}));
  }

  ValueId next(ValueId x) {
    const Shape shape = builder_.shape(x);
    switch (any(0, 6)) {
      case 3: return residual(x);
      case 4: return attention(x);
      case 0: return quantized(builder_.add("Sigmoid", {x}));
      case 1: return quantized(builder_.add("Add", {x, quantized(builder_.add("Tanh", {x}))}));
      case 2: return quantized(builder_.add("Softmax", {x}, {{"axis", std::int64_t{3}}}));
      default: break;
    }
    const bool depthwise = shape[1] > 1 && any(0, 2) == 0;
    const std::int64_t kernel = any(1, 3), pad = kernel / 2;
    const Shape w{depthwise ? shape[1] : any(1, 40), depthwise ? 1 : shape[1], kernel, kernel};
    ValueId y = builder_.add("Conv", {x, weights(w)},
                             {{"group", depthwise ? shape[1] : std::int64_t{1}},
                              {"pads", std::vector{pad, pad, pad, pad}}});
    if (any(0, 1) == 0) y = builder_.add("Relu", {y});
    return quantized(y);
  }

  std::mt19937_64 engine_;
  Module module_;
  Builder builder_;
};

class QuantizedNetwork : public OnAnyProcessor {};

Tensor run_reals(const Module& module, const Tensor& x) {
  const HostNetwork host = prepare_for_host(module);
  const Program program(host.module, plan_host(host.module, {.layouts = host.layouts}));
  Program::Workspace workspace = program.workspace();
  Tensor result(Format(), module.main().values[module.main().outputs[0]].type.static_shape());
  const std::byte* from = x.bytes().data();
  std::byte* to = result.mutable_bytes().data();
  program.run(std::span(&from, 1), std::span(&to, 1), workspace);
  return result;
}

// Codes are those that the network of reals has, but where its sums in f32 round across the border
// between two codes; these are counted. All instruction sets and threads give the same bits.
TEST_F(QuantizedNetwork, HasTheCodesOfItsDefinition) {
  std::int64_t differing = 0, compared = 0;
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    const Module module = RandomQuantized(seed).run();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 engine(seed);
    const Shape shape = module.main().values[module.main().inputs[0]].type.static_shape();
    std::vector<double> reals(static_cast<std::size_t>(element_count(shape)));
    for (auto& value : reals) value = std::normal_distribution<double>(0, 2)(engine);
    const Tensor x = Tensor::from_reals(Format(), shape, reals);
    const auto expected = evaluate(module, module.main(), std::span(&x, 1))[0].to_floats();
    std::vector<float> first;
    for (const InstructionSet set : kInstructionSets) {
      if (!processor_has(set)) continue;
      set_instruction_set(set);
      for (const int threads : {1, 3}) {
        set_thread_count(threads);
        const auto computed = run_reals(module, x).to_floats();
        if (first.empty()) first = computed;
        ASSERT_EQ(computed, first) << name(set) << "\n" << print_module(module, true);
      }
    }
    ASSERT_EQ(first.size(), expected.size());
    for (std::size_t i = 0; i < first.size(); ++i) differing += first[i] != expected[i] ? 1 : 0;
    compared += static_cast<std::int64_t>(first.size());
  }
  EXPECT_GT(compared, 10'000);
  EXPECT_LT(differing, compared / 500);
}

// Every step of integers stores what its nodes mean in unlimited integers.
TEST_F(QuantizedNetwork, ComputesEveryStepExactly) {
  std::map<std::string, std::int64_t> compared;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    const Module module = RandomQuantized(seed).run();
    const auto inputs = random_inputs_of(module, seed);
    for (const InstructionSet set : kInstructionSets) {
      if (!processor_has(set)) continue;
      set_instruction_set(set);
      set_thread_count(static_cast<int>(1 + seed % 4));
      const HostNetwork host = prepare_for_host(module);
      for (const StepCheck& check : check_steps(host, inputs, stored_values(host, inputs))) {
        ASSERT_EQ(check.differing, 0) << name(set) << " " << check.form << " " << check.name;
        compared[check.form] += check.compared;
      }
    }
  }
  for (const char* form : {"code_convolution", "code_depthwise", "code_pair", "code_matmul",
                           "code_table", "code_border"})
    EXPECT_GT(compared[form], 1'000) << form;
}

}  // namespace
}  // namespace tandem
