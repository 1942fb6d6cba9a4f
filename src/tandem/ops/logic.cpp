#include <array>
#include <cmath>
#include <memory>

#include "tandem/graph/registry.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/plain_integers.h"

namespace tandem {
namespace {

// Two bits to one, on all bits of a word at once.
struct BitFunction {
  std::string_view name, sign;
  std::int64_t (*of)(std::int64_t, std::int64_t);
};

constexpr std::array kBitFunctions = {
    BitFunction{"And", "and", [](std::int64_t a, std::int64_t b) { return a & b; }},
    BitFunction{"Or", "or", [](std::int64_t a, std::int64_t b) { return a | b; }},
    BitFunction{"Xor", "exclusive or", [](std::int64_t a, std::int64_t b) { return a ^ b; }}};

// And, Or, Xor of booleans, and their Bitwise forms of integers.
class BitOperator final : public Operator {
 public:
  BitOperator(const BitFunction& function, bool bitwise)
      : function_(function),
        bitwise_(bitwise),
        name_(concat(bitwise ? "Bitwise" : "", function.name)),
        description_(concat("y = a ", function.sign, " b, element by element, broadcast; of ",
                            bitwise ? "integers, bit by bit." : "booleans.")) {}

  std::string_view name() const override { return name_; }
  std::string_view description() const override { return description_; }
  Traits traits() const override {
    return {.domain = Domain::kIndex, .elementwise = true, .commutative = true};
  }
  std::size_t min_inputs() const override { return 2; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    require_same_formats(node);
    const Format format = node.input(0).format;
    if (bitwise_ ? !is_plain_integer(format) : !format.is_boolean())
      throw Error("the operands are ", format.name(), ", not ", bitwise_ ? "integers" : "bool",
                  "; put a Cast before them");
    return {{broadcast_dims(node.input(0).shape, node.input(1).shape), format}};
  }

  std::vector<Tensor> evaluate(const NodeView&, std::span<const Tensor> inputs) const override {
    const auto of = function_.of;
    return {visit_storage(inputs[0].format().storage(), [&]<typename T>() {
      return map_pairs<T, T>(inputs[0], inputs[1], inputs[0].format(), [of](T a, T b) {
        return static_cast<T>(of(static_cast<std::int64_t>(a), static_cast<std::int64_t>(b)));
      });
    })};
  }

  Work work(const NodeView& node) const override {
    return work_of(node, {operations(node, OperationKind::kCompare, output_elements(node))});
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [this](std::string_view a, std::string_view b, std::string_view y) {
      return sample_text("symbol N in [1,8]", concat("%a : ", a, ", %b : ", b),
                         concat("%y : ", y, " = ", name(), "(%a, %b)"));
    };
    if (!bitwise_)
      return {{text("bool[N,3]", "bool[3]", "bool[N,3]"), ""},
              {text("bool[2,1]", "bool[4]", "bool[2,4]"), ""},
              {text("f32[2]", "f32[2]", "f32[2]"), "put a Cast before them"}};
    return {{text("int32[N,3]", "int32[3]", "int32[N,3]"), ""},
            {text("uint8[2,1]", "uint8[4]", "uint8[2,4]"), ""},
            {text("bool[2]", "bool[2]", "bool[2]"), "put a Cast before them"}};
  }

 private:
  const BitFunction& function_;
  bool bitwise_;
  std::string name_, description_;
};

class NotOperator final : public Operator {
 public:
  explicit NotOperator(bool bitwise) : bitwise_(bitwise) {}
  std::string_view name() const override { return bitwise_ ? "BitwiseNot" : "Not"; }
  std::string_view description() const override {
    return bitwise_ ? "Every bit of an integer the other way, element by element."
                    : "True where x is false, element by element.";
  }
  Traits traits() const override { return {.domain = Domain::kIndex, .elementwise = true}; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const Format format = node.input(0).format;
    if (bitwise_ ? !is_plain_integer(format) : !format.is_boolean())
      throw Error("x is ", format.name(), ", not ", bitwise_ ? "of integers" : "bool",
                  "; put a Cast before it");
    return {node.input(0)};
  }

  std::vector<Tensor> evaluate(const NodeView&, std::span<const Tensor> inputs) const override {
    if (bitwise_) return {map_integers(inputs[0], [](std::int64_t x) { return ~x; })};
    Tensor y = inputs[0];
    for (std::uint8_t& value : y.mutable_data<std::uint8_t>()) value = value == 0 ? 1 : 0;
    return {y};
  }

  Work work(const NodeView& node) const override {
    return work_of(node, {operations(node, OperationKind::kCompare, output_elements(node))});
  }

  std::vector<SampleCase> samples() const override {
    const std::string type = bitwise_ ? "int16" : "bool";
    return {{sample_text("symbol N in [1,8]", concat("%x : ", type, "[N,3]"),
                         concat("%y : ", type, "[N,3] = ", name(), "(%x)")),
             ""},
            {sample_text("", "%x : f32[2]", concat("%y : f32[2] = ", name(), "(%x)")),
             "put a Cast before it"}};
  }

 private:
  bool bitwise_;
};

class BitShift final : public Operator {
 public:
  std::string_view name() const override { return "BitShift"; }
  std::string_view description() const override {
    return "The bits of integers a moved by b places, element by element, broadcast; zeros move "
           "in, from the left those of a sign. Moved by less than 0 or by all bits or more, "
           "nothing but these is left.";
  }
  Traits traits() const override { return {.domain = Domain::kIndex, .elementwise = true}; }
  std::vector<AttributeSpec> attributes() const override {
    return {choice_attribute("direction", "where the bits move", {"left", "right"})};
  }
  std::size_t min_inputs() const override { return 2; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const Format format = require_plain_integers(node);
    return {{broadcast_dims(node.input(0).shape, node.input(1).shape), format}};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    const bool left = node.string("direction") == "left";
    const std::int64_t bits = 8 * storage_bytes(inputs[0].format().storage());
    return {map_integer_pairs(inputs[0], inputs[1], [=](std::int64_t a, std::int64_t b) {
      if (b < 0 || b >= bits) return std::int64_t{!left && a < 0 ? -1 : 0};
      return left ? static_cast<std::int64_t>(static_cast<std::uint64_t>(a) << b) : a >> b;
    })};
  }

  Work work(const NodeView& node) const override {
    return work_of(node, {operations(node, OperationKind::kShift, output_elements(node))});
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view type, std::string_view attributes) {
      return sample_text("symbol N in [1,8]", concat("%a : ", type, "[N,3], %b : ", type, "[3]"),
                         concat("%y : ", type, "[N,3] = BitShift(%a, %b) ", attributes));
    };
    return {{text("uint8", ""), ""},
            {text("uint32", "{direction = \"right\"}"), ""},
            {text("int8", ""), ""},
            {text("f32", ""), "put a Cast before it"}};
  }
};

// What a real may be.
class Classification final : public Operator {
 public:
  explicit Classification(bool infinite) : infinite_(infinite) {}
  std::string_view name() const override { return infinite_ ? "IsInf" : "IsNaN"; }
  std::string_view description() const override {
    return infinite_ ? "bool: x is infinite, of the signs asked for, element by element."
                     : "bool: x is no number, element by element.";
  }
  Traits traits() const override { return {.domain = Domain::kIndex, .elementwise = true}; }
  std::vector<AttributeSpec> attributes() const override {
    if (!infinite_) return {};
    return {flag_attribute("detect_negative", "minus infinity counts", true),
            flag_attribute("detect_positive", "plus infinity counts", true)};
  }

  std::vector<TensorType> infer(const NodeView& node) const override {
    require_reals(node);
    return {{node.input(0).shape, boolean_format()}};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    const bool negative = infinite_ && flag(node, "detect_negative");
    const bool positive = infinite_ && flag(node, "detect_positive");
    return compute_reals(
        inputs[0].format(), inputs, [&]<typename T>(std::span<const Tensor> reals) {
          Tensor y(boolean_format(), reals[0].shape());
          const auto from = reals[0].data<T>();
          const auto to = y.mutable_data<std::uint8_t>();
          for (std::size_t i = 0; i < to.size(); ++i) {
            const T x = from[i];
            const bool is =
                infinite_ ? std::isinf(x) && (x < 0 ? negative : positive) : std::isnan(x);
            to[i] = is ? 1 : 0;
          }
          return std::vector<Tensor>{std::move(y)};
        });
  }

  Work work(const NodeView& node) const override {
    return work_of(node, {operations(node, OperationKind::kCompare, output_elements(node))});
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [this](std::string_view type, std::string_view attributes) {
      return sample_text("symbol N in [1,8]", concat("%x : ", type, "[N,3]"),
                         concat("%y : bool[N,3] = ", name(), "(%x) ", attributes));
    };
    std::vector<SampleCase> cases = {{text("f32", ""), ""},
                                     {text("f16", ""), ""},
                                     {text("int8", ""), "put a Dequantize before it"}};
    if (infinite_) cases.push_back({text("f64", "{detect_negative = 0}"), ""});
    return cases;
  }

 private:
  bool infinite_;
};

}  // namespace

void register_logic_operators() {
  for (const bool bitwise : {false, true}) {
    for (const BitFunction& function : kBitFunctions)
      operators().add(std::make_unique<BitOperator>(function, bitwise));
    operators().add(std::make_unique<NotOperator>(bitwise));
  }
  operators().add(std::make_unique<BitShift>());
  operators().add(std::make_unique<Classification>(false));
  operators().add(std::make_unique<Classification>(true));
}

}  // namespace tandem
