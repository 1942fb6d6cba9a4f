#include <algorithm>
#include <chrono>
#include <cstring>
#include <cstdio>
#include <fstream>
#include <map>
#include <iostream>
#include <random>

#include "tandem/base/error.h"
#include "tandem/base/threads.h"
#include "tandem/files/model_file.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/printer.h"
#include "tandem/kernels/instruction_set.h"
#include "tandem/ops/register.h"
#include "tandem/runtime/host_network.h"
#include "tandem/runtime/host_plan.h"
#include "tandem/runtime/program.h"
#include "tandem/transform/lower.h"

namespace tandem {
namespace {

void run(int argc, char** argv) {
  register_operators();
  const std::string path = argv[1], what = argc > 2 ? argv[2] : "time";
  const int threads = argc > 3 ? std::atoi(argv[3]) : 1;
  set_thread_count(threads);
  if (argc > 5)
    for (const InstructionSet set : kInstructionSets) if (name(set) == argv[5]) set_instruction_set(set);
  Module network = read_model(path);
  std::map<std::string, std::int64_t> symbols;
  for (const Symbol& symbol : network.symbols) symbols[symbol.name] = symbol.min;
  network = specialize(network, symbols);
  const Module original = network;
  const HostNetwork host = prepare_for_host(original);
  const Module& lowered = host.module;
  if (what == "dump") {
    std::cout << print_module(lowered, true);
    std::cout << print_plan(lowered, plan_host(lowered, {.layouts = host.layouts}));
    return;
  }
  const auto begin = std::chrono::steady_clock::now();
  const Program program(lowered, plan_host(lowered, {.layouts = host.layouts}));
  std::cerr << "prepared in " << std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() << " s\n";
  auto workspace = program.workspace();
  std::mt19937_64 engine(7);
  std::vector<Tensor> inputs, outputs;
  std::vector<const std::byte*> from;
  std::vector<std::byte*> to;
  const Graph& graph = lowered.main();
  for (const ValueId id : graph.inputs) {
    const TensorType& type = graph.values[id].type;
    if (type.format.is_float()) {
      std::normal_distribution<double> normal;
      std::vector<double> reals(static_cast<std::size_t>(element_count(type.static_shape())));
      for (auto& r : reals) r = normal(engine);
      inputs.push_back(Tensor::from_reals(type.format, type.static_shape(), reals));
      continue;
    }
    std::vector<std::int64_t> integers(static_cast<std::size_t>(element_count(type.static_shape())));
    const auto range = type.format.integer_range();
    std::normal_distribution<double> normal((double(range.min) + double(range.max)) / 2, double(range.max - range.min) / 8);
    for (auto& i : integers) i = std::clamp<std::int64_t>(std::llround(normal(engine)), range.min, range.max);
    inputs.push_back(Tensor::from_integers(type.format, type.static_shape(), integers));
  }
  for (const ValueId id : graph.outputs) outputs.emplace_back(graph.values[id].type.format, graph.values[id].type.static_shape());
  for (auto& t : inputs) from.push_back(t.bytes().data());
  for (auto& t : outputs) to.push_back(t.mutable_bytes().data());
  if (what == "check") {
    const auto expected = evaluate(lowered, graph, inputs);
    program.run(from, to, workspace);
    std::int64_t differ = 0, all = 0;
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const auto a = outputs[i].to_reals(), b = expected[i].to_reals();
      for (std::size_t j = 0; j < a.size(); ++j) differ += a[j] != b[j], ++all;
    }
    std::cout << path << ": " << differ << " of " << all << " codes differ\n";
    return;
  }
  const int runs = argc > 4 ? std::atoi(argv[4]) : 30;
  std::vector<double> times;
  for (int i = 0; i < runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    program.run(from, to, workspace);
    times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  if (what == "profile") {
    std::map<std::size_t, double> sums;
    std::vector<StepSpan> spans;
    for (int i = 0; i < runs; ++i) {
      program.run(from, to, workspace, &spans);
      for (std::size_t s = 0; s < spans.size(); ++s) sums[s] += spans[s].end - spans[s].begin;
    }
    std::map<std::string, double> by_form;
    for (const auto& [s, time] : sums) {
      const Step& step = program.plan().steps[s];
      const Node& node = graph.nodes[step.nodes.empty() ? 0 : step.nodes[0]];
      by_form[step.form] += time / runs;
      std::string shapes;
      for (const ValueId v : node.inputs) if (v != kNone && shapes.size() < 60) shapes += graph.values[v].type.to_string() + " ";
      std::printf("%8.1f us %-18s %s %s -> %s\n", time / runs * 1e6, step.form.c_str(), std::string(node.op->name()).c_str(), shapes.c_str(), graph.values[graph.nodes[step.nodes.empty() ? 0 : step.nodes.back()].outputs[0]].type.to_string().c_str());
    }
    for (const auto& [form, time] : by_form) std::printf("%8.1f us %s\n", time * 1e6, form.c_str());
  }
  std::sort(times.begin(), times.end());
  std::printf("%s: min %.2f ms median %.2f ms\n", path.c_str(), times[0] * 1e3, times[times.size() / 2] * 1e3);
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) {
  try {
    tandem::run(argc, argv);
  } catch (const std::exception& e) {
    std::cerr << e.what() << "\n";
    return 1;
  }
}
