#include "tandem/kernels/integer_lanes.h"
#include "tandem/runtime/periodic.h"
#include "tandem/runtime/step_program.h"

namespace tandem {
namespace {

// A value as it lies in memory, broadcast where the node's result is larger.
template <typename Lane>
class LoadHead final : public Head<Lane> {
 public:
  LoadHead(const NodeView& node, std::size_t lead)
      : value_(node.node.inputs[lead]), storage_(node.input(lead).format.storage()) {
    const Shape from = node.input(lead).static_shape();
    const Shape to = node.graph.values[node.node.outputs[0]].type.static_shape();
    if (element_count(from) != element_count(to)) offsets_ = broadcast_offsets(from, to);
    if (const Tensor* constant = node.constant(lead)) constant_ = *constant;
  }
  void produce(const Places& places, Scratch&, std::int64_t begin, std::int64_t count,
               Lane* to) const override {
    const std::byte* from = constant_.size() > 0 ? constant_.bytes().data() : places.read[value_];
    const auto bytes = static_cast<std::int64_t>(storage_bytes(storage_));
    if (offsets_.empty()) return load_lanes(storage_, from + begin * bytes, count, to);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t at = offsets_[static_cast<std::size_t>(begin + i)];
      load_lanes(storage_, from + at * bytes, 1, to + i);
    }
  }

 private:
  ValueId value_;
  Storage storage_;
  Tensor constant_;  // not empty: the value is this constant
  std::vector<std::int64_t> offsets_;
};

}  // namespace

template <typename Lane>
std::unique_ptr<Head<Lane>> make_head(const NodeView& node, std::string_view form) {
  if (form == "lanes") return std::make_unique<LoadHead<Lane>>(node, lead_operand(node));
  if (form == "window") return make_window_head<Lane>(node);
  return make_product_head<Lane>(node, form);
}

template std::unique_ptr<Head<std::int32_t>> make_head(const NodeView&, std::string_view);
template std::unique_ptr<Head<std::int64_t>> make_head(const NodeView&, std::string_view);

std::size_t lead_operand(const NodeView& node) {
  if (node.node.inputs.size() != 2) return 0;
  const auto& to = node.graph.values[node.node.outputs[0]].type.shape;
  const auto fits = [&](std::size_t index) {
    return node.constant(index) == nullptr && node.input(index).shape == to;
  };
  if (fits(0)) return 0;
  if (fits(1)) return 1;
  return node.constant(0) == nullptr ? 0 : 1;
}

}  // namespace tandem
