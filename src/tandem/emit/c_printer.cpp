#include "tandem/emit/c_printer.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/base/text.h"

namespace tandem {
namespace {

constexpr std::size_t kLineWidth = 100;

bool is_narrow(Storage storage) { return storage_bytes(storage) < 4; }

// How tightly an expression binds in C: 3 for names and calls down to 0 for ?:.
int binding(const Expr& e) {
  switch (e.op) {
    case ExprOp::kConstant: return e.value < 0 && e.type == Storage::kI32 ? 2 : 3;
    case ExprOp::kVariable:
    case ExprOp::kLoad:
    case ExprOp::kLoadWord:
    case ExprOp::kSignedPair:
    case ExprOp::kUnsignedPair:
    case ExprOp::kSaturate:
    case ExprOp::kUpperWord:
    case ExprOp::kMinimum:
    case ExprOp::kMaximum:
    case ExprOp::kScaleByPower:
    case ExprOp::kQuad:
    case ExprOp::kLoadVector:
    case ExprOp::kVectorBits:
    case ExprOp::kDot16:
    case ExprOp::kDot2: return 3;
    case ExprOp::kConvert: return 2;
    default: return 1;
  }
}

class CPrinter {
 public:
  CPrinter(const std::string& prefix, const std::function<std::string(const std::string&)>& global)
      : prefix_(prefix), global_(global) {}

  std::string text(const Expr& e) const {
    if (e.lanes > 1) return quad(e);
    switch (e.op) {
      case ExprOp::kConstant: return c_literal(e.value, e.type);
      case ExprOp::kVariable: return e.name;
      case ExprOp::kLoad: return concat(global_(e.name), "[", text(e.args[0]), "]");
      case ExprOp::kConvert: return conversion(e);
      case ExprOp::kLoadWord: return concat(prefix_, "_word(", address(e.name, e.args[0]), ")");
      case ExprOp::kSignedPair: return pair(e, "signed");
      case ExprOp::kUnsignedPair: return pair(e, "unsigned");
      case ExprOp::kSaturate:
        return concat(prefix_, e.value == 1 ? "_signed_byte(" : "_unsigned_byte(", text(e.args[0]),
                      ")");
      case ExprOp::kUpperWord:
        return concat(prefix_, "_upper_word(", text(e.args[0]), ", ", text(e.args[1]), ")");
      case ExprOp::kLoadVector:
        return concat(prefix_, "_load_vector(", address(e.name, e.args[0]), ")");
      case ExprOp::kVectorBits: {
        const std::int64_t shift = e.value / 16, bits = e.value % 16;
        return call("vector_bits", {text(e.args[0]), std::to_string(shift),
                                    std::to_string(-(std::int64_t{1} << (8 - bits)))});
      }
      case ExprOp::kDot16:
        return concat(prefix_, "_dot16(", text(e.args[0]), ", ", text(e.args[1]), ", ",
                      text(e.args[2]), ")");
      case ExprOp::kDot2:
        return concat(prefix_, "_dot2(", text(e.args[0]), ", ", text(e.args[1]), ", ",
                      text(e.args[2]), ")");
      case ExprOp::kSelect:
        return concat(operand(e.args[0], 1), " ? ", operand(e.args[1], 2), " : ",
                      operand(e.args[2], 2));
      case ExprOp::kMultiply: return concat(operand(e.args[0], 2), " * ", operand(e.args[1], 2));
      case ExprOp::kAdd: return sum(e);
      default: return concat(operand(e.args[0], 2), " ", sign(e.op), " ", shift_count(e));
    }
  }

  std::string print(const Statements& statements, int indent) const {
    const std::string space(static_cast<std::size_t>(indent), ' ');
    std::string result;
    for (std::size_t i = 0; i < statements.size(); ++i) {
      const Statement& s = statements[i];
      if (i + 1 < statements.size() && loads_and_advances(s, statements[i + 1])) {
        result += concat(space, "const ", type_of(s), " ", s.name, " = ",
                         call("next_vector", {"&" + s.value.name}), ";\n");
        ++i;
        continue;
      }
      result += print(s, space, indent);
    }
    return result;
  }

 private:
  std::string call(std::string_view function, std::initializer_list<std::string> arguments) const {
    return concat(prefix_, "_", function, "(", join(std::vector<std::string>(arguments), ", "),
                  ")");
  }

  static bool is_scaled(const Expr& e) {
    return e.op == ExprOp::kMultiply && e.lanes > 1 &&
           (e.args[0].lanes == 1 || e.args[1].lanes == 1);
  }

  static bool is_uniform(const Expr& quad) {
    return std::ranges::all_of(quad.args, [&](const Expr& arg) {
      return arg.op == ExprOp::kConstant && arg.value == quad.args[0].value;
    });
  }

  // In all lanes.
  std::string spread(const Expr& e) const {
    return e.lanes > 1 ? quad(e) : call("quad", {text(e)});
  }

  // A function of two quads, or of a quad and a number.
  std::string by_lane(const std::string& function, const Expr& a, const Expr& b) const {
    if (b.lanes > 1) return call(function, {spread(a), quad(b)});
    return call(function + "_by", {quad(a), text(b)});
  }

  std::string quad(const Expr& e) const {
    switch (e.op) {
      case ExprOp::kVariable: return e.name;
      case ExprOp::kConvert: return quad(e.args[0]);
      case ExprOp::kQuad:
        if (is_uniform(e)) return call("quad", {text(e.args[0])});
        return call("quad_of",
                    {text(e.args[0]), text(e.args[1]), text(e.args[2]), text(e.args[3])});
      case ExprOp::kLoad: {
        const std::string bits = storage_name(e.type), from = address(e.name, e.args[0]);
        if (e.value == 1) return call("load_quad_" + bits, {from});
        return call("gather_quad_" + bits, {from, std::to_string(e.value)});
      }
      case ExprOp::kAdd:
        for (const int i : {1, 0}) {
          const Expr &product = e.args[static_cast<std::size_t>(i)],
                     &sum = e.args[static_cast<std::size_t>(1 - i)];
          if (!is_scaled(product)) continue;
          const bool first = product.args[0].lanes > 1;
          return call("multiply_add", {spread(sum), quad(product.args[first ? 0 : 1]),
                                       text(product.args[first ? 1 : 0])});
        }
        return e.args[0].lanes > 1 ? by_lane("add", e.args[0], e.args[1])
                                   : by_lane("add", e.args[1], e.args[0]);
      case ExprOp::kMultiply:
        return e.args[0].lanes > 1 ? by_lane("multiply", e.args[0], e.args[1])
                                   : by_lane("multiply", e.args[1], e.args[0]);
      case ExprOp::kSubtract: return call("subtract", {spread(e.args[0]), spread(e.args[1])});
      case ExprOp::kShiftRight: return by_lane("shift_right", e.args[0], e.args[1]);
      case ExprOp::kUpperWord:
        return by_lane(e.value == 2   ? "doubled_upper_words"
                       : e.value == 1 ? "rounded_upper_words"
                                      : "upper_words",
                       e.args[0], e.args[1]);
      case ExprOp::kScaleByPower: return by_lane("scale_by_power", e.args[0], e.args[1]);
      case ExprOp::kMinimum: return call("minimum", {spread(e.args[0]), spread(e.args[1])});
      case ExprOp::kMaximum: return call("maximum", {spread(e.args[0]), spread(e.args[1])});
      default: throw InternalError("no C operator of quads");
    }
  }

  static std::string storage_name(Storage storage) {
    return concat(is_signed(storage) ? "i" : "u", 8 * storage_bytes(storage));
  }

  std::string type_of(const Statement& s) const {
    if (s.value.lanes > 1) return prefix_ + "_quad_t";
    return s.value.op == ExprOp::kLoadVector ? prefix_ + "_vector" : c_type(s.type);
  }

  // Stores the lanes of a quad, whose conversion the store does itself.
  std::string store_quad(const Statement& s) const {
    const std::string bits = storage_name(s.type), to = address(s.name, s.index),
                      value = quad(s.value);
    if (s.step == 1) return call("store_quad_" + bits, {to, value});
    return call("scatter_quad_" + bits, {to, std::to_string(s.step), value});
  }

  std::string operand(const Expr& e, int needed) const {
    return binding(e) >= needed ? text(e) : concat("(", text(e), ")");
  }

  std::string pair(const Expr& e, std::string_view kind) const {
    return concat(prefix_, "_", kind, "_pair_", e.value, "(", text(e.args[0]), ")");
  }

  // Sums and products nest without parentheses where C groups them the same way.
  std::string sum(const Expr& e) const {
    const Expr &a = e.args[0], &b = e.args[1];
    const bool chain = a.op == ExprOp::kAdd || a.op == ExprOp::kMultiply;
    const bool product = b.op == ExprOp::kMultiply;
    const std::int64_t least = storage_bytes(b.type) == 8 ? INT64_MIN : INT32_MIN;
    if (b.op == ExprOp::kConstant && b.value < 0 && b.value > least)
      return concat(chain ? text(a) : operand(a, 2), " - ", c_literal(-b.value, b.type));
    return concat(chain ? text(a) : operand(a, 2), " + ", product ? text(b) : operand(b, 2));
  }

  std::string conversion(const Expr& e) const {
    const Expr& from = e.args[0];
    // The integer promotions of C do this, without a warning.
    if (e.type == Storage::kI32 && is_narrow(from.type)) return text(from);
    return concat("(", c_type(e.type), ")", operand(from, 2));
  }

  std::string shift_count(const Expr& e) const {
    const Expr& b = e.args[1];
    const bool is_shift = e.op == ExprOp::kShiftLeft || e.op == ExprOp::kShiftRight;
    return is_shift && b.op == ExprOp::kConstant ? std::to_string(b.value) : operand(b, 2);
  }

  static std::string_view sign(ExprOp op) {
    switch (op) {
      case ExprOp::kSubtract: return "-";
      case ExprOp::kAnd: return "&";
      case ExprOp::kXor: return "^";
      case ExprOp::kDivide: return "/";
      case ExprOp::kRemainder: return "%";
      case ExprOp::kShiftLeft: return "<<";
      case ExprOp::kShiftRight: return ">>";
      case ExprOp::kLess: return "<";
      case ExprOp::kLessEqual: return "<=";
      case ExprOp::kEqual: return "==";
      default: throw InternalError("no C operator");
    }
  }

  std::string assignment(const Statement& s) const {
    const Expr& value = s.value;
    if (value.lanes == 1 && value.op == ExprOp::kAdd && value.args[0].op == ExprOp::kVariable &&
        value.args[0].name == s.name)
      return concat(s.name, " += ", text(value.args[1]), ";\n");
    return concat(s.name, " = ", text(value), ";\n");
  }

  std::string address(const std::string& array, const Expr& index) const {
    std::string name = global_(array);
    if (index.op == ExprOp::kConstant && index.value == 0) return name;
    return concat(name, " + ",
                  index.op == ExprOp::kAdd || index.op == ExprOp::kMultiply ? text(index)
                                                                            : operand(index, 2));
  }

  std::string loop(const Statement& s, const std::string& space, int indent) const {
    const std::string step = s.step == 1 ? concat("++", s.name) : concat(s.name, " += ", s.step);
    return concat(space, "for (int32_t ", s.name, " = ", text(s.value), "; ", s.name, " < ",
                  operand(s.index, 2), "; ", step, ") {\n", print(s.body, indent + 2), space,
                  "}\n");
  }

  std::string print(const Statement& s, const std::string& space, int indent) const {
    switch (s.kind) {
      case StatementKind::kLet:
        return concat(space, "const ", type_of(s), " ", s.name, " = ", text(s.value), ";\n");
      case StatementKind::kVariable:
        return concat(space, type_of(s), " ", s.name, " = ", text(s.value), ";\n");
      case StatementKind::kAssign: return space + assignment(s);
      case StatementKind::kStore:
        if (s.value.lanes > 1) return concat(space, store_quad(s), ";\n");
        return concat(space, s.name, "[", text(s.index), "] = ", text(s.value), ";\n");
      case StatementKind::kStoreWord:
        return concat(space, prefix_, "_store_word(", address(s.name, s.index), ", ", text(s.value),
                      ");\n");
      case StatementKind::kStoreVector:
        return concat(space, prefix_, "_store_vector(", address(s.name, s.index), ", ",
                      text(s.value), ");\n");
      case StatementKind::kFor: return loop(s, space, indent);
      case StatementKind::kIf: {
        std::string result =
            concat(space, "if (", text(s.value), ") {\n", print(s.body, indent + 2), space, "}");
        if (!s.otherwise.empty())
          result += concat(" else {\n", print(s.otherwise, indent + 2), space, "}");
        return result + "\n";
      }
      case StatementKind::kPointer:
        return concat(space, "const ", c_type(s.type), " *", s.name, " = ",
                      address(s.array, s.index), ";\n");
      case StatementKind::kAdvance: return concat(space, s.name, " += ", s.step, ";\n");
      case StatementKind::kCopy:
      case StatementKind::kMove:
        return concat(space, s.kind == StatementKind::kCopy ? "(void)memcpy(" : "(void)memmove(",
                      address(s.name, s.index), ", ", address(s.array, s.value), ", ", s.step,
                      " * sizeof(", c_type(s.type), "));\n");
      case StatementKind::kFill:
        return concat(space, "(void)memset(", address(s.name, s.index), ", ", text(s.value), ", ",
                      s.step, ");\n");
    }
    throw InternalError("a statement without a C form");
  }

  const std::string& prefix_;
  const std::function<std::string(const std::string&)>& global_;
};

// The last space of the first kLineWidth columns that is in fewest parentheses; npos: none.
std::size_t best_break(const std::string& line, std::size_t indent) {
  std::size_t best = std::string::npos;
  int depth = 0, least = 0;
  for (std::size_t i = indent; i < std::min(line.size(), kLineWidth + 1); ++i) {
    if (line[i] == '(' || line[i] == '[') ++depth;
    if (line[i] == ')' || line[i] == ']') --depth;
    // A break near the start gains nothing.
    if (line[i] != ' ' || i < indent + 16) continue;
    if (best != std::string::npos && depth > least) continue;
    best = i;
    least = depth;
  }
  return best;
}

}  // namespace

std::string c_type(Storage storage) {
  return concat(is_signed(storage) ? "int" : "uint", 8 * storage_bytes(storage), "_t");
}

std::string plain_name(std::string_view text) {
  std::string name;
  for (const char c : identifier(text))
    if (c != '_' || (!name.empty() && name.back() != '_')) name += c;
  if (!name.empty() && name.back() == '_') name.pop_back();
  return name.empty() || (name.front() >= '0' && name.front() <= '9') ? "v" + name : name;
}

std::string c_name(const std::string& text, const std::vector<std::string>& taken) {
  // Including what <stdint.h> and <string.h> define, and the names that emitted code uses itself.
  static const std::vector<std::string> reserved = {
      "alignas",  "alignof",  "and",      "asm",      "auto",    "bool",      "break",
      "case",     "catch",    "char",     "class",    "const",   "constexpr", "continue",
      "decltype", "default",  "delete",   "do",       "double",  "else",      "enum",
      "explicit", "export",   "extern",   "false",    "float",   "for",       "friend",
      "goto",     "if",       "inline",   "int",      "long",    "mutable",   "namespace",
      "new",      "not",      "nullptr",  "operator", "or",      "private",   "protected",
      "public",   "register", "restrict", "return",   "short",   "signed",    "sizeof",
      "static",   "struct",   "switch",   "template", "this",    "throw",     "true",
      "try",      "typedef",  "typeid",   "typename", "union",   "unsigned",  "using",
      "virtual",  "void",     "volatile", "while",    "xor",     "memcpy",    "memmove",
      "memset",   "int8_t",   "int16_t",  "int32_t",  "int64_t", "uint8_t",   "uint16_t",
      "uint32_t", "uint64_t", "NULL",     "size_t"};
  const std::string base = plain_name(text);
  const auto usable = [&](const std::string& name) {
    return std::ranges::find(taken, name) == taken.end() &&
           std::ranges::find(reserved, name) == reserved.end();
  };
  std::string name = base;
  for (int i = 2; !usable(name); ++i) name = concat(base, "_", i);
  return name;
}

std::string c_literal(std::int64_t value, Storage storage) {
  if (storage_bytes(storage) < 4) return std::to_string(value);
  if (storage == Storage::kI32)
    return value == INT32_MIN ? "(-2147483647 - 1)" : std::to_string(value);
  if (storage == Storage::kU32) return concat("UINT32_C(", value, ")");
  if (storage == Storage::kU64) return concat("UINT64_C(", value, ")");
  if (value == INT64_MIN) return "(-INT64_C(9223372036854775807) - 1)";
  return value < 0 ? concat("(-INT64_C(", -value, "))") : concat("INT64_C(", value, ")");
}

std::string wrapped(const std::string& text) {
  std::string result;
  for (std::string line : split(text, '\n')) {
    std::size_t indent = line.find_first_not_of(' ');
    if (indent == std::string::npos) indent = 0;
    const std::string more(indent + 4, ' ');
    while (line.size() > kLineWidth) {
      const std::size_t at = best_break(line, more.size());
      if (at == std::string::npos) break;
      result += line.substr(0, at) + "\n";
      line = more + line.substr(at + 1);
    }
    result += line + "\n";
  }
  result.pop_back();  // the text ends as it did
  return result;
}

std::string print_c(const Statements& statements, const std::string& prefix,
                    const std::function<std::string(const std::string&)>& global, int indent) {
  return wrapped(CPrinter(prefix, global).print(statements, indent));
}

std::string c_initializer(const Array& array) {
  std::string text = "{\n ", line;
  for (std::size_t i = 0; i < array.values.size(); ++i) {
    const std::string word = concat(" ", c_literal(array.values[i], array.storage),
                                    i + 1 < array.values.size() ? "," : "");
    if (line.size() + word.size() + 1 > kLineWidth) {
      text += line + "\n ";
      line.clear();
    }
    line += word;
  }
  return text + line + "\n}";
}

}  // namespace tandem
