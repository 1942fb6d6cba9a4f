#include <string>

#include <gtest/gtest.h>

#include "tandem/base/random.h"
#include "tandem/base/text.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/printer.h"
#include "tandem/runtime/host_network.h"
#include "tandem/runtime/host_plan.h"

#include "tests/runtime/host_runs.h"

namespace tandem {
namespace {

class RecurrentTest : public OnAnyProcessor {};

std::string constant(const std::string& name, const std::string& shape, std::int64_t count) {
  const CounterRandom random(3, name);
  std::string text = concat("constant @", name, " : f32[", shape, "] = [");
  for (std::int64_t i = 0; i < count; ++i)
    text += concat(i == 0 ? "" : ",", 0.4 * random.normal(static_cast<std::uint64_t>(i)));
  return text + "]\n";
}

// A layer with constant weights over five steps of two samples.
Module layer(const std::string& op, int directions, std::int64_t units, bool full,
             const std::string& attributes) {
  constexpr std::int64_t kInputs = 5, kSteps = 5;
  const std::int64_t rows = (op == "LSTM" ? 4 : 3) * units, d = directions;
  std::string text = "tandem-module 1\n" +
                     constant("w", concat(d, ",", rows, ",", kInputs), d * rows * kInputs) +
                     constant("r", concat(d, ",", rows, ",", units), d * rows * units) +
                     constant("b", concat(d, ",", 2 * rows), d * 2 * rows) +
                     constant("h", concat(d, ",2,", units), d * 2 * units);
  const std::string state = concat("f32[", d, ",2,", units, "]");
  text += concat("graph @main(%x : f32[", kSteps, ",2,", kInputs, "], %c : ", state, ") -> (%y, %m",
                 op == "LSTM" ? ", %n" : "", ") {\n  %w = constant @w\n  %r = constant @r\n");
  if (full) text += "  %b = constant @b\n  %h = constant @h\n";
  text += concat("  %y : f32[", kSteps, ",", d, ",2,", units, "], %m : ", state,
                 op == "LSTM" ? concat(", %n : ", state) : "", " = ", op, "(%x, %w, %r");
  if (full) text += concat(", %b, _, ", op == "LSTM" ? "%h, %c" : "%c");
  return parse_module(text + ") " + attributes + "\n}\n");
}

// Panels that end within a vector, and several of them; with all that a layer may have, and
// without.
TEST_F(RecurrentTest, LayersComputeTheirDefinitionOnEveryProcessor) {
  for (const InstructionSet set : kInstructionSets) {
    if (!processor_has(set)) continue;
    set_instruction_set(set);
    for (const std::string op : {"LSTM", "GRU"}) {
      for (const std::int64_t units : {3, 70}) {
        for (const bool full : {false, true}) {
          for (const std::string direction : {"forward", "reverse", "bidirectional"}) {
            std::string attributes = concat("{direction = \"", direction, "\"");
            const int directions = direction == "bidirectional" ? 2 : 1;
            std::string functions;
            for (int i = 0; i < directions; ++i)
              functions += concat(i == 0 ? "" : ",", op == "LSTM" ? "\"Sigmoid\",\"Tanh\",\"Tanh\""
                                                                  : "\"Sigmoid\",\"Tanh\"");
            attributes += concat(", activations = [", functions, "]");
            if (op == "GRU") attributes += concat(", linear_before_reset = ", full ? 1 : 0);
            const Module module = layer(op, directions, units, full, attributes + "}");
            const auto inputs = random_inputs_of(module, 5);
            SCOPED_TRACE(concat(op, " ", units, " ", direction, full ? " full" : ""));
            const HostNetwork network = prepare_for_host(module);
            const Plan plan = plan_host(network.module, {.layouts = network.layouts});
            EXPECT_EQ(plan.steps[0].form, "recurrent");
            const auto expected = evaluate(module, module.main(), inputs);
            std::vector<Tensor> first;
            for (const int threads : {1, 2, 3, 4}) {
              set_thread_count(threads);
              const auto outputs = run_on_host(module, inputs);
              if (threads == 1) first = outputs;
              EXPECT_TRUE(outputs == first) << threads << " threads";
            }
            expect_close(first, expected, 2e-6);
            if (HasFailure()) return;
          }
        }
      }
    }
  }
}

// What the kernel does not know is unrolled.
TEST_F(RecurrentTest, OtherFunctionsAreUnrolled) {
  const Module module =
      layer("LSTM", 1, 3, true, "{activations = [\"HardSigmoid\",\"Tanh\",\"Relu\"]}");
  const auto inputs = random_inputs_of(module, 5);
  expect_close(run_on_host(module, inputs), evaluate(module, module.main(), inputs), 2e-6);
}

}  // namespace
}  // namespace tandem
