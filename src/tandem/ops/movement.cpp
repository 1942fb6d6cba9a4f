#include "tandem/ops/movement.h"

#include <algorithm>
#include <memory>
#include <numeric>

#include "tandem/base/text.h"
#include "tandem/graph/registry.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/lowering_rules.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/strides.h"
#include "tandem/ops/support.h"

namespace tandem {

Tensor transposed_tensor(const Tensor& tensor, const std::vector<std::int64_t>& perm) {
  const auto dense = row_major_strides(tensor.shape());
  Shape shape;
  std::vector<std::int64_t> strides;
  for (const std::int64_t axis : perm) {
    shape.push_back(tensor.shape()[static_cast<std::size_t>(axis)]);
    strides.push_back(dense[static_cast<std::size_t>(axis)]);
  }
  return strided_copy(tensor, std::move(shape), 0, strides);
}

namespace {

// Copies the stored elements of `part` to position `begin` of an axis of `whole`.
void insert_at(const Tensor& part, Tensor& whole, std::size_t axis, std::int64_t begin) {
  const AxisSplit from = split_at(part.shape(), axis), to = split_at(whole.shape(), axis);
  const auto element = static_cast<std::int64_t>(storage_bytes(whole.format().storage()));
  const std::int64_t run = from.extent * from.inner * element;
  const std::byte* source = part.bytes().data();
  std::byte* target = whole.mutable_bytes().data() + begin * to.inner * element;
  for (std::int64_t o = 0; o < from.outer; ++o)
    std::copy_n(source + o * run, run, target + o * to.extent * to.inner * element);
}

class Transpose final : public Operator {
 public:
  std::string_view name() const override { return "Transpose"; }
  std::string_view description() const override {
    return "x with its axes in another order: axis d of y is axis perm[d] of x, in any format.";
  }
  Traits traits() const override { return {.domain = Domain::kMovement}; }
  std::vector<AttributeSpec> attributes() const override {
    return {integers_attribute("perm", "axes of x in their new order; empty: reversed")};
  }
  std::vector<TensorType> infer(const NodeView& node) const override {
    const TensorType& x = node.input(0);
    TensorType y{{}, x.format};
    for (const std::int64_t axis : permutation(node, x.shape.size()))
      y.shape.push_back(x.shape[static_cast<std::size_t>(axis)]);
    return {y};
  }
  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    return {transposed_tensor(inputs[0], permutation(node, inputs[0].shape().size()))};
  }
  std::optional<std::vector<CodedValue>> lower(LoweringSite& site) const override {
    return lower_movement(site);
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view y, std::string_view attributes) {
      return sample_text("symbol N in [1,8]", concat("%x : ", x),
                         concat("%y : ", y, " = Transpose(%x) ", attributes));
    };
    return {{text("f32[N,3,4,5]", "f32[N,4,5,3]", "{perm = [0,2,3,1]}"), ""},
            {text("int8[2,3]", "int8[3,2]", ""), ""},
            {text("fixed<12,4>[2,1,3]", "fixed<12,4>[1,3,2]", "{perm = [1,2,0]}"), ""},
            {text("f32[]", "f32[]", ""), ""},
            {text("f32[2,3]", "f32[2,3]", "{perm = [0,0]}"), "no order of the axes 0 to 1"},
            {text("f32[2,3]", "f32[2,3]", "{perm = [0]}"), "no order of the axes 0 to 1"}};
  }

 private:
  static std::vector<std::int64_t> permutation(const NodeView& node, std::size_t rank) {
    std::vector<std::int64_t> perm = node.integers("perm");
    std::vector<std::int64_t> order(rank);
    std::iota(order.begin(), order.end(), 0);
    if (perm.empty()) return {order.rbegin(), order.rend()};
    if (!std::is_permutation(perm.begin(), perm.end(), order.begin(), order.end())) {
      throw Error("perm ", to_string(Attribute(perm)), " is no order of the axes 0 to ",
                  static_cast<std::int64_t>(rank) - 1);
    }
    return perm;
  }
};

class Concat final : public Operator {
 public:
  std::string_view name() const override { return "Concat"; }
  std::string_view description() const override {
    return "The inputs, equal in all other axes, one after the other along an axis; any format.";
  }
  Traits traits() const override { return {.domain = Domain::kMovement}; }
  std::vector<AttributeSpec> attributes() const override {
    return {integer_attribute("axis", "axis along which the inputs follow each other")};
  }
  std::size_t max_inputs() const override { return kNone; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    for (std::size_t i = 0; i < node.input_count(); ++i)
      if (!node.has_input(i)) throw Error("input ", i, " is absent");
    require_same_formats(node);
    TensorType y = node.input(0);
    const std::size_t axis = normalized_axis(node.integer("axis"), y.shape.size());
    for (std::size_t i = 1; i < node.input_count(); ++i) {
      std::vector<Dim> other = node.input(i).shape;
      if (other.size() == y.shape.size()) {
        const Dim sum = y.shape[axis] + other[axis];
        y.shape[axis] = other[axis] = sum;
      }
      if (other != y.shape) {
        throw Error("input ", i, " ", node.input(i).to_string(), " differs from input 0 ",
                    node.input(0).to_string(), " in another axis than ", axis);
      }
    }
    return {y};
  }
  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    Shape shape = inputs[0].shape();
    const std::size_t axis = normalized_axis(node.integer("axis"), shape.size());
    for (const Tensor& input : inputs.subspan(1)) shape[axis] += input.shape()[axis];
    Tensor y(inputs[0].format(), std::move(shape));
    std::int64_t begin = 0;
    for (const Tensor& input : inputs) {
      insert_at(input, y, axis, begin);
      begin += input.shape()[axis];
    }
    return {y};
  }
  std::optional<std::vector<CodedValue>> lower(LoweringSite& site) const override {
    return lower_concatenation(
        site, normalized_axis(site.node.integer("axis"), site.node.input(0).shape.size()));
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view a, std::string_view b, std::string_view y,
                         std::string_view axis) {
      return sample_text("symbol N in [1,8]", concat("%a : ", a, ", %b : ", b),
                         concat("%y : ", y, " = Concat(%a, %b, %a) {axis = ", axis, "}"));
    };
    return {{text("f32[N,2,3]", "f32[N,1,3]", "f32[N,5,3]", "1"), ""},
            {text("int4[2,3]", "int4[2,4]", "int4[2,10]", "-1"), ""},
            {text("f32[N,2]", "f32[3,2]", "f32[2*N+3,2]", "0"), ""},
            {sample_text("", "%a : f64[2]", "%y : f64[2] = Concat(%a) {axis = 0}"), ""},
            {text("f32[2,3]", "f32[3,3]", "f32[2,9]", "1"), "in another axis than 1"},
            {text("f32[2]", "int8[2]", "f32[6]", "0"), "must have one format"},
            {text("f32[2]", "f32[2]", "f32[6]", "1"), "axis 1 is outside"}};
  }
};

// One axis of a Slice: elements begin, begin + step, ... (count of them).
struct SliceAxis {
  std::int64_t begin, step, count;
};

SliceAxis slice_axis(std::int64_t start, std::int64_t end, std::int64_t step, std::int64_t extent) {
  if (step == 0) throw Error("steps has the entry 0");
  step = std::clamp(step, -extent - 1, extent + 1);  // no step reaches further
  const auto place = [&](std::int64_t at, std::int64_t low, std::int64_t high) {
    return std::clamp(at < 0 ? at + extent : at, low, high);
  };
  if (step > 0) {
    const std::int64_t begin = place(start, 0, extent), stop = place(end, 0, extent);
    return {begin, step, stop > begin ? (stop - begin - 1) / step + 1 : 0};
  }
  const std::int64_t begin = place(start, 0, extent - 1), stop = place(end, -1, extent - 1);
  return {begin, step, begin > stop ? (begin - stop - 1) / -step + 1 : 0};
}

std::vector<std::size_t> cut_axes(const NodeView& node, std::size_t rank) {
  const std::size_t count = node.integers("starts").size();
  std::vector<std::int64_t> given = node.integers("axes");
  if (given.empty()) {
    given.resize(count);
    std::iota(given.begin(), given.end(), 0);
  }
  const auto& steps = node.integers("steps");
  if (node.integers("ends").size() != count || given.size() != count ||
      (!steps.empty() && steps.size() != count)) {
    throw Error("starts, ends, axes and steps must have equally many entries");
  }
  std::vector<std::size_t> axes;
  for (const std::int64_t axis : given) {
    axes.push_back(normalized_axis(axis, rank));
    if (std::count(axes.begin(), axes.end(), axes.back()) > 1)
      throw Error("axis ", axes.back(), " is cut twice");
  }
  return axes;
}

class Slice final : public Operator {
 public:
  std::string_view name() const override { return "Slice"; }
  std::string_view description() const override {
    return "Elements start, start + step, ... before end of the given axes, in any format; "
           "negative positions count from the end, those beyond it mean the end.";
  }
  Traits traits() const override { return {.domain = Domain::kMovement}; }
  std::vector<AttributeSpec> attributes() const override {
    return {integers_attribute("starts", "first position per axis"),
            integers_attribute("ends", "position after the last, per axis"),
            integers_attribute("axes", "axes cut; empty: the first ones"),
            integers_attribute("steps", "step per axis, not 0; empty: 1")};
  }
  std::vector<TensorType> infer(const NodeView& node) const override {
    TensorType y = node.input(0);
    const auto& starts = node.integers("starts");
    const auto& ends = node.integers("ends");
    const auto& steps = node.integers("steps");
    const auto axes = cut_axes(node, y.shape.size());
    for (std::size_t i = 0; i < axes.size(); ++i) {
      Dim& dim = y.shape[axes[i]];
      const std::int64_t step = steps.empty() ? 1 : steps[i];
      if (!dim.is_constant()) {
        if (starts[i] == 0 && step == 1 && ends[i] >= kWhole) continue;
        throw Error("axis ", axes[i], " of ", node.input(0).to_string(),
                    " is symbolic and can only be kept whole; bind it first");
      }
      dim = slice_axis(starts[i], ends[i], step, dim.constant()).count;
    }
    return {y};
  }
  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    const StridedPart part = slice_of(node, inputs[0].shape());
    return {strided_copy(inputs[0], part.shape, part.offset, part.strides)};
  }
  std::optional<std::vector<CodedValue>> lower(LoweringSite& site) const override {
    return lower_movement(site);
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view y, std::string_view attributes) {
      return sample_text("symbol N in [1,8]", concat("%x : ", x),
                         concat("%y : ", y, " = Slice(%x) ", attributes));
    };
    return {
        {text("f32[N,6,4]", "f32[N,3,4]", "{starts = [1], ends = [-2], axes = [1]}"), ""},
        {text("int8[5,6]", "int8[3,2]", "{starts = [0,-1], ends = [9,-6], steps = [2,-3]}"), ""},
        {text("uint2[5]", "uint2[5]", "{starts = [-1], ends = [-99], steps = [-1]}"), ""},
        {text("f32[N,2]", "f32[N,2]", "{starts = [0], ends = [9223372036854775807]}"), ""},
        {text("f32[N,2]", "f32[1,2]", "{starts = [0], ends = [1]}"), "bind it first"},
        {text("f32[4]", "f32[0]", "{starts = [3], ends = [1]}"), ""},
        {text("f32[4]", "f32[4]", "{starts = [0], ends = [4], steps = [0]}"), "the entry 0"},
        {text("f32[4]", "f32[4]", "{starts = [0,1], ends = [4]}"), "equally many"},
        {text("f32[4,4]", "f32[2,2]", "{starts = [0,0], ends = [2,2], axes = [1,-1]}"), "twice"}};
  }

 private:
  static constexpr std::int64_t kWhole = 0x7fffffff;  // what exporters write for "to the end"
};

class Split final : public Operator {
  static constexpr std::int64_t kMostElements = std::int64_t{1} << 40;  // of any tensor

 public:
  std::string_view name() const override { return "Split"; }
  std::string_view description() const override {
    return "x cut along an axis into consecutive parts of the given sizes, in any format.";
  }
  Traits traits() const override { return {.domain = Domain::kMovement}; }
  std::vector<AttributeSpec> attributes() const override {
    return {
        integer_attribute("axis", "axis that is cut", 0),
        {"sizes", AttributeKind::kIntegers, "extent of each part; their sum is the axis", {}, {}}};
  }
  std::vector<TensorType> infer(const NodeView& node) const override {
    const TensorType& x = node.input(0);
    const std::size_t axis = normalized_axis(node.integer("axis"), x.shape.size());
    const auto& sizes = node.integers("sizes");
    std::int64_t sum = 0;
    std::vector<TensorType> parts;
    for (const std::int64_t size : sizes) {
      if (size < 0 || size > kMostElements)
        throw Error("sizes has the entry ", size, "; the least is 0");
      sum += size;
      parts.push_back(x);
      parts.back().shape[axis] = size;
    }
    if (x.shape[axis] != Dim(sum)) {
      throw Error("the sizes add up to ", sum, ", but axis ", axis, " of ", x.to_string(), " has ",
                  x.shape[axis].to_string());
    }
    return parts;
  }
  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    const Tensor& x = inputs[0];
    const std::size_t axis = normalized_axis(node.integer("axis"), x.shape().size());
    const auto strides = row_major_strides(x.shape());
    std::vector<Tensor> parts;
    std::int64_t begin = 0;
    for (const std::int64_t size : node.integers("sizes")) {
      Shape shape = x.shape();
      shape[axis] = size;
      parts.push_back(strided_copy(x, std::move(shape), begin * strides[axis], strides));
      begin += size;
    }
    return parts;
  }
  Work work(const NodeView& node) const override {
    return work_of(node, {operations(node, OperationKind::kMove, input_elements(node, 0))});
  }
  std::optional<std::vector<CodedValue>> lower(LoweringSite& site) const override {
    return lower_movement(site);
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view y, std::string_view z,
                         std::string_view attributes) {
      return sample_text("symbol N in [1,8]", concat("%x : ", x),
                         concat("%y : ", y, ", %z : ", z, " = Split(%x) ", attributes), "%y, %z");
    };
    return {{text("f32[N,6,2]", "f32[N,2,2]", "f32[N,4,2]", "{axis = 1, sizes = [2,4]}"), ""},
            {text("int8[5]", "int8[1]", "int8[4]", "{axis = -1, sizes = [1,4]}"), ""},
            {text("f32[5]", "f32[1]", "f32[3]", "{sizes = [1,3]}"), "add up to 4"},
            {text("f32[5]", "f32[0]", "f32[5]", "{sizes = [0,5]}"), ""},
            {text("f32[5]", "f32[6]", "f32[5]", "{sizes = [6,-1]}"), "the least is 0"},
            {text("f32[N]", "f32[1]", "f32[3]", "{sizes = [1,3]}"), "has N"}};
  }
};

// Between depth and blocks of space; both directions permute [N, b, b, C, H, W] pieces.
class BlockMove : public Operator {
 public:
  explicit BlockMove(bool to_space) : to_space_(to_space) {}
  std::string_view name() const override { return to_space_ ? "DepthToSpace" : "SpaceToDepth"; }
  std::string_view description() const override {
    return to_space_ ? "x [N,C*b*b,H,W] to [N,C,H*b,W*b]: groups of b*b channels become blocks of "
                       "b*b pixels, in any format; mode DCR takes channels block-major, CRD "
                       "channel-major."
                     : "x [N,C,H*b,W*b] to [N,b*b*C,H,W]: blocks of b*b pixels become channels, "
                       "block-major, in any format.";
  }
  Traits traits() const override { return {.domain = Domain::kMovement}; }
  std::vector<AttributeSpec> attributes() const override {
    std::vector<AttributeSpec> specs = {integer_attribute("blocksize", "edge b of a block")};
    if (to_space_) specs.push_back(choice_attribute("mode", "order of channels", {"DCR", "CRD"}));
    return specs;
  }
  std::vector<TensorType> infer(const NodeView& node) const override {
    const TensorType& x = node.input(0);
    const std::int64_t b = node.integer("blocksize");
    if (x.shape.size() != 4) throw Error("x is ", x.to_string(), ", not [N,C,H,W]");
    if (b < 1 || b > 1 << 15) throw Error("blocksize is ", b, "; it must be at least 1");
    const auto divided = [&](std::size_t axis, std::int64_t by) {
      const auto quotient = x.shape[axis].divided_by(Dim(by));
      if (!quotient) throw Error("axis ", axis, " of ", x.to_string(), " is no multiple of ", by);
      return *quotient;
    };
    if (to_space_) {
      return {
          {{x.shape[0], divided(1, b * b), x.shape[2] * Dim(b), x.shape[3] * Dim(b)}, x.format}};
    }
    return {{{x.shape[0], x.shape[1] * Dim(b * b), divided(2, b), divided(3, b)}, x.format}};
  }
  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    const Shape& s = inputs[0].shape();
    const std::int64_t b = node.integer("blocksize");
    if (!to_space_) {
      const Tensor pieces = inputs[0].reshaped({s[0], s[1], s[2] / b, b, s[3] / b, b});
      return {transposed_tensor(pieces, {0, 3, 5, 1, 2, 4})
                  .reshaped({s[0], s[1] * b * b, s[2] / b, s[3] / b})};
    }
    const std::int64_t channels = s[1] / (b * b);
    const bool block_major = node.string("mode") == "DCR";
    const Tensor pieces = inputs[0].reshaped(block_major ? Shape{s[0], b, b, channels, s[2], s[3]}
                                                         : Shape{s[0], channels, b, b, s[2], s[3]});
    const std::vector<std::int64_t> perm = block_major
                                               ? std::vector<std::int64_t>{0, 3, 4, 1, 5, 2}
                                               : std::vector<std::int64_t>{0, 1, 4, 2, 5, 3};
    return {transposed_tensor(pieces, perm).reshaped({s[0], channels, s[2] * b, s[3] * b})};
  }
  std::optional<std::vector<CodedValue>> lower(LoweringSite& site) const override {
    return lower_movement(site);
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [&](std::string_view x, std::string_view y, std::string_view attributes) {
      return sample_text("symbol N in [1,8]", concat("%x : ", x),
                         concat("%y : ", y, " = ", name(), "(%x) ", attributes));
    };
    if (!to_space_) {
      return {{text("f32[N,2,4,6]", "f32[N,8,2,3]", "{blocksize = 2}"), ""},
              {text("int8[1,1,3,3]", "int8[1,9,1,1]", "{blocksize = 3}"), ""},
              {text("f32[1,1,3,4]", "f32[1,4,1,2]", "{blocksize = 2}"), "no multiple of 2"}};
    }
    return {{text("f32[N,8,2,3]", "f32[N,2,4,6]", "{blocksize = 2}"), ""},
            {text("int8[1,12,1,2]", "int8[1,3,2,4]", "{blocksize = 2, mode = \"CRD\"}"), ""},
            {text("f32[1,6,1,1]", "f32[1,1,2,2]", "{blocksize = 2}"), "no multiple of 4"},
            {text("f32[8,2,2]", "f32[2,4,4]", "{blocksize = 2}"), "not [N,C,H,W]"}};
  }

 private:
  bool to_space_;
};

}  // namespace

StridedPart slice_of(const NodeView& node, const Shape& from) {
  StridedPart part{from, 0, row_major_strides(from)};
  const auto& steps = node.integers("steps");
  const auto axes = cut_axes(node, from.size());
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const SliceAxis cut = slice_axis(node.integers("starts")[i], node.integers("ends")[i],
                                     steps.empty() ? 1 : steps[i], from[axes[i]]);
    part.offset += cut.begin * part.strides[axes[i]];
    part.strides[axes[i]] *= cut.step;
    part.shape[axes[i]] = cut.count;
  }
  return part;
}

void register_movement_operators() {
  operators().add(std::make_unique<Transpose>());
  operators().add(std::make_unique<Concat>());
  operators().add(std::make_unique<Slice>());
  operators().add(std::make_unique<Split>());
  operators().add(std::make_unique<BlockMove>(true));
  operators().add(std::make_unique<BlockMove>(false));
}

}  // namespace tandem
