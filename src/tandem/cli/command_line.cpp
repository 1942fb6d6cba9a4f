#include "tandem/cli/command_line.h"

#include <algorithm>
#include <new>
#include <optional>
#include <ostream>

#include <CLI/CLI.hpp>

#include "tandem/base/error.h"
#include "tandem/base/interrupt.h"
#include "tandem/base/progress.h"
#include "tandem/base/text.h"
#include "tandem/base/version.h"
#include "tandem/cli/verbs.h"
#include "tandem/ops/register.h"
#include "tandem/transform/pass_log.h"

namespace tandem {
namespace {

struct Entry {
  std::unique_ptr<Verb> verb;
  CLI::App* app = nullptr;
};

class CommandLine {
 public:
  CommandLine() : app_("Algorithm-hardware co-design of neural networks.", "tandem") {
    app_.set_version_flag("--version", "tandem " + version_details());
    app_.require_subcommand(1);
    app_.get_formatter()->label("SUBCOMMAND", "VERB");
    app_.get_formatter()->label("Subcommands", "Verbs");
    app_.footer(
        "tandem VERB --help explains a verb with an example.\n"
        "Exit codes: 0 done, 1 a comparison or limit failed, 2 the input is at fault, 3 our own "
        "fault, 130 interrupted.");
    for (auto& verb : make_verbs()) {
      CLI::App* sub = app_.add_subcommand(verb->name(), verb->summary() + ".");
      OptionTable options(*sub);
      verb->add_options(options);
      options.flag("--json", common_.json, "Print one JSON object instead of text");
      options.flag("--quiet", common_.quiet, "Show no progress and no notes");
      options.flag("--log-passes", common_.log_passes,
                   "Print what every pass over the network changed, with its time");
      sub->footer("Examples:\n" + verb->examples());
      entries_.push_back({std::move(verb), sub});
    }
  }

  // nullopt: help or the version was asked for and printed.
  std::optional<VerbResult> run(const std::vector<std::string>& arguments, std::ostream& out,
                                std::ostream& err) {
    if (arguments.empty()) throw Error("no verb is given\n\n", app_.help());
    check_names(arguments);
    try {
      app_.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
    } catch (const CLI::Success& success) {  // --help, --version
      app_.exit(success, out, out);
      return std::nullopt;
    } catch (const CLI::ParseError& error) {
      throw Error(error.what(), "; see tandem ", verb_of(arguments),
                  verb_of(arguments).empty() ? "" : " ", "--help");
    }
    if (!common_.quiet && !common_.json) set_progress_sink(standard_error_sink());
    if (common_.log_passes) set_pass_log(&err);
    for (const Entry& entry : entries_)
      if (entry.app->parsed()) return entry.verb->run(common_);
    throw InternalError("no verb was parsed");
  }

 private:
  static std::string verb_of(const std::vector<std::string>& arguments) {
    const auto found = std::find_if(arguments.begin(), arguments.end(),
                                    [](const std::string& text) { return !text.starts_with('-'); });
    return found == arguments.end() ? "" : *found;
  }

  // Misspelt verbs and options are reported before anything else, with the nearest that exists.
  void check_names(const std::vector<std::string>& arguments) const {
    const std::string verb = verb_of(arguments);
    const CLI::App* app = &app_;
    if (!verb.empty()) {
      std::vector<std::string> names;
      for (const Entry& entry : entries_) names.push_back(entry.verb->name());
      const auto found = std::find(names.begin(), names.end(), verb);
      if (found == names.end())
        throw Error("no verb is called '", verb, "'", suggestion(verb, names));
      app = entries_[static_cast<std::size_t>(found - names.begin())].app;
    }
    std::vector<std::string> known;
    for (const CLI::Option* option : app->get_options())
      for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
    for (const std::string& argument : arguments) {
      const std::string name = argument.substr(0, argument.find('='));
      if (!name.starts_with("--") || name == "--") continue;
      if (std::find(known.begin(), known.end(), name) == known.end()) {
        throw Error("tandem ", verb, verb.empty() ? "" : " ", "has no option ", name,
                    suggestion(name, known, 20));
      }
    }
  }

  CLI::App app_;
  CommonOptions common_;
  std::vector<Entry> entries_;
};

int report_failure(const std::exception& failure, std::string_view kind, int exit_code, bool json,
                   std::ostream& out, std::ostream& err) {
  err << "tandem: " << failure.what() << "\n";
  if (json) {
    out << Json{{"schema", "tandem-error/1"},
                {"kind", kind},
                {"message", failure.what()},
                {"exit_code", exit_code}}
               .dump(2, ' ', false, Json::error_handler_t::replace)
        << "\n";
  }
  out.flush();
  return exit_code;
}

int run_verb(const std::vector<std::string>& arguments, bool json, std::ostream& out,
             std::ostream& err) {
  register_operators();
  CommandLine command_line;
  const auto result = command_line.run(arguments, out, err);
  if (result) {
    if (json) {
      out << result->json.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
    } else {
      out << result->text;
    }
  }
  out.flush();
  if (!out) throw Error("cannot write the result to standard output");
  return result ? result->exit_code : kDone;
}

}  // namespace

int run_command_line(const std::vector<std::string>& arguments, std::ostream& out,
                     std::ostream& err) {
  const bool json = std::find(arguments.begin(), arguments.end(), "--json") != arguments.end();
  try {
    return run_verb(arguments, json, out, err);
  } catch (const Interrupted& failure) {
    return report_failure(failure, "interrupted", kInterrupted, json, out, err);
  } catch (const Error& failure) {
    return report_failure(failure, "input", kInputAtFault, json, out, err);
  } catch (const std::bad_alloc&) {
    return report_failure(std::runtime_error("out of memory"), "internal", kOurFault, json, out,
                          err);
  } catch (const std::exception& failure) {
    return report_failure(failure, "internal", kOurFault, json, out, err);
  }
}

}  // namespace tandem
