#include <memory>

#include "tandem/graph/registry.h"
#include "tandem/ops/lowering_rules.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/strides.h"
#include "tandem/ops/support.h"

namespace tandem {
namespace {

constexpr std::int64_t kWidest = std::int64_t{1} << 20;

class Pad final : public Operator {
 public:
  std::string_view name() const override { return "Pad"; }
  std::string_view description() const override {
    return "x with elements added before and after each axis, in any format: a constant value, "
           "the nearest element (edge), the mirror image without the border (reflect), or the "
           "elements of the other end (wrap).";
  }
  Traits traits() const override { return {.domain = Domain::kMovement}; }
  std::vector<AttributeSpec> attributes() const override {
    return {{"pads", AttributeKind::kIntegers, "elements added: all begins, then all ends", {}, {}},
            choice_attribute("mode", "what is added", {"constant", "edge", "reflect", "wrap"}),
            real_attribute("value", "what mode constant adds; must be a number of x's format", 0)};
  }

  std::vector<TensorType> infer(const NodeView& node) const override {
    TensorType y = node.input(0);
    const auto& pads = node.integers("pads");
    const std::size_t rank = y.shape.size();
    if (pads.size() != 2 * rank) {
      throw Error("pads has ", pads.size(), " entries for ", y.to_string(), "; it needs ",
                  2 * rank);
    }
    const bool reflects = node.string("mode") == "reflect";
    for (std::size_t i = 0; i < pads.size(); ++i) {
      const Dim& extent = node.input(0).shape[i % rank];
      if (pads[i] < 0) throw Error("pads has the entry ", pads[i], "; use Slice to cut");
      if (pads[i] > kWidest) throw Error("pads has the entry ", pads[i], ", above ", kWidest);
      if (reflects && extent.is_constant() && pads[i] >= extent.constant()) {
        throw Error("axis ", i % rank, " of ", node.input(0).to_string(),
                    " has too few elements to mirror ", pads[i]);
      }
      y.shape[i % rank] = y.shape[i % rank] + Dim(pads[i]);
    }
    fill_value(node, y.format);
    return {y};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    const Tensor& x = inputs[0];
    const auto& pads = node.integers("pads");
    const std::size_t rank = x.shape().size();
    if (node.string("mode") == "constant") {
      Shape shape = x.shape();
      std::int64_t begin = 0;
      for (std::size_t d = 0; d < rank; ++d) shape[d] += pads[d] + pads[rank + d];
      const auto strides = row_major_strides(shape);
      for (std::size_t d = 0; d < rank; ++d) begin += pads[d] * strides[d];
      Tensor y =
          strided_copy(fill_value(node, x.format()), shape, 0, std::vector<std::int64_t>(rank, 0));
      write_block(x, y, begin, strides);
      return {y};
    }
    Tensor y = x;
    for (std::size_t d = 0; d < rank; ++d)
      if (pads[d] + pads[rank + d] > 0) y = extended(node, y, d, pads[d], pads[rank + d]);
    return {y};
  }

  std::optional<std::vector<CodedValue>> lower(LoweringSite& site) const override {
    if (site.node.string("mode") != "constant") return lower_movement(site);
    return lower_padding(site, site.node.real("value"));
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view y, std::string_view attributes) {
      return sample_text("symbol N in [1,8]", concat("%x : ", x),
                         concat("%y : ", y, " = Pad(%x) ", attributes));
    };
    return {{text("f32[N,2,3]", "f32[N,3,6]", "{pads = [0,1,1,0,0,2], value = -1.5}"), ""},
            {text("int8[2,3]", "int8[3,6]", "{pads = [0,1,1,2], value = -128}"), ""},
            {text("f32[4,3]", "f32[7,6]", "{pads = [2,2,1,1], mode = \"reflect\"}"), ""},
            {text("fixed<8,3>[1,3]", "fixed<8,3>[2,6]", "{pads = [1,1,0,2], mode = \"edge\"}"), ""},
            {text("int8[2,3]", "int8[2,11]", "{pads = [0,4,0,4], mode = \"wrap\"}"), ""},
            {text("bipolar[3]", "bipolar[5]", "{pads = [1,1], value = -1}"), ""},
            {text("f32[2]", "f32[4]", "{pads = [1,1], value = -inf}"), ""},
            {text("bipolar[3]", "bipolar[5]", "{pads = [1,1]}"), "is no bipolar"},
            {text("uint4[3]", "uint4[5]", "{pads = [1,1], value = 16}"), "is no uint4"},
            {text("f32[3]", "f32[2]", "{pads = [-1,0]}"), "use Slice to cut"},
            {text("f32[2,3]", "f32[2,4]", "{pads = [1]}"), "it needs 4"},
            {text("f32[2]", "f32[4]", "{pads = [2,0], mode = \"reflect\"}"), "too few elements"}};
  }

 private:
  // The added element as a tensor of one element.
  static Tensor fill_value(const NodeView& node, const Format& format) {
    const double value = node.real("value");
    if (node.string("mode") != "constant") return Tensor(format, {});
    Tensor fill(format, {});
    const bool is_number = value - value == 0;
    if (is_number || format.is_float()) fill = Tensor::scalar(value, format);
    if (fill.real(0) != value && value == value) {
      throw Error("the value ", value, " is no ", format.name(),
                  "; give a number of the format of x");
    }
    return fill;
  }

  static void write_block(const Tensor& x, Tensor& y, std::int64_t begin,
                          const std::vector<std::int64_t>& strides) {
    visit_storage(x.format().storage(), [&]<typename T>() {
      const T* from = x.data<T>().data();
      T* to = y.mutable_data<T>().data() + begin;
      for_each_run<1>(
          x.shape(), {strides},
          [&](std::int64_t first, std::int64_t count, const auto& at, const auto& step) {
            for (std::int64_t i = 0; i < count; ++i) to[at[0] + i * step[0]] = from[first + i];
          });
    });
  }

  // One axis lengthened by its own elements.
  static Tensor extended(const NodeView& node, const Tensor& x, std::size_t axis,
                         std::int64_t before, std::int64_t after) {
    const std::int64_t extent = x.shape()[axis];
    const bool reflects = node.string("mode") == "reflect", wraps = node.string("mode") == "wrap";
    if (extent == 0) throw Error("axis ", axis, " has no elements to repeat");
    if (reflects && std::max(before, after) >= extent) {
      throw Error("axis ", axis, " has ", extent, " elements, too few to mirror ",
                  std::max(before, after));
    }
    Shape shape = x.shape();
    shape[axis] = before + extent + after;
    Tensor y(x.format(), shape);
    const auto x_strides = row_major_strides(x.shape()), y_strides = row_major_strides(shape);
    Shape slice_shape = x.shape();
    slice_shape[axis] = 1;
    for (std::int64_t i = 0; i < shape[axis]; ++i) {
      std::int64_t source = i - before;
      if (wraps) source = (source % extent + extent) % extent;
      if (source < 0) source = reflects ? -source : 0;
      if (source >= extent) source = reflects ? 2 * (extent - 1) - source : extent - 1;
      const Tensor slice = strided_copy(x, slice_shape, source * x_strides[axis], x_strides);
      write_block(slice, y, i * y_strides[axis], y_strides);
    }
    return y;
  }
};

}  // namespace

void register_padding_operators() { operators().add(std::make_unique<Pad>()); }

}  // namespace tandem
