#include "tandem/cost/loop_features.h"

#include <algorithm>
#include <bit>
#include <map>
#include <set>
#include <string>

#include "tandem/base/error.h"

namespace tandem {
namespace {

constexpr std::array<std::string_view, kLoopFeatures> kNames = {
    "steps",
    "loops",
    "iterations",
    "open_loops",
    "open_iterations",
    "branches",
    "loads",
    "stores",
    "addresses",
    "pointers",
    "advances",
    "moves",
    "multiply_adds",
    "multiplies",
    "adds",
    "logic",
    "compares",
    "selects",
    "saturations",
    "divides",
    "wide_multiplies",
    "wide_multiply_adds",
    "long_multiplies",
    "long_adds",
    "long_logic",
    "long_shifts",
    "variable_shifts",
    "long_selects",
    "long_compares",
    "long_divides",
    "extensions",
    "long_memory",
    "copies",
    "copied_bytes",
    "fills",
    "filled_bytes",
    "small_moves",
    "small_words",
    "pairs",
    "dots",
    "vector_loads",
    "vector_stores",
    "vector_dots",
    "quad_memory",
    "quad_gathers",
    "quad_operations",
    "quad_moves",
    "arguments",
    "arrays",
    "large_constants",
};

bool is_long(Storage type) { return storage_bytes(type) == 8; }

// What the immediate operands of most Thumb-2 instructions hold.
constexpr std::int64_t kImmediate = 4095;

// The most bytes that GCC 12 -O2 moves without a call of memcpy or memset.
constexpr std::int64_t kSmallCopy = 64, kSmallFill = 30;

class Counter {
 public:
  LoopFeatures run(const LoopProgram& program) {
    add(LoopFeature::kSteps);
    for (std::size_t i = 0; i < program.arrays.size(); ++i) add(LoopFeature::kArrays);
    block(program.body);
    return result_;
  }

 private:
  using Keys = std::set<std::string>;

  void add(LoopFeature feature, double count = 1) {
    result_.executed[static_cast<std::size_t>(feature)] += count * weight_;
    result_.written[static_cast<std::size_t>(feature)] += count;
  }

  void block(const Statements& statements) {
    Keys outer;
    std::swap(outer, addresses_);
    for (std::size_t i = 0; i < statements.size(); ++i) {
      statement(statements[i]);
      if (i + 1 < statements.size() && loads_and_advances(statements[i], statements[i + 1])) ++i;
    }
    std::swap(outer, addresses_);
  }

  void statement(const Statement& s) {
    switch (s.kind) {
      case StatementKind::kLet:
        if (is_lower_bound(s.value)) bounded_[s.name] = s.value.args[1].value;
        return expression(s.value);
      case StatementKind::kVariable:
        if (s.value.op == ExprOp::kConstant) add(LoopFeature::kMoves, is_long(s.type) ? 2 : 1);
        return expression(s.value);
      case StatementKind::kAssign: return expression(s.value);
      case StatementKind::kStore:
        expression(stored(s.value));
        address(s.name, s.index);
        if (s.value.lanes > 1) return add(memory_of_quads(s.step));
        return add(is_long(s.type) ? LoopFeature::kLongMemory : LoopFeature::kStores);
      case StatementKind::kStoreWord:
        expression(s.value);
        address(s.name, s.index);
        return add(LoopFeature::kStores);
      case StatementKind::kStoreVector:
        expression(s.value);
        address(s.name, s.index);
        return add(LoopFeature::kVectorStores);
      case StatementKind::kPointer: return add(LoopFeature::kPointers);
      case StatementKind::kAdvance: return add(LoopFeature::kAdvances);
      case StatementKind::kCopy:
      case StatementKind::kMove: return copy(s.step * storage_bytes(s.type));
      case StatementKind::kFill: return fill(s.step);
      case StatementKind::kFor: return loop(s);
      case StatementKind::kIf: return branch(s);
    }
  }

  // Loads and stores of up to four bytes that so many bytes take.
  static double words(std::int64_t bytes) {
    const std::int64_t rest = bytes % 4;
    const std::int64_t accesses = bytes / 4 + (rest + 1) / 2;
    return static_cast<double>(accesses);
  }

  void copy(std::int64_t bytes) {
    if (bytes > kSmallCopy) {
      add(LoopFeature::kCopies);
      return moved(LoopFeature::kCopiedBytes, bytes);
    }
    add(LoopFeature::kSmallMoves);
    // From here on a loop over 16 bytes is shorter.
    const std::int64_t loop = bytes > kSmallCopy / 2 ? bytes - bytes % 16 : 0;
    result_.executed[static_cast<std::size_t>(LoopFeature::kSmallWords)] += words(bytes) * weight_;
    result_.written[static_cast<std::size_t>(LoopFeature::kSmallWords)] +=
        words(bytes - loop) + (loop > 0 ? 4 : 0);
  }

  void fill(std::int64_t bytes) {
    if (bytes > kSmallFill) {
      add(LoopFeature::kFills);
      return moved(LoopFeature::kFilledBytes, bytes);
    }
    add(LoopFeature::kSmallMoves);
    add(LoopFeature::kSmallWords, words(bytes) / 2);  // without the loads
  }

  // Bytes that are moved cost time, not code.
  void moved(LoopFeature feature, std::int64_t bytes) {
    result_.executed[static_cast<std::size_t>(feature)] += static_cast<double>(bytes) * weight_;
  }

  void loop(const Statement& s) {
    const bool known = s.value.op == ExprOp::kConstant && s.index.op == ExprOp::kConstant;
    add(known ? LoopFeature::kLoops : LoopFeature::kOpenLoops);
    const double outer = weight_;
    weight_ *= s.trips;
    add(known ? LoopFeature::kIterations : LoopFeature::kOpenIterations);
    block(s.body);
    weight_ = outer;
  }

  void branch(const Statement& s) {
    expression(s.value);
    add(LoopFeature::kBranches);
    const double outer = weight_;
    weight_ = outer * s.trips;
    block(s.body);
    weight_ = outer * (1 - s.trips);
    block(s.otherwise);
    weight_ = outer;
  }

  // A store keeps the low bits by itself.
  static const Expr& stored(const Expr& value) {
    return value.op == ExprOp::kConvert ? value.args[0] : value;
  }
  static const Expr& stored(Expr&&) = delete;

  // An index costs where it changes; several accesses at fixed distances share it.
  void address(const std::string& array, const Expr& index) {
    const Expr* moving = &index;
    while (moving->op == ExprOp::kAdd && moving->args[1].op == ExprOp::kConstant)
      moving = &moving->args[0];
    if (moving->op == ExprOp::kConstant) return;
    if (addresses_.insert(array + "[" + key(*moving)).second) add(LoopFeature::kAddresses);
    loads_in(*moving);
  }

  // Indices that come from memory are loaded like any value.
  void loads_in(const Expr& index) {
    if (index.op == ExprOp::kLoad || index.op == ExprOp::kLoadWord || index.op == ExprOp::kConvert)
      return expression(index);
    for (const Expr& arg : index.args) loads_in(arg);
  }

  static std::string key(const Expr& e) {
    std::string text =
        std::to_string(static_cast<int>(e.op)) + e.name + std::to_string(e.value) + "(";
    for (const Expr& arg : e.args) text += key(arg) + ",";
    return text + ")";
  }

  void operands(const Expr& e) {
    for (const Expr& arg : e.args) expression(arg);
  }

  static LoopFeature memory_of_quads(std::int64_t stride) {
    return stride == 1 ? LoopFeature::kQuadMemory : LoopFeature::kQuadGathers;
  }

  void quad(const Expr& e) {
    switch (e.op) {
      case ExprOp::kVariable: return;
      case ExprOp::kLoad: address(e.name, e.args[0]); return add(memory_of_quads(e.value));
      case ExprOp::kConvert: return expression(e.args[0]);
      case ExprOp::kQuad: operands(e); return add(LoopFeature::kQuadMoves, e.lanes);
      default: break;
    }
    for (const Expr& arg : e.args) {
      // A product with a number that is the same in all lanes is added in one instruction.
      const bool fused = e.op == ExprOp::kAdd && arg.op == ExprOp::kMultiply && arg.lanes > 1 &&
                         (arg.args[0].lanes == 1 || arg.args[1].lanes == 1);
      if (fused)
        operands(arg);
      else
        expression(arg);
    }
    const bool negates = e.op == ExprOp::kShiftRight && e.args[1].op != ExprOp::kConstant;
    add(LoopFeature::kQuadOperations, negates ? 2 : 1);
  }

  void expression(const Expr& e) {
    if (e.lanes > 1) return quad(e);
    switch (e.op) {
      case ExprOp::kVariable: return;
      case ExprOp::kConstant:
        if (e.value > kImmediate || e.value < -kImmediate)
          add(LoopFeature::kLargeConstants, is_long(e.type) ? 2 : 1);
        return;
      case ExprOp::kLoadWord: address(e.name, e.args[0]); return add(LoopFeature::kLoads);
      case ExprOp::kSignedPair:
      case ExprOp::kUnsignedPair: expression(e.args[0]); return add(LoopFeature::kPairs);
      case ExprOp::kSaturate: operands(e); return add(LoopFeature::kSaturations);
      case ExprOp::kUpperWord: operands(e); return add(LoopFeature::kWideMultiplies);
      case ExprOp::kLoadVector: address(e.name, e.args[0]); return add(LoopFeature::kVectorLoads);
      case ExprOp::kVectorBits:
        operands(e);
        return add(LoopFeature::kQuadOperations, e.value / 16 == 0 ? 1 : 2);
      case ExprOp::kDot16: operands(e); return add(LoopFeature::kVectorDots);
      case ExprOp::kDot2: operands(e); return add(LoopFeature::kDots);
      case ExprOp::kLoad:
        address(e.name, e.args[0]);
        return add(is_long(e.type) ? LoopFeature::kLongMemory : LoopFeature::kLoads);
      case ExprOp::kConvert:
        expression(e.args[0]);
        if (is_long(e.type) && !is_long(e.args[0].type)) add(LoopFeature::kExtensions);
        return;
      case ExprOp::kMultiply: return product(e, false);
      case ExprOp::kAdd: return sum(e);
      case ExprOp::kSelect: return choice(e);
      default: return binary(e);
    }
  }

  static bool is_extended(const Expr& e) {
    if (e.op == ExprOp::kConstant) return e.value >= INT32_MIN && e.value <= INT32_MAX;
    return e.op == ExprOp::kConvert && !is_long(e.args[0].type);
  }

  void product(const Expr& e, bool accumulates) {
    if (!is_long(e.type)) {
      operands(e);
      return add(accumulates ? LoopFeature::kMultiplyAdds : LoopFeature::kMultiplies);
    }
    if (!is_extended(e.args[0]) || !is_extended(e.args[1])) {
      operands(e);
      add(LoopFeature::kLongMultiplies);
      if (accumulates) add(LoopFeature::kLongAdds);
      return;
    }
    // The multiplier takes the narrow operands as they are.
    for (const Expr& arg : e.args) expression(arg.op == ExprOp::kConvert ? arg.args[0] : arg);
    add(accumulates ? LoopFeature::kWideMultiplyAdds : LoopFeature::kWideMultiplies);
  }

  void sum(const Expr& e) {
    const bool first = e.args[0].op == ExprOp::kMultiply;
    const bool second = e.args[1].op == ExprOp::kMultiply;
    if (!first && !second) return binary(e);
    expression(e.args[first ? 1 : 0]);
    product(e.args[first ? 0 : 1], true);
  }

  // x < c ? c : x of 32 bits.
  static bool is_lower_bound(const Expr& e) {
    return e.op == ExprOp::kSelect && !is_long(e.type) && e.args[0].op == ExprOp::kLess &&
           is_constant(e.args[0].args[1], e.args[1]);
  }

  static bool is_constant(const Expr& a, const Expr& b) {
    return a.op == ExprOp::kConstant && b.op == ExprOp::kConstant && a.value == b.value;
  }

  // c < v ? c : v where v is at least 0 already, and c + 1 a power of two. GCC 12 does not see the
  // signed case.
  bool completes_saturation(const Expr& e) const {
    const Expr& condition = e.args[0];
    if (is_long(e.type) || condition.op != ExprOp::kLess ||
        !is_constant(condition.args[0], e.args[1]) || condition.args[1].op != ExprOp::kVariable)
      return false;
    const auto bound = bounded_.find(condition.args[1].name);
    const std::int64_t above = e.args[1].value + 1;
    return bound != bounded_.end() && bound->second == 0 && above > 0 &&
           std::has_single_bit(static_cast<std::uint64_t>(above));
  }

  void choice(const Expr& e) {
    if (completes_saturation(e)) {
      add(LoopFeature::kSelects, -1);  // that of the lower bound
      return add(LoopFeature::kSaturations);
    }
    const Expr& condition = e.args[0];
    const bool compares = condition.op == ExprOp::kLess || condition.op == ExprOp::kLessEqual ||
                          condition.op == ExprOp::kEqual;
    bool wide = is_long(e.type);
    if (compares) {
      operands(condition);
      wide = wide || is_long(condition.args[0].type);
    } else {
      expression(condition);
    }
    expression(e.args[1]);
    expression(e.args[2]);
    add(wide ? LoopFeature::kLongSelects : LoopFeature::kSelects);
  }

  static bool is_number(const Expr& e, std::int64_t value) {
    return e.op == ExprOp::kConstant && e.value == value;
  }

  void binary(const Expr& e) {
    const bool wide = is_long(e.args[0].type);
    // One bit is taken out by one instruction, and the sign by a shift.
    if (!wide && e.op == ExprOp::kAnd && e.args[0].op == ExprOp::kShiftRight &&
        e.args[0].args[1].op == ExprOp::kConstant && is_number(e.args[1], 1)) {
      expression(e.args[0].args[0]);
      return add(LoopFeature::kLogic);
    }
    operands(e);
    if (e.op == ExprOp::kLess && is_number(e.args[1], 0))
      return add(wide ? LoopFeature::kLongLogic : LoopFeature::kLogic);
    switch (e.op) {
      case ExprOp::kAdd:
      case ExprOp::kSubtract: return add(wide ? LoopFeature::kLongAdds : LoopFeature::kAdds);
      case ExprOp::kAnd:
      case ExprOp::kXor: return add(wide ? LoopFeature::kLongLogic : LoopFeature::kLogic);
      case ExprOp::kShiftLeft:
      case ExprOp::kShiftRight:
        if (!wide) return add(LoopFeature::kLogic);
        return add(e.args[1].op == ExprOp::kConstant ? LoopFeature::kLongShifts
                                                     : LoopFeature::kVariableShifts);
      case ExprOp::kLess:
      case ExprOp::kLessEqual:
      case ExprOp::kEqual: return add(wide ? LoopFeature::kLongCompares : LoopFeature::kCompares);
      case ExprOp::kDivide:
      case ExprOp::kRemainder: return add(wide ? LoopFeature::kLongDivides : LoopFeature::kDivides);
      default: throw InternalError("an expression without a feature");
    }
  }

  LoopFeatures result_;
  double weight_ = 1;
  Keys addresses_;
  std::map<std::string, std::int64_t> bounded_;  // locals by name, with their lower bound
};

}  // namespace

std::string_view name(LoopFeature feature) { return kNames[static_cast<std::size_t>(feature)]; }

LoopFeatures count_features(const LoopProgram& program) { return Counter().run(program); }

}  // namespace tandem
