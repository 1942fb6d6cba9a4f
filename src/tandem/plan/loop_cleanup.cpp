#include <set>
#include <string>

#include "tandem/plan/loop_program.h"

namespace tandem {
namespace {

using Names = std::set<std::string>;

void add_names(const Expr& e, Names& names, const std::string& except = "") {
  const bool names_something = e.op == ExprOp::kVariable || e.op == ExprOp::kLoad ||
                               e.op == ExprOp::kLoadWord || e.op == ExprOp::kLoadVector;
  if (names_something && e.name != except) names.insert(e.name);
  for (const Expr& arg : e.args) add_names(arg, names, except);
}

// The locals and arrays whose content matters to something but themselves.
void add_read_names(const Statements& statements, Names& names) {
  for (const Statement& s : statements) {
    add_names(s.value, names, s.kind == StatementKind::kAssign ? s.name : "");
    add_names(s.index, names);
    if (!s.array.empty()) names.insert(s.array);
    add_read_names(s.body, names);
    add_read_names(s.otherwise, names);
  }
}

bool is_dead(const Statement& s, const Names& read) {
  switch (s.kind) {
    case StatementKind::kLet:
    case StatementKind::kVariable:
    case StatementKind::kAssign:
    case StatementKind::kPointer:
    case StatementKind::kAdvance:
    case StatementKind::kStore:
    case StatementKind::kStoreWord:
    case StatementKind::kStoreVector:
    case StatementKind::kCopy:
    case StatementKind::kMove:
    case StatementKind::kFill: return !read.contains(s.name);
    case StatementKind::kFor: return s.body.empty();
    case StatementKind::kIf: return s.body.empty() && s.otherwise.empty();
  }
  return false;
}

std::size_t remove_dead(Statements& statements, const Names& read) {
  std::size_t removed = 0;
  for (Statement& s : statements)
    removed += remove_dead(s.body, read) + remove_dead(s.otherwise, read);
  return removed + std::erase_if(statements, [&](const Statement& s) { return is_dead(s, read); });
}

}  // namespace

void remove_unused(LoopProgram& program) {
  Names read;
  do {
    read.clear();
    for (const Array& array : program.arrays)
      if (array.role == ArrayRole::kOutput) read.insert(array.name);
    add_read_names(program.body, read);
  } while (remove_dead(program.body, read) > 0);
  std::erase_if(program.arrays, [&](const Array& array) {
    return array.role != ArrayRole::kOutput && !read.contains(array.name);
  });
}

}  // namespace tandem
