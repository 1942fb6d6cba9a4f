#include "tandem/base/error.h"
#include "tandem/numerics/format_family.h"
#include "tandem/numerics/uniform.h"

namespace tandem {
namespace {

// "ternary": -1, 0 and +1 as two bits in two's complement; the pattern 10 stands for nothing.
class TernaryFamily final : public FormatFamily {
 public:
  std::optional<Parameters> parse(std::string_view text) const override {
    if (text != "ternary") return std::nullopt;
    return Parameters{};
  }
  std::string name(const Parameters&) const override { return "ternary"; }
  std::vector<std::string> examples() const override { return {"ternary"}; }
  int bits(const Parameters&) const override { return 2; }
  Storage storage(const Parameters&) const override { return Storage::kI8; }
  bool is_signed(const Parameters&) const override { return true; }
  std::optional<IntegerRange> integer_range(const Parameters&) const override {
    return IntegerRange{-1, 1};
  }
  bool is_code(const Parameters&, std::uint64_t code) const override { return code != 0b10; }
  std::uint64_t encode(const Parameters& p, double value, Rounding rounding,
                       Overflow overflow) const override {
    if (overflow == Overflow::kWrap)
      throw Error("overflow 'wrap' has no meaning for format ternary; use a saturating overflow");
    const std::uint64_t code = encode_uniform(*this, p, value, rounding, overflow);
    if (is_code(p, code)) return code;
    return overflow == Overflow::kSaturateZero ? 0b00 : 0b11;
  }
  ExactValue exact(const Parameters& p, std::uint64_t code) const override {
    if (!is_code(p, code)) throw Error("code 2 stands for no number of format ternary");
    ExactValue value;
    value.significand = integer_of(p, code);
    return value;
  }
};

}  // namespace

const FormatFamily& ternary_family() {
  static const TernaryFamily kFamily;
  return kFamily;
}

}  // namespace tandem
