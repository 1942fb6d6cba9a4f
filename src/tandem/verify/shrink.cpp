#include "tandem/verify/shrink.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/printer.h"
#include "tandem/graph/verifier.h"

namespace tandem {
namespace {

std::vector<Tensor> all_values(const FailingCase& failing) {
  std::vector<Tensor> values(failing.module.main().values.size());
  for (std::size_t i = 0; i < failing.inputs.size(); ++i)
    values[failing.module.main().inputs[i]] = failing.inputs[i];
  evaluate(failing.module, failing.module.main(), failing.inputs, nullptr,
           [&](ValueId id, const Tensor& tensor) { values[id] = tensor; });
  return values;
}

// Inputs that nothing reads any more go, with their tensors.
void drop_unread_inputs(FailingCase& failing) {
  Graph& graph = failing.module.main();
  const auto readers = consumers(graph);
  std::vector<ValueId> inputs;
  std::vector<Tensor> tensors;
  for (std::size_t i = 0; i < graph.inputs.size(); ++i) {
    const ValueId input = graph.inputs[i];
    const bool is_output =
        std::find(graph.outputs.begin(), graph.outputs.end(), input) != graph.outputs.end();
    if (readers[input].empty() && !is_output && (inputs.size() + graph.inputs.size() - i) > 1)
      continue;
    inputs.push_back(input);
    tensors.push_back(failing.inputs[i]);
  }
  // A value that is neither input nor computed would be malformed, so unread ones are removed by
  // remove_unused once they are no inputs.
  graph.inputs = std::move(inputs);
  failing.inputs = std::move(tensors);
}

void tidy(FailingCase& failing) {
  remove_unused(failing.module);
  drop_unread_inputs(failing);
  remove_unused(failing.module);
  verify(failing.module);
}

FailingCase with_output(const FailingCase& failing, ValueId value) {
  FailingCase candidate = failing;
  Graph& graph = candidate.module.main();
  graph.outputs = {value};
  graph.codings.clear();
  tidy(candidate);
  return candidate;
}

// The value becomes an input that holds what the reference computed for it.
FailingCase with_input(const FailingCase& failing, ValueId value, const Tensor& held) {
  FailingCase candidate = failing;
  Graph& graph = candidate.module.main();
  Value fresh;
  fresh.name = concat("cut_", graph.values[value].name);
  while (std::any_of(graph.values.begin(), graph.values.end(),
                     [&](const Value& v) { return v.name == fresh.name; })) {
    fresh.name += "_";
  }
  fresh.type = graph.values[value].type;
  graph.values.push_back(fresh);
  const ValueId input = graph.values.size() - 1;
  graph.inputs.push_back(input);
  candidate.inputs.push_back(held);
  for (Node& node : graph.nodes) std::replace(node.inputs.begin(), node.inputs.end(), value, input);
  graph.codings.clear();
  tidy(candidate);
  return candidate;
}

std::size_t size_of(const FailingCase& failing) {
  return failing.module.main().nodes.size() * 1000 + failing.module.main().outputs.size() * 10 +
         failing.module.main().inputs.size();
}

class Shrinker {
 public:
  Shrinker(FailingCase failing, const std::function<bool(const FailingCase&)>& fails)
      : best_(std::move(failing)), fails_(fails) {}

  FailingCase run() {
    ensure(fails_(best_), "shrink was given a case that does not fail");
    while (pass()) {
    }
    return std::move(best_);
  }

 private:
  bool accept(const FailingCase& candidate) {
    if (size_of(candidate) >= size_of(best_)) return false;
    try {
      if (!fails_(candidate)) return false;
    } catch (const Error&) {
      return false;
    }
    best_ = candidate;
    return true;
  }

  bool pass() {
    const std::size_t count = best_.module.main().nodes.size();
    for (NodeId node = 0; node < count; ++node) {
      const ValueId value = best_.module.main().nodes[node].outputs[0];
      if (accept(with_output(best_, value))) return true;
    }
    const auto values = all_values(best_);
    for (NodeId node = count; node-- > 0;) {
      const ValueId value = best_.module.main().nodes[node].outputs[0];
      if (accept(with_input(best_, value, values[value]))) return true;
    }
    return false;
  }

  FailingCase best_;
  const std::function<bool(const FailingCase&)>& fails_;
};

}  // namespace

FailingCase shrink(FailingCase failing, const std::function<bool(const FailingCase&)>& fails) {
  return Shrinker(std::move(failing), fails).run();
}

std::string to_text(const FailingCase& failing) {
  std::string text = print_module(failing.module);
  const Graph& graph = failing.module.main();
  for (std::size_t i = 0; i < graph.inputs.size(); ++i) {
    std::vector<std::string> elements;
    for (const std::int64_t value : failing.inputs[i].to_integers())
      elements.push_back(std::to_string(value));
    text +=
        concat("# input ", graph.values[graph.inputs[i]].name, " = [", join(elements, ","), "]\n");
  }
  return text;
}

}  // namespace tandem
