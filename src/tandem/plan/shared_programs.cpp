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

// Finds which programs are one function.
class Sharing {
 public:
  Sharing(std::vector<LoopProgram>& programs, const std::vector<std::vector<std::size_t>>& buffers)
      : programs_(programs), buffers_(buffers) {
    for (LoopProgram& program : programs) skeletons_.emplace_back(program);
    result_.calls.resize(programs.size());
  }

  SharedPrograms run() {
    std::map<std::string, std::vector<std::size_t>> alike;
    for (std::size_t i = 0; i < programs_.size(); ++i) alike[skeletons_[i].text()].push_back(i);
    std::vector<std::vector<std::size_t>> functions;
    for (const auto& [text, steps] : alike) {
      if (skeletons_[steps[0]].statements() >= kFewStatements &&
          parameters_of(steps).size() <= kMostParameters)
        functions.push_back(steps);
      else
        for (std::vector<std::size_t>& same : equal_steps(steps)) functions.push_back(same);
    }
    std::ranges::sort(functions);  // by their first steps
    for (std::vector<std::size_t>& steps : functions) add_function(std::move(steps));
    return std::move(result_);
  }

 private:
  using Parameters = std::map<std::vector<std::int64_t>, std::size_t>;

  // What number i is in each step.
  std::vector<std::int64_t> values_of(std::size_t i, const std::vector<std::size_t>& steps) const {
    std::vector<std::int64_t> values;
    for (const std::size_t step : steps) values.push_back(skeletons_[step].numbers()[i]->value);
    return values;
  }

  // The numbers that differ between steps, by what they are in each: one parameter for those that
  // are always the same.
  Parameters parameters_of(const std::vector<std::size_t>& steps) const {
    Parameters parameters;
    for (std::size_t i = 0; i < skeletons_[steps[0]].numbers().size(); ++i) {
      std::vector<std::int64_t> values = values_of(i, steps);
      if (std::ranges::any_of(values, [&](std::int64_t v) { return v != values[0]; }))
        parameters.try_emplace(std::move(values), parameters.size());
    }
    return parameters;
  }

  // The steps in classes of the same numbers and constants.
  std::vector<std::vector<std::size_t>> equal_steps(const std::vector<std::size_t>& steps) const {
    std::map<std::pair<std::vector<std::int64_t>, std::vector<std::size_t>>,
             std::vector<std::size_t>>
        classes;
    for (const std::size_t step : steps) {
      std::vector<std::int64_t> numbers;
      for (const Expr* number : skeletons_[step].numbers()) numbers.push_back(number->value);
      std::vector<std::size_t> constants;
      for (std::size_t i = 0; i < buffers_[step].size(); ++i)
        if (programs_[step].arrays[i].is_constant()) constants.push_back(buffers_[step][i]);
      classes[{numbers, constants}].push_back(step);
    }
    std::vector<std::vector<std::size_t>> result;
    for (const auto& [key, same] : classes) result.push_back(same);
    return result;
  }

  void add_function(std::vector<std::size_t> steps) {
    const Parameters parameters = parameters_of(steps);
    std::vector<std::size_t> parameter_of;  // by number; kNone where it is the same everywhere
    for (std::size_t i = 0; i < skeletons_[steps[0]].numbers().size(); ++i) {
      const auto found = parameters.find(values_of(i, steps));
      parameter_of.push_back(found == parameters.end() ? kNone : found->second);
    }
    for (std::size_t k = 0; k < steps.size(); ++k) {
      LoopProgram& program = programs_[steps[k]];
      StepCall& call = result_.calls[steps[k]];
      call.function = result_.users.size();
      call.arguments.resize(parameters.size());
      for (const auto& [values, parameter] : parameters) call.arguments[parameter] = values[k];
      for (std::size_t i = 0; i < parameters.size(); ++i)
        program.parameters.push_back(program.fresh("size"));
      for (std::size_t i = 0; i < parameter_of.size(); ++i)
        if (parameter_of[i] != kNone)
          *skeletons_[steps[k]].numbers()[i] = variable_expr(program.parameters[parameter_of[i]]);
    }
    result_.passed.push_back(passed_in(steps));
    result_.users.push_back(std::move(steps));
  }

  std::vector<std::size_t> passed_in(const std::vector<std::size_t>& steps) const {
    std::vector<std::size_t> passed;
    for (std::size_t i = 0; i < programs_[steps[0]].arrays.size(); ++i) {
      const bool differs = std::ranges::any_of(
          steps, [&](std::size_t step) { return buffers_[step][i] != buffers_[steps[0]][i]; });
      if (differs || !programs_[steps[0]].arrays[i].is_constant()) passed.push_back(i);
    }
    return passed;
  }

  std::vector<LoopProgram>& programs_;
  const std::vector<std::vector<std::size_t>>& buffers_;
  std::vector<Skeleton> skeletons_;
  SharedPrograms result_;
};

}  // namespace

SharedPrograms share_programs(std::vector<LoopProgram>& programs,
                              const std::vector<std::vector<std::size_t>>& buffers) {
  return Sharing(programs, buffers).run();
}

}  // namespace tandem
