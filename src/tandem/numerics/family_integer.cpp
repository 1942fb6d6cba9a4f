#include <charconv>

#include "tandem/base/error.h"
#include "tandem/numerics/format_family.h"
#include "tandem/numerics/uniform.h"

namespace tandem {
namespace {

// int1 to int64 in two's complement, uint1 to uint63. Parameters: bits, signed.
class IntegerFamily final : public FormatFamily {
 public:
  std::optional<Parameters> parse(std::string_view text) const override {
    const bool is_signed = !text.starts_with('u');
    std::string_view digits = text.substr(is_signed ? 0 : 1);
    if (!digits.starts_with("int")) return std::nullopt;
    digits.remove_prefix(3);
    if (digits.empty() || digits.find_first_not_of("0123456789") != std::string_view::npos)
      return std::nullopt;
    int bits = 0;
    const auto status = std::from_chars(digits.data(), digits.data() + digits.size(), bits).ec;
    const int most = is_signed ? 64 : 63;
    if (status != std::errc() || bits < 1 || bits > most || digits[0] == '0')
      throw Error("format '", text, "' is out of bounds; the family goes from ",
                  is_signed ? "int1 to int64" : "uint1 to uint63");
    return Parameters{static_cast<std::int16_t>(bits), static_cast<std::int16_t>(is_signed)};
  }
  std::string name(const Parameters& p) const override {
    return concat(p[1] != 0 ? "int" : "uint", p[0]);
  }
  std::vector<std::string> examples() const override {
    return {"int4", "int8", "int16", "int32", "int64", "uint4", "uint8", "uint16", "uint32"};
  }
  int bits(const Parameters& p) const override { return p[0]; }
  Storage storage(const Parameters& p) const override { return integer_storage(p[0], p[1] != 0); }
  bool is_signed(const Parameters& p) const override { return p[1] != 0; }
  std::optional<IntegerRange> integer_range(const Parameters& p) const override {
    return tandem::integer_range(p[0], p[1] != 0);
  }
  std::uint64_t encode(const Parameters& p, double value, Rounding rounding,
                       Overflow overflow) const override {
    return encode_uniform(*this, p, value, rounding, overflow);
  }
  ExactValue exact(const Parameters& p, std::uint64_t code) const override {
    ExactValue value;
    value.significand = integer_of(p, code);
    return value;
  }
};

}  // namespace

const FormatFamily& integer_family() {
  static const IntegerFamily kFamily;
  return kFamily;
}

}  // namespace tandem
