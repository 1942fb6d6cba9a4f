#include "tandem/plan/shared_programs.h"

#include <algorithm>
#include <map>
#include <string>

#include "tandem/base/error.h"

namespace tandem {
namespace {

constexpr int kFewStatements = 8;
constexpr std::size_t kMostParameters = 8;

// What a program does, as text, but for the numbers that may differ.
class Skeleton {
 public:
  explicit Skeleton(LoopProgram& program) {
    for (const Array& array : program.arrays)
      text_ += concat(array.name, " ", static_cast<int>(array.role), " ",
                      static_cast<int>(array.storage), "\n");
    add(program.body, true);
  }

  const std::string& text() const { return text_; }
  const std::vector<Expr*>& numbers() const { return numbers_; }
  int statements() const { return statements_; }

 private:
  static bool has_loop(const Statements& statements) {
    return std::ranges::any_of(statements, [](const Statement& s) {
      return s.kind == StatementKind::kFor || has_loop(s.body) || has_loop(s.otherwise);
    });
  }

  void add(Statements& statements, bool may_differ) {
    text_ += "{";
    for (Statement& s : statements) {
      ++statements_;
      text_ += concat(static_cast<int>(s.kind), s.name, " ", static_cast<int>(s.type), s.array, " ",
                      s.step, " ");
      add(s.value, may_differ || s.kind == StatementKind::kFor);
      add(s.index, may_differ || s.kind == StatementKind::kFor);
      add(s.body, may_differ && (s.kind != StatementKind::kFor || has_loop(s.body)));
      add(s.otherwise, may_differ);
      text_ += ";";
    }
    text_ += "}";
  }

  void add(Expr& e, bool may_differ) {
    if (may_differ && e.op == ExprOp::kConstant && e.type == Storage::kI32 && e.lanes == 1) {
      numbers_.push_back(&e);
      text_ += "#";
      return;
    }
    text_ += concat(static_cast<int>(e.op), static_cast<int>(e.type), e.name, " ", e.value, " ",
                    e.lanes, "(");
    for (Expr& arg : e.args) add(arg, may_differ);
    text_ += ")";
  }

  std::string text_;
  std::vector<Expr*> numbers_;
  int statements_ = 0;
};

// One function for programs of one skeleton; false where it would take too many parameters.
bool share(std::vector<LoopProgram>& programs, const std::vector<std::size_t>& steps,
           const std::vector<Skeleton>& skeletons, std::vector<StepCall>& calls) {
  // By parameter: its value in each program.
  std::map<std::vector<std::int64_t>, std::size_t> parameters;
  std::vector<std::size_t> parameter_of;  // by number; kNone where it is the same everywhere
  for (std::size_t i = 0; i < skeletons[steps[0]].numbers().size(); ++i) {
    std::vector<std::int64_t> values;
    for (const std::size_t step : steps) values.push_back(skeletons[step].numbers()[i]->value);
    if (std::ranges::all_of(values, [&](std::int64_t v) { return v == values[0]; }))
      parameter_of.push_back(kNone);
    else
      parameter_of.push_back(parameters.try_emplace(values, parameters.size()).first->second);
  }
  if (parameters.size() > kMostParameters) return false;
  for (std::size_t k = 0; k < steps.size(); ++k) {
    LoopProgram& program = programs[steps[k]];
    calls[steps[k]].arguments.resize(parameters.size());
    for (const auto& [values, parameter] : parameters)
      calls[steps[k]].arguments[parameter] = values[k];
    for (std::size_t i = 0; i < parameters.size(); ++i)
      program.parameters.push_back(program.fresh("size"));
    for (std::size_t i = 0; i < parameter_of.size(); ++i)
      if (parameter_of[i] != kNone)
        *skeletons[steps[k]].numbers()[i] = variable_expr(program.parameters[parameter_of[i]]);
  }
  return true;
}

}  // namespace

SharedPrograms share_programs(std::vector<LoopProgram>& programs) {
  std::vector<Skeleton> skeletons;
  std::map<std::string, std::vector<std::size_t>> alike;
  for (std::size_t i = 0; i < programs.size(); ++i) {
    skeletons.emplace_back(programs[i]);
    alike[skeletons[i].text()].push_back(i);
  }
  SharedPrograms result;
  result.calls.resize(programs.size());
  std::vector<bool> shared(programs.size(), false);
  for (std::size_t i = 0; i < programs.size(); ++i) {
    if (shared[i]) continue;
    const std::vector<std::size_t>& steps = alike.at(skeletons[i].text());
    const bool together = steps.size() > 1 && skeletons[i].statements() >= kFewStatements &&
                          share(programs, steps, skeletons, result.calls);
    result.users.push_back(together ? steps : std::vector<std::size_t>{i});
    for (const std::size_t step : result.users.back()) {
      shared[step] = true;
      result.calls[step].function = result.users.size() - 1;
    }
  }
  return result;
}

}  // namespace tandem
