// A quantized network of reals on this processor's kernels, for tools/bench_host_int8.py:
//
//   tandem_host_quantized MODEL.onnx INPUTS.npz THREADS [INSTRUCTION_SET]
//
// answers the lines of standard input, each with one line of JSON:
//   time SECONDS     the seconds of each run for about so long, at least three
//   outputs FILE     writes the outputs as .npz
//   exact            every integer step beside its definition in unlimited integers, then all
//                    instruction sets of this processor and 1 to 4 threads beside each other
//   about            the instruction set and the products of codes that it makes in a second at
//                    most
//   memory           the most memory that the process ever had, less what it had before the network
//   profile          the least seconds of each step, the longest first, and its products of codes
#include <algorithm>
#include <chrono>
#include <fstream>
#include <iostream>
#include <sstream>

#include <nlohmann/json.hpp>

#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/base/text.h"
#include "tandem/base/threads.h"
#include "tandem/files/model_file.h"
#include "tandem/files/numpy.h"
#include "tandem/kernels/instruction_set.h"
#include "tandem/kernels/processor_rates.h"
#include "tandem/ops/register.h"
#include "tandem/runtime/host_network.h"
#include "tandem/runtime/host_plan.h"
#include "tandem/runtime/program.h"
#include "tandem/verify/host_steps.h"

namespace tandem {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The most resident memory that this process ever had, in bytes (VmHWM).
std::int64_t peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    std::istringstream words(line);
    std::string name;
    std::int64_t kibibytes = 0;
    if (words >> name >> kibibytes && name == "VmHWM:") return kibibytes * 1024;
  }
  throw Error("/proc/self/status says no VmHWM");
}

// With the smallest size for every symbol, but nothing empty.
Module bound(const Module& network) {
  std::map<std::string, std::int64_t> sizes;
  for (const Symbol& symbol : network.symbols)
    sizes[symbol.name] = std::max<std::int64_t>(symbol.min, 1);
  return specialize(network, sizes);
}

class Session {
 public:
  Session(const std::string& model, const std::string& inputs)
      : host_(prepare_for_host(bound(read_model(model)))),
        program_(host_.module, plan_host(host_.module, {.layouts = host_.layouts})),
        workspace_(program_.workspace()) {
    const NamedTensors arrays = read_npz(inputs);
    for (const ValueId id : graph().inputs) {
      const Value& value = graph().values[id];
      const Tensor& array = find_array(arrays, value.name, inputs);
      if (type_of(array) != value.type)
        throw Error(inputs, ": '", value.name, "' is ", type_of(array).to_string(),
                    ", the network takes ", value.type.to_string());
      inputs_.push_back(array);
    }
    for (const ValueId id : graph().outputs) {
      const TensorType& type = graph().values[id].type;
      outputs_.emplace_back(type.format, type.static_shape());
    }
    for (const Tensor& input : inputs_) from_.push_back(input.bytes().data());
    for (Tensor& output : outputs_) to_.push_back(output.mutable_bytes().data());
  }

  Json answer(const std::string& line) {
    std::istringstream words(line);
    std::string request, argument;
    words >> request >> argument;
    if (request == "time") return time(parse_real(argument, "time"));
    if (request == "outputs") return write_outputs(argument);
    if (request == "exact") return exact();
    if (request == "about") return about();
    if (request == "memory") return peak_memory() - empty_;
    if (request == "profile") return profile();
    throw Error("there is no request '", request, "'");
  }

 private:
  const std::int64_t empty_ = peak_memory();  // the first member: nothing is read before

  const Graph& graph() const { return host_.module.main(); }
  void run(std::vector<StepSpan>* spans = nullptr) { program_.run(from_, to_, workspace_, spans); }

  Json time(double seconds) {
    Json times = Json::array();
    for (const auto start = Clock::now(); seconds_since(start) < seconds || times.size() < 3;) {
      const auto begin = Clock::now();
      run();
      times.push_back(seconds_since(begin));
    }
    return times;
  }

  Json write_outputs(const std::string& file) {
    run();
    NamedTensors arrays;
    for (std::size_t i = 0; i < outputs_.size(); ++i)
      arrays.emplace_back(graph().values[graph().outputs[i]].name, outputs_[i]);
    const auto bytes = write_npz(arrays);
    write_file_atomic(file, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    return outputs_.size();
  }

  // What steps store must be right, and the same however it is computed.
  Json exact() {
    const auto stored = stored_values(host_, inputs_);
    std::int64_t compared = 0, differing = 0, runs = 1, values = 0, unlike = 0;
    Json wrong = Json::array();
    const auto checks = check_steps(host_, inputs_, stored);
    for (const StepCheck& check : checks) {
      compared += check.compared;
      differing += check.differing;
      if (check.differing > 0) wrong.push_back(concat(check.form, " ", check.name));
    }
    const InstructionSet set_before = instruction_set();
    const int threads_before = thread_count();
    for (const InstructionSet set : kInstructionSets) {
      for (int threads = 1; processor_has(set) && threads <= 4; ++threads, ++runs) {
        set_instruction_set(set);
        set_thread_count(threads);
        for (const auto& [value, tensor] : stored_values(host_, inputs_)) {
          const auto first = stored.find(value);
          if (first == stored.end()) continue;
          ++values;
          if (tensor == first->second) continue;
          ++unlike;
          wrong.push_back(
              concat(name(set), ", ", threads, " threads: ", graph().values[value].name));
        }
      }
    }
    set_instruction_set(set_before);
    set_thread_count(threads_before);
    return {{"steps", checks.size()}, {"compared", compared}, {"differing", differing},
            {"runs", runs},           {"values", values},     {"unlike", unlike},
            {"wrong", wrong}};
  }

  Json about() const {
    return {{"instructions", name(instruction_set())},
            {"peak", operations_per_second(Products::kI8, thread_count()) / 2}};
  }

  std::int64_t products_of(const Step& step) const {
    for (const NodeId id : step.nodes) {
      const Node& node = graph().nodes[id];
      const NodeView view{host_.module, graph(), node};
      const std::string_view op = node.op->name();
      if (op != "IntConv" && op != "IntMatMul") continue;
      const Shape w = view.input(1).static_shape();
      const Shape result = graph().values[node.outputs[0]].type.static_shape();
      return element_count(result) *
             (op == "IntMatMul" ? w[w.size() - 2] : element_count(w) / w[0]);
    }
    return 0;
  }

  Json profile() {
    constexpr int kRuns = 20;
    std::vector<double> seconds(program_.plan().steps.size(), 1e30);
    std::vector<StepSpan> spans;
    for (int i = 0; i < kRuns; ++i) {
      run(&spans);
      for (std::size_t s = 0; s < spans.size(); ++s)
        seconds[s] = std::min(seconds[s], spans[s].end - spans[s].begin);
    }
    Json steps = Json::array();
    for (std::size_t s = 0; s < seconds.size(); ++s) {
      const Step& step = program_.plan().steps[s];
      if (step.nodes.empty()) continue;
      const Node& node = graph().nodes[step.nodes[0]];
      const Value& result = graph().values[graph().nodes[step.nodes.back()].outputs[0]];
      steps.push_back({{"seconds", seconds[s]},
                       {"products", products_of(step)},
                       {"form", step.form},
                       {"op", node.op->name()},
                       {"node", node.name},
                       {"result", result.type.to_string()}});
    }
    std::stable_sort(steps.begin(), steps.end(),
                     [](const Json& a, const Json& b) { return a["seconds"] > b["seconds"]; });
    return steps;
  }

  HostNetwork host_;
  Program program_;
  Program::Workspace workspace_;
  std::vector<Tensor> inputs_, outputs_;
  std::vector<const std::byte*> from_;
  std::vector<std::byte*> to_;
};

InstructionSet parse_instruction_set(const std::string& text) {
  for (const InstructionSet set : kInstructionSets)
    if (name(set) == text) return set;
  throw Error("there is no instruction set '", text, "'; there are portable, avx2, vnni, amx");
}

void serve(std::span<char*> arguments) {
  if (arguments.size() < 4)
    throw Error("usage: tandem_host_quantized MODEL.onnx INPUTS.npz THREADS [INSTRUCTION_SET]");
  register_operators();
  set_thread_count(static_cast<int>(parse_real(arguments[3], "THREADS")));
  if (arguments.size() > 4) set_instruction_set(parse_instruction_set(arguments[4]));
  Session session(arguments[1], arguments[2]);
  for (std::string line; std::getline(std::cin, line);)
    std::cout << session.answer(line).dump() << std::endl;
}

}  // namespace
}  // namespace tandem

int main(int count, char** arguments) {
  try {
    tandem::serve({arguments, static_cast<std::size_t>(count)});
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "tandem_host_quantized: " << error.what() << "\n";
    return 1;
  }
}
