#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/numerics/format_family.h"
#include "tandem/numerics/uniform.h"

namespace tandem {
namespace {

constexpr int kMostBits = 63;
constexpr int kMostFractionBits = 64;

// fixed<w,f> and ufixed<w,f>: an integer of w bits (two's complement or unsigned) times 2^-f. What
// HLS calls ap_fixed<W,I> is fixed<W,W-I>. Parameters: w, f, signed.
class FixedFamily final : public FormatFamily {
 public:
  std::optional<Parameters> parse(std::string_view text) const override {
    const bool is_signed = !text.starts_with('u');
    std::string_view rest = text.substr(is_signed ? 0 : 1);
    if (!rest.starts_with("fixed<")) return std::nullopt;
    rest.remove_prefix(6);
    if (!rest.ends_with('>')) throw malformed(text);
    rest.remove_suffix(1);
    const std::vector<std::string> parts = split(rest, ',');
    if (parts.size() != 2) throw malformed(text);
    const std::string what = concat("format '", text, "'");
    const long long bits = parse_integer(trim(parts[0]), what);
    const long long fraction_bits = parse_integer(trim(parts[1]), what);
    if (bits < 1 || bits > kMostBits)
      throw Error(what, " has ", bits, " bits; the width goes from 1 to ", kMostBits);
    if (fraction_bits < -kMostFractionBits || fraction_bits > kMostFractionBits)
      throw Error(what, " has ", fraction_bits, " fraction bits; they go from -", kMostFractionBits,
                  " to ", kMostFractionBits);
    return Parameters{static_cast<std::int16_t>(bits), static_cast<std::int16_t>(fraction_bits),
                      static_cast<std::int16_t>(is_signed)};
  }
  std::string name(const Parameters& p) const override {
    return concat(p[2] != 0 ? "fixed<" : "ufixed<", p[0], ",", p[1], ">");
  }
  std::vector<std::string> examples() const override { return {"fixed<8,3>", "ufixed<8,3>"}; }
  int bits(const Parameters& p) const override { return p[0]; }
  Storage storage(const Parameters& p) const override { return integer_storage(p[0], p[2] != 0); }
  bool is_signed(const Parameters& p) const override { return p[2] != 0; }
  std::optional<IntegerRange> integer_range(const Parameters& p) const override {
    return tandem::integer_range(p[0], p[2] != 0);
  }
  int exponent(const Parameters& p) const override { return -p[1]; }
  std::uint64_t encode(const Parameters& p, double value, Rounding rounding,
                       Overflow overflow) const override {
    return encode_uniform(*this, p, value, rounding, overflow);
  }
  ExactValue exact(const Parameters& p, std::uint64_t code) const override {
    ExactValue value;
    value.significand = integer_of(p, code);
    value.exponent = -p[1];
    return value;
  }

 private:
  static Error malformed(std::string_view text) {
    return Error("format '", text,
                 "' is not of the form fixed<bits,fraction bits>, as in fixed<8,3>");
  }
};

}  // namespace

const FormatFamily& fixed_family() {
  static const FixedFamily kFamily;
  return kFamily;
}

}  // namespace tandem
