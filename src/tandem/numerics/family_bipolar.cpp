#include <cmath>

#include "tandem/base/error.h"
#include "tandem/numerics/format_family.h"

namespace tandem {
namespace {

// "bipolar": code 0 is -1, code 1 is +1. Encoding takes the sign alone, zero counting as positive;
// rounding and overflow have nothing to say.
class BipolarFamily final : public FormatFamily {
 public:
  std::optional<Parameters> parse(std::string_view text) const override {
    if (text != "bipolar") return std::nullopt;
    return Parameters{};
  }
  std::string name(const Parameters&) const override { return "bipolar"; }
  std::vector<std::string> examples() const override { return {"bipolar"}; }
  int bits(const Parameters&) const override { return 1; }
  Storage storage(const Parameters&) const override { return Storage::kI8; }
  bool is_signed(const Parameters&) const override { return true; }
  std::optional<IntegerRange> integer_range(const Parameters&) const override {
    return IntegerRange{-1, 1};
  }
  std::uint64_t encode(const Parameters&, double value, Rounding, Overflow) const override {
    if (std::isnan(value)) throw Error("NaN has no code in format bipolar");
    return value >= 0 ? 1 : 0;
  }
  ExactValue exact(const Parameters& p, std::uint64_t code) const override {
    ExactValue value;
    value.significand = integer_of(p, code);
    return value;
  }
  std::int64_t integer_of(const Parameters&, std::uint64_t code) const override {
    return code != 0 ? 1 : -1;
  }
  std::uint64_t code_of(const Parameters&, std::int64_t integer) const override {
    if (integer != -1 && integer != 1)
      throw Error("integer ", integer, " is not a value of format bipolar (-1 or +1)");
    return integer > 0 ? 1 : 0;
  }
};

}  // namespace

const FormatFamily& bipolar_family() {
  static const BipolarFamily kFamily;
  return kFamily;
}

}  // namespace tandem
