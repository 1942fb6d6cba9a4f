#pragma once

#include <string>
#include <vector>

#include "tandem/cost/mcu_cost.h"
#include "tandem/device/kind_mcu.h"
#include "tandem/plan/mcu_groups.h"

namespace tandem {

// What the form of a group is chosen for: what it is judged by first.
enum class FormGoal {
  kLatency,
  kFlash,   // of code and constants
  kSram,    // of values and scratch arrays, less what can be written over
  kScratch  // of scratch arrays alone: for where nothing can be written over
};

// Chooses forms (plan/kernel.h) for the groups of one network on one device of kind "mcu". The
// kernels of a group are built when it is first asked for, then judged for all goals.
class FormChoice {
 public:
  // The module must outlive the choice.
  FormChoice(const Module& module, const Device& device);

  const McuGroups& groups() const { return groups_; }

  // The forms that a group can take.
  const std::vector<std::string>& forms(std::size_t group);
  // The best of those whose instructions the core has; for flash of all, because narrow weights are
  // small on every core.
  const std::string& best(std::size_t group, FormGoal goal);
  // The fastest of those that need less than `form` of what a goal asks for; `form` where none
  // does.
  std::string less(std::size_t group, const std::string& form, FormGoal goal);
  // Cycles of a group as a whole.
  double cycles(std::size_t group, const std::string& form);

 private:
  struct Judged {
    double cycles = 0, flash = 0, sram = 0, scratch = 0;  // the last three in bytes
  };
  struct Known {
    std::vector<std::string> forms;
    std::vector<Judged> judged;  // by form
  };
  const std::vector<Judged>& judged(std::size_t group);
  static double needs(const Judged& form, FormGoal goal);
  bool is_open(const std::string& form, FormGoal goal) const;
  Judged judge(std::size_t group, const std::string& form) const;

  const Module& module_;
  McuGroups groups_;
  McuCosts costs_;
  CoreInstructions instructions_;
  std::vector<Known> known_;  // by group; empty until it is asked for
};

}  // namespace tandem
