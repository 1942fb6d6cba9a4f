#include "tandem/files/element_check.h"

#include <algorithm>

#include "tandem/base/error.h"

namespace tandem {

void check_elements(const Tensor& tensor) {
  if (tensor.format().is_boolean()) {
    for (const auto value : tensor.data<std::uint8_t>())
      if (value > 1) throw Error("a boolean element has the byte ", int{value});
  } else if (tensor.format().storage() == Storage::kU64) {
    for (const auto value : tensor.data<std::uint64_t>())
      if (value >> 63 != 0) throw Error("element ", value, " is beyond 2^63 - 1");
  }
}

bool is_zero(const Tensor& tensor) {
  const auto values = tensor.to_reals();
  return std::all_of(values.begin(), values.end(), [](double value) { return value == 0; });
}

}  // namespace tandem
