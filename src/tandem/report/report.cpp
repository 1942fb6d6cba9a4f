#include "tandem/report/report.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/base/version.h"
#include "tandem/graph/operator.h"
#include "tandem/report/figures.h"
#include "tandem/report/html.h"
#include "tandem/report/style.h"

namespace tandem {
namespace {

std::string percent(double share, const char* format = "%.2f %%") {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), format, 100 * share);
  return text.data();
}

std::string section(const std::string& title, const std::string& note, const std::string& content) {
  return element("section", "",
                 element("h2", "", escaped(title)) +
                     (note.empty() ? "" : element("p", "class=\"note\"", note)) + content);
}

std::string badge(bool good, const std::string& text) {
  return concat("<span class=\"badge ", good ? "good" : "bad", "\">", good ? "✓ " : "✗ ",
                escaped(text), "</span>");
}

// ---- Sections ----

std::string header(const ReportInput& input) {
  std::int64_t compared = 0, differing = 0;
  for (const auto& row : input.accuracy) {
    if (!row.must_be_equal) continue;
    compared += row.compared_values;
    differing += row.differing_values;
  }
  std::string badges = badge(input.succeeded, input.verdict);
  if (compared > 0) {
    badges += badge(differing == 0, concat(readable(static_cast<double>(differing)), " of ",
                                           readable(static_cast<double>(compared)),
                                           " output values differ between executions"));
  }
  return element("header", "",
                 element("h1", "", escaped(input.title)) + element("p", "", badges) +
                     (input.command.empty() ? "" : element("pre", "", escaped(input.command))));
}

std::string accuracy_section(const ReportInput& input) {
  if (input.accuracy.empty()) return "";
  double best = 0;
  for (const auto& row : input.accuracy) best = std::max(best, row.accuracy.value_or(0));
  std::vector<std::vector<std::string>> rows;
  for (const auto& row : input.accuracy) {
    std::string equality = "–";
    if (row.compared_values > 0) {
      const std::string counts = concat(readable(static_cast<double>(row.differing_values)), " of ",
                                        readable(static_cast<double>(row.compared_values)));
      equality = row.must_be_equal ? badge(row.differing_values == 0, counts + " differ")
                                   : escaped(counts + " codes differ (rounding)");
    }
    rows.push_back({escaped(row.execution), readable(static_cast<double>(row.samples)),
                    row.accuracy ? bar(*row.accuracy, percent(*row.accuracy)) : "–", equality});
  }
  return section(
      "Accuracy and equality",
      "Held-out samples. Executions of integers must agree with the reference in every "
      "output value; float is the network as read, its outputs coded alike.",
      html_table({"execution", "samples", "accuracy", "against the reference"}, rows, {1}));
}

std::string limits_section(const ReportInput& input) {
  if (input.limits.empty()) return "";
  std::vector<std::vector<std::string>> rows;
  for (const auto& limit : input.limits)
    rows.push_back({escaped(limit.name), escaped(limit.limit), escaped(limit.reached),
                    badge(limit.met, limit.met ? "met" : "missed")});
  return section("Limits", "", html_table({"limit", "asked for", "reached", ""}, rows, {1, 2}));
}

std::string choices_section(const ReportInput& input) {
  if (input.choices.empty()) return "";
  double most = 0;
  for (const auto& choice : input.choices)
    most = std::max(most, std::abs(choice.sensitivity.value_or(0)));
  std::vector<std::vector<std::string>> rows;
  for (const auto& choice : input.choices) {
    rows.push_back({escaped(choice.layer), escaped(choice.op), escaped(choice.weights),
                    escaped(choice.activations),
                    choice.sensitivity ? bar(most > 0 ? std::abs(*choice.sensitivity) / most : 0,
                                             percent(*choice.sensitivity))
                                       : "–"});
  }
  return section(
      "Formats per layer",
      most > 0 ? concat("Sensitivity: the noise that the outputs gain, as a share of their energy, "
                        "when this layer alone is narrowed to ",
                        input.narrowed_bits, " bits.")
               : "",
      html_table({"layer", "operator", "weights", "activations", "sensitivity"}, rows, {}));
}

// Formats of the lowered network where no choices were made for layers.
std::string formats_section(const ReportInput& input) {
  if (!input.choices.empty()) return choices_section(input);
  const Module& module = *input.lowered;
  const Graph& graph = module.main();
  constexpr double kMostBits = 32;
  std::vector<std::vector<std::string>> rows;
  for (const Node& node : graph.nodes) {
    std::string constants = "–";
    for (const ValueId id : node.inputs) {
      if (constant_of(module, graph, id) == nullptr) continue;
      constants = escaped(graph.values[id].type.to_string());
      break;
    }
    const TensorType& type = graph.values[node.outputs[0]].type;
    rows.push_back({escaped(node.name), escaped(node.op->name()), constants,
                    escaped(type.to_string()),
                    bar(type.format.bits() / kMostBits, concat(type.format.bits(), " bits"))});
  }
  return section("Formats per layer", "",
                 html_table({"node", "operator", "constants", "result", "width"}, rows, {}));
}

std::string network_section(const ReportInput& input) {
  return section("The network", "As integers; a box is what runs as one step. Hover for names.",
                 element("div", "class=\"scroll\"", network_figure(*input.lowered, input.plan)));
}

std::string memory_section(const ReportInput& input) {
  if (input.plan == nullptr) return "";
  const std::string figure = memory_figure(*input.plan);
  std::vector<std::vector<std::string>> cells;
  for (const auto& [memory, peak] : input.plan->peak_bytes) {
    std::string of = "–", share = "–";
    if (input.device != nullptr) {
      for (const Memory& known : input.device->memories) {
        if (known.name != memory || known.bytes == 0) continue;
        of = readable_bytes(known.bytes);
        const double used = static_cast<double>(peak) / static_cast<double>(known.bytes);
        share = bar(used, percent(used, "%.1f %%"));
      }
    }
    const auto bound = input.plan->bound_bytes.find(memory);
    cells.push_back({escaped(memory), readable(static_cast<double>(peak)),
                     bound == input.plan->bound_bytes.end()
                         ? "–"
                         : readable(static_cast<double>(bound->second)),
                     of, share});
  }
  if (const std::int64_t bytes = state_bytes(*input.plan); bytes > 0)
    cells.push_back({"states", readable(static_cast<double>(bytes)), "–", "–", "–"});
  if (figure.empty() && cells.empty()) return "";
  return section(
      "Memory",
      figure.empty() ? ""
                     : "The arena over the steps: each rectangle is a value from the step "
                       "that writes it to the last that reads it. Solid line: the peak; "
                       "dashed: no layout can be lower. Where two overlap, a step writes one "
                       "behind where it reads the other. Inputs and outputs lie " +
                           std::string(input.plan->io == IoPlace::kArena ? "here as well."
                                                                         : "with the caller."),
      (figure.empty() ? "" : element("div", "class=\"scroll\"", figure)) +
          html_table({"memory", "planned bytes", "lower bound", "the device has", "used"}, cells,
                     {1, 2, 3}));
}

std::string source_text(const Figure& figure) {
  std::string text(name(figure.source));
  if (figure.relative_uncertainty > 0)
    text += concat(" ±", percent(figure.relative_uncertainty, "%.0f %%"));
  return text;
}

std::string totals_section(const ReportInput& input) {
  if (input.estimate == nullptr) return "";
  std::vector<std::vector<std::string>> rows;
  for (const auto& [key, figure] : input.estimate->total)
    rows.push_back({escaped(key), readable(figure.value), escaped(source_text(figure))});
  std::string note = concat("On ", escaped(input.estimate->device), ".");
  if (input.device != nullptr) {
    note = concat("On ", escaped(input.device->title), " at ",
                  readable(input.device->clock.hertz / 1e6), " MHz (",
                  escaped(to_string(input.device->clock.provenance)), ").");
  }
  return section("Estimate", note, html_table({"figure", "value", "source"}, rows, {1}));
}

// The figure by which steps are compared: time where the model gives it, else size.
std::string leading_figure(const Estimate& estimate) {
  for (const char* key :
       {"latency_cycles", "interval_cycles", "instructions", "luts", "multiply_accumulates"}) {
    for (const StepEstimate& step : estimate.steps)
      if (step.figures.contains(key)) return key;
  }
  return "";
}

std::string cost_section(const ReportInput& input) {
  if (input.estimate == nullptr || input.estimate->steps.empty()) return "";
  const Estimate& estimate = *input.estimate;
  const std::string leading = leading_figure(estimate);
  if (leading.empty()) return "";
  std::vector<std::string> keys;
  double total = 0, most = 0;
  for (const StepEstimate& step : estimate.steps) {
    for (const auto& [key, figure] : step.figures)
      if (key != leading && std::find(keys.begin(), keys.end(), key) == keys.end())
        keys.push_back(key);
    const auto found = step.figures.find(leading);
    if (found == step.figures.end()) continue;
    total += found->second.value;
    most = std::max(most, found->second.value);
  }
  std::vector<std::string> header{"step", leading};
  std::vector<std::size_t> numeric;
  for (const std::string& key : keys) {
    numeric.push_back(header.size());
    header.push_back(escaped(key));
  }
  std::vector<std::vector<std::string>> rows;
  for (const StepEstimate& step : estimate.steps) {
    const auto value = [&](const std::string& key) {
      const auto found = step.figures.find(key);
      return found == step.figures.end() ? std::string("–") : readable(found->second.value);
    };
    const auto found = step.figures.find(leading);
    const double cost = found == step.figures.end() ? 0 : found->second.value;
    std::vector<std::string> row{
        escaped(step.name),
        bar(most > 0 ? cost / most : 0,
            concat(value(leading),
                   total > 0 ? concat(" (", percent(cost / total, "%.1f %%"), ")") : ""))};
    for (const std::string& key : keys) row.push_back(value(key));
    rows.push_back(row);
  }
  return section("Cost per layer", "", html_table(header, rows, numeric));
}

std::string provenance_section(const ReportInput& input) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& [name, text] : input.provenance) rows.push_back({escaped(name), escaped(text)});
  for (const auto& [key, text] : input.lowered->metadata)
    rows.push_back({escaped(key), escaped(text)});
  rows.push_back({"tandem", escaped(version())});
  return section("How this came about", "", html_table({"", ""}, rows, {}));
}

}  // namespace

std::string report_html(const ReportInput& input) {
  ensure(input.lowered != nullptr, "a report needs the lowered network");
  const std::string body = header(input) + accuracy_section(input) + limits_section(input) +
                           totals_section(input) + cost_section(input) + memory_section(input) +
                           formats_section(input) + network_section(input) +
                           provenance_section(input);
  return concat(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
      element("title", "", escaped(input.title)), element("style", "", kReportStyle), "</head>\n",
      element("body", "", element("main", "", body)), "</html>\n");
}

}  // namespace tandem
