#include "tandem/numerics/format_family.h"

namespace tandem {

const FormatFamily& float_family();
const FormatFamily& integer_family();
const FormatFamily& boolean_family();
const FormatFamily& bipolar_family();
const FormatFamily& ternary_family();
const FormatFamily& fixed_family();
const FormatFamily& nf4_family();
const FormatFamily& bnb_fp4_family();
const FormatFamily& bnb_dynamic_family();
const FormatFamily& twin_family();
const FormatFamily& split_family();
const FormatFamily& power_family();
const FormatFamily& logarithm_family();
const FormatFamily& half_logarithm_family();
const FormatFamily& k_hot_family();
const FormatFamily& exponent_family();

const std::vector<const FormatFamily*>& format_families() {
  static const std::vector<const FormatFamily*> kFamilies = {
      &float_family(),   &integer_family(),     &boolean_family(),        &bipolar_family(),
      &ternary_family(), &fixed_family(),       &exponent_family(),       &nf4_family(),
      &bnb_fp4_family(), &bnb_dynamic_family(), &twin_family(),           &split_family(),
      &power_family(),   &logarithm_family(),   &half_logarithm_family(), &k_hot_family()};
  return kFamilies;
}

}  // namespace tandem
