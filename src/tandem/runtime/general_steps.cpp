#include <algorithm>
#include <array>
#include <cstring>
#include <type_traits>

#include "tandem/base/error.h"
#include "tandem/graph/evaluate.h"
#include "tandem/kernels/transpose.h"
#include "tandem/plan/movement_map.h"
#include "tandem/runtime/real_steps.h"
#include "tandem/runtime/walk.h"

namespace tandem {
namespace {

constexpr std::size_t kMostBoxes = 512;

// Where the row-major element `flat` of a shape lies in a layout.
std::int64_t place(std::int64_t flat, const Shape& shape,
                   const std::vector<std::int64_t>& strides) {
  std::int64_t at = 0;
  for (std::size_t d = shape.size(); d-- > 0;) {
    at += flat % shape[d] * strides[d];
    flat /= shape[d];
  }
  return at;
}

// A data movement as boxes whose elements lie evenly in their source and in the result.
class BoxesStep final : public StepProgram {
 public:
  struct Box {
    ValueId source = kNone;  // kNone: all elements are `filling`
    const std::byte* constant = nullptr;
    std::int64_t from = 0, to = 0;
    std::vector<std::byte> filling;
    std::unique_ptr<Walk> walk;  // over the source and the result
  };

  BoxesStep(ValueId result, std::size_t bytes) : result_(result), bytes_(bytes) {}
  void add(Box box) { boxes_.push_back(std::move(box)); }

  void run(const Places& places, Scratch&) const override {
    switch (bytes_) {
      case 1: return move<std::uint8_t>(places);
      case 2: return move<std::uint16_t>(places);
      case 4: return move<std::uint32_t>(places);
      default: return move<std::uint64_t>(places);
    }
  }

 private:
  template <typename T>
  void move(const Places& places) const {
    T* result = reinterpret_cast<T*>(places.write[result_]);
    for (const Box& box : boxes_) {
      const std::byte* source = box.constant;
      if (source == nullptr)
        source = box.source == kNone ? box.filling.data() : places.read[box.source];
      const T* from = reinterpret_cast<const T*>(source) + box.from;
      T* to = result + box.to;
      const Walk& walk = *box.walk;
      if (walk.interleaves()) {
        interleave_planes(walk, from, to);
        continue;
      }
      if constexpr (std::is_same_v<T, std::uint32_t>) {
        if (walk.turns()) {
          transpose(walk, from, to);
          continue;
        }
      }
      const std::int64_t in = walk.run_step(0), out = walk.run_step(1);
      walk.visit(walk.run_length(), kPartElements,
                 [&](const std::int64_t* offsets, std::int64_t count) {
                   const T* read = from + offsets[0];
                   T* write = to + offsets[1];
                   if (in == 1 && out == 1) {
                     std::memcpy(write, read, static_cast<std::size_t>(count) * sizeof(T));
                   } else {
                     for (std::int64_t i = 0; i < count; ++i) write[i * out] = read[i * in];
                   }
                 });
    }
  }

  // Channels that change places in two groups.
  template <typename T>
  static void interleave_planes(const Walk& walk, const T* from, T* to) {
    const std::int64_t columns = walk.run_length();
    const std::int64_t grain = std::max(kPartElements / (2 * columns), std::int64_t{1});
    parallel_for(0, walk.planes(), grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t plane = begin; plane < end; ++plane) {
        const auto [source, target] = walk.plane_offsets(plane);
        const T* first = from + source;
        interleave(first, first + walk.plane_step(0), columns, to + target);
      }
    });
  }

  // Planes whose columns in the source are rows of the result, each in parts of some columns.
  static void transpose(const Walk& walk, const std::uint32_t* from, std::uint32_t* to) {
    const std::int64_t rows = walk.run_length(), columns = walk.plane_rows();
    const std::int64_t grain = std::max(kPartElements / rows, std::int64_t{1});
    const std::int64_t parts = (columns + grain - 1) / grain;
    parallel_for(0, walk.planes() * parts, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t part = begin; part < end; ++part) {
        const std::int64_t column = part % parts * grain;
        const std::array<std::int64_t, 2> offsets = walk.plane_offsets(part / parts);
        transpose32(from + offsets[0] + column, walk.run_step(0),
                    to + offsets[1] + column * walk.plane_step(1), walk.plane_step(1), rows,
                    std::min(grain, columns - column));
      }
    });
  }

  ValueId result_;
  std::size_t bytes_;
  std::vector<Box> boxes_;
};

// Steps of a row-major source along the axes of a box, in the source's layout; nullopt where they
// are not even.
std::optional<std::vector<std::int64_t>> even_steps(const MovementBox& box, const Shape& shape,
                                                    const std::vector<std::int64_t>& strides) {
  const std::int64_t origin = place(box.base, shape, strides);
  std::vector<std::int64_t> steps(box.extents.size(), 0);
  std::int64_t corner = box.base, corner_place = origin;
  for (std::size_t d = 0; d < steps.size(); ++d) {
    if (box.extents[d] == 1) continue;
    steps[d] = place(box.base + box.strides[d], shape, strides) - origin;
    const std::int64_t far = (box.extents[d] - 1) * box.strides[d];
    if (place(box.base + far, shape, strides) - origin != (box.extents[d] - 1) * steps[d])
      return std::nullopt;
    corner += far;
    corner_place += (box.extents[d] - 1) * steps[d];
  }
  if (place(corner, shape, strides) != corner_place) return std::nullopt;
  return steps;
}

bool fills_with_zero(const NodeView& node) {
  return node.node.op->name() == "Pad" && node.real("value") == 0;
}

// A node that only its definition computes: on tensors that are copied in and out.
class DefinitionStep final : public StepProgram {
 public:
  explicit DefinitionStep(const StepContext& context)
      : module_(context.module), graph_(context.graph), node_(context.node().node) {}

  void run(const Places& places, Scratch&) const override {
    std::vector<Tensor> inputs;
    for (const ValueId input : node_.inputs) {
      if (input == kNone) {
        inputs.emplace_back();
      } else if (const Tensor* constant = constant_of(module_, graph_, input)) {
        inputs.push_back(*constant);
      } else {
        const TensorType& type = graph_.values[input].type;
        Tensor tensor(type.format, type.static_shape());
        std::memcpy(tensor.mutable_bytes().data(), places.read[input], tensor.bytes().size());
        inputs.push_back(std::move(tensor));
      }
    }
    const auto outputs = evaluate_node(module_, graph_, node_, inputs);
    for (std::size_t i = 0; i < outputs.size(); ++i)
      if (std::byte* to = places.write[node_.outputs[i]]; to != nullptr)
        std::memcpy(to, outputs[i].bytes().data(), outputs[i].bytes().size());
  }

 private:
  const Module& module_;
  const Graph& graph_;
  const Node& node_;
};

}  // namespace

std::unique_ptr<StepProgram> make_boxes(const StepContext& context, std::size_t output) {
  const NodeView node = context.node();
  const ValueId result = node.node.outputs[output];
  const Shape shape = context.shape(result);
  if (element_count(shape) == 0) return std::make_unique<BoxesStep>(result, 1);
  const auto boxes = movement_boxes(node, output, kMostBoxes);
  if (!boxes) return nullptr;
  const Format format = context.graph.values[result].type.format;
  const auto bytes = static_cast<std::size_t>(storage_bytes(format.storage()));
  const auto strides = strides_of(shape, context.layouts[result]);
  auto step = std::make_unique<BoxesStep>(result, bytes);
  for (const MovementBox& box : *boxes) {
    if (element_count(box.extents) == 0) continue;  // of an empty part, such as an empty cache
    BoxesStep::Box made;
    std::vector<std::int64_t> steps(shape.size(), 0);
    if (box.input < 0) {
      // A map knows the integers that fill, which say nothing of a real but 0.
      if (!format.is_integer() && !fills_with_zero(node)) return nullptr;
      const Tensor filling = format.is_integer()
                                 ? Tensor::from_integers(format, {1}, std::vector{box.base})
                                 : Tensor(format, {1});
      made.filling.assign(filling.bytes().begin(), filling.bytes().end());
    } else {
      made.source = node.node.inputs[static_cast<std::size_t>(box.input)];
      const Shape from = context.shape(made.source);
      const auto from_strides = strides_of(from, context.layouts[made.source]);
      const auto even = even_steps(box, from, from_strides);
      if (!even) return nullptr;
      steps = *even;
      made.from = place(box.base, from, from_strides);
      if (const Tensor* constant = constant_of(context.module, context.graph, made.source))
        made.constant = constant->bytes().data();
    }
    std::vector<std::pair<std::int64_t, std::size_t>> order;
    for (std::size_t d = 0; d < shape.size(); ++d) {
      made.to += box.start[d] * strides[d];
      order.emplace_back(-strides[d], d);
    }
    std::sort(order.begin(), order.end());
    // Long runs read side by side are better than short ones written side by side; two of them are
    // interleaved.
    constexpr std::int64_t kShort = 16;
    const std::int64_t last = box.extents[order.back().second];
    if (order.size() > 1 && last < kShort && steps[order[order.size() - 2].second] == 1)
      std::rotate(last == 2 ? order.end() - 2 : order.begin(), order.end() - 1, order.end());
    std::vector<std::int64_t> extents, in, out;
    for (const auto& [key, d] : order) {
      extents.push_back(box.extents[d]);
      in.push_back(steps[d]);
      out.push_back(strides[d]);
    }
    made.walk = std::make_unique<Walk>(extents, std::vector{in, out});
    step->add(std::move(made));
  }
  return step;
}

std::unique_ptr<StepProgram> make_definition(const StepContext& context) {
  return std::make_unique<DefinitionStep>(context);
}

}  // namespace tandem
