#pragma once

#include <map>
#include <string>
#include <vector>

#include "tandem/cli/verb.h"
#include "tandem/files/numpy.h"
#include "tandem/graph/module.h"

namespace tandem {

// Options that several verbs share: each struct adds its options to a verb's and reads what the
// user gave.

// MODEL, --parameters and --bind.
struct ModelOptions {
  std::string path, parameters;
  std::vector<std::string> bindings;  // "N=1"

  void add_to(OptionTable& options, const std::string& metavariable = "MODEL");
  // The model with the named symbols bound. Throws Error naming the file.
  Module load() const;
  // The same; arrays whose values decide shapes become constants and are taken out, and symbols get
  // the sizes that the others have.
  Module load(NamedTensors& arrays) const;

 private:
  void take(Module& module) const;
};

// The symbols that single samples among arrays of inputs give a number: those that stand alone, but
// for the batch, which stands first.
std::map<std::string, std::int64_t> sizes_of_samples(const Graph& main, const NamedTensors& arrays);

// "N=1" and so on as a map. Throws Error naming the text that is no SYMBOL=NUMBER.
std::map<std::string, std::int64_t> parse_bindings(const std::vector<std::string>& bindings);

}  // namespace tandem
