#include "tandem/files/onnx_dims.h"

#include <algorithm>
#include <functional>
#include <map>
#include <string>

#include "tandem/base/error.h"

namespace tandem {
namespace {

using Inputs = std::span<const std::optional<DimTensor>>;

bool has(Inputs inputs, std::size_t index) {
  return index < inputs.size() && inputs[index].has_value();
}

DimTensor vector_of(const Format& format, std::vector<Dim> elements) {
  const auto count = static_cast<std::int64_t>(elements.size());
  return {format, {count}, std::move(elements)};
}

std::vector<std::int64_t> constants(const DimTensor& tensor) {
  std::vector<std::int64_t> values;
  for (const Dim& dim : tensor.elements) values.push_back(dim.constant());
  return values;
}

Error undecidable(std::string_view op, const Dim& a, const Dim& b) {
  return Error(op, " of the symbolic dimensions ", a.to_string(), " and ", b.to_string(),
               " has no single answer; export the model with fixed dimensions");
}

bool compare(std::string_view op, const Dim& a, const Dim& b, const std::vector<Symbol>& symbols) {
  const auto left = dim_bounds(a, symbols), right = dim_bounds(b, symbols);
  if (op == "Equal") {
    if (a == b) return true;
    if (const Dim difference = a - b; difference.is_constant()) return false;
    if (left && right && (left->max < right->min || right->max < left->min)) return false;
  } else if (left && right) {  // Less
    if (left->max < right->min) return true;
    if (left->min >= right->max) return false;
  }
  throw undecidable(op, a, b);
}

Dim divide(const Dim& a, const Dim& b) {
  if (b == Dim(0)) throw Error("shape arithmetic divides ", a.to_string(), " by zero");
  if (a.is_constant() && b.is_constant()) {
    if (b.constant() == -1) return Dim(0) - a;
    return a.constant() / b.constant();
  }
  if (const auto quotient = a.divided_by(b)) return *quotient;
  throw Error(a.to_string(), " / ", b.to_string(),
              " is no whole dimension for every value of its symbols; export the model with fixed "
              "dimensions");
}

Dim extreme(std::string_view op, const Dim& a, const Dim& b, const std::vector<Symbol>& symbols) {
  if (a == b) return a;
  return compare("Less", a, b, symbols) == (op == "Min") ? a : b;
}

Dim modulo(const Dim& a, const Dim& b) {
  if (!a.is_constant() || !b.is_constant()) return a - divide(a, b) * b;
  if (b.constant() == 0 || b.constant() == -1) {
    if (b.constant() == -1) return 0;
    throw Error("shape arithmetic divides ", a.to_string(), " by zero");
  }
  const std::int64_t rest = a.constant() % b.constant();
  return rest != 0 && (rest < 0) != (b.constant() < 0) ? rest + b.constant() : rest;
}

using Function = std::function<Dim(const Dim&, const Dim&)>;

std::optional<Function> binary_function(std::string_view op, const std::vector<Symbol>& symbols) {
  if (op == "Add") return [](const Dim& a, const Dim& b) { return a + b; };
  if (op == "Sub") return [](const Dim& a, const Dim& b) { return a - b; };
  if (op == "Mul") return [](const Dim& a, const Dim& b) { return a * b; };
  if (op == "Div") return divide;
  if (op == "Mod") return modulo;
  if (op == "Min" || op == "Max")
    return [op, &symbols](const Dim& a, const Dim& b) { return extreme(op, a, b, symbols); };
  if (op == "Equal" || op == "Less")
    return [op, &symbols](const Dim& a, const Dim& b) {
      return Dim(compare(op, a, b, symbols) ? 1 : 0);
    };
  if (op == "Greater")
    return [&symbols](const Dim& a, const Dim& b) {
      return Dim(compare("Less", b, a, symbols) ? 1 : 0);
    };
  if (op == "And") return [](const Dim& a, const Dim& b) { return a * b; };
  if (op == "Or") return [](const Dim& a, const Dim& b) { return a + b - a * b; };
  return std::nullopt;
}

// Operands of rank 0 and 1 broadcast; higher ranks are left to the operators.
std::optional<Shape> small_broadcast(Inputs inputs) {
  Shape shape;
  for (const auto& input : inputs) {
    if (!input || input->shape.size() > 1) return std::nullopt;
    shape = broadcast_shapes(shape, input->shape);
  }
  return shape;
}

const Dim& at(const DimTensor& tensor, std::size_t index) {
  return tensor.elements.size() == 1 ? tensor.elements.front() : tensor.elements.at(index);
}

std::optional<DimTensor> elementwise(std::string_view op, Inputs inputs,
                                     const std::vector<Symbol>& symbols) {
  const auto function = binary_function(op, symbols);
  if (!function || inputs.size() < 2) return std::nullopt;
  const auto shape = small_broadcast(inputs);
  if (!shape) return std::nullopt;
  DimTensor result{inputs[0]->format, *shape, {}};
  if (op == "Equal" || op == "Less" || op == "Greater") result.format = Format::parse("bool");
  const auto count = static_cast<std::size_t>(element_count(*shape));
  for (std::size_t i = 0; i < count; ++i) {
    Dim value = at(*inputs[0], i);
    for (std::size_t k = 1; k < inputs.size(); ++k) value = (*function)(value, at(*inputs[k], i));
    result.elements.push_back(value);
  }
  return result;
}

std::optional<DimTensor> unary(std::string_view op, Inputs inputs) {
  if (inputs.size() != 1 || !has(inputs, 0) || (op != "Neg" && op != "Not")) return std::nullopt;
  DimTensor result = *inputs[0];
  for (Dim& dim : result.elements) dim = (op == "Not" ? Dim(1) : Dim(0)) - dim;
  return result;
}

std::optional<DimTensor> where(Inputs inputs) {
  const auto shape = small_broadcast(inputs);
  if (inputs.size() != 3 || !shape || !inputs[0]->is_constant()) return std::nullopt;
  DimTensor result{inputs[1]->format, *shape, {}};
  const auto count = static_cast<std::size_t>(element_count(*shape));
  for (std::size_t i = 0; i < count; ++i)
    result.elements.push_back(at(*inputs[at(*inputs[0], i).constant() != 0 ? 1 : 2], i));
  return result;
}

std::optional<DimTensor> gather(Inputs inputs, const DimAttributes& attributes) {
  if (!has(inputs, 0) || !has(inputs, 1) || inputs[0]->shape.size() != 1 || attributes.axis > 0 ||
      attributes.axis < -1 || !inputs[1]->is_constant()) {
    return std::nullopt;
  }
  const auto extent = inputs[0]->shape[0];
  DimTensor result{inputs[0]->format, inputs[1]->shape, {}};
  for (const std::int64_t index : constants(*inputs[1])) {
    if (index < -extent || index >= extent)
      throw Error("index ", index, " is outside the ", extent, " gathered elements");
    const std::int64_t from = index < 0 ? index + extent : index;
    result.elements.push_back(inputs[0]->elements[static_cast<std::size_t>(from)]);
  }
  return result;
}

std::optional<DimTensor> concat_dims(Inputs inputs, const DimAttributes& attributes) {
  if (attributes.axis > 0 || attributes.axis < -1 || inputs.empty()) return std::nullopt;
  std::vector<Dim> elements;
  for (const auto& input : inputs) {
    if (!input || input->shape.size() != 1) return std::nullopt;
    elements.insert(elements.end(), input->elements.begin(), input->elements.end());
  }
  return vector_of(inputs[0]->format, std::move(elements));
}

// Where the elements stay and only the rank changes, between scalars and vectors.
std::optional<DimTensor> reranked(std::string_view op, Inputs inputs,
                                  const DimAttributes& attributes) {
  if (!has(inputs, 0) || inputs[0]->shape.size() > 1) return std::nullopt;
  std::vector<std::int64_t> axes = attributes.axes.value_or(std::vector<std::int64_t>{});
  if (op != "Reshape" && has(inputs, 1)) axes = constants(*inputs[1]);
  DimTensor result = *inputs[0];
  if (op == "Unsqueeze") {
    if (!result.shape.empty() || axes.size() != 1 || axes[0] > 0 || axes[0] < -1)
      return std::nullopt;
    result.shape = {1};
  } else if (op == "Squeeze") {
    if (result.shape != Shape{1}) return std::nullopt;
    result.shape = {};
  } else {
    if (!has(inputs, 1) || inputs[1]->elements.size() > 1) return std::nullopt;
    const auto count = static_cast<std::int64_t>(result.elements.size());
    const auto wanted = constants(*inputs[1]);
    if (wanted.empty()) {
      if (count != 1) return std::nullopt;
      result.shape = {};
    } else if (wanted[0] == -1 || wanted[0] == count) {
      result.shape = {count};
    } else {
      return std::nullopt;
    }
  }
  return result;
}

std::optional<DimTensor> slice(Inputs inputs, const DimAttributes& attributes) {
  if (!has(inputs, 0) || inputs[0]->shape.size() != 1) return std::nullopt;
  const auto single = [&](std::size_t index,
                          const std::optional<std::vector<std::int64_t>>& attribute,
                          std::int64_t otherwise) -> std::optional<std::int64_t> {
    std::vector<std::int64_t> values = {otherwise};
    if (attribute) values = *attribute;
    if (has(inputs, index)) {
      if (!inputs[index]->is_constant()) return std::nullopt;
      values = constants(*inputs[index]);
    }
    if (values.size() != 1) return std::nullopt;
    return values[0];
  };
  const auto start = single(1, attributes.starts, 0), end = single(2, attributes.ends, 0);
  const auto axis = single(3, attributes.axes, 0), step = single(4, std::nullopt, 1);
  if (!start || !end || !axis || !step || (*axis != 0 && *axis != -1) || *step < 1)
    return std::nullopt;
  const auto count = inputs[0]->shape[0];
  const auto clamped = [&](std::int64_t index) {
    return std::clamp<std::int64_t>(index < 0 ? index + count : index, 0, count);
  };
  std::vector<Dim> elements;
  const std::int64_t last = clamped(*end);
  for (std::int64_t i = clamped(*start); i < last; i += std::min(*step, count))
    elements.push_back(inputs[0]->elements[static_cast<std::size_t>(i)]);
  return vector_of(inputs[0]->format, std::move(elements));
}

std::optional<DimTensor> reduce_product(Inputs inputs, const DimAttributes& attributes) {
  if (!has(inputs, 0) || inputs[0]->shape.size() != 1) return std::nullopt;
  Dim product = 1;
  for (const Dim& dim : inputs[0]->elements) product = product * dim;
  return DimTensor{inputs[0]->format, attributes.keepdims != 0 ? Shape{1} : Shape{}, {product}};
}

std::optional<DimTensor> range(Inputs inputs) {
  if (inputs.size() != 3 || !has(inputs, 0) || !has(inputs, 1) || !has(inputs, 2))
    return std::nullopt;
  for (const auto& input : inputs)
    if (input->elements.size() != 1 || !input->is_constant()) return std::nullopt;
  const std::int64_t start = constants(*inputs[0])[0], limit = constants(*inputs[1])[0];
  const std::int64_t step = constants(*inputs[2])[0];
  constexpr std::int64_t kMostElements = 4096, kLargest = std::int64_t{1} << 40;
  for (const std::int64_t value : {start, limit, step})
    if (value > kLargest || value < -kLargest) return std::nullopt;
  if (step == 0 || (limit - start) / step > kMostElements) return std::nullopt;
  std::vector<Dim> elements;
  for (std::int64_t value = start; step > 0 ? value < limit : value > limit; value += step)
    elements.emplace_back(value);
  return vector_of(inputs[0]->format, std::move(elements));
}

std::optional<DimTensor> cast(Inputs inputs, const DimAttributes& attributes) {
  if (!has(inputs, 0) || !attributes.to) return std::nullopt;
  const Format& to = *attributes.to;
  DimTensor result = *inputs[0];
  if (to.is_float()) {
    if (result.is_constant()) return std::nullopt;
  } else if (to.is_boolean()) {
    if (!result.is_constant()) return std::nullopt;
    for (Dim& dim : result.elements) dim = dim == Dim(0) ? 0 : 1;
  } else if (result.is_constant()) {
    const IntegerRange range = to.integer_range();
    for (const std::int64_t value : constants(result))
      if (value < range.min || value > range.max) return std::nullopt;  // loses its higher bits
  }
  result.format = to;
  return result;
}

}  // namespace

bool DimTensor::is_constant() const {
  return std::all_of(elements.begin(), elements.end(),
                     [](const Dim& dim) { return dim.is_constant(); });
}

Tensor DimTensor::tensor() const { return Tensor::from_integers(format, shape, constants(*this)); }

namespace {

// The terms of a polynomial: "2*N*M-3" has 2*N*M and -3.
std::vector<Dim> terms_of(const Dim& dim) {
  const std::string text = dim.to_string();
  std::vector<Dim> terms;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find_first_of("+-", begin + 1), text.size());
    terms.push_back(Dim::parse(text.substr(begin, end - begin)));
    begin = end;
  }
  return terms;
}

}  // namespace

std::optional<IntegerRange> dim_bounds(const Dim& dim, const std::vector<Symbol>& symbols) {
  std::map<std::string, std::int64_t> least, most;
  for (const std::string& name : dim.symbols()) {
    const auto symbol = std::ranges::find(symbols, name, &Symbol::name);
    if (symbol == symbols.end()) continue;
    least[name] = symbol->min;
    most[name] = symbol->max;
  }
  IntegerRange sum{0, 0};
  try {
    Dim low = 0, high = 0;
    for (const Dim& term : terms_of(dim)) {
      // Monotone, as sizes are not negative.
      const Dim a = term.bind(least), b = term.bind(most);
      low = low + Dim(std::min(a.constant(), b.constant()));
      high = high + Dim(std::max(a.constant(), b.constant()));
    }
    sum = {low.constant(), high.constant()};
  } catch (const Error&) {
    return std::nullopt;  // beyond 64 bits
  }
  return sum;
}

Dim with_symbol(const Dim& dim, const std::string& symbol, const Dim& now) {
  Dim sum = 0;
  for (const Dim& term : terms_of(dim)) {
    Dim rest = term;  // without the symbol, which may stand there as a power
    int power = 0;
    while (const auto quotient = rest.divided_by(Dim::symbol(symbol))) {
      if (++power > 64 || rest == Dim(0)) break;
      rest = *quotient;
    }
    for (; power > 0; --power) rest = rest * now;
    sum = sum + rest;
  }
  return sum;
}

std::optional<DimTensor> dims_of(const Tensor& tensor, std::int64_t most) {
  const Format& format = tensor.format();
  const bool is_index =
      format.is_boolean() || format == Format::parse("int64") || format == Format::parse("int32");
  if (!is_index || tensor.size() > most) return std::nullopt;
  DimTensor result{format, tensor.shape(), {}};
  for (const std::int64_t value : tensor.to_integers()) result.elements.emplace_back(value);
  return result;
}

std::optional<DimTensor> evaluate_dims(std::string_view op, Inputs inputs,
                                       const DimAttributes& attributes,
                                       const std::vector<Symbol>& symbols) {
  if (op == "Identity") return has(inputs, 0) ? inputs[0] : std::nullopt;
  // Sizes as reals can be moved about, but divided they are no sizes.
  const bool has_real = std::ranges::any_of(
      inputs, [](const auto& input) { return input && input->format.is_float(); });
  if (has_real && op != "Cast" && op != "Unsqueeze" && op != "Squeeze" && op != "Reshape")
    return std::nullopt;
  if (op == "Cast") return cast(inputs, attributes);
  if (op == "Gather") return gather(inputs, attributes);
  if (op == "Concat") return concat_dims(inputs, attributes);
  if (op == "Unsqueeze" || op == "Squeeze" || op == "Reshape")
    return reranked(op, inputs, attributes);
  if (op == "Slice") return slice(inputs, attributes);
  if (op == "ReduceProd") return reduce_product(inputs, attributes);
  if (op == "Range") return range(inputs);
  if (op == "Where") return where(inputs);
  if (auto result = unary(op, inputs)) return result;
  return elementwise(op, inputs, symbols);
}

}  // namespace tandem
