#include "tandem/transform/pass_log.h"

#include <chrono>
#include <ostream>
#include <string>

#include "tandem/graph/printer.h"

namespace tandem {
namespace {

std::ostream*& pass_log() {
  static std::ostream* log = nullptr;
  return log;
}

std::size_t node_count(const Module& module) {
  std::size_t count = 0;
  for (const Graph& graph : module.graphs) count += graph.nodes.size();
  return count;
}

}  // namespace

void set_pass_log(std::ostream* log) { pass_log() = log; }

void run_pass(std::string_view name, Module& module, const std::function<void(Module&)>& pass) {
  std::ostream* log = pass_log();
  if (log == nullptr) return pass(module);
  const std::string before = print_module(module);
  const std::size_t nodes = node_count(module);
  const auto start = std::chrono::steady_clock::now();
  pass(module);
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
  const bool changed = print_module(module) != before;
  *log << "pass " << name << ": " << nodes << " -> " << node_count(module) << " nodes, "
       << took.count() << " ms" << (changed ? "\n" : ", nothing changed\n");
  if (changed) *log << print_module(module, true);
}

}  // namespace tandem
