#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tandem/graph/module.h"

namespace tandem {

// What one step of a plan for a sequential machine does, statement by statement: loops over scalar
// integer arithmetic on arrays. The emitter prints it, the cost model counts it; so the estimate
// describes the code that exists.

enum class ExprOp {
  kConstant,  // value
  kVariable,  // name
  kLoad,      // name[args[0]]
  kAdd,
  kSubtract,
  kMultiply,
  kAnd,
  kXor,
  kDivide,
  kRemainder,  // toward zero, as in C
  kShiftLeft,
  kShiftRight,  // right: floor, also of negative numbers
  kLess,
  kLessEqual,
  kEqual,    // 0 or 1, of type I32
  kSelect,   // args[0] != 0 ? args[1] : args[2]
  kConvert,  // args[0] in another type; keeps the low bits
  // Words of four bytes, of type I32, as cores with packed arithmetic have them:
  kLoadWord,      // the four bytes from name[args[0]] on, the first one lowest
  kSignedPair,    // bytes `value` and `value` + 2 of args[0], value 0 or 1, each widened to 16 bits
  kUnsignedPair,  // the same for bytes without a sign
  kSaturate,      // args[0] limited to a number of 8 bits, with a sign where value is 1
  kUpperWord,     // the upper word of the product args[0] * args[1], of 64 bits; where value is 1,
                  // of product + 2^31; where it is 2, of 2 * product + 2^31 (quads only)
  kLoadVector,    // 16 signed bytes from name[args[0]] on; an operand of kDot16, or a local
  kVectorBits,    // the bytes of args[0] shifted to the left, of which the top bits are kept:
                  // `value` is the shift times 16 plus the number of bits
  kDot16,         // args[0] + the sum of products of two vectors, mod 2^32
  kDot2,          // args[0] + both products of the signed halves of args[1] and args[2], mod 2^32
  // Quads, as cores with vectors of 128 bits have them (see Expr::lanes):
  kQuad,     // of the four words that args are
  kMinimum,  // of args[0] and args[1], in every lane
  kMaximum,
  kScaleByPower  // args[0] * 2^args[1], halves rounded up, in every lane
};

// Values are trees; arithmetic is done in I32, U32, I64 or U64 and must not overflow where signed.
// A value of 4 lanes is four numbers of type I32, on which sums, products, shifts to the right and
// upper words work lane by lane; an operand of one lane is the same for all. Its kLoad takes every
// `value`-th element from name[args[0]] on, of whatever type, which kConvert widens.
struct Expr {
  ExprOp op = ExprOp::kConstant;
  Storage type = Storage::kI32;
  std::int64_t value = 0;
  std::string name;
  std::vector<Expr> args;
  int lanes = 1;
};
inline constexpr int kQuadLanes = 4;

Expr constant_expr(std::int64_t value, Storage type = Storage::kI32);
Expr variable_expr(std::string name, Storage type = Storage::kI32, int lanes = 1);
Expr load_expr(std::string array, Storage type, Expr index);
// Converts where the types differ; constants are converted at once.
Expr convert_expr(Expr value, Storage type);
// Both operands must be of one type (InternalError); adding 0 and multiplying by 0 or 1 fold.
Expr binary_expr(ExprOp op, Expr a, Expr b);
inline Expr less_expr(Expr a, Expr b) {
  return binary_expr(ExprOp::kLess, std::move(a), std::move(b));
}
Expr select_expr(Expr condition, Expr then, Expr otherwise);
Expr load_word_expr(std::string array, Expr index);
Expr pair_expr(Expr word, int first, bool is_signed);
Expr saturate_expr(Expr value, bool is_signed);
enum class UpperWord { kFloor, kRounded, kDoubled };  // Expr::value of a kUpperWord
Expr upper_word_expr(Expr a, Expr b, UpperWord kind);
Expr load_vector_expr(std::string array, Expr index);
// The numbers of so many bits at a place of each byte, at the top of their bytes.
Expr vector_bits_expr(Expr vector, int bits, std::int64_t place);
Expr dot16_expr(Expr sum, Expr a, Expr b);
Expr dot2_expr(Expr sum, Expr a, Expr b);
Expr quad_expr(std::vector<Expr> words);
Expr load_quad_expr(std::string array, Storage type, Expr index, std::int64_t stride);
inline Expr operator+(Expr a, Expr b) {
  return binary_expr(ExprOp::kAdd, std::move(a), std::move(b));
}
inline Expr operator-(Expr a, Expr b) {
  return binary_expr(ExprOp::kSubtract, std::move(a), std::move(b));
}
inline Expr operator*(Expr a, Expr b) {
  return binary_expr(ExprOp::kMultiply, std::move(a), std::move(b));
}

enum class StatementKind {
  kLet,        // a new constant local `name` = value
  kVariable,   // a new local `name` = value
  kAssign,     // name = value
  kStore,      // name[index] = value, converted to the array's type; the lanes of a quad into every
               // `step`-th element from there on
  kStoreWord,  // the four bytes from name[index] on become those of value
  kStoreVector,  // the 16 bytes from name[index] on become those of value
  kFor,          // for (name = begin; name < end; name += step) body
  kPointer,      // a new local pointer `name` = array + index
  kAdvance,      // pointer `name` moves by `step` elements
  kCopy,         // `step` elements of array[value] and on to name[index] and on
  kMove,         // the same, and both may share bytes
  kFill,         // `step` elements from name[index] on become the constant `value` (of 8 bits)
  kIf            // if (value) body else otherwise
};

struct Statement {
  StatementKind kind = StatementKind::kLet;
  std::string name;
  Storage type = Storage::kI32;  // of the local, or of the array's elements
  std::string array;             // kPointer, kCopy, kMove: what it points into, what is copied
  Expr value, index;             // kFor: value = begin, index = end
  std::int64_t step = 1;
  double trips = 0;  // kFor: mean number of iterations; kIf: share of runs of body
  std::vector<Statement> body, otherwise;
};
using Statements = std::vector<Statement>;

Statement let_statement(std::string name, Expr value);
Statement variable_statement(std::string name, Expr value);
Statement assign_statement(std::string name, Expr value);
Statement store_statement(std::string array, Storage type, Expr index, Expr value);
Statement store_quad_statement(std::string array, Storage type, Expr index, Expr quad,
                               std::int64_t stride);
Statement store_word_statement(std::string array, Expr index, Expr word);
Statement store_vector_statement(std::string array, Expr index, Expr vector);
Statement pointer_statement(std::string name, std::string array, Storage type, Expr index);
Statement advance_statement(std::string pointer, std::int64_t step);
Statement copy_statement(std::string to, Expr to_index, std::string from, Expr from_index,
                         Storage type, std::int64_t count);
// From the first element to the first one.
Statement move_statement(std::string to, std::string from, Storage type, std::int64_t count);
Statement fill_statement(std::string to, Expr index, Storage type, std::int64_t value,
                         std::int64_t count);
// From 0 (or `begin`) up to an end that is known, or that is `trips` iterations away on average.
Statement for_statement(std::string name, std::int64_t end, Statements body, std::int64_t step = 1,
                        std::int64_t begin = 0);
Statement for_statement(std::string name, Expr begin, Expr end, double trips, Statements body);
Statement if_statement(Expr condition, double share, Statements then, Statements otherwise = {});

// Where the elements of an array come from.
enum class ArrayRole {
  kInput,    // a value that an earlier step or the caller wrote
  kOutput,   // a value that this step writes
  kScratch,  // of this step only
  kWeights,  // constant operands of sums and element-wise operators
  kTable     // other constants: tables, thresholds, multipliers, offsets
};

struct Array {
  std::string name;  // as the statements know it
  ArrayRole role = ArrayRole::kInput;
  Storage storage = Storage::kI8;
  std::int64_t size = 0;             // elements
  std::int64_t channels = 1;         // of inputs and outputs: elements of the last axis
  ValueId value = kNone;             // of inputs and outputs
  std::vector<std::int64_t> values;  // of weights and tables

  bool is_constant() const { return role == ArrayRole::kWeights || role == ArrayRole::kTable; }
  bool is_written() const { return role == ArrayRole::kOutput || role == ArrayRole::kScratch; }
  std::int64_t bytes() const { return size * storage_bytes(storage); }
};

struct LoopProgram {
  std::vector<Array> arrays;
  std::vector<std::string> parameters;  // locals of type I32 that are given (shared_programs.h)
  Statements body;

  // A name that no local of this program has: the stem, or the stem and a number.
  std::string fresh(const std::string& stem);

  std::map<std::string, int> names;  // how often fresh() gave each stem
};

// Removes locals that nothing reads, loops that do nothing and arrays that nothing touches.
void remove_unused(LoopProgram& program);

// The narrowest storage for constants of such values.
Storage storage_for(IntegerRange range);
// I32 when the range fits, else I64.
Storage arithmetic_for(IntegerRange range);
bool is_signed(Storage storage);
IntegerRange range_of(Storage storage);
// The least range that holds both.
IntegerRange cover(IntegerRange a, IntegerRange b);

// Whether a statement loads a vector by a pointer which the next one moves behind it: processors do
// both in one instruction.
bool loads_and_advances(const Statement& load, const Statement& next);

// The program as text for people and for text tests.
std::string print_program(const LoopProgram& program);

}  // namespace tandem
