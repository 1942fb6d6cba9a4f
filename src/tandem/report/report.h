#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tandem/cost/estimate.h"
#include "tandem/device/device.h"
#include "tandem/graph/module.h"
#include "tandem/plan/plan.h"

namespace tandem {

// What a report is made from. Everything but the lowered network may be missing; its section is
// then left out.
struct ReportInput {
  std::string title;      // "digits on stm32f746"
  std::string command;    // as the user typed it
  std::string verdict;    // one sentence: what was asked for and whether it was met
  bool succeeded = true;  // limits met and executions equal

  const Module* lowered = nullptr;  // required
  const Plan* plan = nullptr;
  const Device* device = nullptr;
  const Estimate* estimate = nullptr;

  // One execution on held-out samples.
  struct AccuracyRow {
    std::string execution;  // "float", "reference", "c", ...
    std::int64_t samples = 0;
    std::optional<double> accuracy;
    // Output values against the reference, and whether they must be equal.
    std::int64_t compared_values = 0, differing_values = 0;
    bool must_be_equal = true;
  };
  std::vector<AccuracyRow> accuracy;

  // What was chosen for one layer of the network as read.
  struct LayerChoice {
    std::string layer, op;
    std::string weights, activations;  // formats: "int4 per channel", "uint8"
    // Noise that the outputs gain when this layer alone is narrowed, as a share of their energy.
    std::optional<double> sensitivity;
  };
  std::vector<LayerChoice> choices;
  int narrowed_bits = 0;  // the width of all sensitivities

  struct Limit {
    std::string name;  // "flash", with its unit in the texts
    std::string limit, reached;
    bool met = true;
  };
  std::vector<Limit> limits;

  // Name and text, in this order: data, preprocessing, seeds, versions.
  std::vector<std::pair<std::string, std::string>> provenance;
};

// One HTML page that needs no other file and no network: SVG and CSS are inline, there are no
// scripts. Equal inputs give equal bytes.
std::string report_html(const ReportInput& input);

}  // namespace tandem
