#include "tandem/base/error.h"
#include "tandem/ops/conv.h"
#include "tandem/runtime/real_nodes.h"
#include "tandem/runtime/real_steps.h"

namespace tandem {
namespace {

// A dense call, the values that it reads and the one that it writes.
class DenseStep final : public StepProgram {
 public:
  DenseStep(const StepContext& context, std::unique_ptr<DenseCall> call, const Followers& followers)
      : call_(std::move(call)), addend_(followers.addend), result_(followers.result) {
    const NodeView node = context.node();
    x_ = node.node.inputs[0];
    if (node.constant(1) == nullptr) right_ = node.node.inputs[1];
    if (addend_ != kNone) constant_addend_ = context.constant(addend_);
  }

  void run(const Places& places, Scratch& scratch) const override {
    auto& arguments = scratch.object<std::shared_ptr<DenseArguments>>(this);
    if (!arguments) arguments = std::make_shared<DenseArguments>();
    const auto floats = [&](ValueId value) {
      return value == kNone ? nullptr : reinterpret_cast<const float*>(places.read[value]);
    };
    call_->run(floats(x_), floats(right_),
               constant_addend_ != nullptr ? constant_addend_ : floats(addend_),
               reinterpret_cast<float*>(places.write[result_]), *arguments);
  }

 private:
  std::unique_ptr<DenseCall> call_;
  ValueId x_ = kNone, right_ = kNone, addend_, result_;
  const float* constant_addend_ = nullptr;
};

const float* floats(const NodeView& node, std::size_t input) {
  const Tensor* constant = node.has_input(input) ? node.constant(input) : nullptr;
  return constant == nullptr ? nullptr : constant->data<float>().data();
}

}  // namespace

std::unique_ptr<StepProgram> make_dense_convolution(const StepContext& context) {
  const NodeView node = context.node();
  const Followers followers = followers_of(context.module, context.graph, context.step.nodes);
  const Shape x = node.input(0).static_shape(), w = node.input(1).static_shape();
  const Window window = window_of(node, Shape(w.begin() + 2, w.end()));
  auto call = dense_convolution(convolution_of(node, window, x, w), floats(node, 1),
                                floats(node, 2), followers.epilogue);
  return std::make_unique<DenseStep>(context, std::move(call), followers);
}

std::unique_ptr<StepProgram> make_dense_product(const StepContext& context) {
  const NodeView node = context.node();
  Followers followers = followers_of(context.module, context.graph, context.step.nodes);
  const Shape a = node.input(0).static_shape(), b = node.input(1).static_shape();
  DenseProduct product;
  product.rows = a[a.size() - 2];
  product.depth = a.back();
  for (std::size_t d = 0; d + 2 < a.size(); ++d) product.batch *= a[d];
  product.shares_right = b.size() == 2;
  product.right_is_transposed = node.node.op->name() == "Gemm" && node.integer("transB") != 0;
  product.columns = product.right_is_transposed ? b[b.size() - 2] : b.back();
  const float* bias = node.node.op->name() == "Gemm" ? floats(node, 2) : nullptr;
  // The first addition may be of one row: a bias.
  if (followers.addend != kNone && context.constant(followers.addend) != nullptr &&
      element_count(context.shape(followers.addend)) == product.columns && bias == nullptr &&
      product.batch * product.rows != 1) {
    bias = context.constant(followers.addend);
    followers.addend = kNone;
    followers.epilogue.adds = false;
  }
  const float* right = floats(node, 1);
  auto call = dense_product(product, right, bias, followers.epilogue);
  return std::make_unique<DenseStep>(context, std::move(call), followers);
}

}  // namespace tandem
