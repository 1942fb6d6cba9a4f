#include "tandem/transform/sink_zeros.h"

#include <map>

#include "tandem/graph/operator.h"
#include "tandem/transform/rewriter.h"

namespace tandem {
namespace {

class SinkZeros {
 public:
  explicit SinkZeros(const Module& module) : rewriter_(module), graph_(module.main()) {}

  Module run() {
    for (const Node& node : graph_.nodes)
      if (!sink(node)) note(node, rewriter_.copy(node));
    return rewriter_.finish();
  }

 private:
  struct Sum {
    ValueId codes;  // new
    Tensor zero;
    const Node* node;
  };

  // Remembers sums of codes and one number.
  void note(const Node& node, const std::vector<ValueId>& made) {
    if (node.op->name() != "IntAdd" && node.op->name() != "IntSub") return;
    const Tensor* zero = constant_of(rewriter_.old(), graph_, node.inputs[1]);
    const Value& codes = graph_.values[node.inputs[0]];
    constexpr int kCodeBits = 8;
    if (zero == nullptr || zero->size() != 1 || !codes.type.format.is_integer() ||
        codes.type.format.bits() > kCodeBits || codes.constant != kNone)
      return;
    sums_.emplace(made[0], Sum{rewriter_.at(node.inputs[0]), *zero, &node});
  }

  bool sink(const Node& node) {
    const std::string_view op = node.op->name();
    if (op != "Transpose" && op != "Reshape" && op != "Slice") return false;
    const auto found = sums_.find(rewriter_.at(node.inputs[0]));
    if (found == sums_.end()) return false;
    const Sum sum = found->second;
    Builder& builder = rewriter_.builder();
    builder.set_scope(node.scope);
    std::vector<ValueId> inputs{sum.codes};
    for (std::size_t i = 1; i < node.inputs.size(); ++i)
      inputs.push_back(rewriter_.at(node.inputs[i]));
    const ValueId moved = builder.add(op, inputs, node.attributes, node.name);
    const Tensor zero = sum.zero.reshaped(Shape(builder.type(moved).shape.size(), 1));
    const ValueId result =
        builder.add(sum.node->op->name(), {moved, builder.constant(zero, "zero")},
                    sum.node->attributes, sum.node->name);
    rewriter_.set(node.outputs[0], result);
    sums_.emplace(result, Sum{moved, zero, sum.node});
    return true;
  }

  Rewriter rewriter_;
  const Graph& graph_;
  std::map<ValueId, Sum> sums_;  // by new value
};

}  // namespace

void sink_zeros(Module& module) {
  module = SinkZeros(module).run();
  remove_unused(module);
}

}  // namespace tandem
