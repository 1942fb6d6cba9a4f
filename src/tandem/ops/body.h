#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "tandem/graph/builder.h"

namespace tandem {

// The body of a composite operator while it is written: the operators that most bodies need, under
// short names. Internal to the room.
class Body {
 public:
  explicit Body(Builder& builder) : builder_(builder) {}

  Builder& builder() { return builder_; }
  TensorType type(ValueId value) { return builder_.type(value); }  // stays when nodes are added
  std::size_t rank(ValueId value) { return type(value).shape.size(); }
  Format format(ValueId value) { return type(value).format; }

  ValueId add(ValueId a, ValueId b) { return builder_.add("Add", {a, b}); }
  ValueId sub(ValueId a, ValueId b) { return builder_.add("Sub", {a, b}); }
  ValueId mul(ValueId a, ValueId b) { return builder_.add("Mul", {a, b}); }
  ValueId div(ValueId a, ValueId b) { return builder_.add("Div", {a, b}); }
  ValueId matmul(ValueId a, ValueId b) { return builder_.add("MatMul", {a, b}); }
  ValueId where(ValueId condition, ValueId a, ValueId b) {
    return builder_.add("Where", {condition, a, b});
  }
  ValueId call(std::string_view function, ValueId x) { return builder_.add(function, {x}); }

  // A number in the format of `like`.
  ValueId scalar(double value, ValueId like);
  ValueId times(ValueId x, double factor) { return mul(x, scalar(factor, x)); }
  ValueId plus(ValueId x, double summand) { return add(x, scalar(summand, x)); }

  // Reductions; reduced axes stay with extent 1.
  ValueId mean(ValueId x, const std::vector<std::int64_t>& axes);
  ValueId sum(ValueId x, const std::vector<std::int64_t>& axes);
  ValueId max(ValueId x, const std::vector<std::int64_t>& axes);

  // Movement; no node is added where nothing would change.
  ValueId reshape(ValueId x, const std::vector<Dim>& shape);
  ValueId transpose(ValueId x, std::vector<std::int64_t> perm);
  ValueId slice(ValueId x, std::int64_t axis, std::int64_t begin, std::int64_t end);
  ValueId concat(const std::vector<ValueId>& parts, std::int64_t axis);
  ValueId cast(ValueId x, Format to);

 private:
  Builder& builder_;
};

// The axes from `first` up to `rank`.
std::vector<std::int64_t> axes_from(std::size_t first, std::size_t rank);

}  // namespace tandem
