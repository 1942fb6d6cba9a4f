#include "tandem/numerics/format_family.h"

namespace tandem {

const FormatFamily& float_family();
const FormatFamily& integer_family();
const FormatFamily& boolean_family();
const FormatFamily& bipolar_family();
const FormatFamily& fixed_family();

const std::vector<const FormatFamily*>& format_families() {
  static const std::vector<const FormatFamily*> kFamilies = {
      &float_family(), &integer_family(), &boolean_family(), &bipolar_family(), &fixed_family()};
  return kFamilies;
}

}  // namespace tandem
