#include "tandem/mapping/form_choice.h"

#include <algorithm>
#include <array>

#include "tandem/base/error.h"
#include "tandem/plan/kernel.h"
#include "tandem/plan/lifetime_planner.h"
#include "tandem/plan/overlap_distance.h"

namespace tandem {
namespace {

// The bytes that a program's values and scratch arrays need at least, where it is the last to read
// its inputs: some forms have little scratch, others can write over what they have read.
double bytes_alone(const LoopProgram& program) {
  std::vector<LifetimeBlock> blocks;
  for (const Array& array : program.arrays)
    blocks.push_back({array.is_constant() ? 0 : array.bytes()});
  for (const OverlapDistance& overlap : overlap_distances(program))
    blocks[overlap.written].takeovers.push_back({overlap.read, overlap.bytes});
  return static_cast<double>(least_bytes(blocks, 0));
}

}  // namespace

FormChoice::FormChoice(const Module& module, const Device& device)
    : module_(module),
      groups_(group_nodes(module, module.main())),
      costs_(device),
      instructions_(core_instructions(device.unit().text("core"))),
      known_(groups_.groups.size()) {}

const std::vector<std::string>& FormChoice::forms(std::size_t group) {
  std::vector<std::string>& forms = known_[group].forms;
  if (forms.empty())
    forms = kernel_forms(module_, module_.main(), groups_.base_of, groups_.groups[group]);
  return forms;
}

const std::vector<FormChoice::Judged>& FormChoice::judged(std::size_t group) {
  std::vector<Judged>& judged = known_[group].judged;
  if (judged.empty())
    for (const std::string& form : forms(group)) judged.push_back(judge(group, form));
  return judged;
}

double FormChoice::needs(const Judged& form, FormGoal goal) {
  switch (goal) {
    case FormGoal::kLatency: return form.cycles;
    case FormGoal::kFlash: return form.flash;
    case FormGoal::kSram: return form.sram;
    case FormGoal::kScratch: return form.scratch;
  }
  throw InternalError("unknown goal");
}

const std::string& FormChoice::best(std::size_t group, FormGoal goal) {
  const std::vector<std::string>& all = forms(group);
  if (all.size() == 1) return all.front();
  // The goal first, then what the others ask for.
  const auto order = [&](std::size_t i) -> std::array<double, 4> {
    const Judged& form = judged(group)[i];
    return {needs(form, goal), form.cycles, form.flash, form.scratch};
  };
  std::size_t least = 0;  // the plainest form, which every core has
  for (std::size_t i = 1; i < all.size(); ++i)
    if (is_open(all[i], goal) && order(i) < order(least)) least = i;
  return all[least];
}

std::string FormChoice::less(std::size_t group, const std::string& form, FormGoal goal) {
  const std::vector<std::string>& all = forms(group);
  const std::vector<Judged>& known = judged(group);
  const auto index = static_cast<std::size_t>(std::ranges::find(all, form) - all.begin());
  std::size_t found = index;
  for (std::size_t i = 0; i < all.size(); ++i)
    if (is_open(all[i], goal) && needs(known[i], goal) < needs(known[index], goal) &&
        (found == index || known[i].cycles < known[found].cycles))
      found = i;
  return all[found];
}

double FormChoice::cycles(std::size_t group, const std::string& form) {
  const std::vector<std::string>& all = forms(group);
  return judged(group)[static_cast<std::size_t>(std::ranges::find(all, form) - all.begin())].cycles;
}

bool FormChoice::is_open(const std::string& form, FormGoal goal) const {
  switch (needs_of(form)) {
    case FormNeeds::kNothing: return true;
    case FormNeeds::kRegisters: return instructions_.many_registers;
    case FormNeeds::kPackedProducts:
      return instructions_.packed_products || goal == FormGoal::kFlash;
    case FormNeeds::kVectors: return instructions_.vectors || goal == FormGoal::kFlash;
  }
  throw InternalError("unknown needs");
}

FormChoice::Judged FormChoice::judge(std::size_t group, const std::string& form) const {
  const LoopProgram program =
      build_kernel(module_, module_.main(), groups_.base_of, groups_.groups[group], form);
  const LoopCost cost = costs_.of(program);
  Judged judged{cost.cycles, cost.code_bytes, bytes_alone(program), 0};
  for (const Array& array : program.arrays) {
    if (array.is_constant()) judged.flash += static_cast<double>(array.bytes());
    if (array.role == ArrayRole::kScratch) judged.scratch += static_cast<double>(array.bytes());
  }
  return judged;
}

}  // namespace tandem
