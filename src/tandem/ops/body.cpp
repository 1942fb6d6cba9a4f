#include "tandem/ops/body.h"

#include <numeric>

#include "tandem/ops/movement.h"

namespace tandem {

ValueId Body::scalar(double value, ValueId like) {
  return builder_.constant(Tensor::scalar(value, format(like)));
}

ValueId Body::mean(ValueId x, const std::vector<std::int64_t>& axes) {
  return builder_.add("ReduceMean", {x}, {{"axes", axes}});
}

ValueId Body::sum(ValueId x, const std::vector<std::int64_t>& axes) {
  return builder_.add("ReduceSum", {x}, {{"axes", axes}});
}

ValueId Body::max(ValueId x, const std::vector<std::int64_t>& axes) {
  return builder_.add("ReduceMax", {x}, {{"axes", axes}});
}

ValueId Body::reshape(ValueId x, const std::vector<Dim>& shape) {
  return add_reshape(builder_, x, shape, "reshaped");
}

ValueId Body::transpose(ValueId x, std::vector<std::int64_t> perm) {
  std::vector<std::int64_t> same(perm.size());
  std::iota(same.begin(), same.end(), 0);
  return perm == same ? x : builder_.add("Transpose", {x}, {{"perm", std::move(perm)}});
}

ValueId Body::slice(ValueId x, std::int64_t axis, std::int64_t begin, std::int64_t end) {
  using Integers = std::vector<std::int64_t>;
  if (begin == 0 && type(x).shape.at(static_cast<std::size_t>(axis)) == Dim(end)) return x;
  return builder_.add(
      "Slice", {x},
      {{"starts", Integers{begin}}, {"ends", Integers{end}}, {"axes", Integers{axis}}});
}

ValueId Body::concat(const std::vector<ValueId>& parts, std::int64_t axis) {
  return parts.size() == 1 ? parts.front() : builder_.add("Concat", parts, {{"axis", axis}});
}

ValueId Body::cast(ValueId x, Format to) {
  return format(x) == to ? x : builder_.add("Cast", {x}, {{"to", to}});
}

std::vector<std::int64_t> axes_from(std::size_t first, std::size_t rank) {
  std::vector<std::int64_t> axes(rank > first ? rank - first : 0);
  std::iota(axes.begin(), axes.end(), static_cast<std::int64_t>(first));
  return axes;
}

}  // namespace tandem
