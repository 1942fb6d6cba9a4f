#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/cli/table.h"
#include "tandem/cli/verbs.h"
#include "tandem/report/study.h"

namespace tandem {
namespace {

class StudyVerb final : public Verb {
 public:
  std::string name() const override { return "study"; }
  std::string summary() const override {
    return "Run the claims of published methods again: published, here, holds";
  }
  std::string examples() const override {
    return "  tandem study\n"
           "  tandem study zeroquant-fp6 qlora";
  }
  void add_options(OptionTable& options) override {
    options.positional_list("METHOD", methods_,
                            "Methods by name or pattern; without any, the list of them");
  }

  VerbResult run(const CommonOptions&) override {
    if (methods_.empty()) return list();
    VerbResult result;
    result.json["schema"] = "tandem-study/1";
    result.json["studies"] = Json::array();
    bool all_hold = true;
    for (const Study* study : chosen()) {
      StudyReport report;
      study->run(report);
      result.text += text_of(*study, report);
      result.json["studies"].push_back(json_of(*study, report));
      all_hold &= std::ranges::all_of(report.claims(), &Claim::holds);
    }
    if (!all_hold) result.exit_code = kFailed;
    return result;
  }

 private:
  static VerbResult list() {
    VerbResult result;
    result.json["schema"] = "tandem-study/1";
    result.json["methods"] = Json::array();
    TextTable table({"method", "title"});
    for (const Study& study : studies()) {
      table.add({study.slug, study.title});
      result.json["methods"].push_back(
          {{"name", study.slug}, {"title", study.title}, {"source", study.source}});
    }
    result.text = table.text();
    return result;
  }

  std::vector<const Study*> chosen() const {
    std::vector<std::string> names;
    for (const Study& study : studies()) names.push_back(study.slug);
    std::vector<const Study*> found;
    for (const std::string& pattern : methods_) {
      const std::size_t before = found.size();
      for (const Study& study : studies())
        if (matches(pattern, study.slug)) found.push_back(&study);
      if (found.size() == before)
        throw Error("there is no study '", pattern, "'", suggestion(pattern, names));
    }
    return found;
  }

  static std::string text_of(const Study& study, const StudyReport& report) {
    TextTable table({"claim", "published", "here", "holds"});
    for (const Claim& claim : report.claims())
      table.add({claim.what, claim.published, claim.here, claim.holds ? "yes" : "no"});
    std::string text =
        concat(study.slug, ": ", study.title, "\n", study.source, "\n\n", table.text());
    for (const std::string& note : report.notes()) text += note + "\n";
    return text + "\n";
  }

  static Json json_of(const Study& study, const StudyReport& report) {
    Json claims = Json::array();
    for (const Claim& claim : report.claims())
      claims.push_back({{"claim", claim.what},
                        {"published", claim.published},
                        {"here", claim.here},
                        {"holds", claim.holds}});
    return {{"name", study.slug},
            {"title", study.title},
            {"source", study.source},
            {"claims", claims},
            {"notes", report.notes()}};
  }

  std::vector<std::string> methods_;
};

}  // namespace

std::unique_ptr<Verb> make_study_verb() { return std::make_unique<StudyVerb>(); }

}  // namespace tandem
