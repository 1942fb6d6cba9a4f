#pragma once

#include <memory>
#include <vector>

#include "tandem/cli/verb.h"

namespace tandem {

// To add a verb: write cli/verb_<name>.cpp with a class derived from Verb and the function
// make_<name>_verb(); declare that function here and list it in make_verbs() (verbs.cpp). Options
// that several verbs share (MODEL and --bind, --data and its companions, --device) are in
// cli/options.h and cli/network_options.h.
std::unique_ptr<Verb> make_compress_verb();
std::unique_ptr<Verb> make_fit_verb();
std::unique_ptr<Verb> make_list_verb();
std::unique_ptr<Verb> make_measure_verb();
std::unique_ptr<Verb> make_study_verb();
std::unique_ptr<Verb> make_show_verb();
std::unique_ptr<Verb> make_check_verb();
std::unique_ptr<Verb> make_run_verb();
std::unique_ptr<Verb> make_estimate_verb();
std::unique_ptr<Verb> make_compile_verb();
std::unique_ptr<Verb> make_compare_verb();

// In the order in which --help lists them.
std::vector<std::unique_ptr<Verb>> make_verbs();

}  // namespace tandem
