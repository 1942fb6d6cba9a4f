#include "tandem/numerics/format.h"

#include <cmath>
#include <limits>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/numerics/format_family.h"
#include "tandem/numerics/uniform.h"

namespace tandem {

int storage_bytes(Storage storage) {
  switch (storage) {
    case Storage::kU8:
    case Storage::kI8: return 1;
    case Storage::kU16:
    case Storage::kI16: return 2;
    case Storage::kU32:
    case Storage::kI32:
    case Storage::kF32: return 4;
    case Storage::kU64:
    case Storage::kI64:
    case Storage::kF64: return 8;
  }
  throw InternalError("unknown storage");
}

Format::Format() {
  static const Format kSingle = parse("f32");
  *this = kSingle;
}

Format Format::parse(std::string_view text) {
  for (const FormatFamily* family : format_families())
    if (const auto parameters = family->parse(text)) return family->make(*parameters);
  std::vector<std::string> examples;
  for (const FormatFamily* family : format_families())
    for (std::string& example : family->examples()) examples.push_back(std::move(example));
  throw Error("unknown format '", text, "'", suggestion(text, examples, examples.size()));
}

Format Format::integer(int bits, bool is_signed) {
  return parse(concat(is_signed ? "int" : "uint", bits));
}

Format Format::fixed(int bits, int fraction_bits, bool is_signed) {
  return parse(concat(is_signed ? "fixed<" : "ufixed<", bits, ",", fraction_bits, ">"));
}

Format Format::holding(IntegerRange range) { return integer(bits_for(range), range.min < 0); }

std::string Format::name() const { return family_->name(parameters_); }
int Format::bits() const { return family_->bits(parameters_); }
Storage Format::storage() const { return family_->storage(parameters_); }
bool Format::is_float() const { return family_->is_float(); }
bool Format::is_boolean() const { return family_->is_boolean(); }
bool Format::is_uniform() const { return family_->integer_range(parameters_).has_value(); }
bool Format::is_signed() const { return family_->is_signed(parameters_); }

bool Format::is_integer() const { return is_uniform() && !is_boolean() && exponent() == 0; }

IntegerRange Format::integer_range() const {
  const auto range = family_->integer_range(parameters_);
  if (!range) throw InternalError(concat("format ", name(), " has no range of integers"));
  return *range;
}

int Format::exponent() const {
  if (!is_uniform()) throw InternalError(concat("format ", name(), " has no single exponent"));
  return family_->exponent(parameters_);
}

std::uint64_t Format::encode(double value, Rounding rounding, Overflow overflow) const {
  return family_->encode(parameters_, value, rounding, overflow);
}

double Format::decode(std::uint64_t code) const {
  const ExactValue value = exact(code);
  switch (value.kind) {
    case ExactValue::Kind::kPositiveInfinity: return std::numeric_limits<double>::infinity();
    case ExactValue::Kind::kNegativeInfinity: return -std::numeric_limits<double>::infinity();
    case ExactValue::Kind::kNan: return std::numeric_limits<double>::quiet_NaN();
    case ExactValue::Kind::kFinite: break;
  }
  if (value.negative_zero) return -0.0;
  // A significand beyond 53 bits is rounded here, far above the subnormals: scaling is exact.
  return std::ldexp(static_cast<double>(value.significand), value.exponent);
}

ExactValue Format::exact(std::uint64_t code) const {
  ensure(code == low_bits(code, bits()), "a code has bits above its format's width");
  return family_->exact(parameters_, code);
}

std::int64_t Format::integer_of(std::uint64_t code) const {
  ensure(code == low_bits(code, bits()), "a code has bits above its format's width");
  return family_->integer_of(parameters_, code);
}

std::uint64_t Format::code_of(std::int64_t integer) const {
  return family_->code_of(parameters_, integer);
}

std::vector<std::uint64_t> Format::codes() const {
  ensure(bits() <= 24, "codes() of a format of more than 24 bits");
  std::vector<std::uint64_t> all;
  for (std::uint64_t code = 0; code < std::uint64_t{1} << bits(); ++code)
    if (family_->is_code(parameters_, code)) all.push_back(code);
  return all;
}

std::int64_t FormatFamily::integer_of(const Parameters& parameters, std::uint64_t code) const {
  ensure(integer_range(parameters).has_value(), "integer_of a format without integers");
  return extend(code, bits(parameters), is_signed(parameters));
}

std::uint64_t FormatFamily::code_of(const Parameters& parameters, std::int64_t integer) const {
  const auto range = integer_range(parameters);
  ensure(range.has_value(), "code_of a format without integers");
  if (integer < range->min || integer > range->max)
    throw Error("integer ", integer, " is outside format ", name(parameters), " (", range->min,
                " to ", range->max, ")");
  return low_bits(static_cast<std::uint64_t>(integer), bits(parameters));
}

}  // namespace tandem
