#include "tandem/cli/verbs.h"

namespace tandem {

std::vector<std::unique_ptr<Verb>> make_verbs() {
  std::vector<std::unique_ptr<Verb>> verbs;
  verbs.push_back(make_fit_verb());
  verbs.push_back(make_check_verb());
  verbs.push_back(make_show_verb());
  verbs.push_back(make_run_verb());
  verbs.push_back(make_compress_verb());
  verbs.push_back(make_estimate_verb());
  verbs.push_back(make_compile_verb());
  verbs.push_back(make_compare_verb());
  verbs.push_back(make_measure_verb());
  verbs.push_back(make_study_verb());
  verbs.push_back(make_list_verb());
  return verbs;
}

}  // namespace tandem
