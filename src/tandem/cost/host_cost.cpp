#include "tandem/cost/host_cost.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/graph/operator.h"
#include "tandem/plan/movement_map.h"

namespace tandem {
namespace {

constexpr std::string_view kOneCore = "seconds_one_core", kAllCores = "seconds_all_cores";
constexpr std::string_view kErrorFeature = "relative_error";

std::string convolution_form(const NodeView& node, std::string_view form) {
  const Shape w = node.input(1).static_shape();
  const std::int64_t groups = node.integer("group");
  if (groups > 1 && w[1] == 1) return concat("depthwise_", form);
  if (groups > 1) return concat("grouped_", form);
  const bool point =
      std::all_of(w.begin() + 2, w.end(), [](std::int64_t extent) { return extent == 1; });
  return concat(point ? "pointwise_" : "", form);
}

std::string form_of(const Module& module, const Graph& graph, const Step& step) {
  if (step.kind == StepKind::kMove) return "movement";
  if (step.form == "alias") return "";
  const NodeView head(module, graph, graph.nodes[step.nodes.front()]);
  const std::string_view op = head.node.op->name();
  if (step.form == "dense_convolution" && op == "Conv") return convolution_form(head, step.form);
  if (step.form == "dense_product" && head.constant(1) == nullptr) return "dense_product_of_values";
  return step.form;
}

void add_work(const NodeView& node, HostStep& step) {
  for (const OperationCount& count : node.node.op->work(node).operations) {
    const auto amount = static_cast<double>(count.count);
    HostFeature feature = HostFeature::kOperations;
    if (count.kind == OperationKind::kMove) continue;
    if (count.kind == OperationKind::kMultiplyAccumulate)
      feature = HostFeature::kMultiplyAccumulates;
    if (count.kind == OperationKind::kTranscendental) feature = HostFeature::kTranscendentals;
    step[feature] += amount;
  }
}

Layout layout_of(const Plan& plan, ValueId value) {
  const auto& last = plan.channels_last;
  const bool found = std::find(last.begin(), last.end(), value) != last.end();
  return found ? Layout::kChannelsLast : Layout::kRowMajor;
}

// The axis along which elements are neighbours in memory.
std::size_t innermost_axis(std::size_t rank, Layout layout) {
  return layout == Layout::kChannelsLast ? 1 : rank - 1;
}

// Elements that a movement takes one by one, or many side by side as one.
double pieces(const NodeView& node, const Plan& plan) {
  double count = 0;
  for (std::size_t output = 0; output < node.node.outputs.size(); ++output) {
    const ValueId result = node.node.outputs[output];
    const Shape shape = node.graph.values[result].type.static_shape();
    // More boxes than that are pieces of their own.
    constexpr std::size_t kMostBoxes = 64;
    const auto boxes = movement_boxes(node, output, kMostBoxes);
    if (!boxes || shape.empty()) {
      count += static_cast<double>(element_count(shape));
      continue;
    }
    const std::size_t axis = innermost_axis(shape.size(), layout_of(plan, result));
    for (const MovementBox& box : *boxes) {
      const auto elements = static_cast<double>(element_count(box.extents));
      bool together = box.input < 0;
      if (!together) {
        const ValueId from = node.node.inputs[static_cast<std::size_t>(box.input)];
        const Shape source = node.graph.values[from].type.static_shape();
        const std::size_t along =
            source.empty() ? 0 : innermost_axis(source.size(), layout_of(plan, from));
        together =
            source.empty() || box.strides[axis] == strides_of(source, Layout::kRowMajor)[along];
      }
      count += together ? elements / static_cast<double>(box.extents[axis]) : elements;
    }
  }
  return count;
}

double constant_bytes(const Module& module, const Graph& graph, const Step& step) {
  double bytes = 0;
  for (const NodeId id : step.nodes)
    for (const ValueId input : graph.nodes[id].inputs)
      if (input != kNone && graph.values[input].constant != kNone)
        bytes += static_cast<double>(
            module.constants[graph.values[input].constant].tensor.bytes().size());
  return bytes;
}

double bytes_of(const Plan& plan, std::vector<std::size_t> buffers) {
  std::sort(buffers.begin(), buffers.end());
  buffers.erase(std::unique(buffers.begin(), buffers.end()), buffers.end());
  double bytes = 0;
  for (const std::size_t buffer : buffers) bytes += static_cast<double>(plan.buffers[buffer].bytes);
  return bytes;
}

// Of inputs and outputs of the function.
double outer_bytes(const Plan& plan, const Step& step) {
  std::vector<std::size_t> outer;
  const auto add = [&](std::size_t buffer) {
    const BufferRole role = plan.buffers[buffer].role;
    if (role == BufferRole::kInput || role == BufferRole::kOutput) outer.push_back(buffer);
  };
  std::for_each(step.reads.begin(), step.reads.end(), add);
  std::for_each(step.writes.begin(), step.writes.end(), add);
  return bytes_of(plan, outer);
}

struct HostTime {
  double one_core = 0, all_cores = 0;
};

class HostCosts {
 public:
  explicit HostCosts(const Device& device) : device_(device) {}

  HostTime of(const HostStep& step) const {
    HostTime time;
    for (std::size_t k = 0; k < kHostFeatures; ++k) {
      const HostTime cost = entry(step.form, name(static_cast<HostFeature>(k)));
      time.one_core += step.amounts[k] * cost.one_core;
      time.all_cores += step.amounts[k] * cost.all_cores;
    }
    return time;
  }
  HostTime error(const std::string& form) const { return entry(form, kErrorFeature); }

 private:
  HostTime entry(const std::string& form, std::string_view feature) const {
    const Cost* cost = device_.unit().find_cost(form, feature);
    const auto column = [&](std::string_view key) {
      if (cost != nullptr)
        if (const auto found = cost->per.find(std::string(key)); found != cost->per.end())
          return found->second;
      throw Error(device_.path, ": unit '", device_.unit().name, "' has no ", key, " for form '",
                  form, "', feature '", feature, "'; measure the processor again (tandem measure)");
    };
    return {column(kOneCore), column(kAllCores)};
  }

  const Device& device_;
};

// Bytes that stay near the cores from run to run.
double cached_bytes(const Device& device) {
  double bytes = 0;
  for (const std::string level : {"l1", "l2"})
    for (const Memory& memory : device.memories)
      if (memory.name == level) bytes = static_cast<double>(memory.bytes);
  return bytes * device.unit().number("cores");
}

// The least seconds that all cores need for these products.
double bound_seconds(const NodeView& node, const Device& device) {
  double seconds = 0;
  for (const OperationCount& count : node.node.op->work(node).operations) {
    if (count.kind != OperationKind::kMultiplyAccumulate) continue;
    const int bits = std::max(count.left.bits(), count.right.bits());
    const std::string key = !count.left.is_uniform() || bits > 16 ? "f32" : bits > 8 ? "i16" : "i8";
    seconds +=
        2 * static_cast<double>(count.count) /
        (device.unit().number(key + "_operations_per_second") * device.unit().number("cores"));
  }
  return seconds;
}

}  // namespace

std::string_view name(HostFeature feature) {
  static constexpr std::array<std::string_view, kHostFeatures> kNames = {
      "calls", "multiply_accumulates", "transcendentals", "operations", "bytes", "cold_bytes"};
  return kNames[static_cast<std::size_t>(feature)];
}

HostStep host_step(const Module& module, const Plan& plan, const Step& step) {
  const Graph& graph = module.function(plan.function);
  HostStep result;
  result.form = form_of(module, graph, step);
  if (result.form.empty()) return result;
  result[HostFeature::kCalls] = 1;
  for (const NodeId id : step.nodes) add_work({module, graph, graph.nodes[id]}, result);
  if (step.form == "movement") {
    result[HostFeature::kOperations] =
        pieces({module, graph, graph.nodes[step.nodes.front()]}, plan);
  }
  const double constants = constant_bytes(module, graph, step);
  result[HostFeature::kBytes] =
      bytes_of(plan, step.reads) + bytes_of(plan, step.writes) + constants;
  result.outer_bytes = outer_bytes(plan, step) + constants;
  return result;
}

Estimate estimate_host(const Module& module, const Plan& plan, const Device& device) {
  const Graph& graph = module.function(plan.function);
  const HostCosts costs(device);
  const Source source = device.unit().costs_provenance.source;
  Estimate estimate;
  estimate.device = device.name;
  double weights = 0;
  for (const Constant& constant : module.constants)
    weights += static_cast<double>(constant.tensor.bytes().size());
  const bool cold = weights > cached_bytes(device);
  HostTime total, error;
  double macs = 0, bound = 0;
  for (const Step& step : plan.steps) {
    HostStep features = host_step(module, plan, step);
    if (features.form.empty()) continue;
    if (cold) features[HostFeature::kColdBytes] = features.outer_bytes;
    const HostTime time = costs.of(features), relative = costs.error(features.form);
    StepEstimate one;
    one.name = step.nodes.empty() ? plan.buffers[step.writes.front()].name
                                  : graph.nodes[step.nodes.front()].name;
    const double step_macs = features[HostFeature::kMultiplyAccumulates];
    one.figures = {{"core_seconds", {time.one_core, source, relative.one_core}},
                   {"latency_seconds", {time.all_cores, source, relative.all_cores}},
                   {"multiply_accumulates", exact_figure(step_macs)}};
    estimate.steps.push_back(std::move(one));
    total.one_core += time.one_core;
    total.all_cores += time.all_cores;
    error.one_core += time.one_core * relative.one_core;
    error.all_cores += time.all_cores * relative.all_cores;
    macs += step_macs;
    for (const NodeId id : step.nodes)
      bound += bound_seconds({module, graph, graph.nodes[id]}, device);
  }
  const auto share = [](double part, double whole) { return whole > 0 ? part / whole : 0; };
  estimate.total = {
      {"core_seconds", {total.one_core, source, share(error.one_core, total.one_core)}},
      {"latency_seconds", {total.all_cores, source, share(error.all_cores, total.all_cores)}},
      {"bound_seconds", {bound, Source::kAnalytic, 0}},
      {"multiply_accumulates", exact_figure(macs)},
      {"weights_bytes", exact_figure(weights)},
      {"arena_bytes", exact_figure(static_cast<double>(plan.peak_bytes.at("ram")))},
      {"arena_bound_bytes", exact_figure(static_cast<double>(plan.bound_bytes.at("ram")))},
      {"io_bytes", exact_figure(static_cast<double>(caller_bytes(plan)))}};
  return estimate;
}

}  // namespace tandem
