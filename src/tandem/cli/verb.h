#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "tandem/cli/option_table.h"

namespace tandem {

using Json = nlohmann::ordered_json;

// Scripts rely on these.
inline constexpr int kDone = 0;           // the verb did what it was asked to
inline constexpr int kFailed = 1;         // a comparison or a limit failed
inline constexpr int kInputAtFault = 2;   // an Error: the user can mend it
inline constexpr int kOurFault = 3;       // an InternalError or another exception
inline constexpr int kInterrupted = 130;  // Ctrl-C

// What a verb found out, for people and for programs; one of the two is printed.
struct VerbResult {
  std::string text;            // complete lines
  Json json = Json::object();  // starts with "schema": "tandem-<verb>/<version>"
  int exit_code = kDone;       // kDone, kFailed or kInputAtFault
};

// What every verb understands besides its own options.
struct CommonOptions {
  bool json = false;
  bool quiet = false;
  bool log_passes = false;
};

// One verb of the command line. Options are bound to the members of the derived class; what the
// user gave is complete when run() is called.
class Verb {
 public:
  virtual ~Verb() = default;
  virtual std::string name() const = 0;
  virtual std::string summary() const = 0;   // one line, without a full stop
  virtual std::string examples() const = 0;  // lines for the end of `tandem <verb> --help`
  virtual void add_options(OptionTable& options) = 0;
  virtual VerbResult run(const CommonOptions& common) = 0;
};

}  // namespace tandem
