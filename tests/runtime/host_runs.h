#pragma once

#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include "tandem/base/threads.h"
#include "tandem/graph/module.h"
#include "tandem/kernels/instruction_set.h"
#include "tandem/ops/register.h"

namespace tandem {

// For tests that set the instruction set and the number of threads: both are put back.
class OnAnyProcessor : public testing::Test {
 protected:
  static void SetUpTestSuite() { register_operators(); }
  void TearDown() override {
    set_instruction_set(set_);
    set_thread_count(threads_);
  }

 private:
  InstructionSet set_ = instruction_set();
  int threads_ = thread_count();
};

// What the kernels of this processor compute for one sample of "main", whose symbols are bound.
std::vector<Tensor> run_on_host(const Module& module, const std::vector<Tensor>& inputs);

// Normal reals for every real input of "main"; zeros for the others.
std::vector<Tensor> random_inputs_of(const Module& module, std::uint64_t seed);

// Expects reals within `tolerance` of the greatest magnitude (at least 1), all others equal.
void expect_close(const std::vector<Tensor>& computed, const std::vector<Tensor>& expected,
                  double tolerance);

}  // namespace tandem
