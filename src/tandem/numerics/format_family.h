#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/numerics/format.h"

namespace tandem {

// What one family of formats must say. A new family is one file that implements this class and
// one line in families() (families.cpp); nothing else in the system knows families by name.
class FormatFamily {
 public:
  using Parameters = std::array<std::int16_t, 4>;
  virtual ~FormatFamily() = default;

  // The parameters when `text` names a member; throws Error when it names the family with
  // parameters out of bounds ("int65"); nullopt when the text is another family's.
  virtual std::optional<Parameters> parse(std::string_view text) const = 0;
  virtual std::string name(const Parameters&) const = 0;
  virtual std::vector<std::string> examples() const = 0;  // for suggestions and `list formats`

  virtual int bits(const Parameters&) const = 0;
  virtual Storage storage(const Parameters&) const = 0;
  virtual bool is_float() const { return false; }
  virtual bool is_boolean() const { return false; }
  virtual bool is_signed(const Parameters&) const = 0;
  // The exact integers and the exponent of a uniform family; nullopt for the others.
  virtual std::optional<IntegerRange> integer_range(const Parameters&) const { return {}; }
  virtual int exponent(const Parameters&) const { return 0; }

  // Whether a pattern of bits() bits stands for something.
  virtual bool is_code(const Parameters&, std::uint64_t) const { return true; }

  virtual std::uint64_t encode(const Parameters&, double value, Rounding, Overflow) const = 0;
  virtual ExactValue exact(const Parameters&, std::uint64_t code) const = 0;
  virtual std::int64_t integer_of(const Parameters&, std::uint64_t code) const;  // uniform only
  virtual std::uint64_t code_of(const Parameters&, std::int64_t integer) const;  // uniform only

  Format make(const Parameters& parameters) const { return Format(this, parameters); }
};

// Every family, in the order in which parse() asks them.
const std::vector<const FormatFamily*>& format_families();

}  // namespace tandem
