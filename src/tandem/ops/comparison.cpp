#include <array>
#include <memory>

#include "tandem/graph/registry.h"
#include "tandem/ops/binary.h"
#include "tandem/ops/operators.h"

namespace tandem {
namespace {

// How a stands to b, as a set of bits; of a NaN none holds.
enum Outcome : unsigned { kIsLess = 1, kIsEqual = 2, kIsGreater = 4 };

struct Relation {
  std::string_view name;
  std::string_view sign;
  unsigned holds_for;  // Outcomes
};

constexpr std::array kRelations = {
    Relation{"Equal", "==", kIsEqual}, Relation{"Less", "<", kIsLess},
    Relation{"LessOrEqual", "<=", kIsLess | kIsEqual}, Relation{"Greater", ">", kIsGreater},
    Relation{"GreaterOrEqual", ">=", kIsGreater | kIsEqual}};

// One loop serves every relation: a loop for each, over each storage type, is much code for
// operators that run on indices and masks.
template <typename T>
Tensor compare(const Tensor& a, const Tensor& b, unsigned holds_for) {
  return map_pairs<T, std::uint8_t>(a, b, boolean_format(), [holds_for](T x, T y) {
    const unsigned outcome =
        (x < y ? kIsLess : 0U) | (x == y ? kIsEqual : 0U) | (x > y ? kIsGreater : 0U);
    return static_cast<std::uint8_t>((outcome & holds_for) != 0);
  });
}

class Comparison final : public Operator {
 public:
  explicit Comparison(const Relation& relation)
      : relation_(relation),
        description_(concat("bool: a ", relation.sign,
                            " b, element by element, broadcast; of reals, "
                            "indices or integers of one format. Comparisons with NaN are false.")) {
  }

  std::string_view name() const override { return relation_.name; }
  std::string_view description() const override { return description_; }
  Traits traits() const override {
    return {.domain = Domain::kIndex,
            .elementwise = true,
            .commutative = relation_.holds_for == kIsEqual};
  }
  std::size_t min_inputs() const override { return 2; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    require_same_formats(node);
    return {{broadcast_dims(node.input(0).shape, node.input(1).shape), boolean_format()}};
  }

  std::vector<Tensor> evaluate(const NodeView&, std::span<const Tensor> inputs) const override {
    const Format format = inputs[0].format();
    // Stored integers of a uniform format compare like the numbers they stand for.
    if (format.is_uniform() || format.storage() == Storage::kF32 ||
        format.storage() == Storage::kF64) {
      return visit_storage(format.storage(), [&]<typename T>() {
        return std::vector{compare<T>(inputs[0], inputs[1], relation_.holds_for)};
      });
    }
    const Format wide = Format::parse("f64");
    return {
        compare<double>(inputs[0].converted(wide), inputs[1].converted(wide), relation_.holds_for)};
  }

  Work work(const NodeView& node) const override {
    return work_of(node, {operations(node, OperationKind::kCompare, output_elements(node))});
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [this](std::string_view a, std::string_view b, std::string_view y) {
      return sample_text("symbol N in [1,8]", concat("%a : ", a, ", %b : ", b),
                         concat("%y : ", y, " = ", name(), "(%a, %b)"));
    };
    return {{text("f32[2,3]", "f32[3]", "bool[2,3]"), ""},
            {text("f16[N,3]", "f16[]", "bool[N,3]"), ""},
            {text("int64[4]", "int64[4]", "bool[4]"), ""},
            {text("uint2[3,1]", "uint2[2]", "bool[3,2]"), ""},
            {text("f32[2]", "int8[2]", "bool[2]"), "must have one format"}};
  }

 private:
  const Relation& relation_;
  std::string description_;
};

class Where final : public Operator {
 public:
  std::string_view name() const override { return "Where"; }
  std::string_view description() const override {
    return "y = a where the bool condition holds, b elsewhere; all three broadcast, a and b are of "
           "one format.";
  }
  Traits traits() const override { return {.domain = Domain::kMovement, .elementwise = true}; }
  std::size_t min_inputs() const override { return 3; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    if (!node.input(0).format.is_boolean())
      throw Error("the condition is ", node.input(0).to_string(), ", not bool");
    if (node.input(1).format != node.input(2).format) {
      throw Error("the alternatives are ", node.input(1).format.name(), " and ",
                  node.input(2).format.name(), "; they must have one format");
    }
    return {{broadcast_dims(node.input(0).shape,
                            broadcast_dims(node.input(1).shape, node.input(2).shape)),
             node.input(1).format}};
  }

  std::vector<Tensor> evaluate(const NodeView&, std::span<const Tensor> inputs) const override {
    Tensor y(inputs[1].format(),
             broadcast_shapes(inputs[0].shape(),
                              broadcast_shapes(inputs[1].shape(), inputs[2].shape())));
    const std::uint8_t* condition = inputs[0].data<std::uint8_t>().data();
    visit_storage(y.format().storage(), [&]<typename T>() {
      const T* a = inputs[1].data<T>().data();
      const T* b = inputs[2].data<T>().data();
      T* to = y.mutable_data<T>().data();
      std::array<std::vector<std::int64_t>, 3> strides;
      for (std::size_t i = 0; i < 3; ++i)
        strides[i] = broadcast_strides(inputs[i].shape(), y.shape());
      for_each_run<3>(
          y.shape(), strides,
          [&](std::int64_t first, std::int64_t count, const auto& at, const auto& step) {
            for (std::int64_t i = 0; i < count; ++i) {
              to[first + i] = condition[at[0] + i * step[0]] != 0 ? a[at[1] + i * step[1]]
                                                                  : b[at[2] + i * step[2]];
            }
          });
    });
    return {y};
  }

  Work work(const NodeView& node) const override {
    const Format format = node.input(1).format;
    return work_of(node, {{OperationKind::kMove, format, format, format, output_elements(node)}});
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view c, std::string_view a, std::string_view b,
                         std::string_view y) {
      return sample_text("symbol N in [1,8]", concat("%c : ", c, ", %a : ", a, ", %b : ", b),
                         concat("%y : ", y, " = Where(%c, %a, %b)"));
    };
    return {{text("bool[2,3]", "f32[2,3]", "f32[]", "f32[2,3]"), ""},
            {text("bool[N,1]", "int8[3]", "int8[N,3]", "int8[N,3]"), ""},
            {text("bool[2,2]", "fixed<8,3>[2]", "fixed<8,3>[2,1]", "fixed<8,3>[2,2]"), ""},
            {text("f32[2]", "f32[2]", "f32[2]", "f32[2]"), "not bool"},
            {text("bool[2]", "f32[2]", "f64[2]", "f32[2]"), "must have one format"}};
  }
};

}  // namespace

void register_comparison_operators() {
  for (const Relation& relation : kRelations)
    operators().add(std::make_unique<Comparison>(relation));
  operators().add(std::make_unique<Where>());
}

}  // namespace tandem
