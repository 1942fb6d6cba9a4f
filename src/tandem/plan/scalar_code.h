#pragma once

#include <string>

#include "tandem/numerics/rounding.h"
#include "tandem/plan/loop_program.h"

namespace tandem {

// A scalar in a loop program and the interval that its integers lie in.
struct Ranged {
  Expr value;
  IntegerRange range;
};

// Where scalar code is put: statements are appended, locals get names that are new in the program.
class ScalarCode {
 public:
  ScalarCode(Statements& body, LoopProgram& program) : body_(body), program_(program) {}

  // A local that holds the value, unless it is one already (or a constant).
  Expr local(Expr value, const std::string& stem = "v");
  // A local that can be assigned to.
  Expr variable(Expr value, const std::string& stem);
  void append(Statement statement) { body_.push_back(std::move(statement)); }

  // In the arithmetic type that `range` needs; InternalError when the value leaves it.
  Ranged in_type(Ranged value, Storage type);
  // Limited to [low, high]; sides that the range proves are left out.
  Ranged clamp(Ranged value, std::int64_t low, std::int64_t high);
  // value / 2^shift for a shift known now; `sum` already holds what folded_addend() asked for.
  Ranged round_shift(Ranged sum, int shift, Rounding rounding);
  // Whether round_shift() can do so lane by lane.
  static bool shifts_lanes(Rounding rounding);
  // The same for a shift that is only known at run time; no addend is folded.
  Ranged round_variable_shift(const Ranged& value, Expr shift, IntegerRange result,
                              Rounding rounding);
  Ranged apply_overflow(Ranged value, int bits, bool is_signed, Overflow overflow);
  // a / b rounded, 0 where b is 0. Both of one type in which -a and a / b cannot overflow.
  Ranged divide(Ranged a, Ranged b, IntegerRange result, Rounding rounding);
  // The floor of the square root of a number that is not negative.
  Ranged square_root(Ranged x, IntegerRange result);

 private:
  Ranged clamp_lanes(Ranged value, std::int64_t low, std::int64_t high);
  Expr round_up(const Expr& quotient, const Expr& remainder, const Expr& divisor,
                const Expr& negative, Rounding rounding);
  Expr round_up_positive(const Expr& quotient, const Expr& remainder, const Expr& divisor,
                         Rounding rounding);
  Statements& body_;
  LoopProgram& program_;
};

// What a rounding lets us add before a plain floor shift: round(v / 2^shift) =
// floor((v + addend) / 2^shift). 0 for those roundings that also look at the sign or the parity.
std::int64_t folded_addend(int shift, Rounding rounding);
// The most that round_shift() adds on the way besides: its sums stay within range + this.
std::int64_t rounding_margin(int shift, Rounding rounding);

}  // namespace tandem
