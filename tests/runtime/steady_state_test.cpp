// Counts what a run takes from the heap once it has run before.
#include <atomic>
#include <cstdlib>
#include <new>
#include <vector>

#include <gtest/gtest.h>

#include "tandem/base/threads.h"
#include "tandem/graph/printer.h"
#include "tandem/kernels/instruction_set.h"
#include "tandem/ops/register.h"
#include "tandem/runtime/host_network.h"
#include "tandem/runtime/host_plan.h"
#include "tandem/runtime/program.h"

#include "tests/runtime/large_networks.h"

namespace {

std::atomic<bool> counts{false};
std::atomic<std::size_t> allocations{0}, largest{0}, large{0};  // more than lists of arguments
constexpr std::size_t kLarge = 1024;

void* allocate(std::size_t size) {
  if (counts) {
    ++allocations;
    if (size > largest) largest = size;
    if (size >= kLarge) ++large;
  }
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;  // NOLINT: is operator new
  throw std::bad_alloc();
}

}  // namespace

// NOLINTBEGIN(misc-new-delete-overloads): the other forms call these
void* operator new(std::size_t size) { return allocate(size); }
void* operator new[](std::size_t size) { return allocate(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
// NOLINTEND(misc-new-delete-overloads)

namespace tandem {
namespace {

struct Taken {
  std::size_t allocations, largest, large;
};

// A network that is ready to run on so many threads.
class Ready {
 public:
  Ready(const Module& module, int threads)
      : network_(prepare_for_host(module)),
        program_(network_.module, plan_host(network_.module, {.layouts = network_.layouts})),
        workspace_(program_.workspace()),
        threads_before_(thread_count()) {
    const Graph& graph = network_.module.main();
    for (const auto* ends : {&graph.inputs, &graph.outputs})
      for (const ValueId id : *ends)
        values_.emplace_back(graph.values[id].type.format, graph.values[id].type.static_shape());
    for (std::size_t i = 0; i < values_.size(); ++i) {
      if (i < graph.inputs.size())
        from_.push_back(values_[i].bytes().data());
      else
        to_.push_back(values_[i].mutable_bytes().data());
    }
    set_thread_count(threads);
  }
  Ready(const Ready&) = delete;
  Ready& operator=(const Ready&) = delete;
  ~Ready() { set_thread_count(threads_before_); }

  Taken taken_by(int runs) {
    allocations = largest = large = 0;
    counts = true;
    for (int run = 0; run < runs; ++run) program_.run(from_, to_, workspace_);
    counts = false;
    return {allocations, largest, large};
  }

 private:
  HostNetwork network_;
  Program program_;
  Program::Workspace workspace_;
  std::vector<Tensor> values_;
  std::vector<const std::byte*> from_;
  std::vector<std::byte*> to_;
  int threads_before_;
};

// Of the third run.
Taken taken_by_a_run(const Module& module, int threads) {
  Ready ready(module, threads);
  ready.taken_by(2);
  return ready.taken_by(1);
}

Taken taken_by_a_run(const std::string& text) { return taken_by_a_run(parse_module(text), 2); }

class SteadyState : public testing::Test {
 protected:
  static void SetUpTestSuite() { register_operators(); }
};

TEST_F(SteadyState, OwnKernelsTakeNoMemory) {
  const Taken taken = taken_by_a_run(
      "tandem-module 1\ngraph @main(%x : f32[1,16,64,64], %z : f32[16,1,1]) -> (%y) {\n"
      "  %a : f32[1,16,64,64] = Mul(%x, %z)\n  %b : f32[1,16,64,64] = Sigmoid(%a)\n"
      "  %c : f32[1,64,16,64] = Transpose(%b) {perm = [0,2,1,3]}\n"
      "  %d : f32[1,64,16,64] = Softmax(%c)\n"
      "  %e : f32[1,64,16,32] = Slice(%d) {starts = [3], ends = [35], axes = [3]}\n"
      "  %y : f32[1,64,16,1] = ReduceMean(%e) {axes = [3]}\n}\n");
  EXPECT_EQ(taken.allocations, 0U);
}

// On one thread: others keep rows and sums of their own, from the first time that they compute.
TEST_F(SteadyState, CodesTakeNoMemory) {
  const std::string codes = "{format = uint8}\n", type = "uint8[1,4,8,8]", real = "f32[1,4,8,8]";
  std::string text =
      "tandem-module 1\nconstant @s : f32[] = [0.05]\nconstant @w : int8[4,4,1,1] = "
      "[9,-7,100,3,-120,5,6,17,1,2,3,4,-5,-6,-7,80]\n"
      "constant @f : int8[4,1,3,3] = [1,2,3,4,5,6,7,8,9,-1,-2,-3,-4,-5,-6,-7,-8,-9,"
      "11,12,13,14,15,16,17,18,19,-11,12,-13,14,-15,16,-17,18,-19]\n"
      "graph @main(%x : f32[1,4,8,8]) -> (%y) {\n  %s = constant @s\n  %w = constant @w\n"
      "  %f = constant @f\n  %wd : f32[4,4,1,1] = Dequantize(%w, %s)\n"
      "  %fd : f32[4,1,3,3] = Dequantize(%f, %s)\n";
  const auto add = [&](const std::string& name, const std::string& call) {
    if (!call.empty()) text += "  %" + name + "r : " + real + " = " + call + "\n";
    text += "  %" + name + "q : " + type + " = Quantize(%" + name + "r, %s) " + codes + "  %" +
            name + " : " + real + " = Dequantize(%" + name + "q, %s)\n";
  };
  text += "  %ar : " + real + " = Neg(%x)\n";
  add("a", "");
  add("b", "Conv(%a, %wd)");
  add("c", "Conv(%b, %fd) {group = 4, pads = [1,1,1,1]}");
  add("d", "Add(%c, %a)");
  add("e", "Tanh(%d)");
  add("g", "MatMul(%d, %e)");
  text += "  %y : " + real + " = Neg(%g)\n}\n";
  const InstructionSet before = instruction_set();
  for (const InstructionSet set : kInstructionSets) {
    if (!processor_has(set)) continue;
    set_instruction_set(set);
    EXPECT_EQ(taken_by_a_run(parse_module(text), 1).allocations, 0U) << name(set);
  }
  set_instruction_set(before);
}

// oneDNN keeps the list of a call's arguments on the heap, nothing that grows with the tensors.
TEST_F(SteadyState, DenseCallsTakeTheirArgumentsAlone) {
  const Taken taken = taken_by_a_run(
      "tandem-module 1\nconstant @w : f32[4,1,1,1] = [1,2,3,4]\n"
      "graph @main(%x : f32[1,1,64,64], %m : f32[64,64]) -> (%y) {\n  %w = constant @w\n"
      "  %a : f32[1,4,64,64] = Conv(%x, %w)\n  %b : f32[1,4,64,64] = Relu(%a)\n"
      "  %y : f32[1,4,64,64] = MatMul(%b, %m)\n}\n");
  EXPECT_LT(taken.largest, kLarge);
}

// Whole networks, on one thread: which thread first meets a part, and takes its memory then, is a
// matter of chance.
TEST_F(SteadyState, LargeNetworksTakeArgumentsAlone) {
  for (const Module& module : {large_convolutions(), large_attention()})
    EXPECT_LT(taken_by_a_run(module, 1).largest, kLarge);
}

// A thread takes memory when it first meets a part, whenever that is, and keeps it: what all take
// together is bounded, however many runs there are, and there comes a time from which they take
// none.
TEST_F(SteadyState, ThreadsTakeTheirMemoryOnce) {
  constexpr int kThreads = 4, kRuns = 10, kMostRounds = 100;
  constexpr std::size_t kMostPieces = 40;  // of a thread, which may ask for more from step to step
  for (const Module& module : {large_convolutions(), large_attention()}) {
    Ready ready(module, kThreads);
    std::size_t pieces = 0, last = 1;
    int rounds = 0;
    for (; rounds < kMostRounds && last > 0; ++rounds) pieces += last = ready.taken_by(kRuns).large;
    EXPECT_EQ(last, 0U) << "after " << rounds << " rounds";
    EXPECT_LE(pieces, kThreads * kMostPieces);
  }
}

TEST_F(SteadyState, RecurrentLayersTakeArgumentsAlone) {
  const Taken taken = taken_by_a_run(
      "tandem-module 1\nconstant @w : f32[1,4,2] = [1,2,3,4,5,6,7,8]\n"
      "constant @r : f32[1,4,1] = [1,2,3,4]\n"
      "graph @main(%x : f32[9,1,2]) -> (%y) {\n  %w = constant @w\n  %r = constant @r\n"
      "  %y : f32[9,1,1,1], %h : f32[1,1,1], %c : f32[1,1,1] = LSTM(%x, %w, %r)\n}\n");
  EXPECT_LT(taken.largest, kLarge);
}

}  // namespace
}  // namespace tandem
