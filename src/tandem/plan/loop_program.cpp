#include "tandem/plan/loop_program.h"

#include <algorithm>
#include <limits>

#include "tandem/base/error.h"

namespace tandem {
namespace {

bool is_constant(const Expr& e, std::int64_t value) {
  return e.op == ExprOp::kConstant && e.value == value;
}

bool yields_truth(ExprOp op) {
  return op == ExprOp::kLess || op == ExprOp::kLessEqual || op == ExprOp::kEqual;
}

// Sums and products of small constants; others stay as they are written.
bool fold(ExprOp op, const Expr& a, const Expr& b, Expr& result) {
  if (a.op != ExprOp::kConstant || b.op != ExprOp::kConstant) return false;
  constexpr std::int64_t kSmall = std::int64_t{1} << 15;
  if (std::abs(a.value) >= kSmall || std::abs(b.value) >= kSmall) return false;
  if (op == ExprOp::kAdd) result = constant_expr(a.value + b.value, a.type);
  if (op == ExprOp::kSubtract) result = constant_expr(a.value - b.value, a.type);
  if (op == ExprOp::kMultiply) result = constant_expr(a.value * b.value, a.type);
  return op == ExprOp::kAdd || op == ExprOp::kSubtract || op == ExprOp::kMultiply;
}

std::string_view sign_of(ExprOp op) {
  switch (op) {
    case ExprOp::kAdd: return "+";
    case ExprOp::kSubtract: return "-";
    case ExprOp::kMultiply: return "*";
    case ExprOp::kAnd: return "&";
    case ExprOp::kXor: return "^";
    case ExprOp::kDivide: return "/";
    case ExprOp::kRemainder: return "%";
    case ExprOp::kShiftLeft: return "<<";
    case ExprOp::kShiftRight: return ">>";
    case ExprOp::kLess: return "<";
    case ExprOp::kLessEqual: return "<=";
    case ExprOp::kEqual: return "==";
    default: return "?";
  }
}

std::string type_name(Storage storage) {
  return concat(is_signed(storage) ? "i" : "u", 8 * storage_bytes(storage));
}

std::string text_of(const Expr& e) {
  switch (e.op) {
    case ExprOp::kConstant: return std::to_string(e.value);
    case ExprOp::kVariable: return e.name;
    case ExprOp::kLoad:
      if (e.lanes > 1)
        return concat("quad(", e.name, "[", text_of(e.args[0]), "] by ", e.value, ")");
      return concat(e.name, "[", text_of(e.args[0]), "]");
    case ExprOp::kConvert: return concat(type_name(e.type), "(", text_of(e.args[0]), ")");
    case ExprOp::kSelect:
      return concat("(", text_of(e.args[0]), " ? ", text_of(e.args[1]), " : ", text_of(e.args[2]),
                    ")");
    case ExprOp::kLoadWord: return concat("word(", e.name, "[", text_of(e.args[0]), "])");
    case ExprOp::kSignedPair:
    case ExprOp::kUnsignedPair:
      return concat(e.op == ExprOp::kSignedPair ? "signed" : "unsigned", "_pair_", e.value, "(",
                    text_of(e.args[0]), ")");
    case ExprOp::kSaturate:
      return concat(e.value == 1 ? "i8" : "u8", "_saturated(", text_of(e.args[0]), ")");
    case ExprOp::kUpperWord:
      return concat(e.value == 2   ? "doubled_"
                    : e.value == 1 ? "rounded_"
                                   : "",
                    "upper_word(", text_of(e.args[0]), ", ", text_of(e.args[1]), ")");
    case ExprOp::kMinimum:
    case ExprOp::kMaximum:
      return concat(e.op == ExprOp::kMinimum ? "min(" : "max(", text_of(e.args[0]), ", ",
                    text_of(e.args[1]), ")");
    case ExprOp::kScaleByPower:
      return concat("scaled(", text_of(e.args[0]), ", ", text_of(e.args[1]), ")");
    case ExprOp::kQuad:
      return concat("quad(", text_of(e.args[0]), ", ", text_of(e.args[1]), ", ", text_of(e.args[2]),
                    ", ", text_of(e.args[3]), ")");
    case ExprOp::kLoadVector: return concat("vector(", e.name, "[", text_of(e.args[0]), "])");
    case ExprOp::kVectorBits:
      return concat("top", e.value % 16, "(", text_of(e.args[0]), " << ", e.value / 16, ")");
    case ExprOp::kDot16:
      return concat("dot16(", text_of(e.args[0]), ", ", text_of(e.args[1]), ", ",
                    text_of(e.args[2]), ")");
    case ExprOp::kDot2:
      return concat("dot2(", text_of(e.args[0]), ", ", text_of(e.args[1]), ", ", text_of(e.args[2]),
                    ")");
    default:
      return concat("(", text_of(e.args[0]), " ", sign_of(e.op), " ", text_of(e.args[1]), ")");
  }
}

void print(const Statements& statements, const std::string& indent, std::string& text) {
  for (const Statement& s : statements) {
    text += indent;
    switch (s.kind) {
      case StatementKind::kLet:
      case StatementKind::kVariable:
        text += concat(s.kind == StatementKind::kLet ? "let " : "var ", s.name, " : ",
                       type_name(s.type), " = ", text_of(s.value));
        break;
      case StatementKind::kAssign: text += concat(s.name, " = ", text_of(s.value)); break;
      case StatementKind::kStore:
        text += s.value.lanes > 1
                    ? concat("quad(", s.name, "[", text_of(s.index), "] by ", s.step, ") = ")
                    : concat(s.name, "[", text_of(s.index), "] = ");
        text += text_of(s.value);
        break;
      case StatementKind::kStoreVector:
        text += concat("vector(", s.name, "[", text_of(s.index), "]) = ", text_of(s.value));
        break;
      case StatementKind::kStoreWord:
        text += concat("word(", s.name, "[", text_of(s.index), "]) = ", text_of(s.value));
        break;
      case StatementKind::kPointer:
        text += concat("pointer ", s.name, " = ", s.array, " + ", text_of(s.index));
        break;
      case StatementKind::kAdvance: text += concat(s.name, " += ", s.step); break;
      case StatementKind::kFor:
        text += concat("for ", s.name, " in ", text_of(s.value), "..", text_of(s.index), " by ",
                       s.step);
        break;
      case StatementKind::kCopy:
      case StatementKind::kMove:
        text += concat(s.kind == StatementKind::kCopy ? "copy " : "move ", s.step, " from ",
                       s.array, "[", text_of(s.value), "] to ", s.name, "[", text_of(s.index), "]");
        break;
      case StatementKind::kFill:
        text += concat("fill ", s.step, " of ", s.name, "[", text_of(s.index), "] with ",
                       text_of(s.value));
        break;
      case StatementKind::kIf: text += concat("if ", text_of(s.value)); break;
    }
    text += "\n";
    print(s.body, indent + "  ", text);
    if (s.otherwise.empty()) continue;
    text += indent + "else\n";
    print(s.otherwise, indent + "  ", text);
  }
}

}  // namespace

Expr constant_expr(std::int64_t value, Storage type) {
  return {ExprOp::kConstant, type, value, "", {}, 1};
}

Expr variable_expr(std::string name, Storage type, int lanes) {
  return {ExprOp::kVariable, type, 0, std::move(name), {}, lanes};
}

Expr load_expr(std::string array, Storage type, Expr index) {
  return {ExprOp::kLoad, type, 0, std::move(array), {std::move(index)}, 1};
}

Expr convert_expr(Expr value, Storage type) {
  if (value.type == type) return value;
  if (value.op == ExprOp::kConstant) {
    const IntegerRange range = range_of(type);
    ensure(value.value >= range.min && value.value <= range.max, "a constant leaves its type");
    return constant_expr(value.value, type);
  }
  const int lanes = value.lanes;
  return {ExprOp::kConvert, type, 0, "", {std::move(value)}, lanes};
}

Expr binary_expr(ExprOp op, Expr a, Expr b) {
  ensure(a.type == b.type, "operands of a loop program differ in type");
  if (op == ExprOp::kAdd || op == ExprOp::kSubtract) {
    if (is_constant(b, 0)) return a;
    if (op == ExprOp::kAdd && is_constant(a, 0)) return b;
  }
  if (op == ExprOp::kMultiply) {
    if (is_constant(a, 1)) return b;
    if (is_constant(b, 1)) return a;
    if (is_constant(a, 0) || is_constant(b, 0)) return constant_expr(0, a.type);
  }
  if ((op == ExprOp::kShiftLeft || op == ExprOp::kShiftRight) && is_constant(b, 0)) return a;
  Expr folded;
  if (fold(op, a, b, folded)) return folded;
  const Storage type = yields_truth(op) ? Storage::kI32 : a.type;
  const int lanes = std::max(a.lanes, b.lanes);
  ensure(lanes == 1 || type == Storage::kI32, "quads are of words");
  return {op, type, 0, "", {std::move(a), std::move(b)}, lanes};
}

Expr select_expr(Expr condition, Expr then, Expr otherwise) {
  ensure(then.type == otherwise.type, "branches of a select differ in type");
  const Storage type = then.type;
  return {
      ExprOp::kSelect, type, 0, "", {std::move(condition), std::move(then), std::move(otherwise)}};
}

Expr load_word_expr(std::string array, Expr index) {
  return {ExprOp::kLoadWord, Storage::kI32, 0, std::move(array), {std::move(index)}, 1};
}

Expr pair_expr(Expr word, int first, bool is_signed) {
  ensure(first == 0 || first == 1, "a pair starts at the first or the second byte");
  const ExprOp op = is_signed ? ExprOp::kSignedPair : ExprOp::kUnsignedPair;
  return {op, Storage::kI32, first, "", {std::move(word)}};
}

Expr saturate_expr(Expr value, bool is_signed) {
  ensure(value.type == Storage::kI32, "words are saturated");
  return {ExprOp::kSaturate, Storage::kI32, is_signed ? 1 : 0, "", {std::move(value)}, 1};
}

Expr upper_word_expr(Expr a, Expr b, UpperWord kind) {
  ensure(a.type == Storage::kI32 && b.type == Storage::kI32, "the upper word of no two words");
  Expr product = binary_expr(ExprOp::kUpperWord, std::move(a), std::move(b));
  product.value = static_cast<std::int64_t>(kind);
  return product;
}

Expr load_vector_expr(std::string array, Expr index) {
  return {ExprOp::kLoadVector, Storage::kI8, 0, std::move(array), {std::move(index)}, 1};
}

Expr vector_bits_expr(Expr vector, int bits, std::int64_t place) {
  const std::int64_t shift = 8 - bits * (place + 1);
  return {ExprOp::kVectorBits, Storage::kI8, shift * 16 + bits, "", {std::move(vector)}, 1};
}

Expr dot16_expr(Expr sum, Expr a, Expr b) {
  return {ExprOp::kDot16, Storage::kI32, 0, "", {std::move(sum), std::move(a), std::move(b)}, 1};
}

Expr dot2_expr(Expr sum, Expr a, Expr b) {
  return {ExprOp::kDot2, Storage::kI32, 0, "", {std::move(sum), std::move(a), std::move(b)}, 1};
}

Expr quad_expr(std::vector<Expr> words) {
  ensure(words.size() == kQuadLanes, "a quad has four lanes");
  return {ExprOp::kQuad, Storage::kI32, 0, "", std::move(words), kQuadLanes};
}

Expr load_quad_expr(std::string array, Storage type, Expr index, std::int64_t stride) {
  return {ExprOp::kLoad, type, stride, std::move(array), {std::move(index)}, kQuadLanes};
}

Statement let_statement(std::string name, Expr value) {
  Statement s;
  s.kind = StatementKind::kLet;
  s.name = std::move(name);
  s.type = value.type;
  s.value = std::move(value);
  return s;
}

Statement variable_statement(std::string name, Expr value) {
  Statement s = let_statement(std::move(name), std::move(value));
  s.kind = StatementKind::kVariable;
  return s;
}

Statement assign_statement(std::string name, Expr value) {
  Statement s = let_statement(std::move(name), std::move(value));
  s.kind = StatementKind::kAssign;
  return s;
}

Statement store_statement(std::string array, Storage type, Expr index, Expr value) {
  Statement s;
  s.kind = StatementKind::kStore;
  s.name = std::move(array);
  s.type = type;
  s.index = std::move(index);
  s.value = convert_expr(std::move(value), type);
  return s;
}

Statement store_quad_statement(std::string array, Storage type, Expr index, Expr quad,
                               std::int64_t stride) {
  Statement s = store_statement(std::move(array), type, std::move(index), std::move(quad));
  s.step = stride;
  return s;
}

Statement store_vector_statement(std::string array, Expr index, Expr vector) {
  Statement s = store_word_statement(std::move(array), std::move(index), std::move(vector));
  s.kind = StatementKind::kStoreVector;
  return s;
}

Statement store_word_statement(std::string array, Expr index, Expr word) {
  Statement s;
  s.kind = StatementKind::kStoreWord;
  s.name = std::move(array);
  s.index = std::move(index);
  s.value = std::move(word);
  return s;
}

Statement pointer_statement(std::string name, std::string array, Storage type, Expr index) {
  Statement s;
  s.kind = StatementKind::kPointer;
  s.name = std::move(name);
  s.array = std::move(array);
  s.type = type;
  s.index = std::move(index);
  return s;
}

Statement advance_statement(std::string pointer, std::int64_t step) {
  Statement s;
  s.kind = StatementKind::kAdvance;
  s.name = std::move(pointer);
  s.step = step;
  return s;
}

Statement copy_statement(std::string to, Expr to_index, std::string from, Expr from_index,
                         Storage type, std::int64_t count) {
  Statement s = pointer_statement(std::move(to), std::move(from), type, std::move(to_index));
  s.kind = StatementKind::kCopy;
  s.value = std::move(from_index);
  s.step = count;
  return s;
}

Statement move_statement(std::string to, std::string from, Storage type, std::int64_t count) {
  Statement s = copy_statement(std::move(to), constant_expr(0), std::move(from), constant_expr(0),
                               type, count);
  s.kind = StatementKind::kMove;
  return s;
}

Statement fill_statement(std::string to, Expr index, Storage type, std::int64_t value,
                         std::int64_t count) {
  ensure(storage_bytes(type) == 1, "only bytes are filled");
  Statement s = pointer_statement(std::move(to), "", type, std::move(index));
  s.kind = StatementKind::kFill;
  s.value = constant_expr(value);
  s.step = count;
  return s;
}

Statement for_statement(std::string name, std::int64_t end, Statements body, std::int64_t step,
                        std::int64_t begin) {
  const std::int64_t turns = (end - begin + step - 1) / step;
  Statement s = for_statement(std::move(name), constant_expr(begin), constant_expr(end),
                              static_cast<double>(turns), std::move(body));
  s.step = step;
  return s;
}

Statement for_statement(std::string name, Expr begin, Expr end, double trips, Statements body) {
  Statement s;
  s.kind = StatementKind::kFor;
  s.name = std::move(name);
  s.value = std::move(begin);
  s.index = std::move(end);
  s.trips = trips;
  s.body = std::move(body);
  return s;
}

Statement if_statement(Expr condition, double share, Statements then, Statements otherwise) {
  Statement s;
  s.kind = StatementKind::kIf;
  s.value = std::move(condition);
  s.trips = share;
  s.body = std::move(then);
  s.otherwise = std::move(otherwise);
  return s;
}

std::string LoopProgram::fresh(const std::string& stem) {
  const int uses = ++names[stem];
  return uses == 1 ? stem : concat(stem, "_", uses);
}

Storage storage_for(IntegerRange range) {
  for (const Storage storage : {Storage::kI8, Storage::kU8, Storage::kI16, Storage::kU16,
                                Storage::kI32, Storage::kU32, Storage::kI64}) {
    const IntegerRange held = range_of(storage);
    if (range.min >= held.min && range.max <= held.max) return storage;
  }
  throw InternalError("no storage holds a range of 64-bit integers");
}

Storage arithmetic_for(IntegerRange range) {
  const IntegerRange held = range_of(Storage::kI32);
  return range.min >= held.min && range.max <= held.max ? Storage::kI32 : Storage::kI64;
}

bool is_signed(Storage storage) {
  return storage == Storage::kI8 || storage == Storage::kI16 || storage == Storage::kI32 ||
         storage == Storage::kI64;
}

IntegerRange cover(IntegerRange a, IntegerRange b) {
  return {std::min(a.min, b.min), std::max(a.max, b.max)};
}

IntegerRange range_of(Storage storage) {
  const int bits = 8 * storage_bytes(storage);
  // Constants are kept in int64_t, so the upper half of U64 has none.
  if (storage == Storage::kU64) return {0, std::numeric_limits<std::int64_t>::max()};
  return integer_range(bits, is_signed(storage));
}

bool loads_and_advances(const Statement& load, const Statement& next) {
  return load.kind == StatementKind::kLet && load.value.op == ExprOp::kLoadVector &&
         is_constant(load.value.args[0], 0) && next.kind == StatementKind::kAdvance &&
         next.name == load.value.name && next.step == 16;
}

std::string print_program(const LoopProgram& program) {
  std::string text;
  for (const Array& array : program.arrays) {
    static constexpr std::string_view kRoles[] = {"input", "output", "scratch", "weights", "table"};
    text += concat(kRoles[static_cast<std::size_t>(array.role)], " ", array.name, " : ",
                   type_name(array.storage), "[", array.size, "]\n");
  }
  print(program.body, "", text);
  return text;
}

}  // namespace tandem
