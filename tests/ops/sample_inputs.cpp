#include "tests/ops/sample_inputs.h"

#include <algorithm>

#include "tandem/graph/operator.h"
#include "tandem/graph/registry.h"
#include "tandem/ops/register.h"
#include "tandem/transform/data_sizes.h"

namespace tandem {

Tensor random_tensor(const TensorType& type, std::mt19937_64& generator) {
  const Shape shape = type.static_shape();
  const auto count = static_cast<std::size_t>(element_count(shape));
  if (!type.format.is_uniform()) {
    std::uniform_real_distribution<double> real(-2, 2);
    std::vector<double> values(count);
    std::generate(values.begin(), values.end(), [&] { return real(generator); });
    return Tensor::from_reals(type.format, shape, values);
  }
  IntegerRange range = type.format.integer_range();
  if (type.format.bits() > 16) range = {std::max<std::int64_t>(range.min, -1000), 1000};
  std::uniform_int_distribution<std::int64_t> integer(range.min, range.max);
  std::vector<std::int64_t> values(count);
  for (std::int64_t& value : values) {
    do value = integer(generator);
    while (type.format.name() == "bipolar" && value == 0);
  }
  return Tensor::from_integers(type.format, shape, values);
}

std::vector<Tensor> random_inputs(const Module& module, std::uint64_t seed) {
  std::mt19937_64 generator(seed);
  std::vector<Tensor> inputs;
  for (const ValueId input : module.main().inputs)
    inputs.push_back(random_tensor(module.main().values[input].type, generator));
  return inputs;
}

Module with_symbols(const Module& module, std::int64_t value) {
  std::map<std::string, std::int64_t> bindings;
  const auto left = data_sizes(module);
  for (const Symbol& symbol : module.symbols)
    if (std::ranges::find(left, symbol.name) == left.end())
      bindings[symbol.name] = std::clamp(value, symbol.min, symbol.max);
  return specialize(module, bindings);
}

std::vector<std::string> operator_names() {
  register_operators();
  std::vector<std::string> names;
  for (const Operator* op : operators().all()) names.emplace_back(op->name());
  return names;
}

}  // namespace tandem
