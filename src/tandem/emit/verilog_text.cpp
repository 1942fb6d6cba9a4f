#include "tandem/emit/verilog_text.h"

#include <algorithm>
#include <bit>

#include "tandem/base/error.h"

namespace tandem::verilog {
namespace {

__extension__ using UInt128 = unsigned __int128;

int width(Int128 non_negative) {
  int bits = 0;
  for (; non_negative != 0; non_negative >>= 1) ++bits;
  return bits;
}

}  // namespace

int Bounds::bits() const {
  return 1 + std::max(low < 0 ? width(-(low + 1)) : 0, high > 0 ? width(high) : 0);
}

Bounds operator+(const Bounds& a, const Bounds& b) { return {a.low + b.low, a.high + b.high}; }

Bounds operator*(const Bounds& a, const Bounds& b) {
  const Int128 corners[] = {a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high};
  return {*std::min_element(corners, corners + 4), *std::max_element(corners, corners + 4)};
}

Bounds join(const Bounds& a, const Bounds& b) {
  return {std::min(a.low, b.low), std::max(a.high, b.high)};
}

int counter_bits(std::int64_t last) {
  return std::max(1, static_cast<int>(std::bit_width(static_cast<std::uint64_t>(last))));
}

std::string vector_of(std::int64_t bits) { return concat("[", bits - 1, ":0] "); }
std::string signed_of(std::int64_t bits) { return concat("signed [", bits - 1, ":0] "); }

std::string literal(Int128 value, std::int64_t bits) {
  Word word;
  word.append(value, static_cast<int>(bits));
  return word.literal();
}

std::string signed_literal(Int128 value, std::int64_t bits) {
  return concat("$signed(", literal(value, bits), ")");
}

int value_bits(Format format) {
  if (format == Format::parse("bipolar")) return 2;
  return format.is_signed() ? format.bits() : format.bits() + 1;
}

std::string value_of(Format format, const std::string& code) {
  if (format == Format::parse("bipolar")) return concat("$signed({~", code, ", 1'b1})");
  return format.is_signed() ? concat("$signed(", code, ")") : concat("$signed({1'b0, ", code, "})");
}

std::string code_of(Format format, const std::string& name) {
  if (format == Format::parse("bipolar")) return concat("~", name, "[1]");
  return concat(name, "[", format.bits() - 1, ":0]");
}

std::string part(const std::string& name, std::int64_t index, std::int64_t bits) {
  return concat(name, "[", index * bits, " +: ", bits, "]");
}

std::string part(const std::string& name, const std::string& index, std::int64_t bits) {
  return concat(name, "[", index, " * ", bits, " +: ", bits, "]");
}

void Word::append(Int128 value, int bits) {
  for (int i = 0; i < bits; ++i) bits_.push_back(((value >> std::min(i, 126)) & 1) != 0);
}

std::string Word::literal() const {
  std::string digits;
  for (std::size_t at = 0; at < bits_.size(); at += 4) {
    unsigned digit = 0;
    for (std::size_t i = 0; i < 4 && at + i < bits_.size(); ++i)
      digit |= (bits_[at + i] ? 1U : 0U) << i;
    digits += "0123456789abcdef"[digit];
  }
  std::reverse(digits.begin(), digits.end());
  return concat(bits_.size(), "'h", digits);
}

std::string input_ports(const std::string& name, std::int64_t bits) {
  return concat("  input  logic ", vector_of(bits), name, "_data,\n  input  logic ", name,
                "_valid,\n  output logic ", name, "_ready,\n");
}

std::string output_ports(const std::string& name, std::int64_t bits) {
  return concat("  output logic ", vector_of(bits), name, "_data,\n  output logic ", name,
                "_valid,\n  input  logic ", name, "_ready");
}

}  // namespace tandem::verilog
