#include "tests/runtime/large_networks.h"

#include <set>
#include <string>

#include <gtest/gtest.h>

#include "tandem/graph/evaluate.h"
#include "tandem/runtime/host_network.h"
#include "tandem/runtime/host_plan.h"

#include "tests/runtime/host_runs.h"

namespace tandem {
namespace {

class LargeNetworks : public OnAnyProcessor {};

// Near the definition, and the same bits for any number of threads, with every instruction set.
TEST_F(LargeNetworks, GiveTheSameBitsOnAnyNumberOfThreads) {
  std::set<std::string> forms;
  for (const Module& module : {large_convolutions(), large_attention()}) {
    const auto inputs = random_inputs_of(module, 5);
    const auto expected = evaluate(module, module.main(), inputs);
    for (const InstructionSet set : kInstructionSets) {
      if (!processor_has(set)) continue;
      set_instruction_set(set);
      SCOPED_TRACE(name(set));
      const HostNetwork network = prepare_for_host(module);
      for (const Step& step : plan_host(network.module, {.layouts = network.layouts}).steps)
        forms.insert(step.form);
      std::vector<Tensor> first;
      for (const int threads : {1, 2, 3, 4}) {
        set_thread_count(threads);
        const auto outputs = run_on_host(module, inputs);
        if (threads == 1) first = outputs;
        EXPECT_TRUE(outputs == first) << threads << " threads";
      }
      expect_close(first, expected, 1e-5);
      if (HasFailure()) return;
    }
  }
  for (const char* form : {"dense_convolution", "dense_product", "real_lanes", "real_pool",
                           "real_rows", "movement", "alias"})
    EXPECT_TRUE(forms.contains(form)) << form;
}

}  // namespace
}  // namespace tandem
