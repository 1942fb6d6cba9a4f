#include <cmath>

#include "tandem/base/error.h"
#include "tandem/numerics/format_family.h"

namespace tandem {
namespace {

// "bool": code 0 is false, code 1 is true; every number but zero encodes as true.
class BooleanFamily final : public FormatFamily {
 public:
  std::optional<Parameters> parse(std::string_view text) const override {
    if (text != "bool") return std::nullopt;
    return Parameters{};
  }
  std::string name(const Parameters&) const override { return "bool"; }
  std::vector<std::string> examples() const override { return {"bool"}; }
  int bits(const Parameters&) const override { return 1; }
  Storage storage(const Parameters&) const override { return Storage::kU8; }
  bool is_boolean() const override { return true; }
  bool is_signed(const Parameters&) const override { return false; }
  std::optional<IntegerRange> integer_range(const Parameters&) const override {
    return IntegerRange{0, 1};
  }
  std::uint64_t encode(const Parameters&, double value, Rounding, Overflow) const override {
    if (std::isnan(value)) throw Error("NaN has no code in format bool");
    return value != 0 ? 1 : 0;
  }
  ExactValue exact(const Parameters&, std::uint64_t code) const override {
    ExactValue value;
    value.significand = static_cast<Int128>(code);
    return value;
  }
};

}  // namespace

const FormatFamily& boolean_family() {
  static const BooleanFamily kFamily;
  return kFamily;
}

}  // namespace tandem
