#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/numerics/format.h"
#include "tandem/plan/pipeline.h"

namespace tandem::verilog {

// Small pieces of SystemVerilog text, kept to what Verilator and Yosys both read. Internal to the
// room.

// An interval of integers that a wire can hold; wider than 64 bits inside multiplications.
struct Bounds {
  Int128 low = 0, high = 0;

  static Bounds of(IntegerRange range) { return {range.min, range.max}; }
  // Two's complement bits that hold both ends.
  int bits() const;
};
Bounds operator+(const Bounds& a, const Bounds& b);
Bounds operator*(const Bounds& a, const Bounds& b);
Bounds join(const Bounds& a, const Bounds& b);

// Bits of an unsigned counter that runs from 0 to last (at least 1).
int counter_bits(std::int64_t last);

// "[7:0] " and "signed [7:0] ".
std::string vector_of(std::int64_t bits);
std::string signed_of(std::int64_t bits);

// A literal of exactly so many bits: "8'hff" (two's complement of negative values).
std::string literal(Int128 value, std::int64_t bits);
// A signed decimal literal, "-8'sd5".
std::string signed_literal(Int128 value, std::int64_t bits);

// Bits of the signed wire that holds every integer of a format, and the expression that makes it
// of a code (a name or a part select).
int value_bits(Format format);
std::string value_of(Format format, const std::string& code);
// The code of a signed wire `name` of at least value_bits(format) bits.
std::string code_of(Format format, const std::string& name);

// `bits` wide part `index` of a packed vector.
std::string part(const std::string& name, std::int64_t index, std::int64_t bits);
// The same for a generate or loop variable.
std::string part(const std::string& name, const std::string& index, std::int64_t bits);

// Bits of a word of memory, least significant part first.
class Word {
 public:
  void append(Int128 value, int bits);  // the low bits of value
  std::int64_t bits() const { return static_cast<std::int64_t>(bits_.size()); }
  std::string literal() const;  // "12'h0f3"

 private:
  std::vector<bool> bits_;
};

// One line of a port list per stream: data, valid, ready.
std::string input_ports(const std::string& name, std::int64_t bits);
std::string output_ports(const std::string& name, std::int64_t bits);

}  // namespace tandem::verilog
