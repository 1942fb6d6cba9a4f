#pragma once

#include <string>
#include <vector>

#include "tandem/graph/module.h"

namespace tandem {

// A lowered network for one sample, on which estimates are compared with the truth.
struct JudgedNetwork {
  std::string name;
  Module lowered;
};

// The digits example, recoded to 8 bits, and the QONNX networks of the shared data (TANDEM_DATA,
// default ../shared/data beside the sources). One that is absent is skipped with a line on stderr.
// `only` names the networks that are wanted; empty: all. Throws Error on a name that is unknown.
std::vector<JudgedNetwork> judged_networks(const std::vector<std::string>& only = {});

// One line of JSON on stdout, with what `quantity` was estimated to be and what it is.
void print_comparison(const std::string& network, const std::string& device,
                      const std::string& plan, const std::string& quantity, double predicted,
                      double measured);

}  // namespace tandem
