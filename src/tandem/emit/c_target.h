#pragma once

#include <map>
#include <string>
#include <vector>

#include "tandem/plan/plan.h"
#include "tandem/plan/target.h"

namespace tandem {

struct COptions {
  // After every step the code calls
  //   void <name>_trace(int step, int write, const void *data, unsigned long bytes);
  // which whoever links it must define: to find the first layer that differs.
  bool trace = false;
  // The self-test, main.c, Makefile and CMakeLists.txt beside the network's own files.
  bool project = true;
};

// C99 for a microcontroller or a host, specialised step by step: constants are literals or
// `const` arrays, nothing is allocated, only <stdint.h> and <string.h> are needed. The plan is one
// of assemble_mcu_plan() (see plan/mcu_plan.h).
//
//   <name>.h          what goes in and out, and void <name>_run(inputs..., outputs...); of a plan
//                     with IoPlace::kArena, void <name>_run(void) and for each input and output
//                     a function that returns its place in the arena, <name>_input() and
//                     <name>_output(), or <name>_<input>_input() where there are several; of a
//                     network with states also void <name>_reset(void), which starts a new stream
//   <name>.c          the steps, the arena
//   <name>_weights.c  the constants, <name>_weights.h their declarations
//   <name>_selftest.c, .h  int <name>_selftest(void), 0 where outputs are those of the reference
//   main.c            an example that runs the self-test and then the network once
//   Makefile, CMakeLists.txt
//
// Every symbol begins with `name`, so that two networks live in one program. Where constants, arena
// and states lie is said by the macros <NAME>_WEIGHTS_SECTION, <NAME>_ARENA_SECTION and
// <NAME>_STATES_SECTION: an attribute each.
class CTarget final : public Target {
 public:
  explicit CTarget(COptions options = {}) : options_(options) {}
  std::string name() const override { return "c"; }
  std::vector<Issue> check(const Module& module) const override;
  Artifacts emit(const Module& module, const Plan& plan, const std::string& name) const override;

 private:
  COptions options_;
};

// The symbols of the constants of an emitted network, and what they are for.
std::map<std::string, BufferRole> c_constants(const Plan& plan, const std::string& name);

}  // namespace tandem
